"""The kinds of dom0: which Debian, and what runs in it as init.

A scenario says which it wants; every kind has images of its own, and what is
said about scenarios is checked in dom0, too, so this file needs nothing.
"""

import collections

Kind = collections.namedtuple("Kind", "release init arch")

# In the order in which they are booted.
KINDS = {
    # An init script of the lab's: what a dom0 needs and nothing else.
    "plain": Kind("bookworm", "plain", "amd64"),
    # Debian as it is installed: systemd, dpkg, Xen's own service scripts.
    "systemd": Kind("bookworm", "systemd", "amd64"),
    "trixie": Kind("trixie", "systemd", "amd64"),
    # The first again, on the other architecture.
    "arm64": Kind("trixie", "plain", "arm64"),
    # Xen there as it is, but for IOREQ servers.
    "arm64-ecam": Kind("trixie", "plain", "arm64"),
}


def recipes(name):
    """The files in 'recipe' that say what a kind is made of."""
    release, init, arch = KINDS[name]
    # What differs by release is Xen's version, and there is one for Arm.
    return ["common", arch, init, *([release] if arch == "amd64" else [])]


def takes_packages(name):
    """Whether its dpkg knows what is installed."""
    return KINDS[name].init == "systemd"

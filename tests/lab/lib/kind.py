"""The kinds of dom0: which Debian, and what runs in it as init.

A scenario says which it wants; every kind has images of its own, and what is
said about scenarios is checked in dom0, too, so this file needs nothing.
"""

import collections

Kind = collections.namedtuple("Kind", "release init")

# In the order in which they are booted.
KINDS = {
    # An init script of the lab's: what a dom0 needs and nothing else.
    "plain": Kind("bookworm", "plain"),
    # Debian as it is installed: systemd, dpkg, Xen's own service scripts.
    "systemd": Kind("bookworm", "systemd"),
    "trixie": Kind("trixie", "systemd"),
}


def recipes(name):
    """The files in 'recipe' that say what a kind is made of."""
    return ["common", *KINDS[name]]


def takes_packages(name):
    """Whether its dpkg knows what is installed."""
    return KINDS[name].init == "systemd"

"""Xen and Linux for the lab's Arm machine, built once.

Debian's Xen for Arm has no IOREQ servers, and no Xen has a virtual host bridge
that asks them: it is built from Debian's source with the patch in 'arm64'.
One kernel is dom0's and the guests'; what does not fit into a guest's memory or
takes time to find is left out (guest/kernel-arm64.config).

    xen, Image          what the machine boots
    xen-ecam            without the patch: what pci-config=ecam is for
    modules.builtin     what modprobe should know to be there
    release             the kernel's
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess

import debian
import kernel
from base import LAB, BuildError, made_once, run

PATCH = "arm64/0001-xen-arm-vpci-forward-to-ioreq-servers.patch"
CONFIG = "guest/kernel-arm64.config"
CROSS = "aarch64-linux-gnu-"
VERSION = "4.20."
RELEASE = "trixie"
XEN_CONFIG = """CONFIG_EXPERT=y
CONFIG_UNSUPPORTED=y
CONFIG_DEBUG=y
CONFIG_IOREQ_SERVER=y
"""
VPCI_CONFIG = "CONFIG_VPCI_GUEST=y\n"


class NoSource(BuildError):
    """Nobody has Xen's source: nothing of this can be made here."""


def key_of(name, *files):
    h = hashlib.sha256(repr((kernel.SOURCE, kernel.CHANGES)).encode())
    for path in (*files, "lib/arm64.py"):
        with open(os.path.join(LAB, path), "rb") as f:
            h.update(b"\0" + f.read())
    return f"{name}-arm64-" + h.hexdigest()[:16]


def xen_key():
    return key_of("xen", PATCH)


def kernel_key():
    return key_of("kernel", CONFIG)


# --- Xen's source -------------------------------------------------------------

def tarballs(text):
    """Of apt-cache showsrc: the original tarballs, as (path in the archive,
    SHA256), newest last.
    """
    found = []
    for para in text.split("\n\n"):
        where = re.search(r"^Directory: (\S+)", para, re.M)
        tar = re.search(r"^ ([0-9a-f]{64}) \d+ "
                        r"(xen_[\d.]+\S*\.orig\.tar\.\w+)$", para, re.M)
        if where and tar and tar.group(2).startswith("xen_" + VERSION):
            entry = (f"{where.group(1)}/{tar.group(2)}", tar.group(1))
            if entry not in found:
                found.append(entry)
    return found


def from_debian(tmp):
    """Debian's tarball of Xen.  Its own patches are not needed, so it does not
    matter whether the rest of the source package is there (after a security
    update it may not be).
    """
    at = os.path.join(tmp, "apt")
    os.mkdir(at)
    try:
        options = debian.private(at, debian.sources("deb-src", RELEASE))
        known = tarballs(run(["apt-cache", *options, "showsrc", "xen"]))
    except BuildError as e:
        raise NoSource(f"Debian's archive does not list its sources: {e}") \
            from None
    tried = []
    for path, digest in reversed(known):
        out = os.path.join(tmp, os.path.basename(path))
        for site in sorted({entry[1] for entry in debian.archives()}):
            url = f"{site.rstrip('/')}/{path.replace('+', '%2b')}"
            if not subprocess.run(
                    ["/usr/lib/apt/apt-helper", *debian.sandbox(),
                     "download-file", url, out, "SHA256:" + digest],
                    check=False, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL).returncode:
                return out
            tried.append(os.path.basename(path))
    raise NoSource("Debian's archive lists Xen's source and does not have it"
                   f" now ({', '.join(sorted(set(tried))) or 'no 4.20'}); "
                   "XEN_SOURCE= may name a directory or a tarball of 4.20")


def xen_source(tmp):
    """Xen's source, unpacked."""
    given = os.environ.get("XEN_SOURCE")
    tree = os.path.join(tmp, "xen")
    os.mkdir(tree)
    if given and os.path.isdir(given):
        with subprocess.Popen(["tar", "-c", "-C", given, "--exclude=.git",
                               "."], stdout=subprocess.PIPE) as p:
            run(["tar", "-x", "-C", tree], stdin=p.stdout)
        return tree
    run(["tar", "-x", "-C", tree, "--strip-components=1", "-f",
         given or from_debian(tmp)])
    return tree


# --- building -----------------------------------------------------------------

def compile_xen(tree, config, xen):
    below = xen + ".tmp"
    os.mkdir(below)
    make = ["make", "-s", "-C", os.path.join(tree, "xen"), f"O={below}",
            "XEN_TARGET_ARCH=arm64", "CROSS_COMPILE=" + CROSS]
    run([*make, "arm64_defconfig"])
    with open(os.path.join(below, ".config"), "a", encoding="ascii") as f:
        f.write(config)
    run([*make, "olddefconfig"])
    with open(os.path.join(below, ".config"), encoding="ascii") as f:
        got = f.read().splitlines()
    missing = [x for x in config.split() if x not in got]
    if missing:
        raise BuildError("this Xen cannot have " + " ".join(missing))
    run([*make, f"-j{os.cpu_count()}"])
    shutil.copyfile(os.path.join(below, "xen"), xen)
    shutil.rmtree(below)


def build_xen(out, progress):
    tmp = os.path.join(out, "tmp")
    os.mkdir(tmp)
    with progress.step("look for the source of Xen 4.20"):
        tree = xen_source(tmp)
    with progress.step("build Xen for Arm, as it is"):
        compile_xen(tree, XEN_CONFIG, os.path.join(out, "xen-ecam"))
    with progress.step("and with a virtual host bridge that asks us"):
        run(["patch", "-p1", "-s", "-d", tree, "-i",
             os.path.join(LAB, PATCH)])
        compile_xen(tree, XEN_CONFIG + VPCI_CONFIG, os.path.join(out, "xen"))
    shutil.rmtree(tmp)


def build_kernel(out, progress):
    tmp = os.path.join(out, "tmp")
    os.mkdir(tmp)
    with progress.step("download Linux's source"):
        tree = kernel.download(tmp)
    debian.change(tree, kernel.CHANGES)
    with open(os.path.join(LAB, CONFIG), encoding="ascii") as f:
        text = f.read()
    make = ["ARCH=arm64", "CROSS_COMPILE=" + CROSS]
    with progress.step("build a kernel for Arm (some minutes, once)"):
        kernel.configure(tree, text, *make, "tinyconfig")
        run(["make", "-s", *make, f"-j{os.cpu_count()}", "Image"], cwd=tree)
    for path in ("arch/arm64/boot/Image", "modules.builtin",
                 "modules.builtin.modinfo"):
        shutil.copy(os.path.join(tree, path), out)
    shutil.copyfile(os.path.join(tree, "include/config/kernel.release"),
                    os.path.join(out, "release"))
    shutil.rmtree(tmp)


def prepare(progress):
    """The directories of Xen and of Linux; made if they are not there."""
    return (made_once(xen_key(), build_xen, progress),
            made_once(kernel_key(), build_kernel, progress))

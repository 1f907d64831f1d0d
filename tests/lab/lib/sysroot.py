"""What programs for Arm are linked with: Debian's libraries and headers.

Nothing of it is installed.  The release is that of the lab's Arm machines, so
what is built with it runs there.
"""

import hashlib
import os
import shutil

import debian
from base import LAB, made_once

RELEASE, ARCH = "trixie", "arm64"
PACKAGES = ["libc6-dev", "linux-libc-dev", "libxen-dev", "libevent-dev",
            "liburing-dev", "libseccomp-dev", "libconfuse-dev",
            "libjson-c-dev", "libfdt-dev", "libcmocka-dev",
            "systemtap-sdt-dev"]
# Programs, and what only they depend on.
WITHOUT = ["gcc-*-base", "libc-dev-bin", "libcrypt-dev", "rpcsvc-proto",
           "*-perl", "perl*", "python3*", "libpython3*", "media-types",
           "systemd", "libsystemd*", "debconf"]


def key():
    h = hashlib.sha256()
    for path in ("lib/sysroot.py", "lib/debian.py"):
        with open(os.path.join(LAB, path), "rb") as f:
            h.update(f.read())
    return "sysroot-" + h.hexdigest()[:16]


def build(out, progress):
    tmp = os.path.join(out, "tmp")
    os.mkdir(tmp)
    with progress.step("download Debian's libraries for Arm"):
        apt = debian.Apt(RELEASE, tmp, ARCH)
        debs = apt.download(apt.resolve(PACKAGES, WITHOUT))
    with progress.step("unpack them"):
        debian.unpack(debs, os.path.join(out, "root"))
    shutil.rmtree(tmp)


def prepare(progress):
    """Its top; made if it is not there."""
    return os.path.join(made_once(key(), build, progress), "root")

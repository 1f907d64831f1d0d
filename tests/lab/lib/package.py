"""xen-virtiod's own Debian package, made for those who install it."""

import glob
import os
import subprocess

import debian
from base import BuildError

NAME = "xen-virtiod_*.deb"


def command(release):
    """How the tree makes it; other releases than this machine's are named."""
    return ["make", "deb", *([] if release == debian.own_release()
                             else ["DIST=" + release])]


def place(top, release):
    """Where it is then."""
    below = [] if release == debian.own_release() else [release]
    return os.path.join(top, "build/deb", *below)


def make(top, release, out, progress):
    """Returns the path of the package; what make says is in out."""
    argv = command(release)
    words = " ".join(argv)
    os.makedirs(out, exist_ok=True)
    log = os.path.join(out, f"make-deb-{release}.log")
    progress.begin(words)
    with open(log, "wb") as f:
        status = subprocess.run(argv, cwd=top, check=False, stdout=f,
                                stdin=subprocess.DEVNULL,
                                stderr=subprocess.STDOUT).returncode
    progress.end()
    if status:
        with open(log, encoding="utf-8", errors="replace") as f:
            last = f.read().strip().splitlines()[-6:]
        raise BuildError("\n  ".join([f"{words} exits {status}; all of it is "
                                      f"in {log}, its end:", *last]))
    found = glob.glob(os.path.join(place(top, release), NAME))
    if not found:
        raise BuildError(f"{words} leaves no {NAME} in {place(top, release)}")
    return max(found, key=os.path.getmtime)

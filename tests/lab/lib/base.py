"""What every part of the lab that runs outside the machine needs."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class BuildError(Exception):
    """Something outside the lab (apt, a missing program) went wrong."""


class Progress:
    """Say on stderr what is being done, and how long it took."""

    def __init__(self):
        self.began = None
        self.tty = sys.stderr.isatty()

    def begin(self, what):
        self.what, self.began = what, time.monotonic()
        print(f"lab: {what} ...", end="" if self.tty else "\n",
              file=sys.stderr, flush=True)

    def end(self, note=""):
        took = time.monotonic() - self.began
        text = f" {note}" if note else ""
        if self.tty:
            print(f"\rlab: {self.what}{text} ({took:.1f} s)\033[K",
                  file=sys.stderr, flush=True)
        else:
            print(f"lab: {self.what}{text}: {took:.1f} s", file=sys.stderr,
                  flush=True)

    @contextlib.contextmanager
    def step(self, what):
        self.begin(what)
        yield
        self.end()


def cache_root():
    root = os.environ.get("XENLAB_CACHE")
    if root:
        return root
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(home, "xen-virtiod-lab")


def run(argv, **kw):
    """Run a program; on failure its own words are the error."""
    try:
        r = subprocess.run(argv, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, check=False, **kw)
    except FileNotFoundError:
        raise BuildError(f"{argv[0]}: not found, try tests/need lab") from None
    if r.returncode:
        last = r.stderr.decode(errors="replace").strip().splitlines()[-6:]
        raise BuildError(f"{argv[0]} failed: " + "\n  ".join(last))
    return r.stdout.decode(errors="replace")


def made_once(name, make, progress):
    """The directory 'name' in the cache.  If it is not there, make(directory,
    progress) fills a new one, which gets that name if all goes well.
    """
    top = cache_root()
    final = os.path.join(top, name)
    if os.path.isdir(final):
        return final
    os.makedirs(top, exist_ok=True)
    with open(os.path.join(top, "lock"), "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step("wait for another run that is building"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(final):
            return final
        for old in os.listdir(top):     # left by a run that was killed
            if old.startswith("making-"):
                shutil.rmtree(os.path.join(top, old), ignore_errors=True)
        out = tempfile.mkdtemp(prefix="making-", dir=top)
        try:
            make(out, progress)
            os.chmod(out, 0o755)
            os.rename(out, final)
        finally:
            shutil.rmtree(out, ignore_errors=True)
    return final

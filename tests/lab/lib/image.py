"""Make the lab's machines from Debian packages, once, and keep them.

The result is a directory with

    xen             the hypervisor, unzipped (QEMU's multiboot loader wants it)
    vmlinux         Debian's kernel, unpacked: decompressing it inside an
                    emulated machine would cost seconds at every boot
    dom0-initrd     a first stage that mounts the root drive
    dom0.ext4       dom0's root, with the guests' kernel and initramfs in /guest
    log.ext4        an empty file system that a run's logs are written to

Nothing is installed and no maintainer script runs: packages are resolved by
apt against an empty system, downloaded and unpacked.
"""

import contextlib
import fcntl
import glob
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zlib

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ARCH_LIB = "usr/lib/x86_64-linux-gnu"
LOADER = ARCH_LIB + "/ld-linux-x86-64.so.2"


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


class Recipe:
    """The lines of the file 'recipe', by their first word."""

    def __init__(self, path):
        self.words = {}
        with open(path, encoding="utf-8") as f:
            for line in f:
                word = line.split("#")[0].split()
                if word:
                    self.words.setdefault(word[0], []).extend(word[1:])

    def __getitem__(self, key):
        return self.words.get(key, [])


def cache_root():
    root = os.environ.get("XENLAB_CACHE")
    if root:
        return root
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(home, "xen-virtiod-lab")


def recipe_key():
    """Names everything that decides what the images contain."""
    h = hashlib.sha256()
    for name in ("recipe", "lib/image.py", "dom0/stage1", "dom0/init",
                 "guest/init", "guest/agent"):
        with open(os.path.join(LAB, name), "rb") as f:
            h.update(name.encode() + b"\0" + f.read() + b"\0")
    return h.hexdigest()[:16]


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


# --- packages ---------------------------------------------------------------

def resolve(recipe, tmp):
    """All packages to unpack, as name=version, as apt would install them."""
    status = os.path.join(tmp, "status")
    open(status, "w", encoding="ascii").close()
    # An empty system has no foreign architecture and needs no lock.
    out = run(["apt-get", "-s", "-o", f"Dir::State::status={status}",
               "-o", "Debug::NoLocking=1", "-o", "APT::Install-Recommends=0",
               "install"] + recipe["package"])
    found = re.findall(r"^Inst (\S+) \((\S+)", out, re.M)
    if not found:
        raise BuildError("apt found nothing to install")
    skip = set(recipe["without"])
    return [f"{n}={v}" for n, v in found if n.split(":")[0] not in skip]


def sandbox():
    """For an apt that downloads: it complains about its sandbox to root."""
    return ["-o", "APT::Sandbox::User=root"] if os.getuid() == 0 else []


def download(packages, tmp):
    debs = os.path.join(tmp, "debs")
    os.mkdir(debs)
    run(["apt-get", "-q", *sandbox(), "download"] + packages, cwd=debs)
    return sorted(os.path.join(debs, d) for d in os.listdir(debs))


def unpack(debs, root):
    os.mkdir(root)
    for d in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(os.path.join(root, "usr", d))
        os.symlink("usr/" + d, os.path.join(root, d))
    for deb in debs:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb],
                              stdout=subprocess.PIPE) as p:
            run(["tar", "-x", "-C", root, "--keep-directory-symlink",
                 "--no-same-owner", "--exclude=./usr/share/doc",
                 "--exclude=./usr/share/man", "--exclude=./usr/share/locale",
                 "--exclude=./usr/lib/debug", "--exclude=*/gconv",
                 "--exclude=./usr/lib/python3.11/test"],
                stdin=p.stdout)
        if p.returncode:
            raise BuildError(f"dpkg-deb cannot read {deb}")


# --- kernel -----------------------------------------------------------------

def vmlinux_of(bzimage):
    """The ELF kernel inside a bzImage."""
    with open(bzimage, "rb") as f:
        data = f.read()
    setups = data[0x1f1] or 4
    start = (setups + 1) * 512 + int.from_bytes(data[0x248:0x24c], "little")
    payload = data[start:start + int.from_bytes(data[0x24c:0x250], "little")]
    if payload.startswith(b"\xfd7zXZ\0"):
        elf = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b"\x1f\x8b"):
        elf = zlib.decompressobj(31).decompress(payload)
    elif payload.startswith(b"\x28\xb5\x2f\xfd"):
        elf = subprocess.run(["zstd", "-dcq"], input=payload, check=False,
                             stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL).stdout
    else:
        raise BuildError("the kernel is packed in a way the lab cannot read")
    if not elf.startswith(b"\x7fELF"):
        raise BuildError("no ELF kernel inside the kernel image")
    return elf


class Modules:
    """Debian's modules, and what each depends on."""

    def __init__(self, root):
        top = os.path.join(root, "usr/lib/modules")
        self.version = os.listdir(top)[0]
        self.top = os.path.join(top, self.version)
        run(["depmod", "-b", os.path.join(root, "usr"), self.version])
        self.deps, self.path, self.builtin = {}, {}, set()
        with open(os.path.join(self.top, "modules.dep"),
                  encoding="ascii") as f:
            for line in f:
                path, deps = line.rstrip("\n").split(":")
                self.path[self.name(path)] = path
                self.deps[path] = deps.split()
        with open(os.path.join(self.top, "modules.builtin"),
                  encoding="ascii") as f:
            self.builtin = {self.name(line.strip()) for line in f}

    @staticmethod
    def name(path):
        return os.path.basename(path).split(".ko")[0].replace("-", "_")

    def order(self, names):
        """Paths of the modules in an order in which insmod takes them."""
        todo = []
        for name in names:
            name = self.name(name)
            if name in self.builtin:
                continue
            if name not in self.path:
                raise BuildError(f"the kernel has no module '{name}'")
            for p in [*reversed(self.deps[self.path[name]]), self.path[name]]:
                if p not in todo:
                    todo.append(p)
        return todo


# --- libraries that only have to be there ------------------------------------

def make_stubs(root, program, names, tmp):
    """Stand-ins for libraries a program is linked with but never calls here.

    Debian's fio is linked with the clients of every storage it knows: 60 MB
    of libraries, in each guest's memory.
    """
    text = run(["readelf", "-W", "--dyn-syms", "-V", program])
    file_of, current = {}, None
    for word in re.findall(r"(File|Name): (\S+)", text):
        if word[0] == "File":
            current = word[1]
        else:
            file_of[word[1]] = current
    symbols = {name: {} for name in names}
    for sym, version in re.findall(r" UND (\w+)(?:@(\S+))?", text):
        lib = file_of.get(version)
        # A symbol without a version may come from anywhere: the first
        # stand-in has it, a real library that comes earlier wins.
        if lib in symbols or not version and not sym.startswith("_"):
            symbols[lib or names[0]].setdefault(version, []).append(sym)
    for lib, versions in symbols.items():
        source = os.path.join(tmp, lib + ".c")
        script = os.path.join(tmp, lib + ".map")
        with open(source, "w", encoding="ascii") as f:
            for syms in versions.values():
                for sym in syms:
                    f.write(f"void {sym}(void) {{ __builtin_trap(); }}\n")
        with open(script, "w", encoding="ascii") as f:
            for version, syms in versions.items():
                if version:
                    f.write(f"{version} {{ {'; '.join(syms)}; }};\n")
        versioned = [f"-Wl,--version-script,{script}"] if any(versions) else []
        run(["gcc", "-shared", "-fPIC", "-nostdlib", "-w", "-fno-builtin",
             f"-Wl,-soname,{lib}", *versioned,
             "-o", os.path.join(root, ARCH_LIB, lib), source])


# --- initramfs --------------------------------------------------------------

class Cpio:
    """A newc archive, written without privileges: device nodes included."""

    def __init__(self, path):
        self.out = open(path, "wb")     # pylint: disable=consider-using-with
        self.ino, self.seen = 1, set()

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        head = [self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1],
                len(name) + 1, 0]
        self.ino += 1
        raw = b"070701" + b"".join(b"%08x" % n for n in head)
        raw += name.encode() + b"\0"
        raw += b"\0" * (-len(raw) % 4) + data
        self.out.write(raw + b"\0" * (-len(raw) % 4))

    def directory(self, name):
        parts = name.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            d = "/".join(parts[:i])
            if d and d not in self.seen:
                self.seen.add(d)
                self._entry(d, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        if name in self.seen:
            return
        self.directory(os.path.dirname(name))
        self.seen.add(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def copy(self, name, path):
        with open(path, "rb") as f:
            self.file(name, f.read())

    def link(self, name, target):
        self.directory(os.path.dirname(name))
        self.seen.add(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def node(self, name, major, minor):
        self.directory(os.path.dirname(name))
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def close(self):
        self._entry("TRAILER!!!", 0)
        self.out.close()


def libraries(root, program):
    """Paths below root of the libraries a program is linked with."""
    path = [os.path.join(root, ARCH_LIB)]
    path += glob.glob(os.path.join(root, "usr/lib/xen-*/lib/*-linux-gnu"))
    out = run([os.path.join(root, LOADER), "--library-path", ":".join(path),
               "--list", program])
    # What only this machine has, the lab lacks.
    found = re.findall(r"^\s*(\S+) => (\S+)", out, re.M)
    missing = [n for n, p in found if not p.startswith(root)]
    if missing:
        raise BuildError(f"{program} lacks {', '.join(missing)}")
    return [p for _, p in found]


def make_initramfs(path, root, modules, names, init, extra=()):
    cpio = Cpio(path)
    for d in ("dev", "proc", "sys", "run", "tmp", "mnt", "root", "etc"):
        cpio.directory(d)
    cpio.node("dev/console", 5, 1)
    cpio.node("dev/null", 1, 3)
    cpio.copy("init", os.path.join(LAB, init))
    for name in extra:
        if name.startswith("lab:"):
            cpio.copy("bin/" + os.path.basename(name),
                      os.path.join(LAB, name[4:]))
            continue
        for d in ("usr/bin", "usr/sbin"):
            program = os.path.join(root, d, name)
            if os.path.exists(program):
                break
        else:
            raise BuildError(f"no package brings the program '{name}'")
        cpio.copy("bin/" + name, program)
        for lib in libraries(root, os.path.realpath(program)):
            cpio.copy("lib/" + os.path.basename(lib), lib)
        cpio.copy("lib64/ld-linux-x86-64.so.2", os.path.join(root, LOADER))
    busybox_in(cpio, root)
    order = modules.order(names)
    for m in order:
        cpio.copy("lib/modules/" + os.path.basename(m),
                  os.path.join(modules.top, m))
    cpio.file("lib/modules/order",
              "".join(os.path.basename(m) + "\n" for m in order).encode())
    cpio.close()


def busybox_in(cpio, root):
    """busybox's applets, except where a real program is there already."""
    cpio.copy("bin/busybox", os.path.join(root, "usr/bin/busybox"))
    for applet in run([os.path.join(root, "usr/bin/busybox"),
                       "--list"]).split():
        if "bin/" + applet not in cpio.seen:
            cpio.link("bin/" + applet, "busybox")


# --- dom0 -------------------------------------------------------------------

def make_dom0_root(root, modules, recipe):
    """Turn the unpacked packages into a root file system for dom0."""
    for program in recipe["dom0-program"]:
        found = glob.glob(os.path.join(root, "usr", program))
        if not found:
            raise BuildError(f"no package brings the program '{program}'")
        libraries(root, found[0])       # complains if one is missing
    # Only the modules the lab loads.
    keep = modules.order(recipe["dom0-module"] + recipe["boot-module"])
    slim = modules.top + ".slim"
    for m in keep:
        os.makedirs(os.path.dirname(os.path.join(slim, m)), exist_ok=True)
        os.link(os.path.join(modules.top, m), os.path.join(slim, m))
    for name in os.listdir(modules.top):
        if name.startswith(("modules.builtin", "modules.order")):
            os.link(os.path.join(modules.top, name),
                    os.path.join(slim, name))
    shutil.rmtree(modules.top)
    os.rename(slim, modules.top)
    run(["depmod", "-b", os.path.join(root, "usr"), modules.version])

    with open(os.path.join(root, "etc/lab-modules"), "w",
              encoding="ascii") as f:
        print(*recipe["dom0-module"], file=f)
    for d in ("proc", "sys", "dev", "run", "tmp", "root", "mnt", "log", "lab",
              "work", "var/lib/xen", "var/lib/xenstored", "var/log",
              "var/lib/xen/dump"):
        os.makedirs(os.path.join(root, d), exist_ok=True)
    shutil.rmtree(os.path.join(root, "var/log"))
    os.symlink("/log", os.path.join(root, "var/log"))
    shutil.rmtree(os.path.join(root, "var/lock"), ignore_errors=True)
    for link, to in (("var/run", "/run"), ("var/lock", "/run"),
                     ("etc/mtab", "/proc/self/mounts")):
        p = os.path.join(root, link)
        if not os.path.lexists(p):
            os.symlink(to, p)
    for name, text in (("passwd", "root:x:0:0:root:/root:/bin/sh\n"),
                       ("group", "root:x:0:\n"), ("hostname", "dom0\n"),
                       ("hosts", "127.0.0.1 localhost\n")):
        with open(os.path.join(root, "etc", name), "w",
                  encoding="ascii") as f:
            f.write(text)
    os.makedirs(os.path.join(root, "etc/xen"), exist_ok=True)
    with open(os.path.join(root, "etc/xen/xl.conf"), "w",
              encoding="ascii") as f:
        f.write('autoballoon="off"\nclaim_mode=0\n')
    for applet in run([os.path.join(root, "usr/bin/busybox"),
                       "--list"]).split():
        if not any(os.path.lexists(os.path.join(root, d, applet))
                   for d in ("usr/bin", "usr/sbin")):
            os.symlink("busybox", os.path.join(root, "usr/bin", applet))
    # busybox's shell would run its own applets instead of the real programs.
    for name, to in (("sh", "dash"), ("awk", "mawk")):
        os.unlink(os.path.join(root, "usr/bin", name))
        os.symlink(to, os.path.join(root, "usr/bin", name))
    py = os.path.join(root, "usr/bin/python3")
    if not os.path.lexists(py):
        os.symlink("python3.11", py)
    shutil.copy(os.path.join(LAB, "dom0/init"), os.path.join(root, "init"))
    os.chmod(os.path.join(root, "init"), 0o755)


def make_ext4(path, megabytes, root=None, journal=True):
    with open(path, "wb") as f:
        f.truncate(megabytes << 20)
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0",
            "-E", "root_owner=0:0,lazy_itable_init=1,nodiscard"]
    if not journal:
        argv += ["-O", "^has_journal"]
    if root:
        argv += ["-d", root]
    run(["env", "PATH=" + os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
         *argv, path])


def build(out, progress):
    recipe = Recipe(os.path.join(LAB, "recipe"))
    tmp = os.path.join(out, "tmp")
    root = os.path.join(tmp, "root")
    os.mkdir(tmp)
    with progress.step("ask apt which packages a dom0 needs"):
        packages = resolve(recipe, tmp)
    progress.begin(f"download {len(packages)} packages")
    debs = download(packages, tmp)
    progress.end(f"({sum(map(os.path.getsize, debs)) >> 20} MB)")
    with progress.step("unpack"):
        unpack(debs, root)

        make_stubs(root, os.path.join(root, "usr/bin/fio"),
                   recipe["fio-without"], tmp)

    with progress.step("unpack the kernel, make the guest's initramfs"):
        modules = Modules(root)
        boot = os.path.join(root, "boot")
        kernel = os.path.join(boot, "vmlinuz-" + modules.version)
        xen = [n for n in os.listdir(boot)
               if re.match(r"xen-.*-amd64\.gz$", n)][0]
        with gzip.open(os.path.join(boot, xen)) as f, \
                open(os.path.join(out, "xen"), "wb") as g:
            shutil.copyfileobj(f, g)
        vmlinux = os.path.join(out, "vmlinux")
        with open(vmlinux, "wb") as f:
            f.write(vmlinux_of(kernel))
        guest = os.path.join(root, "guest")
        os.mkdir(guest)
        os.link(vmlinux, os.path.join(guest, "vmlinux"))
        os.rename(kernel, os.path.join(guest, "vmlinuz"))
        make_initramfs(os.path.join(guest, "initrd"), root, modules,
                       recipe["guest-module"], "guest/init",
                       recipe["guest-program"] + ["lab:guest/agent"])
        small = os.path.join(guest, "initrd-small")
        make_initramfs(small, root, modules, recipe["small-module"],
                       "guest/init",
                       recipe["small-program"] + ["lab:guest/agent"])
        with open(small, "rb") as f, \
                gzip.open(small + ".gz", "wb") as g:
            shutil.copyfileobj(f, g)
        os.rename(small + ".gz", small)
        make_initramfs(os.path.join(out, "dom0-initrd"), root, modules,
                       recipe["boot-module"], "dom0/stage1")
        shutil.rmtree(boot)
    with progress.step("make dom0's drive"):
        make_dom0_root(root, modules, recipe)
        libs = sorted(n for n in os.listdir(os.path.join(root, ARCH_LIB))
                      if ".so" in n)
        make_ext4(os.path.join(out, "dom0.ext4"), 8192, root)
        make_ext4(os.path.join(out, "log.ext4"), 512, journal=False)
    with open(os.path.join(out, "libraries"), "w", encoding="ascii") as f:
        f.write("\n".join(libs) + "\n")
    with open(os.path.join(out, "packages"), "w", encoding="ascii") as f:
        f.write("\n".join(packages) + "\n")
    shutil.rmtree(tmp)


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


def prepare(progress):
    """The directory with the images of this recipe; makes it if need be."""
    return made_once(recipe_key(), build, progress)

"""Make the lab's machines from Debian packages, once, and keep them.

The result, for each kind of dom0 (see kind.py), is a directory with

    xen             the hypervisor, unzipped (QEMU's multiboot loader wants it)
    vmlinux         Debian's kernel, unpacked: decompressing it inside an
                    emulated machine would cost seconds at every boot; on Arm,
                    the lab's own, which is called Image
    dom0-initrd     a first stage that mounts the root drive
    dom0.ext4       dom0's root, with the guests' kernel and initramfs in /guest
    log.ext4        an empty file system that a run's logs are written to

Nothing is installed and no maintainer script runs: packages are resolved by
apt against an empty system, downloaded and unpacked.
"""

import glob
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import subprocess
import zlib

import arm64
import debian
import dom0
import kind
from base import LAB, BuildError, cache_root, made_once, run



class Arch:
    """What is different for another architecture's packages."""

    def __init__(self, triple, loader, cc, emulator):
        self.lib = "usr/lib/" + triple
        self.loader = f"{self.lib}/{loader}"
        self.at = ("lib64/" if "x86-64" in loader else "lib/") + loader
        self.cc, self.emulator = cc, emulator

    def start(self, program, *words):
        """How to run one of its programs here."""
        return [*self.emulator, program, *words]


ARCHES = {
    "amd64": Arch("x86_64-linux-gnu", "ld-linux-x86-64.so.2", "gcc", []),
    "arm64": Arch("aarch64-linux-gnu", "ld-linux-aarch64.so.1",
                  "aarch64-linux-gnu-gcc", ["qemu-aarch64-static"]),
}


class Recipe:
    """The lines of the files in 'recipe', by their first word."""

    def __init__(self, *names):
        self.words = {}
        for name in names:
            with open(os.path.join(LAB, "recipe", name),
                      encoding="utf-8") as f:
                for line in f:
                    word = line.split("#")[0].split()
                    if word:
                        self.words.setdefault(word[0], []).extend(word[1:])

    def __getitem__(self, key):
        return self.words.get(key, [])


def ingredients(name):
    """The files that decide what the images of a kind contain."""
    own = "dom0/" + kind.KINDS[name].init
    more = ([f"{own}/{n}" for n in sorted(os.listdir(os.path.join(LAB, own)))]
            if kind.KINDS[name].init == "systemd" else ["dom0/init"])
    return [*("recipe/" + r for r in kind.recipes(name)), *more,
            "lib/debian.py", "lib/dom0.py", "lib/image.py", "dom0/drive",
            "dom0/handin", "dom0/stage1", "dom0/takeover", "guest/agent",
            "guest/init"]


def image_key(name):
    """The directory of a kind's images in the cache."""
    h = hashlib.sha256()
    if kind.KINDS[name].arch == "arm64":
        h.update((arm64.xen_key() + arm64.kernel_key()).encode())
    for path in ingredients(name):
        with open(os.path.join(LAB, path), "rb") as f:
            h.update(path.encode() + b"\0" + f.read() + b"\0")
    return name + "-" + h.hexdigest()[:16]


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
        self.root = os.path.join(root, "usr")
        top = os.path.join(self.root, "lib/modules")
        self.version = os.listdir(top)[0]
        self.top = os.path.join(top, self.version)
        run(["depmod", "-b", self.root, self.version])
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

    @staticmethod
    def plain(path):
        """What an unpacked module is called."""
        return path.split(".ko")[0] + ".ko"

    def read(self, path):
        """A module, unpacked: it would cost seconds to do that in there."""
        with open(os.path.join(self.top, path), "rb") as f:
            data = f.read()
        if path.endswith(".xz"):
            return lzma.decompress(data)
        if not path.endswith(".ko"):
            raise BuildError(f"{path} is packed in a way the lab cannot read")
        return data

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

def make_stubs(arch, root, program, names, tmp):
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
        run([arch.cc, "-shared", "-fPIC", "-nostdlib", "-w", "-fno-builtin",
             f"-Wl,-soname,{lib}", *versioned,
             "-o", os.path.join(root, arch.lib, lib), source])


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


def libraries(arch, root, program):
    """Paths below root of the libraries a program is linked with."""
    path = [os.path.join(root, arch.lib)]
    path += glob.glob(os.path.join(root, "usr/lib/xen-*/lib/*-linux-gnu"))
    out = run(arch.start(os.path.join(root, arch.loader), "--library-path",
                         ":".join(path), "--list", program))
    # What only this machine has, the lab lacks.
    found = re.findall(r"^\s*(\S+) => (\S+)", out, re.M)
    missing = [n for n, p in found if not p.startswith(root)]
    if missing:
        raise BuildError(f"{program} lacks {', '.join(missing)}")
    return [p for _, p in found]


def make_initramfs(arch, path, root, modules, names, init, extra=(), more=()):
    """extra: programs, which come with their libraries, and files of ours;
    more: libraries that they only look for at run time.
    """
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
        for lib in libraries(arch, root, os.path.realpath(program)):
            cpio.copy("lib/" + os.path.basename(lib), lib)
        cpio.copy(arch.at, os.path.join(root, arch.loader))
        for lib in more:
            cpio.copy("lib/" + lib, os.path.join(root, arch.lib, lib))
    busybox_in(arch, cpio, root)
    order = modules.order(names)
    for m in order:
        cpio.file("lib/modules/" + os.path.basename(modules.plain(m)),
                  modules.read(m))
    cpio.file("lib/modules/order",
              "".join(os.path.basename(modules.plain(m)) + "\n"
                      for m in order).encode())
    cpio.close()


def applets(arch, root):
    """All that busybox can be."""
    return run(arch.start(os.path.join(root, "usr/bin/busybox"),
                          "--list")).split()


def busybox_in(arch, cpio, root):
    """busybox's applets, except where a real program is there already."""
    cpio.copy("bin/busybox", os.path.join(root, "usr/bin/busybox"))
    for applet in applets(arch, root):
        if "bin/" + applet not in cpio.seen:
            cpio.link("bin/" + applet, "busybox")


def as_root():
    """What makes files of whoever runs this look like root's, as systemd wants
    them to be; nothing where there are no user namespaces for him.
    """
    argv = ["unshare", "--map-root-user"]
    if os.getuid() == 0 or subprocess.run([*argv, "true"], check=False,
                                          stderr=subprocess.DEVNULL
                                          ).returncode:
        return []
    return argv


def make_ext4(path, megabytes, root=None, journal=True):
    with open(path, "wb") as f:
        f.truncate(megabytes << 20)
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0",
            "-E", "root_owner=0:0,lazy_itable_init=1,nodiscard"]
    if not journal:
        argv += ["-O", "^has_journal"]
    if root:
        argv = [*as_root(), *argv, "-d", root]
    run(["env", "PATH=" + os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
         *argv, path])


def make_kernels_amd64(out, root, modules):
    """Debian's Xen and Linux, for the machine and for guests."""
    boot = os.path.join(root, "boot")
    kernel = os.path.join(boot, "vmlinuz-" + modules.version)
    xen = [n for n in os.listdir(boot) if re.match(r"xen-.*-amd64\.gz$", n)][0]
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
    shutil.rmtree(boot)


def make_kernels_arm64(name, out, root, made):
    """The lab's own, which have no modules; what modprobe asks for is there."""
    xen, linux = made
    shutil.copyfile(os.path.join(xen, name.replace("arm64", "xen")),
                    os.path.join(out, "xen"))
    shutil.copyfile(os.path.join(linux, "Image"), os.path.join(out, "Image"))
    guest = os.path.join(root, "guest")
    os.mkdir(guest)
    os.link(os.path.join(out, "Image"), os.path.join(guest, "Image"))
    with open(os.path.join(linux, "release"), encoding="ascii") as f:
        top = os.path.join(root, "usr/lib/modules", f.read().strip())
    os.makedirs(top)
    for name in ("modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(os.path.join(linux, name), top)
    with open(os.path.join(top, "modules.order"), "wb"):
        pass


def make_initramfses(arch, out, root, modules, recipe):
    """What guests, and dom0, unpack first."""
    guest = os.path.join(root, "guest")
    make_initramfs(arch, os.path.join(guest, "initrd"), root, modules,
                   recipe["guest-module"], "guest/init",
                   recipe["guest-program"] + ["lab:guest/agent"],
                   recipe["guest-library"])
    if recipe["small-program"]:
        small = os.path.join(guest, "initrd-small")
        make_initramfs(arch, small, root, modules, recipe["small-module"],
                       "guest/init",
                       recipe["small-program"] + ["lab:guest/agent"])
        with open(small, "rb") as f, \
                gzip.open(small + ".gz", "wb") as g:
            shutil.copyfileobj(f, g)
        os.rename(small + ".gz", small)
    make_initramfs(arch, os.path.join(out, "dom0-initrd"), root, modules,
                   recipe["boot-module"], "dom0/stage1", ["lab:dom0/drive"])


def check_programs(arch, root, names):
    """Programs of dom0 must have their libraries."""
    for name in names:
        found = glob.glob(os.path.join(root, "usr", name))
        if not found:
            raise BuildError(f"no package brings the program '{name}'")
        libraries(arch, root, found[0])


def build(name, out, progress, made=None):
    """made: what arm64.prepare() has made, if it is for Arm."""
    recipe = Recipe(*kind.recipes(name))
    release, _, arch_name = kind.KINDS[name]
    arch = ARCHES[arch_name]
    tmp = os.path.join(out, "tmp")
    root = os.path.join(tmp, "root")
    os.mkdir(tmp)
    with progress.step(f"ask apt what a dom0 of kind '{name}' needs"):
        apt = debian.Apt(release, tmp, arch_name)
        packages = apt.resolve(recipe["package"], recipe["without"])
    progress.begin(f"download {len(packages)} packages")
    debs = apt.download(packages)
    progress.end(f"({sum(map(os.path.getsize, debs)) >> 20} MB)")
    with progress.step("unpack"):
        files = debian.unpack(debs, root)
        make_stubs(arch, root, os.path.join(root, "usr/bin/fio"),
                   recipe["fio-without"], tmp)
    with progress.step("unpack the kernel, make the guest's initramfs"):
        if made:
            make_kernels_arm64(name, out, root, made)
        modules = Modules(root)
        if not made:
            make_kernels_amd64(out, root, modules)
        make_initramfses(arch, out, root, modules, recipe)
    with progress.step("make dom0's drive"):
        check_programs(arch, root, recipe["dom0-program"])
        dom0.make(root, name, files, modules, recipe, applets(arch, root))
        libs = sorted(n for n in os.listdir(os.path.join(root, arch.lib))
                      if ".so" in n)
        make_ext4(os.path.join(out, "dom0.ext4"), 8192, root)
        make_ext4(os.path.join(out, "log.ext4"), 512, journal=False)
    with open(os.path.join(out, "libraries"), "w", encoding="ascii") as f:
        f.write("\n".join(libs) + "\n")
    with open(os.path.join(out, "packages"), "w", encoding="ascii") as f:
        f.write("\n".join(packages) + "\n")
    shutil.rmtree(tmp)


def is_there(name):
    """Whether the images of a kind have been made."""
    return os.path.isdir(os.path.join(cache_root(), image_key(name)))


def prepare(name, progress):
    """The directory with the images of a kind; makes it if need be."""
    made = None
    if kind.KINDS[name].arch == "arm64":
        made = arm64.prepare(progress)
    return made_once(image_key(name),
                     lambda out, p: build(name, out, p, made), progress)

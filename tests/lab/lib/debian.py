"""Debian's packages, of any release, as apt would install them on nothing.

apt asks the archives that this machine uses.  For a release that is not this
machine's own the same archives are asked in its name, with lists of our own:
what is the machine's stays as it is.
"""

import fnmatch
import os
import re
import subprocess

from base import BuildError, run

# Of a package, what no dom0 of the lab reads.
LEFT_OUT = ("./usr/share/doc", "./usr/share/man", "./usr/share/locale",
            "./usr/lib/debug", "*/gconv", "./usr/lib/python3.*/test")


def own_release():
    """The release that this machine runs; empty if it is not Debian's."""
    try:
        with open("/etc/os-release", encoding="utf-8") as f:
            text = f.read()
    except OSError:
        return ""
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", text, re.M)
    return found.group(1) if found else ""


def archives():
    """Debian's archives as apt knows them here: (key, address, suite, part),
    with an empty key if it does not say which one signs.
    """
    out = run(["apt-get", "indextargets", "--format",
               "$(ORIGIN)|$(SIGNED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
               "Created-By: Packages"])
    found = []
    for line in out.splitlines():
        origin, key, *where = line.split("|")
        # What apt does not know, it leaves as it is.
        if origin == "Debian":
            found.append(("" if "$" in key else key, *where))
    if not found:
        raise BuildError("apt knows no archive of Debian's")
    return found


def sources(word, release=None):
    """A sources.list: word is deb or deb-src; of this machine's release, or of
    another one.
    """
    lines = []
    for key, address, suite, part in archives():
        if release:
            _, dash, rest = suite.partition("-")
            suite = release + dash + rest
        signed = f"[signed-by={key}] " if key else ""
        line = f"{word} {signed}{address} {suite} {part}\n"
        if line not in lines:
            lines.append(line)
    return "".join(lines)


def sandbox():
    """For an apt that downloads: it complains about its sandbox to root."""
    return ["-o", "APT::Sandbox::User=root"] if os.getuid() == 0 else []


def private(tmp, text, more=()):
    """Options for an apt-get with sources.list and lists below tmp, which it
    then fills, and more.  The machine's own lists and caches stay as they are.
    """
    path = os.path.join(tmp, "sources.list")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    os.makedirs(os.path.join(tmp, "lists/partial"))
    options = ["-o", f"Dir::Etc::SourceList={path}",
               "-o", "Dir::Etc::SourceParts=-",
               "-o", f"Dir::State::Lists={tmp}/lists",
               "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
               "-o", "Debug::NoLocking=1", *sandbox(), *more]
    run(["apt-get", "-q", *options, "update"])
    return options


def own_arch():
    """Debian's name for the architecture of this machine."""
    return run(["dpkg", "--print-architecture"]).strip()


def for_arch(arch):
    """Options for an apt-get that knows one architecture and no other."""
    return ["-o", f"APT::Architecture={arch}",
            "-o", "#clear=APT::Architectures",
            "-o", f"APT::Architectures::={arch}"]


class Apt:
    """apt-get for one release, and one architecture."""

    def __init__(self, release, tmp, arch=None):
        self.tmp, self.options = tmp, sandbox()
        if release != own_release() or arch not in (None, own_arch()):
            self.options = private(tmp, sources("deb", release),
                                   for_arch(arch) if arch else [])

    def resolve(self, names, without):
        """All packages to unpack, as name=version.  An empty system has no
        foreign architecture and needs no lock.
        """
        status = os.path.join(self.tmp, "status")
        open(status, "w", encoding="ascii").close()
        out = run(["apt-get", "-s", *self.options,
                   "-o", f"Dir::State::status={status}",
                   "-o", "Debug::NoLocking=1",
                   "-o", "APT::Install-Recommends=0", "install", *names])
        found = re.findall(r"^Inst (\S+) \((\S+)", out, re.M)
        if not found:
            raise BuildError("apt found nothing to install")
        return [f"{n}={v}" for n, v in found
                if not any(fnmatch.fnmatch(n.split(":")[0], w)
                           for w in without)]

    def download(self, packages):
        debs = os.path.join(self.tmp, "debs")
        os.mkdir(debs)
        run(["apt-get", "-q", *self.options, "download", *packages], cwd=debs)
        return sorted(os.path.join(debs, d) for d in os.listdir(debs))


def unpack(debs, root):
    """Nothing but files: no script of a package runs.  Returns, for each of
    debs, what came out of it, as absolute paths.
    """
    os.mkdir(root)
    for d in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(os.path.join(root, "usr", d))
        os.symlink("usr/" + d, os.path.join(root, d))
    files = {}
    for deb in debs:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb],
                              stdout=subprocess.PIPE) as p:
            out = run(["tar", "-xv", "-C", root, "--keep-directory-symlink",
                       "--no-same-owner",
                       *("--exclude=" + x for x in LEFT_OUT)], stdin=p.stdout)
        if p.returncode:
            raise BuildError(f"dpkg-deb cannot read {deb}")
        files[deb] = [x[1:].rstrip("/") or "/." for x in out.splitlines()]
    return files


def make_database(files, root):
    """Tell the dpkg in root what unpack() has put there, so that it installs
    what depends on it.
    """
    top = os.path.join(root, "var/lib/dpkg")
    for d in ("info", "updates", "triggers", "parts"):
        os.makedirs(os.path.join(top, d), exist_ok=True)
    with open(os.path.join(top, "info/format"), "w", encoding="ascii") as f:
        f.write("1\n")
    with open(os.path.join(top, "available"), "w", encoding="ascii"):
        pass
    with open(os.path.join(top, "status"), "w", encoding="utf-8") as f:
        for deb, paths in files.items():
            control = run(["dpkg-deb", "--field", deb])
            f.write(installed(control) + "\n")
            name = os.path.join(top, "info", list_name(control))
            with open(name, "w", encoding="utf-8") as g:
                g.write("".join(p + "\n" for p in paths))


def installed(control):
    """The same paragraph in a database of installed packages."""
    first, rest = control.split("\n", 1)
    return f"{first}\nStatus: install ok installed\n{rest}"


def list_name(control):
    """What dpkg calls the list of a package's files."""
    word = dict(re.findall(r"^(Package|Architecture|Multi-Arch): (\S+)",
                           control, re.M))
    same = word.get("Multi-Arch") == "same"
    return (word["Package"] + (":" + word["Architecture"] if same else "")
            + ".list")


def change(tree, changes):
    """Changes source: (file, pattern, what takes its place), each found once."""
    for name, pattern, new in changes:
        source = os.path.join(tree, name)
        with open(source, encoding="utf-8") as f:
            text = f.read()
        text, found = re.subn(pattern, new, text)
        if found != 1:
            raise BuildError(f"{name} has {found} lines like {pattern}")
        with open(source, "w", encoding="utf-8") as f:
            f.write(text)

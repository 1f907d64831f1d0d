"""Make a root file system for dom0 of the unpacked packages.

What a package's script would have done is done here, as far as dom0 needs it.
"""

import glob
import os
import re
import shutil
import time

import debian
import kind
from base import LAB, BuildError, run

OWN = "usr/lib/lab"             # scripts of ours, in every dom0
SYSTEM = "usr/lib/systemd/system"
GENERATORS = "usr/lib/systemd/system-generators"


def put(root, name, text, mode=0o644):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def link(root, name, target):
    """A symbolic link, unless there is something already."""
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.lexists(path):
        os.symlink(target, path)


def slim(modules, names):
    """Only the modules the lab loads, and unpacked."""
    new = modules.top + ".slim"
    os.mkdir(new)
    for m in modules.order(names):
        path = os.path.join(new, modules.plain(m))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(modules.read(m))
    for name in os.listdir(modules.top):
        if name.startswith(("modules.builtin", "modules.order")):
            os.link(os.path.join(modules.top, name), os.path.join(new, name))
    shutil.rmtree(modules.top)
    os.rename(new, modules.top)
    run(["depmod", "-b", modules.root, modules.version])


def make(root, name, files, modules, recipe, applets):
    """Turn root, of unpacked packages, into the dom0 of that kind; files is
    what unpack() has said, and applets are busybox's.
    """
    slim(modules, recipe["dom0-module"] + recipe["boot-module"])
    for d in ("proc", "sys", "dev", "run", "tmp", "root", "mnt", "log", "lab",
              "work", "etc/xen", "var/lib/xen", "var/lib/xenstored", "var/log",
              "var/lib/xen/dump", "var/cache", "var/tmp"):
        os.makedirs(os.path.join(root, d), exist_ok=True)
    shutil.rmtree(os.path.join(root, "var/log"))
    shutil.rmtree(os.path.join(root, "var/lock"), ignore_errors=True)
    for at, to in (("var/log", "/log"), ("var/run", "/run"),
                   ("var/lock", "/run/lock"),
                   ("etc/mtab", "/proc/self/mounts")):
        link(root, at, to)
    put(root, "etc/lab-modules", " ".join(recipe["dom0-module"]) + "\n")
    put(root, "etc/hostname", "dom0\n")
    put(root, "etc/hosts", "127.0.0.1 localhost\n")
    put(root, "etc/xen/xl.conf", 'autoballoon="off"\nclaim_mode=0\n')
    for script in ("drive", "handin", "takeover"):
        copy(root, f"{OWN}/{script}", f"dom0/{script}")
    make_programs(root, applets)
    if kind.KINDS[name].init == "systemd":
        make_systemd(root, files, recipe)
    else:
        put(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        put(root, "etc/group", "root:x:0:\n")
        copy(root, "init", "dom0/init")


def copy(root, name, source):
    with open(os.path.join(LAB, source), encoding="utf-8") as f:
        put(root, name, f.read(), 0o755)


def make_programs(root, applets):
    """What no package has under this name: busybox's applets, and links."""
    for applet in applets:
        if not any(os.path.lexists(os.path.join(root, d, applet))
                   for d in ("usr/bin", "usr/sbin")):
            os.symlink("busybox", os.path.join(root, "usr/bin", applet))
    # busybox's shell would run its own applets instead of the real programs.
    for name, to in (("sh", "dash"), ("awk", "mawk")):
        os.unlink(os.path.join(root, "usr/bin", name))
        os.symlink(to, os.path.join(root, "usr/bin", name))
    python = glob.glob(os.path.join(root, "usr/bin/python3.*[0-9]"))[0]
    link(root, "usr/bin/python3", os.path.basename(python))


# --- systemd ----------------------------------------------------------------

def make_systemd(root, files, recipe):
    debian.make_database(files, root)
    users, groups = accounts(sysusers(root))
    put(root, "etc/passwd", users)
    put(root, "etc/group", groups)
    put(root, "etc/machine-id", "0" * 31 + "1\n")
    put(root, "etc/fstab", "")
    link(root, "init", "/usr/lib/systemd/systemd")
    units = os.path.join(root, "etc/systemd/system")
    for unit in recipe["mask"]:
        link(units, unit, "/dev/null")
    # Each takes its time at boot and whenever systemd reads its units anew.
    for name in os.listdir(os.path.join(root, GENERATORS)):
        if name not in recipe["generator"]:
            link(root, f"etc/systemd/system-generators/{name}", "/dev/null")
    link(units, "default.target", f"/{SYSTEM}/multi-user.target")
    for number, name in enumerate(recipe["start"], 1):
        enable(root, units, name, number)
    top = os.path.join(LAB, "dom0/systemd")
    for name in sorted(os.listdir(top)):
        with open(os.path.join(top, name), encoding="utf-8") as f:
            text = f.read()
        if name.endswith(".service"):
            put(units, name, text)
            for target in re.findall(r"^WantedBy=(\S+)", text, re.M):
                link(units, f"{target}.wants/{name}", "../" + name)
        else:
            put(root, f"etc/systemd/{name}.d/lab.conf", text)
    # Nothing is to be brought up to date at the first boot, as all are.
    for at in ("etc/.updated", "var/.updated"):
        put(root, at, "")
        os.utime(os.path.join(root, at), times=(time.time() + 2,) * 2)


def enable(root, units, name, number):
    """Let a service of a package's start, as the package would."""
    if os.path.exists(os.path.join(root, SYSTEM, name + ".service")):
        link(units, f"multi-user.target.wants/{name}.service",
             f"/{SYSTEM}/{name}.service")
    elif os.path.exists(os.path.join(root, "etc/init.d", name)):
        for level in "2345":
            link(root, f"etc/rc{level}.d/S{number:02}{name}",
                 "../init.d/" + name)
    else:
        raise BuildError(f"no package brings the service '{name}'")


def sysusers(root):
    """The lines of all packages about system users and groups."""
    lines = []
    for path in sorted(glob.glob(os.path.join(root,
                                              "usr/lib/sysusers.d/*.conf"))):
        with open(path, encoding="utf-8") as f:
            lines += f.read().splitlines()
    return lines


def accounts(lines):
    """passwd and group as systemd-sysusers would make them of these lines."""
    users, groups, spare = {}, {}, iter(range(999, 100, -1))
    for line in lines:
        words = line.split("#")[0].split()
        if not words or words[0].rstrip("!") not in ("u", "g"):
            continue
        word, name = words[0].rstrip("!"), words[1]
        number, _, group = (words[2] if len(words) > 2 else "-").partition(":")
        if number == "-":
            number = str(groups.get(name) or next(spare))
        if not group:
            groups.setdefault(name, number)
        if word == "u":
            home = "/root" if name == "root" else "/nonexistent"
            shell = "/bin/sh" if name == "root" else "/usr/sbin/nologin"
            users[name] = (f"{name}:x:{number}:{group or number}::"
                           f"{home}:{shell}\n")
    # Packages may name groups before they make them.
    groups.setdefault("root", "0")
    return ("".join(users.values()),
            "".join(f"{g}:x:{n}:\n" for g, n in groups.items()))

"""A guest's kernel that grants what its virtio drivers use.

Debian's own kernels cannot (CONFIG_XEN_VIRTIO is off), so the lab builds one
from Debian's source, with little more than what a guest of the lab needs, once,
and keeps

    vmlinux         for PVH guests
    bzImage         for HVM guests
    vmlinux-plain   the same without, to be measured beside it

The source is that of Linux 6.12: before 6.4 grants for PCI devices on x86 end
in a NULL pointer (xen_dt_get_node() follows the parent of a root bus).
"""

import glob
import hashlib
import os
import shutil

import debian
import image
from base import LAB, BuildError, made_once, run

SOURCE = "linux-source-6.12"
CONFIG = "guest/kernel.config"
GRANTS = ("CONFIG_XEN_VIRTIO=y", "CONFIG_XEN_VIRTIO_FORCE_GRANT=y")


# A device's record of who it grants to is freed when its driver goes, and used
# when the next one comes: grants are then for any domain at all.  And when the
# device itself goes, another one may be where it was, finds the record, and
# does without grants.
OPS = "drivers/xen/grant-dma-ops.c"
CHANGES = [
    (OPS, r"devm_kzalloc\(dev, ", "kzalloc("),
    (OPS, r"devm_kfree\(dev, ", "kfree("),
    (OPS, r'dev_err\(dev, "Xen grant DMA data is already created\\n"\);',
     "*data = (struct xen_grant_dma_data){ .backend_domid = backend_domid };"
     "\n\t\tdev->dma_ops = &xen_grant_dma_ops;"),
]


def key():
    """Names the kernel that is made so."""
    h = hashlib.sha256(repr((SOURCE, CHANGES)).encode())
    for path in (CONFIG, "lib/kernel.py"):
        with open(os.path.join(LAB, path), "rb") as f:
            h.update(b"\0" + f.read())
    return "kernel-" + h.hexdigest()[:16]


def download(tmp):
    """The source, unpacked."""
    run(["apt-get", "-q", *debian.sandbox(), "download", SOURCE], cwd=tmp)
    deb = glob.glob(os.path.join(tmp, SOURCE + "_*.deb"))[0]
    run(["dpkg-deb", "-x", deb, tmp])
    tar = os.path.join(tmp, "usr/src", SOURCE + ".tar.xz")
    run(["tar", "-x", "-C", tmp, "-f", tar])
    os.unlink(deb)
    os.unlink(tar)
    return os.path.join(tmp, SOURCE)


def configure(tree, text, *first):
    """Puts the lines of text on top of what there is, or of what make makes
    first.
    """
    with open(os.path.join(tree, "kernel/configs/lab.config"), "w",
              encoding="ascii") as f:
        f.write(text)
    run(["make", "-s", *first, "lab.config"], cwd=tree)
    with open(os.path.join(tree, ".config"), encoding="utf-8") as f:
        got = f.read().splitlines()
    missing = [x for x in text.splitlines()
               if x.endswith("=y") and x not in got]
    if missing:
        raise BuildError("this kernel cannot have " + " ".join(missing))


def compile_to(tree, vmlinux):
    run(["make", "-s", f"-j{os.cpu_count()}", "bzImage"], cwd=tree)
    bzimage = os.path.join(tree, "arch/x86/boot/bzImage")
    with open(vmlinux, "wb") as f:
        f.write(image.vmlinux_of(bzimage))
    return bzimage


def build(out, progress):
    tmp = os.path.join(out, "tmp")
    os.mkdir(tmp)
    with progress.step("download Linux's source"):
        tree = download(tmp)
    debian.change(tree, CHANGES)
    with open(os.path.join(LAB, CONFIG), encoding="ascii") as f:
        text = f.read()
    with progress.step("build a kernel that grants (some minutes, once)"):
        configure(tree, text + "".join(x + "\n" for x in GRANTS),
                  "tinyconfig")
        bzimage = compile_to(tree, os.path.join(out, "vmlinux"))
        shutil.copyfile(bzimage, os.path.join(out, "bzImage"))
    with progress.step("and one that does not"):
        configure(tree, "".join(x.replace("=y", "=n") + "\n"
                                for x in GRANTS))
        compile_to(tree, os.path.join(out, "vmlinux-plain"))
    shutil.rmtree(tmp)


def prepare(progress):
    """The directory with the kernel; made if it is not there."""
    return made_once(key(), build, progress)

"""QEMU for the lab, with the faults mended that break guests of Xen.

Debian's QEMU emulates AMD's SVM well enough to boot Xen, and then, every few
minutes, damages a guest: it runs with half of Xen's state or without its nested
page tables, or an interrupt arrives twice, the second time in the middle of its
own handler, or gets lost.  What dies of it looks like anybody's fault.  So the
lab builds Debian's own source with the lines below changed, once, and keeps the
one program; without it the lab uses the machine's QEMU as it is.
"""

import glob
import hashlib
import os
import shutil

import debian
from base import cache_root, made_once, run

PROGRAM = "qemu-system-x86_64"
# Where Debian's packages keep the firmware, which the source comes without.
FIRMWARE = ["-L", "/usr/share/qemu", "-L", "/usr/share/seabios"]

SVM = "target/i386/tcg/sysemu/svm_helper.c"
FPU = "target/i386/tcg/sysemu/fpu_helper.c"
CHANGES = [
    # Whenever any CPU loads its FPU, the first CPU's flags are written, without
    # a lock: what that one changes at this moment is undone, such as whether it
    # walks nested page tables.  The bit has no business to be set at all.
    (FPU, r"env->hflags2 &= ~HF2_IGNNE_MASK;",
     r"if (env->hflags2 & HF2_IGNNE_MASK) \g<0>"),
    # The vector of an interrupt that VMRUN has just delivered stays behind as
    # if it were a pending exception: whatever stops the CPU's loop before
    # the guest exits delivers it again, without regard to RFLAGS.IF.
    (SVM, r"do_interrupt_x86_hardirq\(env, vector, 1\);",
     r"\g<0> cs->exception_index = -1;"),
    # The word of pending interrupts belongs to the big lock: changed without,
    # it loses what another thread sets at that moment.
    (SVM, r"cs->interrupt_request \|= CPU_INTERRUPT_VIRQ;",
     r"qemu_mutex_lock_iothread(); \g<0> qemu_mutex_unlock_iothread();"),
    # VMRUN forgets that the guest was between STI and the next instruction.
    # An interrupt is then let in before a HLT that nothing ends.
    (SVM, r"/\* enable intercepts \*/",
     r"""env->hflags &= ~HF_INHIBIT_IRQ_MASK;
    if (x86_ldl_phys(cs, addr + offsetof(struct vmcb, control.int_state)) &
        SVM_INTERRUPT_SHADOW_MASK)
        env->hflags |= HF_INHIBIT_IRQ_MASK;
    \g<0>"""),
    (SVM, r'#include "cpu\.h"', r'\g<0>' '\n#include "qemu/main-loop.h"'),
]

OPTIONS = ["--target-list=x86_64-softmmu", "--without-default-features",
           "--enable-system", "--enable-tcg", "--enable-fdt=system",
           "--disable-docs", "--disable-tools", "--disable-debug-info"]


def key():
    """Names the program that these changes make."""
    what = repr((CHANGES, OPTIONS)).encode()
    return "qemu-" + hashlib.sha256(what).hexdigest()[:16]


def path():
    return os.path.join(cache_root(), key(), PROGRAM)


def is_ours():
    return os.path.exists(path())


def command():
    """How to start it: the lab's own if it was built, or the machine's."""
    return [path(), *FIRMWARE] if is_ours() else [PROGRAM]


def download(tmp):
    """Debian's source of QEMU, unpacked and with Debian's patches."""
    apt = debian.private(tmp, debian.sources("deb-src"))
    run(["apt-get", "-q", *apt, "source", "--download-only", "qemu"], cwd=tmp)
    tree = os.path.join(tmp, "qemu")
    run(["dpkg-source", "-x", glob.glob(f"{tmp}/*.dsc")[0], tree])
    return tree


def build(out, progress):
    tmp = os.path.join(out, "tmp")
    os.mkdir(tmp)
    with progress.step("download QEMU's source"):
        tree = download(tmp)
    debian.change(tree, CHANGES)
    below = os.path.join(tree, "build")
    os.mkdir(below)
    with progress.step("build QEMU (some minutes, once)"):
        run(["../configure", *OPTIONS], cwd=below)
        run(["ninja", PROGRAM], cwd=below)
    run(["strip", "-o", os.path.join(out, PROGRAM),
               os.path.join(below, PROGRAM)])
    shutil.rmtree(tmp)


def prepare(progress):
    """See to it that command() finds the lab's own; returns its directory."""
    return made_once(key(), build, progress)

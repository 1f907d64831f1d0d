"""Measures our disk beside kernel blkback and QEMU's, in one run of the lab.

This part lives in dom0.  All disks are RAM disks of dom0, all guests have one
vCPU, and those that are not being measured are paused; rounds go over all
disks in turn, so that whatever else the machine does hits everybody alike.  What counts is ratios:
an emulated machine is some ten to thirty times slower than a real one.
"""

import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runner                                   # noqa: E402
import scenario as lang                         # noqa: E402

SPEC = """
about the bench
guest none
	device blk,bdf=00:18.0,path=/dev/ram0,cache=none
guest back
	device blk,bdf=00:18.0,path=/dev/ram1,cache=writeback
	xl disk=["format=raw,vdev=xvda,access=rw,target=/dev/ram2"]
guest qemu
	type hvm
	ramdisk /guest/initrd
	cmdline xen_emul_unplug=never
	xl device_model_args_hvm=["-drive","if=none,id=d0,file=/dev/ram3,format=raw,cache=writeback","-device","virtio-blk-pci,drive=d0,disable-legacy=on"]
dom0: modprobe brd rd_nr=4 rd_size=131072
	| for i in 0 1 2 3; do dd if=/dev/zero of=/dev/ram$i bs=1M count=128; done
boot none
boot back
boot qemu
	within 240
"""

DISKS = (               # name, guest, device in it
    ("xen-virtiod none", "none", "/dev/vda"),
    ("xen-virtiod writeback", "back", "/dev/vda"),
    ("kernel blkback", "back", "/dev/xvda"),
    ("QEMU virtio-blk", "qemu", "/dev/vda"),
)
JOBS = (                # name, fio's words, unit
    ("4k randread QD1", "--rw=randread --bs=4k --iodepth=1", "IOPS"),
    ("4k randwrite QD1", "--rw=randwrite --bs=4k --iodepth=1", "IOPS"),
    ("4k randread QD32", "--rw=randread --bs=4k --iodepth=32", "IOPS"),
    ("4k randwrite QD32", "--rw=randwrite --bs=4k --iodepth=32", "IOPS"),
    ("128k read QD8", "--rw=read --bs=128k --iodepth=8", "MB/s"),
    ("128k write QD8", "--rw=write --bs=128k --iodepth=8", "MB/s"),
)
SECONDS = 5
FIO = ("fio --name=b --filename=%s --ioengine=libaio --direct=1 --size=128M "
       "--time_based --runtime=%d --ramp_time=1 --thread "
       "--output-format=terse %s")


def number(text, unit):
    """What one run of fio reached; its terse format, version 3."""
    for line in text.splitlines():
        f = line.split(";")
        if f[0] == "3" and len(f) > 50:
            if unit == "IOPS":
                return float(f[7]) + float(f[48])
            return (float(f[6]) + float(f[47])) * 1024 / 1e6
    raise runner.Failed("fio prints no result", text)


def measure(play, guest, device, words, unit):
    play.dom0(["xl", "unpause", guest], 30)
    try:
        return one_run(play, guest, device, words, unit)
    finally:
        play.dom0(["xl", "pause", guest], 30)


def one_run(play, guest, device, words, unit):
    job = runner.GuestJob(play.domains[guest],
                          FIO % (device, SECONDS, words))
    if not play.loop.until(job.done, 60 + SECONDS):
        raise runner.Failed("fio does not end")
    if job.status:
        raise runner.Failed(f"fio exits {job.status}", job.output())
    return number(job.output(), unit)


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def table(found, memory, rounds):
    """The medians, the ratios, and how far the goals are reached."""
    mid = {k: statistics.median(v) for k, v in found.items()}
    names = [d[0] for d in DISKS]
    out = [f"medians of {rounds} interleaved rounds of {SECONDS} s, "
           "RAM disks in dom0, guests of one vCPU (min-max below)", ""]
    row = "{:22}" + "{:>24}" * len(names)
    out.append(row.format("", *names))
    for job, _, unit in JOBS:
        out.append(row.format(job, *[f"{mid[n, job]:.0f} {unit}"
                                     for n in names]))
        out.append(row.format("", *[f"{min(found[n, job]):.0f}-"
                                    f"{max(found[n, job]):.0f}"
                                    for n in names]))
    out += ["", "{:22}{:>24}{:>24}{:>12}{:>12}".format(
        "ratios", "none / blkback", "writeback / blkback", "none / QEMU",
        "wb / QEMU")]
    ours, back, qemu = names[:2], names[2], names[3]
    for job, _, _ in JOBS:
        r = [mid[o, job] / max(mid[p, job], 0.001)
             for p in (back, qemu) for o in ours]
        out.append("{:22}{:>24.2f}{:>24.2f}{:>12.2f}{:>12.2f}".format(job,
                                                                     *r))
    out.append("")

    def goal(text, value, wanted, fmt="{:.2f}"):
        reached = value >= wanted if wanted > 0 else value <= -wanted
        out.append(f"{'reached' if reached else 'MISSED ':8} {text}: "
                   + fmt.format(value) + f", goal {abs(wanted)}"
                   + (" or more" if wanted > 0 else " or less"))

    for o in ours:
        for job in ("4k randread QD32", "4k randwrite QD32"):
            goal(f"{o}, {job}, times QEMU", mid[o, job] / mid[qemu, job], 5)
            goal(f"{o}, {job}, times blkback", mid[o, job] / mid[back, job],
                 0.8)
        for job in ("4k randread QD1", "4k randwrite QD1"):
            goal(f"{o}, {job}, times QEMU", mid[o, job] / mid[qemu, job], 2)
    goal("resident memory with one disk after it all, MiB", memory / 1024,
         -8, "{:.1f}")
    return "\n".join(out)


def main():
    host = runner.Host()
    with open("/lab/job.json", encoding="utf-8") as f:
        rounds = json.load(f)["rounds"]
    play = runner.Play(lang.parse(SPEC, "bench"), host, "/log")
    try:
        for step in play.spec.steps:
            host.tell("say", text=" ".join(
                [step.verb, step.who or "", step.text]).split("\n")[0][:70])
            play.step(step)
        for guest in play.domains:
            play.dom0(["xl", "pause", guest], 30)
        found = {}
        for n in range(rounds):
            for job, words, unit in JOBS:
                for disk, guest, device in DISKS:
                    got = measure(play, guest, device, words, unit)
                    found.setdefault((disk, job), []).append(got)
                    host.tell("say", text=f"round {n + 1} of {rounds}: "
                              f"{job}, {disk}: {got:.0f} {unit}")
        memory = rss(play.domains["none"].daemon.p.pid)
        host.tell("table", text=table(found, memory, rounds))
    except runner.Failed as e:
        host.tell("say", text=f"{e}: {e.output[-1000:]}")
        return 1
    finally:
        play.clean()
        subprocess.run(["rmmod", "brd"], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

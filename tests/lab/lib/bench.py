"""Measures our devices beside Xen's own and QEMU's, in one run of the lab.

This part lives in dom0.  All guests have one vCPU, and those that are not
being measured are paused; rounds go over all devices in turn, so that whatever
else the machine does hits everybody alike.  What counts is ratios: an emulated
machine is some ten to thirty times slower than a real one.

The third half, grants, is about guests that grant memory (kernel.py) beside the
same ones that do not.

Disks are RAM disks of dom0.  Network cards are on one bridge, and the other
end is dom0.  The guests are the same for both halves, so that one run of the
lab measures both; one half alone has only its own devices.
"""

import json
import os
import re
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runner                                   # noqa: E402
import scenario as lang                         # noqa: E402

SECONDS = 5

# What each guest has for each half: lines of a scenario, and QEMU's words.
GUESTS = {
    "none": {
        "blk": "device blk,bdf=00:18.0,path=/dev/ram0,cache=none",
        "net": "device net,bdf=00:19.0,bridge=labbr0,script=no",
    },
    "back": {
        "blk": "device blk,bdf=00:18.0,path=/dev/ram1,cache=writeback\n"
               '\txl disk=["format=raw,vdev=xvda,access=rw,'
               'target=/dev/ram2"]',
        "net": 'xl vif=["bridge=labbr0,script=vif-bridge"]',
    },
    "qemu": {
        "blk": ("-drive", "if=none,id=d0,file=/dev/ram3,format=raw,"
                "cache=writeback",
                "-device", "virtio-blk-pci,drive=d0,disable-legacy=on"),
        "net": ("-netdev", "tap,id=n0,ifname=labtap0,script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=n0,disable-legacy=on,"
                "romfile="),
    },
}
PAIR = {                # of the half grants
    "plain": "kernel /lab/grants/vmlinux-plain\n"
             "\tdevice blk,bdf=00:18.0,path=/dev/ram4,cache=none\n"
             "\tdevice blk,bdf=00:19.0,path=/dev/ram5,cache=writeback\n",
    "grants": "kernel /lab/grants/vmlinux\n"
              "\tdevice blk,bdf=00:18.0,path=/dev/ram6,cache=none,"
              "grants=require\n"
              "\tdevice blk,bdf=00:19.0,path=/dev/ram7,cache=writeback,"
              "grants=require,grants-map=2M\n"
              "\tdevice blk,bdf=00:1a.0,path=/dev/ram8,cache=writeback,"
              "grants=require,grants-map=1\n",
}
DISKS = ("dom0: modprobe brd rd_nr=9 rd_size=131072\n"
         "\t| for i in 0 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/dev/ram$i "
         "bs=1M count=128; done\n")
PREPARE = {
    "blk": DISKS,
    "grants": DISKS,
    "net": "dom0: modprobe bridge; modprobe tun\n"
           "\t| ip link add labbr0 type bridge; ip link set labbr0 up\n"
           "\t| ip addr add 10.9.0.1/24 dev labbr0\n"
           "\t| iperf3 -s -D\n",
}
ADDRESS = {"none": "10.9.0.2", "back": "10.9.0.3", "qemu": "10.9.0.4"}


def spec(halves):
    """The scenario that sets everything up."""
    common = [h for h in halves if h != "grants"]
    text = "about the bench\n"
    if "grants" in halves:
        text += "".join(f"guest {name}\n\t{PAIR[name]}" for name in PAIR)
    text += "".join(dict.fromkeys(PREPARE[h] for h in halves))
    if common:
        text += spec_common(common)
    if "grants" in halves:
        text += "".join(f"boot {name}\n\twithin 240\n" for name in PAIR)
    return text


def spec_common(halves):
    """Of the guests that the other two halves have in common."""
    qemu = [w for h in halves for w in GUESTS["qemu"][h]]
    text = ""
    for name in ("none", "back"):
        text += f"guest {name}\n"
        text += "".join(f"\t{GUESTS[name][h]}\n" for h in halves)
    text += ("guest qemu\n\ttype hvm\n\tramdisk /guest/initrd\n"
             "\tcmdline xen_emul_unplug=never\n"
             f"\txl device_model_args_hvm={json.dumps(qemu)}\n")
    text += "boot none\n\twithin 240\nboot back\n\twithin 240\n"
    text += "boot qemu\n\twithin 400\n"
    if "net" in halves:
        text += "dom0: ip link set labtap0 master labbr0 up\n"
        for name, address in ADDRESS.items():
            text += (f"{name}: ip addr add {address}/24 dev eth0; "
                     "ip link set eth0 up; sleep 2; ping -c 2 10.9.0.1\n")
    return text


DEVICES = {             # name, guest, device in it; ours first, QEMU's last
    "blk": (
        ("xen-virtiod none", "none", "/dev/vda"),
        ("xen-virtiod writeback", "back", "/dev/vda"),
        ("kernel blkback", "back", "/dev/xvda"),
        ("QEMU virtio-blk", "qemu", "/dev/vda"),
    ),
    "grants": (
        ("plain, none", "plain", "/dev/vda"),
        ("grants, none", "grants", "/dev/vda"),
        ("plain, writeback", "plain", "/dev/vdb"),
        ("grants copied, wb", "grants", "/dev/vdb"),
        ("grants mapped, wb", "grants", "/dev/vdc"),
    ),
    "net": (
        ("xen-virtiod", "none", "eth0"),
        ("kernel netback", "back", "eth0"),
        ("QEMU virtio-net", "qemu", "eth0"),
    ),
}
JOBS = {                # name, fio's or iperf3's words, unit
    "blk": (
        ("4k randread QD1", "--rw=randread --bs=4k --iodepth=1", "IOPS"),
        ("4k randwrite QD1", "--rw=randwrite --bs=4k --iodepth=1", "IOPS"),
        ("4k randread QD32", "--rw=randread --bs=4k --iodepth=32", "IOPS"),
        ("4k randwrite QD32", "--rw=randwrite --bs=4k --iodepth=32", "IOPS"),
        ("128k read QD8", "--rw=read --bs=128k --iodepth=8", "MB/s"),
        ("128k write QD8", "--rw=write --bs=128k --iodepth=8", "MB/s"),
    ),
    "grants": (
        ("4k randread QD1", "--rw=randread --bs=4k --iodepth=1", "IOPS"),
        ("4k randread QD32", "--rw=randread --bs=4k --iodepth=32", "IOPS"),
        ("4k randwrite QD32", "--rw=randwrite --bs=4k --iodepth=32", "IOPS"),
        ("16k read QD8", "--rw=read --bs=16k --iodepth=8", "MB/s"),
        ("64k read QD8", "--rw=read --bs=64k --iodepth=8", "MB/s"),
        ("64k write QD8", "--rw=write --bs=64k --iodepth=8", "MB/s"),
        ("256k read QD8", "--rw=read --bs=256k --iodepth=8", "MB/s"),
        ("256k write QD8", "--rw=write --bs=256k --iodepth=8", "MB/s"),
    ),
    # 18 bytes of UDP make a frame of 64, with its checksum.
    "net": (
        ("TCP out", "", "Mbit/s"),
        ("TCP in", "-R", "Mbit/s"),
        ("64-byte frames out", "-u -b 0 -l 18", "/s"),
        ("64-byte frames in", "-u -b 0 -l 18 -R", "/s"),
        ("ping", None, "ms"),
    ),
}
FIO = ("fio --name=b --filename=%s --ioengine=libaio --direct=1 --size=128M "
       "--time_based --runtime=%d --ramp_time=1 --thread "
       "--output-format=terse %s")
IPERF = "iperf3 -c 10.9.0.1 -i 0 -J -t %d %s"
PINGS = 50


def fio_number(text, unit):
    """What one run of fio reached; its terse format, version 3."""
    for line in text.splitlines():
        f = line.split(";")
        if f[0] == "3" and len(f) > 50:
            if unit == "IOPS":
                return float(f[7]) + float(f[48])
            return (float(f[6]) + float(f[47])) * 1024 / 1e6
    raise runner.Failed("fio prints no result", text)


def iperf_number(text, unit):
    """What arrived at iperf3's receiver."""
    try:
        end = json.loads(text)["end"]
        if unit == "Mbit/s":
            return end["sum_received"]["bits_per_second"] / 1e6
        s = end["sum"]
        return (s["packets"] - s["lost_packets"]) / s["seconds"]
    except (ValueError, KeyError, ZeroDivisionError):
        raise runner.Failed("iperf3 prints no result", text) from None


def ping_number(text):
    """The median, in ms."""
    times = [float(t) for t in re.findall(r"time=([\d.]+) ms", text)]
    if len(times) < PINGS // 2:
        raise runner.Failed("too few answers to pings", text)
    return statistics.median(times)


def measure(play, half, guest, device, words, unit):
    play.dom0(["xl", "unpause", guest], 30)
    try:
        if half != "net":
            return fio_number(in_guest(play, guest, FIO % (device, SECONDS,
                                                           words)), unit)
        ping(play, guest, 5)            # who has been paused is found again
        if words is None:
            return ping_number(ping(play, guest, PINGS))
        return iperf_number(in_guest(play, guest, IPERF % (SECONDS, words)),
                            unit)
    finally:
        play.dom0(["xl", "pause", guest], 30)


def in_guest(play, guest, command):
    job = runner.GuestJob(play.domains[guest], command)
    if not play.loop.until(job.done, 120 + SECONDS):
        raise runner.Failed(f"{command}: does not end")
    if job.status:
        raise runner.Failed(f"{command}: exits {job.status}", job.output())
    return job.output()


def ping(play, guest, count):
    r = subprocess.run(["ping", "-n", "-c", str(count), "-i", "0.1",
                        "-W", "5", ADDRESS[guest]], check=False,
                       stdout=subprocess.PIPE, timeout=60)
    play.loop.until(lambda: True, 0)
    return r.stdout.decode()


def resident(pid):
    """Of a daemon's two processes; what they share is counted once."""
    found = 0
    for one in runner.family(pid):
        with open(f"/proc/{one}/smaps_rollup", encoding="ascii") as f:
            found += sum(int(line.split()[1]) for line in f
                         if line.startswith("Pss:"))
    return found


# --- what it says in the end --------------------------------------------------

def show(value, unit):
    return f"{value:.2f} {unit}" if unit == "ms" else f"{value:.0f} {unit}"


def medians(half, found, out):
    names = [d[0] for d in DEVICES[half]]
    row = "{:22}" + "{:>24}" * len(names)
    out.append(row.format("", *names))
    for job, _, unit in JOBS[half]:
        some = [found[n, job] for n in names]
        out.append(row.format(job, *[show(statistics.median(s), unit)
                                     for s in some]))
        digits = 2 if unit == "ms" else 0
        out.append(row.format("", *[f"{min(s):.{digits}f}-"
                                    f"{max(s):.{digits}f}" for s in some]))
    out.append("")


def times(half, found, job, ours, peer):
    """How many times better ours is; of latencies the smaller is better."""
    a, b = (max(statistics.median(found[n, job]), 0.001)
            for n in (ours, peer))
    unit = [u for j, _, u in JOBS[half] if j == job][0]
    return b / a if unit == "ms" else a / b


def goal(out, text, value, wanted, fmt="{:.2f}"):
    reached = value >= wanted if wanted > 0 else value <= -wanted
    out.append(f"{'reached' if reached else 'MISSED ':8} {text}: "
               + fmt.format(value) + f", goal {abs(wanted)}"
               + (" or more" if wanted > 0 else " or less"))


def blk_verdict(found, out):
    names = [d[0] for d in DEVICES["blk"]]
    ours, back, qemu = names[:2], names[2], names[3]
    out.append("{:22}{:>24}{:>24}{:>12}{:>12}".format(
        "ratios", "none / blkback", "writeback / blkback", "none / QEMU",
        "wb / QEMU"))
    for job, _, _ in JOBS["blk"]:
        r = [times("blk", found, job, o, p) for p in (back, qemu)
             for o in ours]
        out.append("{:22}{:>24.2f}{:>24.2f}{:>12.2f}{:>12.2f}".format(job,
                                                                     *r))
    out.append("")
    for o in ours:
        for job in ("4k randread QD32", "4k randwrite QD32"):
            goal(out, f"{o}, {job}, times QEMU",
                 times("blk", found, job, o, qemu), 5)
            goal(out, f"{o}, {job}, times blkback",
                 times("blk", found, job, o, back), 0.8)
        for job in ("4k randread QD1", "4k randwrite QD1"):
            goal(out, f"{o}, {job}, times QEMU",
                 times("blk", found, job, o, qemu), 2)
    out.append("")


def net_verdict(found, out):
    ours, back, qemu = [d[0] for d in DEVICES["net"]]
    out.append("{:22}{:>24}{:>24}".format("ratios, ping's inverted",
                                          "ours / netback", "ours / QEMU"))
    for job, _, _ in JOBS["net"]:
        out.append("{:22}{:>24.2f}{:>24.2f}".format(
            job, times("net", found, job, ours, back),
            times("net", found, job, ours, qemu)))
    out.append("")
    for job, _, _ in JOBS["net"]:
        goal(out, f"{job}, times QEMU",
             times("net", found, job, ours, qemu), 1.3)
        goal(out, f"{job}, times netback",
             times("net", found, job, ours, back), 0.9)
    out.append("")


def grants_verdict(found, out):
    names = [d[0] for d in DEVICES["grants"]]
    pairs = ((names[1], names[0]), (names[3], names[2]), (names[4], names[2]),
             (names[4], names[3]))
    heads = ("grants / plain, none", "copied / plain, wb", "mapped / plain, wb",
             "mapped / copied")
    out.append("{:22}{:>24}{:>24}{:>24}{:>24}".format("ratios", *heads))
    for job, _, _ in JOBS["grants"]:
        out.append("{:22}{:>24.2f}{:>24.2f}{:>24.2f}{:>24.2f}".format(
            job, *[times("grants", found, job, *p) for p in pairs]))
    out.append("")
    for job in ("4k randread QD32", "4k randwrite QD32"):
        for a, b in pairs[:2]:
            goal(out, f"{job}, {a}, times {b}",
                 times("grants", found, job, a, b), 0.75)
    out.append("")


VERDICT = {"blk": blk_verdict, "net": net_verdict, "grants": grants_verdict}
AFTER = {"blk": "one disk", "net": "one card"}


def table(halves, found, memory, rounds):
    """The medians, the ratios, and how far the goals are reached."""
    out = [f"medians of {rounds} interleaved rounds of {SECONDS} s, "
           "guests of one vCPU (min-max below)"
           + (", RAM disks in dom0" if halves != ["net"] else ""), ""]
    for half in halves:
        medians(half, found, out)
        VERDICT[half](found, out)
    if memory:
        goal(out, "resident memory with "
             + " and ".join(AFTER[h] for h in halves if h in AFTER)
             + " after it all, MiB", memory / 1024, -8, "{:.1f}")
    return "\n".join(out)


def main():
    host = runner.Host()
    with open("/lab/job.json", encoding="utf-8") as f:
        job = json.load(f)
    rounds, halves = job["rounds"], job["halves"]
    play = runner.Play(lang.parse(spec(halves), "bench"), host, "/log")
    try:
        for step in play.spec.steps:
            host.tell("say", text=" ".join(
                [step.verb, step.who or "", step.text]).split("\n")[0][:70])
            play.step(step)
        for guest in play.domains:
            play.dom0(["xl", "pause", guest], 30)
        found = {}
        for n in range(rounds):
            for half in halves:
                for name, words, unit in JOBS[half]:
                    for device, guest, node in DEVICES[half]:
                        got = measure(play, half, guest, node, words, unit)
                        found.setdefault((device, name), []).append(got)
                        host.tell("say", text=f"round {n + 1} of {rounds}: "
                                  f"{name}, {device}: {show(got, unit)}")
        memory = 0
        if "none" in play.domains:
            memory = resident(play.domains["none"].daemon.p.pid)
        host.tell("table", text=table(halves, found, memory, rounds))
    except runner.Failed as e:
        host.tell("say", text=f"{e}: {e.output[-1000:]}")
        return 1
    finally:
        play.clean()
        subprocess.run(["rmmod", "brd"], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

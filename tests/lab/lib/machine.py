"""The emulated machine that Xen runs on."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time

import emulator


class MachineError(Exception):
    """The machine did not do what it should; the text says where to look."""


# With SMAP a PV dom0 dies; with RDTSCP an HVM guest does.  XSAVE and XRSTOR
# ignore CR0.TS, so Xen must not switch the FPU lazily: it would not learn that
# a guest uses it, and registers would end up in somebody else's program.
# REP MOVSB is done byte by byte: with ERMS every copy in a kernel would cost
# eight times what it should, next to all else.
CPU = "max,+svm,-erms,-smap,-smep,-rdtscp,-xsaves,-la57,-pku"


# A PV dom0 treats virtio's addresses its own way.  On Arm there are no messages
# for dom0, and NVMe's driver takes many of QEMU's lines for spurious until it
# switches them off; with iommu_platform memory that dom0 has mapped from a guest
# can be written to disk.
DRIVES = {
    "amd64": "nvme",
    "arm64": "virtio-blk-pci,disable-legacy=on,iommu_platform=on",
}


def comma(path):
    """QEMU's way to write a comma in a value."""
    return path.replace(",", ",,")


def drives(images, handin, logs, kind):
    """dom0's root, what is handed in, and where logs go."""
    def drive(name, path, *more):
        return ["-drive", ",".join(["if=none", f"id={name}", f"file={path}",
                                    "format=raw", *more]),
                "-device", f"{kind},drive={name},serial={name}"]

    return [
        *drive("root", comma(os.path.join(images, "dom0.ext4")),
               "cache=unsafe", "snapshot=on"),
        *drive("handin", comma(handin), "readonly=on"),
        *drive("log", comma(logs), "cache=unsafe"),
    ]


def arm64_argv(images, disks, events, console):
    """Xen on Arm, with a GICv3 and EL2; the second serial port is on PCI."""
    def loaded(what, at, name, *more):
        path = comma(os.path.join(images, name))
        return ["-device", ",".join([f"guest-loader,addr={at}",
                                     f"{what}={path}", *more])]

    return [
        "qemu-system-aarch64",
        "-machine", "virt,virtualization=on,gic-version=3",
        "-accel", "tcg,thread=multi,tb-size=1024",
        "-cpu", "cortex-a57", "-smp", "2", "-m", "3072",
        "-display", "none", "-no-reboot", "-nodefaults", "-net", "none",
        *console, "-chardev", f"file,id=events,path={events}",
        "-device", "pci-serial,chardev=events",
        "-kernel", os.path.join(images, "xen"),
        "-append", "console=dtuart dtuart=/pl011@9000000 dom0_mem=1536M "
                   "dom0_max_vcpus=2 guest_loglvl=all conring_size=512k",
        *loaded("kernel", "0x4a000000", "Image",
                "bootargs=console=hvc0 quiet nokaslr mitigations=off "
                "panic=-1"),
        *loaded("initrd", "0x50000000", "dom0-initrd"),
        *disks,
    ]


def amd64_argv(images, disks, events, console, memory):
    """Flags that a stock Xen and its PV dom0 boot with under emulation."""
    xen = os.path.join(images, "xen")
    return [
        *emulator.command(), "-machine", "q35",
        "-accel", "tcg,thread=multi,tb-size=1024",
        "-cpu", CPU, "-smp", "2", "-m", str(memory),
        "-display", "none", "-no-reboot", "-nodefaults", "-net", "none",
        *console, "-serial", "file:" + events,
        "-kernel", xen,
        "-append", "console=com1 com1=115200,8n1 dom0_mem=2048M,max:2048M "
                   "dom0_max_vcpus=2 sched=credit spec-ctrl=no,eager-fpu "
                   "guest_loglvl=all conring_size=512k",
        "-initrd", comma(os.path.join(images, "vmlinux"))
        + " console=hvc0 quiet nokaslr mitigations=off panic=-1,"
        + comma(os.path.join(images, "dom0-initrd")),
        *disks,
    ]


def host_libraries(program):
    """Libraries a program wants, as name -> path on this machine."""
    r = subprocess.run(["ldd", program], check=False, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found = {}
    for line in r.stdout.splitlines():
        words = line.split()
        if "=>" in words and len(words) > 2 and words[2].startswith("/"):
            found[words[0]] = words[2]
    return found


def make_handin(path, tree, daemons, images, arch):
    """The tar archive dom0 unpacks into /lab.

    tree: name -> bytes or path of a file or directory; daemons come with the
    libraries that the images lack (which have all, for another architecture).
    """
    with open(os.path.join(images, "libraries"), encoding="ascii") as f:
        present = set(f.read().split())
    with tarfile.open(path, "w") as tar:
        for name, what in tree.items():
            if isinstance(what, bytes):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(what), 0o755
                tar.addfile(info, io.BytesIO(what))
            else:
                tar.add(what, name,
                        filter=lambda i: None if "__pycache__" in i.name
                        else i)
        for program in daemons:
            tar.add(os.path.realpath(program),
                    "bin/" + os.path.basename(program))
            for lib, source in host_libraries(program).items():
                if lib not in present and arch == "amd64":
                    tar.add(os.path.realpath(source), "lib/" + lib)
    with open(path, "ab") as f:         # a drive is whole sectors
        f.truncate((f.tell() + 4095) // 4096 * 4096)


def ask(path, text, seconds=5):
    """What comes back from a UNIX socket for some seconds."""
    said = b""
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.settimeout(seconds)
            s.connect(path)
            s.sendall(text)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                said += s.recv(65536)
        except OSError:
            pass
    return said


class Machine:
    """One boot of the lab."""

    def __init__(self, arch, images, tree, daemons, out, memory=5120):
        self.arch, self.images, self.out = arch, images, out
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        self.tmp = tempfile.mkdtemp(prefix="xenlab-")
        self.handin = self.path("handin.tar")
        self.logs = self.path("log.ext4")
        self.events_path = os.path.join(out, "events")
        self.console_path = os.path.join(out, "console.log")
        make_handin(self.handin, tree, daemons, images, arch)
        shutil.copyfile(os.path.join(images, "log.ext4"), self.logs)
        self.memory, self.qemu, self.rest = memory, None, b""
        self.events = None

    def path(self, name):
        return os.path.join(self.tmp, name)

    def start(self, interactive=False):
        open(self.events_path, "wb").close()
        console = ["-serial", "mon:stdio"] if interactive else [
            "-chardev", f"socket,id=xen,path={comma(self.path('xen'))},"
            f"server=on,wait=off,logfile={comma(self.console_path)}",
            "-serial", "chardev:xen", "-monitor",
            f"unix:{comma(self.path('monitor'))},server=on,wait=off"]
        events = comma(self.events_path)
        disks = drives(self.images, self.handin, self.logs,
                       DRIVES[self.arch])
        if self.arch == "arm64":
            argv = arm64_argv(self.images, disks, events, console)
        else:
            argv = amd64_argv(self.images, disks, events, console,
                              self.memory)
        env = {**os.environ, "TMPDIR": self.tmp}
        if shutil.which("setpriv"):     # no machine outlives its xenlab
            argv = ["setpriv", "--pdeathsig", "TERM", *argv]
        if interactive:
            self.qemu = subprocess.Popen(argv, env=env)
        else:
            with open(os.path.join(self.out, "qemu.log"), "wb") as log:
                # Its own process group: Ctrl-C is ours to handle.
                self.qemu = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=env, start_new_session=True)
        self.events = open(self.events_path, "rb")

    def next_event(self, seconds):
        """The next thing dom0 says; None when it says nothing for so long."""
        end = time.monotonic() + seconds
        while True:
            line, nl, after = self.rest.partition(b"\n")
            if nl:
                self.rest = after
                try:
                    return json.loads(line)
                except ValueError:
                    continue
            data = self.events.read()
            if data:
                self.rest += data
                continue
            if self.qemu.poll() is not None:
                data = self.events.read()
                if not data:
                    raise MachineError("the machine has stopped; see "
                                       + self.console_path)
                self.rest += data
                continue
            if time.monotonic() > end:
                return None
            time.sleep(0.05)

    def autopsy(self):
        """Where a machine hangs that says nothing any more, as lines.

        Everything goes to the file "hang" among the logs.
        """
        said = ask(self.path("monitor"), b"info registers -a\n")
        # Ctrl-A three times: Xen listens; registers, run queues, domains.
        ask(self.path("xen"), b"\1\1\1drq")
        with open(os.path.join(self.out, "hang"), "wb") as f:
            f.write(said)
        return [x.strip() for x in said.decode(errors="replace").splitlines()
                if x.strip().startswith(("CPU#", "RIP=", "PC="))]

    def stop(self):
        if self.qemu and self.qemu.poll() is None:
            self.qemu.send_signal(signal.SIGTERM)
            try:
                self.qemu.wait(10)
            except subprocess.TimeoutExpired:
                self.qemu.kill()
                self.qemu.wait()
        if self.events:
            self.events.close()
            self.events = None

    def fetch_logs(self):
        """Copy what dom0 wrote to its log drive; works after a crash, too."""
        fresh = os.path.join(self.tmp, "logs")
        os.mkdir(fresh)
        subprocess.run(["env", "PATH=" + os.environ.get("PATH", "")
                        + ":/usr/sbin:/sbin", "debugfs", "-R",
                        f"rdump / {fresh}", self.logs], check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(os.path.join(fresh, "lost+found"), ignore_errors=True)
        shutil.copytree(fresh, self.out, symlinks=True, dirs_exist_ok=True)

    def close(self):
        self.stop()
        if os.path.exists(self.logs):
            self.fetch_logs()
        shutil.rmtree(self.tmp, ignore_errors=True)

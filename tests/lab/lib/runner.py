"""Runs scenarios; this part lives in dom0.

One loop (Loop.until) serves everything that can happen meanwhile: guests'
consoles are read and logged, processes end, the daemon says it is ready.
Every wait has an end.  What happens is told to the host as lines of JSON on
the second serial port.
"""

import glob
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import frames                                   # noqa: E402
import kind                                     # noqa: E402
import scenario as lang                         # noqa: E402

RUN = "/run/lab"
PACKAGE = "xen-virtiod"
ARM = os.uname().machine == "aarch64"
STEP = 60               # seconds for a step that says nothing else
BOOT = 120              # seconds for a guest to come up
START = 0.02            # ... for a program to start, on an idle machine
GONE = 5.0              # seconds a daemon may live on after its domain
KERNEL_LOGS = ("dmesg", "xl dmesg")
CRASH = re.compile(r"segfault at|general protection|invalid opcode|BUG:|"
                   r"Oops|soft lockup|detected stalls")
GUEST = re.compile(r"\(d\d+\).*(PANIC: double fault|RIP:.*entry_SYSCALL_64|"
                   r"kthread timer wakeup didn't happen)")
XEN_IN_GUEST = re.compile(r"(RIP: +e008:\[<ffff82d0[0-9a-f]+>\])"
                          r"[^\n]*\n[^\n]*CONTEXT: hvm guest")
BEAT = 10               # seconds between signs of life for the host


class Failed(Exception):
    """A step did not go as the scenario says."""

    def __init__(self, text, output=""):
        super().__init__(text)
        self.output = output


class Host:
    """The way to tell the host something."""

    def __init__(self, path="/dev/lab"):
        self.fd = os.open(path, os.O_WRONLY | os.O_NOCTTY)

    def tell(self, event, **more):
        line = json.dumps({"event": event, **more}) + "\n"
        data = line.encode()
        while data:
            data = data[os.write(self.fd, data[:512]):]
        self.told = time.monotonic()

    def beat(self):
        """Nothing to tell, but dom0 is alive."""
        if time.monotonic() > self.told + BEAT:
            self.tell("beat")


class Loop:
    """Everything that can wake us up."""

    def __init__(self, host):
        self.sel = selectors.DefaultSelector()
        self.host = host

    def add(self, fd, call):
        self.sel.register(fd, selectors.EVENT_READ, call)

    def remove(self, fd):
        self.sel.unregister(fd)

    def until(self, done, seconds):
        """Serve what happens until done() or the time is over.

        The time is that of an idle machine: a busy one gets more.
        """
        end, stretched = time.monotonic() + seconds, False
        while not done():
            left = end - time.monotonic()
            if left <= 0 and not stretched and seconds >= 1:
                stretched = True
                end += seconds * (slowness() - 1)
                continue
            if left <= 0:
                return False
            self.host.beat()
            for key, _ in self.sel.select(min(left, 1.0)):
                key.data()
        return True


def tasks(pid):
    """The folders of a process's threads."""
    try:
        return [f"/proc/{pid}/task/{t}"
                for t in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []                       # gone


def family(pid):
    """A process and its children: a daemon is two."""
    pids = [pid]
    for task in tasks(pid):
        try:
            with open(f"{task}/children", encoding="ascii") as f:
                pids += [int(child) for child in f.read().split()]
        except OSError:
            pass
    return pids


class Process:
    """A program in dom0, its output in a file."""

    def __init__(self, loop, argv, out, env=None, cwd=None):
        self.loop, self.status, self.out = loop, None, out
        with open(out, "wb") as f:
            self.p = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=f, env=env, cwd=cwd,
                stderr=subprocess.STDOUT, start_new_session=True)
        self.fd = os.pidfd_open(self.p.pid)
        loop.add(self.fd, self._ended)

    def _ended(self):
        self.status = self.p.wait()
        self.ended_at = time.monotonic()
        self.loop.remove(self.fd)
        os.close(self.fd)

    def done(self):
        return self.status is not None

    def output(self):
        with open(self.out, "rb") as f:
            return f.read().decode(errors="replace")

    def where(self):
        """What the kernel knows about a process that hangs."""
        text = ""
        for name in ("wchan", "stack", "syscall"):
            for task in (t for pid in family(self.p.pid) for t in tasks(pid)):
                try:
                    with open(f"{task}/{name}", encoding="ascii") as f:
                        text += f"{task} {name}: {f.read()}\n"
                except OSError:
                    pass
        return text

    def kill(self, sig=signal.SIGKILL):
        if not self.done():
            try:
                os.killpg(self.p.pid, sig)
            except ProcessLookupError:
                pass


class Console:
    """One of a guest's consoles: read, logged, and understood."""

    def __init__(self, loop, tty, log):
        self.loop, self.reports, self.text = loop, frames.Reports(), ""
        self.fd = os.open(tty, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.log = open(log, "ab", buffering=0)
        self.got = []
        loop.add(self.fd, self._read)

    def _read(self):
        try:
            data = os.read(self.fd, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.log.write(data)
        self.text = (self.text + data.decode(errors="replace"))[-65536:]
        self.got += self.reports.feed(data)

    def send(self, text):
        data = text.encode()
        end = time.monotonic() + 20
        while data and self.fd is not None:
            try:
                data = data[os.write(self.fd, data[:256]):]
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Failed("the guest's console takes no input") \
                        from None
                self.loop.until(lambda: False, 0.05)
            except OSError:
                self.close()

    def close(self):
        if self.fd is not None:
            self.loop.remove(self.fd)
            os.close(self.fd)
            self.log.close()
            self.fd = None


class GuestJob:
    """A command in a guest."""

    serial = 0

    def __init__(self, domain, command):
        GuestJob.serial += 1
        self.id = f"j{GuestJob.serial}"
        self.domain, self.status, self.text = domain, None, ""
        self.command = command
        domain.jobs[self.id] = self
        self.send()

    def send(self):
        self.asked = time.monotonic()
        self.domain.agent().send(frames.run_line(self.id, self.command))

    def done(self):
        self.domain.listen()
        if self.status is None and time.monotonic() > self.asked + 10:
            self.ask()          # the report may have been lost
        return self.status is not None

    def ask(self):
        self.asked = time.monotonic()
        if self.domain.agent():
            self.domain.agent().send(frames.ask_line(self.id))

    def output(self):
        return self.text

    def kill(self):
        self.domain.jobs.pop(self.id, None)


class Domain:
    """A guest of a scenario and the daemon that serves it."""

    def __init__(self, play, spec):
        self.play, self.spec, self.name = play, spec, spec.name
        self.domid = None
        self.daemon = None
        self.consoles = {}
        self.jobs = {}
        self.pongs = set()
        self.booting = False            # unpaused, not logged in yet

    # What xl says

    def config(self):
        g = self.spec
        # noearly: or Linux looks for an AGP bridge in thousands of slow
        # steps, on every bus there might be.
        if ARM:
            line, kernel, ramdisk = "", "/guest/Image", "/guest/initrd"
        elif g.type == "pvh":
            line, kernel, ramdisk = ("pci=conf1,noacpi,noearly",
                                     "/guest/vmlinux", "/guest/initrd")
        else:
            line, kernel, ramdisk = ("pci=noearly", "/guest/vmlinuz",
                                     "/guest/initrd-small")
        kernel = g.kernel or kernel
        own = [lang.expand(x, self.play.env()) for x in g.xl]
        text = [f'name="{g.name}"', f'type="{g.type}"', f"vcpus={g.vcpus}",
                f"memory={g.memory}", 'on_crash="destroy"']
        if not ARM:
            text.append('tsc_mode="native"')
        elif not any(x.startswith("device_tree") for x in own):
            text += self.device_tree()
        if not any(x.startswith("on_reboot") for x in own):
            text.append('on_reboot="destroy"')
        if kernel != "none":
            board = ("" if ARM else "tsc=reliable random.trust_cpu=on "
                     "earlyprintk=xen,keep")
            extra = " ".join(["quiet nokaslr mitigations=off panic=-1", board,
                              line, *g.cmdline, "console=" + g.console])
            text += [f'kernel="{kernel}"',
                     f'ramdisk="{g.ramdisk or ramdisk}"',
                     f'extra="{extra}"']
        if g.type == "hvm":
            text += ['vga="none"', 'serial="pty"', "usb=0",
                     'acpi=1']
        return "\n".join(text + own) + "\n"

    def device_tree(self):
        """Lines of xl.cfg for a guest on Arm: where its host bridge is."""
        env = self.play.env()
        path = os.path.join(self.play.log, self.name + ".dtb")
        with open(path, "wb") as f:
            r = subprocess.run(["xen-virtioctl", "guest-dtb",
                                *(lang.expand(d, env)
                                  for d in self.spec.devices)],
                               check=False, stdout=f, stderr=subprocess.PIPE)
        said = r.stderr.decode(errors="replace").strip()
        if r.returncode:
            raise Failed(f"xen-virtioctl guest-dtb exits {r.returncode}", said)
        return [f'device_tree="{path}"', said]

    def find(self):
        """The domain's present id, or None."""
        r = subprocess.run(["xl", "domid", self.name], check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        text = r.stdout.decode().strip()
        return int(text) if r.returncode == 0 and text.isdigit() else None

    # Consoles

    def attach(self):
        """Read the consoles of the present incarnation."""
        for c in self.consoles.values():
            c.close()
        self.consoles = {}
        self.domid = self.find()
        if self.domid is None:
            raise Failed(f"there is no domain '{self.name}'")
        base = f"/local/domain/{self.domid}/"
        wanted = {"hvc0": base + "console/tty"}
        if self.spec.type == "hvm":
            wanted["ttyS0"] = base + "serial/0/tty"
        end = time.monotonic() + 20
        for name, node in wanted.items():
            tty = ""
            while not tty and time.monotonic() < end:
                tty = subprocess.run(
                    ["xenstore-read", node], check=False,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL).stdout.decode().strip()
                if not tty:
                    time.sleep(0.2)
            if not tty:
                raise Failed(f"{node} does not appear")
            self.consoles[name] = Console(
                self.play.loop, tty,
                os.path.join(self.play.log, f"{self.name}.{name}"))

    def agent(self):
        name = self.spec.console.split(",")[0]
        return self.consoles.get(name)

    def listen(self):
        """Hand what the agent said to the jobs."""
        console = self.agent()
        while console and console.got:
            what, *args = console.got.pop(0)
            if what == "pong":
                self.pongs.add(args[0])
            elif what in ("done", "torn", "none") and args[0] in self.jobs:
                job = self.jobs[args[0]]
                if what == "done":
                    job.status, job.text = args[1], args[2]
                    del self.jobs[args[0]]
                elif what == "torn":
                    job.ask()
                else:
                    job.send()

    # Life

    def create(self, seconds, paused=True):
        path = os.path.join(self.play.log, self.name + ".cfg")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.config())
        self.play.dom0(["xl", "create", *(["-p"] if paused else []), path],
                       seconds or BOOT)
        self.attach()

    def start(self, seconds):
        """As somebody does who has a service for the devices."""
        self.booting = self.spec.agent
        self.create(seconds, paused=False)

    def serve(self, seconds):
        self.play.serial += 1
        ready = os.path.join(RUN, f"notify{self.play.serial}")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(ready)
        sock.setblocking(False)
        said = []

        def hear():
            said.append(sock.recv(4096).decode(errors="replace"))

        self.play.loop.add(sock, hear)
        argv = ["xen-virtiod", "--domain", self.name]
        env = self.play.env()
        for d in self.spec.devices:
            argv += ["--device", lang.expand(d, env)]
        for o in self.spec.options:
            argv += lang.expand(o, env).split()
        out = os.path.join(self.play.log, self.name + ".daemon")
        if os.path.exists(out):         # a second daemon for this guest
            os.rename(out, f"{out}.{self.play.serial}")
        self.daemon = Process(self.play.loop, argv, out,
                              env={**env, "NOTIFY_SOCKET": ready})
        self.play.daemons.append(self.daemon)
        self.play.kept["PID_" + self.name] = str(self.daemon.p.pid)
        ok = self.play.loop.until(
            lambda: self.daemon.done() or any("READY=1" in s for s in said),
            seconds or STEP)
        self.play.loop.remove(sock)
        sock.close()
        os.unlink(ready)
        if self.daemon.done():
            raise Failed(f"xen-virtiod exits {self.daemon.status}",
                         self.daemon.output())
        if not ok:
            raise Failed("xen-virtiod does not say READY=1",
                         self.daemon.output())

    def unpause(self, seconds):
        self.booting = self.spec.agent
        self.play.dom0(["xl", "unpause", self.name], seconds or STEP)

    def login(self, seconds):
        """Wait until the agent answers."""
        end = time.monotonic() + (seconds or BOOT)
        while time.monotonic() < end:
            console = self.agent()
            if not console or console.fd is None:
                if self.find() is None:
                    raise Failed("the guest is gone", self.tail())
                self.attach()
                console = self.agent()
            # The console of a kernel that still boots takes no input.
            if not self.play.loop.until(
                    lambda c=console: c.fd is None or "@hello" in c.text, 5):
                continue
            self.play.serial += 1
            tag = str(self.play.serial)
            console.send(f"\n@ping {tag}\n")
            if self.play.loop.until(lambda t=tag: self.ponged(t), 5):
                self.booting = False
                return
        raise Failed("the guest does not come up", self.tail())

    def silent(self):
        """It has been heard, is still there, and answers no more."""
        if self.booting or not self.pongs or self.find() != self.domid:
            return False
        tag = f"alive{time.monotonic()}"
        try:
            self.agent().send(f"\n@ping {tag}\n")
        except Failed:
            return True
        return not self.play.loop.until(lambda: self.ponged(tag), 20)

    def ponged(self, tag):
        self.listen()
        return tag in self.pongs

    def boot(self, seconds):
        for part in ("create", "serve", "unpause", "login"):
            if part == "serve" and not self.spec.devices:
                continue
            if part == "login" and not self.spec.agent:
                continue
            began = time.monotonic()
            getattr(self, part)(seconds)
            self.play.host.tell("part", name=part,
                                seconds=time.monotonic() - began)

    def gone(self, seconds):
        return self.play.loop.until(lambda: self.find() is None, seconds)

    def shutdown(self, seconds):
        self.agent().send(frames.run_line("off", "sync; poweroff -f"))
        if not self.gone(seconds or STEP):
            raise Failed("the guest does not power off", self.tail())
        self.daemon_left(seconds)

    def reboot(self, seconds):
        """The guest reboots; with on_reboot="restart" it comes back."""
        before = self.domid
        again = any("restart" in x for x in self.spec.xl)
        self.agent().send(frames.run_line("off", "sync; reboot -f"))
        if not self.play.loop.until(
                lambda: self.find() not in ((before, None) if again
                                            else (before,)),
                seconds or BOOT):
            raise Failed("the guest does not reboot", self.tail())
        self.jobs = {}
        self.daemon_left(None)
        if again:
            self.attach()
            self.login(seconds)

    def destroy(self, seconds):
        self.play.dom0(["xl", "destroy", self.name], STEP)
        self.daemon_left(seconds)

    def daemon_left(self, seconds):
        """The domain is gone: so must the daemon be, and soon."""
        if not self.daemon:
            return
        began = time.monotonic()
        if not self.play.loop.until(self.daemon.done, seconds or GONE):
            raise Failed("xen-virtiod is still there after its domain",
                         self.daemon.output() + self.daemon.where())
        if self.daemon.status != 0:
            raise Failed(f"xen-virtiod exits {self.daemon.status} after its "
                         "domain", self.daemon.output())
        self.play.gone = max(self.play.gone, time.monotonic() - began)
        self.daemon = None

    def stop(self, seconds):
        if not self.daemon:
            raise Failed("no daemon to stop")
        self.daemon.kill(signal.SIGTERM)
        if not self.play.loop.until(self.daemon.done, seconds or 10):
            raise Failed("xen-virtiod does not end on SIGTERM",
                         self.daemon.output())
        if self.daemon.status != 0:
            raise Failed(f"xen-virtiod exits {self.daemon.status} on SIGTERM",
                         self.daemon.output())
        self.daemon = None

    def tail(self):
        return "".join(c.text[-2000:] for c in self.consoles.values())


class Play:
    """One scenario being run."""

    def __init__(self, spec, host, logs):
        self.spec, self.host, self.loop = spec, host, Loop(host)
        self.log = os.path.join(logs, spec.name)
        self.dir = os.path.join("/work", spec.name)
        self.kept, self.jobs, self.serial, self.checks = {}, {}, 0, 0
        self.daemons = []
        self.gone = 0.0         # seconds, the slowest daemon to follow
        self.domains = {n: Domain(self, g) for n, g in spec.guests.items()}
        for d in (self.log, self.dir, RUN):
            shutil.rmtree(d, ignore_errors=True)
            os.makedirs(d)
        self.before = {c: len(lines_of(c)) for c in KERNEL_LOGS}
        self.began = time.time()

    def env(self):
        debs = glob.glob("/lab/deb/*.deb") or [""]
        return {**os.environ, **self.kept, "T": self.dir, "LOG": self.log,
                "DEB": debs[0]}

    def dom0(self, argv, seconds):
        """A command of the runner itself, which must succeed."""
        self.serial += 1
        p = Process(self.loop, argv,
                    os.path.join(self.log, f"{self.serial}.{argv[0]}"),
                    env=self.env())
        if not self.loop.until(p.done, seconds):
            p.kill()
            raise Failed(f"{' '.join(argv)}: not done in {seconds} s",
                         p.output())
        if p.status:
            raise Failed(f"{' '.join(argv)}: exits {p.status}", p.output())

    # Steps

    def start(self, step):
        if step.who == "dom0":
            self.serial += 1
            return Process(self.loop, ["sh", "-e", "-c", step.text],
                           os.path.join(self.log, f"line{step.line}."
                                        f"{self.serial}.out"),
                           env=self.env(), cwd=self.dir)
        vars_ = "".join(f"{k}='{v}'\n" for k, v in self.kept.items()
                        if "'" not in v)
        domain = self.domains[step.who]
        if not domain.agent():
            raise Failed(f"guest '{step.who}' does not run")
        return GuestJob(domain, vars_ + step.text)

    def finish(self, step, job):
        seconds = step.within or STEP
        if not self.loop.until(job.done, seconds):
            text = job.output()
            job.kill()
            raise Failed(f"not done in {seconds} s", text)
        text = job.output()
        wrong = lang.check(step, job.status, text, self.kept)
        if wrong:
            raise Failed(wrong, text)
        self.checks += 1
        if step.keep:
            self.kept[step.keep] = text.strip()
        return text

    def step(self, step):
        if step.verb == "say":
            self.host.tell("say", text=lang.expand(step.text, self.kept))
        elif step.verb == "run":
            job = self.start(step)
            if step.background:
                self.jobs[step.background] = job
            else:
                return self.finish(step, job)
        elif step.verb == "wait":
            return self.finish(step, self.jobs.pop(step.text))
        elif step.verb == "console":
            d = self.domains[step.who]
            want = lang.expand(step.text, self.kept)
            if not self.loop.until(
                    lambda: any(want in c.text for c in d.consoles.values()),
                    step.within or STEP):
                raise Failed(f"no console shows '{want}'", d.tail())
            self.checks += 1
        else:
            getattr(self.domains[step.who], step.verb)(step.within)
            self.checks += 1
        return None

    # The whole

    def run(self):
        """What went wrong as lines, and the machine's fault or None."""
        started, limit = time.monotonic(), self.spec.limit
        why = []
        for step in self.spec.steps:
            what = " ".join([step.verb, step.who or "", step.text])
            what = re.sub(r"\s+", " ", what).strip()
            began = time.monotonic()
            self.host.tell("step", line=step.line, text=what[:200],
                           who=step.who, verb=step.verb, command=step.text)
            try:
                if (began > started + limit
                        and began > started + limit * slowness()):
                    raise Failed(f"the scenario takes over {limit} s")
                text = self.step(step)
                self.host.tell("did", seconds=time.monotonic() - began,
                               output=(text or "")[-1500:])
            except Failed as e:
                why = [f"line {step.line}: {what}: {e}"]
                why += e.output.strip().splitlines()[-20:]
                break
            except Exception as e:      # pylint: disable=broad-except
                why = [f"line {step.line}: {what}: {e!r}"]
                break
        fault = None
        if why:
            new = {c: lines_of(c)[n:] for c, n in self.before.items()}
            fault = self.fault(new)
            why += [f"{c}: {x}" for c in new for x in new[c][-12:]]
        left = self.clean()
        return why or left, fault

    def fault(self, new):
        """What the emulated machine did wrong, if it was that.

        Not ours can be: a bug in dom0's kernel or a crash of its programs, a
        guest that dies before its driver has touched a device, and one that
        finds Xen's registers in its own (seen with QEMU 7.2: the state behind
        a VMRUN of Xen's ends up in the guest's VMCB), is interrupted where it
        had switched interrupts off, before it has a stack, or hears nothing
        more of its timers and event channels, which are none of ours.  One
        that is silent because we owe it an answer is ours.
        """
        mixed = XEN_IN_GUEST.search("\n".join(new["xl dmesg"]))
        if mixed:
            return "a guest got Xen's registers: " + mixed.group(1)
        for line in new["xl dmesg"]:
            if GUEST.search(line):
                return line
        for line in new["dmesg"]:
            if CRASH.search(line) and "xen-virtiod" not in line:
                return line
        for d in self.domains.values():
            if (d.booting and d.find() is None and
                    "driver is ready" not in self.said_of(d)):
                return f"guest '{d.name}' died before it used a device"
            if d.silent() and in_xen(d.domid) is False:
                return (f"guest '{d.name}' is silent, and none of its vCPUs "
                        "waits for an answer")
        return None

    def said_of(self, domain):
        """What the daemon of a guest says: a scenario's own, or a service."""
        if domain.daemon:
            return domain.daemon.output()
        return self.journal() if kind.takes_packages(self.spec.dom0) else ""

    def journal(self):
        """What dom0's journal has of this scenario."""
        r = subprocess.run(["journalctl", "--no-pager", "--quiet",
                            "--output=short-monotonic",
                            f"--since=@{self.began:.0f}"], check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return r.stdout.decode(errors="replace")

    def clean(self):
        """Undo everything; what should not have been left is a failure."""
        wrong = []
        for job in self.jobs.values():
            job.kill()
        for d in self.domains.values():
            if d.find() is not None:
                subprocess.run(["xl", "destroy", d.name], check=False,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
            self.loop.until(lambda: False, 0.01)
        for p in self.daemons:
            if not self.loop.until(p.done, GONE):
                wrong.append("xen-virtiod is still there after its domain")
                p.kill()
                self.loop.until(p.done, 3)
        for d in self.domains.values():
            for c in d.consoles.values():
                c.close()
        if not self.loop.until(lambda: not domains(), 10):
            wrong.append("a domain is left over: " + " ".join(domains()))
        if kind.takes_packages(self.spec.dom0):
            wrong += self.uninstall()
        consoles = [f"{d.name}.{c}" for d in self.domains.values()
                    for c in d.consoles]
        for path in os.listdir(self.log):
            if (".daemon" not in path and path != "journal" and
                    path not in consoles):
                continue
            with open(os.path.join(self.log, path), errors="replace",
                      encoding="utf-8") as f:
                text = f.read()
            bad = re.search(r".*(Sanitizer|Assertion|runtime error:|"
                            r"Grant still in use).*", text)
            if bad:
                wrong.append(f"{path}: {bad.group(0)}")
        if lines_of("pidof xen-virtiod"):
            wrong.append("xen-virtiod is still there in the end")
        if taps():
            wrong.append("an interface is left over: " + " ".join(taps()))
        subprocess.run(["sh", "-c", "exec 2>/dev/null\n"
                        "killall iperf3 httpd dnsmasq ping; killall -9 xen-virtiod\n"
                        "cd /sys/class/net; for n in */tun_flags */bridge\n"
                        "do ip link del ${n%/*}; done; cd /\n"
                        f"umount -l {self.dir}/*\n"
                        "dmsetup remove_all --force; losetup -D\n"
                        f"rm -rf {self.dir}"], check=False)
        return wrong

    def uninstall(self):
        """The next scenario finds dom0 without our package, no unit that
        failed, and the journal of this one is among its logs.
        """
        wrong = []
        if not subprocess.run(["dpkg", "-s", PACKAGE], check=False,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode:
            try:
                self.dom0(["dpkg", "--purge", PACKAGE], 2 * STEP)
            except Failed as e:
                wrong = [str(e), *e.output.strip().splitlines()[-5:]]
        with open(os.path.join(self.log, "journal"), "w",
                  encoding="utf-8") as f:
            f.write(self.journal())
        subprocess.run(["systemctl", "reset-failed"], check=False)
        return wrong


def lines_of(command):
    r = subprocess.run(command.split(), check=False, stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL)
    return [x for x in r.stdout.decode(errors="replace").splitlines()
            if not re.search(r"HVM.* (save|restore):? |ACPI.* GPE ", x)]


def in_xen(domid):
    """Does a vCPU wait in Xen, as for an IOREQ server's answer?

    None if Xen does not say.
    """
    subprocess.run(["xl", "debug-keys", "q"], check=False)
    time.sleep(1)
    told = "\n".join(lines_of("xl dmesg"))
    told = told.rpartition(f"callbacks for domain {domid}:")[2]
    told = told.partition("General information")[0]
    flags = re.findall(r"pause_flags=([0-9a-f]+)", told)
    return any(int(f, 16) & 4 for f in flags) if flags else None


def slowness():
    """How much slower dom0 is now than on an idle machine; 1 to 4."""
    began = time.monotonic()
    for _ in range(10):
        subprocess.run(["true"], check=False)
    return min(4.0, max(1.0, (time.monotonic() - began) / (10 * START)))


def domains():
    """Every domain but dom0, half-dead ones too."""
    r = subprocess.run(["xl", "list"], check=False, stdout=subprocess.PIPE)
    return [line.split()[0] for line in r.stdout.decode().splitlines()[1:]
            if not line.startswith("Domain-0 ")]


def taps():
    """Taps that outlived their daemon; there should be none."""
    top = "/sys/class/net"
    return [n for n in os.listdir(top)
            if os.path.exists(os.path.join(top, n, "tun_flags"))]


def main():
    host = Host()
    with open("/lab/job.json", encoding="utf-8") as f:
        job = json.load(f)
    for name in job["scenarios"]:
        spec = lang.named("/lab/tests", name)
        began = time.monotonic()
        host.tell("begin", name=name, about=spec.about)
        play = Play(spec, host, "/log")
        why, fault = play.run()
        host.tell("result", name=name, ok=not why, why=why, fault=fault,
                  checks=play.checks, gone=play.gone,
                  seconds=time.monotonic() - began)
        if why and (fault or domains()):
            break               # this dom0 is no good any more


if __name__ == "__main__":
    main()

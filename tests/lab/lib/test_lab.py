"""Tests of the lab's own parsers; they need no Xen.  Run: xenlab selftest."""

import base64
import hashlib
import itertools
import lzma
import os
import subprocess
import sys
import tempfile
import time
import types
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import arm64                                    # noqa: E402
import base                                     # noqa: E402
import bench                                    # noqa: E402
import debian                                   # noqa: E402
import dom0                                     # noqa: E402
import emulator                                 # noqa: E402
import frames                                   # noqa: E402
import image                                    # noqa: E402
import kind                                     # noqa: E402
import machine                                  # noqa: E402
import package                                  # noqa: E402
import runner                                   # noqa: E402
import scenario                                 # noqa: E402
import wire                                     # noqa: E402


def report(job, status, output):
    """What guest/agent prints."""
    raw = base64.encodebytes(output.encode()).decode()
    lines = raw.splitlines()
    digest = hashlib.md5(raw.encode()).hexdigest()
    return ("".join(f"@out {job} {line}\n" for line in lines)
            + f"@end {job} {status} {len(lines)} {digest}\n").encode()


class Frames(unittest.TestCase):
    def test_report(self):
        text = "line\n" * 100
        got = frames.Reports().feed(b"boot noise\n" + report("j1", 3, text))
        self.assertEqual(got, [("done", "j1", 3, text)])

    def test_no_output(self):
        self.assertEqual(frames.Reports().feed(report("j1", 0, "")),
                         [("done", "j1", 0, "")])

    def test_pieces(self):
        r, got = frames.Reports(), []
        for i in report("j1", 0, "hello\n" * 30).replace(b"\n", b"\r\n"):
            got += r.feed(bytes([i]))
        self.assertEqual(got, [("done", "j1", 0, "hello\n" * 30)])

    def test_two_at_once(self):
        a, b = report("j1", 0, "a\n"), report("j2", 1, "b\n")
        self.assertEqual(frames.Reports().feed(a + b),
                         [("done", "j1", 0, "a\n"), ("done", "j2", 1, "b\n")])

    def test_noise_between_lines(self):
        whole = report("j1", 0, "x" * 200)
        torn = whole.replace(b"@end", b"[   1.5] usb: hello\n@end")
        self.assertEqual(frames.Reports().feed(torn)[0][:2], ("done", "j1"))

    def test_noise_inside_a_line(self):
        whole = report("j1", 0, "x" * 200)
        torn = whole[:40] + b"[   1.5] usb: hello\r\n" + whole[40:]
        r = frames.Reports()
        self.assertEqual(r.feed(torn), [("torn", "j1")])
        self.assertEqual(r.feed(whole), [("done", "j1", 0, "x" * 200)])

    def test_every_lost_byte_is_noticed(self):
        whole = report("j1", 0, "some text\n")
        for i in range(whole.index(b"@end")):
            for got in frames.Reports().feed(whole[:i] + whole[i + 1:]):
                self.assertNotEqual(got[0], "done", i)

    def test_other_words(self):
        got = frames.Reports().feed(b"@hello\n@pong 7\n@busy j1\n@none j2\n"
                                    b"@bogus\n@end\n@out\n")
        self.assertEqual(got, [("hello",), ("pong", "7"), ("busy", "j1"),
                               ("none", "j2")])

    def test_command_line(self):
        line = frames.run_line("j1", "echo 'a\nb'")
        verb, job, text = line.split()
        self.assertEqual((verb, job), ("@run", "j1"))
        self.assertEqual(base64.b64decode(text), b"echo 'a\nb'")


GOOD = """
about something
guest web1
	type hvm
	vcpus 2
	device blk,bdf=00:18.0,path=$T/a.img
	xl  usb=1
dom0: true
boot web1
	within 90
web1: echo a
	| echo b
	matches ^b$
	exits 0
	within 5
	keep b
web1:
	| sleep 1
	background nap
wait nap
	exits any
console web1 BOOTED
"""


class Scenarios(unittest.TestCase):
    def test_good(self):
        s = scenario.parse(GOOD, "good")
        g = s.guests["web1"]
        self.assertEqual((g.type, g.vcpus, g.xl), ("hvm", 2, ["usb=1"]))
        self.assertEqual(g.devices, ["blk,bdf=00:18.0,path=$T/a.img"])
        self.assertEqual([x.verb for x in s.steps],
                         ["run", "boot", "run", "run", "wait", "console"])
        self.assertEqual(s.steps[1].within, 90)
        self.assertEqual(s.steps[2].text, "echo a\necho b")
        self.assertEqual(s.steps[3].text, "sleep 1")
        self.assertEqual(s.steps[3].background, "nap")

    def refuse(self, line, text, says):
        with self.assertRaises(scenario.ScenarioError) as e:
            scenario.parse(text, "bad", "dir/bad")
        self.assertTrue(str(e.exception).startswith(f"dir/bad:{line}: "),
                        str(e.exception))
        self.assertIn(says, str(e.exception))

    def test_mistakes_name_file_and_line(self):
        head = "about x\nguest g\n"
        self.refuse(1, "  type pvh\n", "no statement above")
        self.refuse(3, head + "\ttype xen\n", "pvh or hvm")
        self.refuse(3, head + "\tcolour red\n", "'colour'")
        self.refuse(3, head + "\tvcpus two\n", "a number")
        self.refuse(3, head + "guest g\n", "twice")
        self.refuse(2, "about x\nguest G1\n", "lower-case")
        self.refuse(3, head + "boot h\n", "no guest is called 'h'")
        self.refuse(3, head + "h: true\n", "no guest is called 'h'")
        self.refuse(3, head + "frobnicate g\n", "no statement")
        self.refuse(3, head + "wait nap\n", "no job")
        self.refuse(4, head + "g: true\n\tmatches (\n", "matches")
        self.refuse(4, head + "g: true\n\tprints\n", "no text")
        self.refuse(4, head + "g: true\n\texits -1\n", "nonzero or any")
        self.refuse(4, head + "boot g\n\tprints x\n", "'prints'")
        self.refuse(1, "dom0: true\n", "about")
        self.refuse(2, head, "without a step")

    def test_dom0(self):
        s = scenario.parse("about x\ndom0: true\n", "x")
        self.assertEqual((s.dom0, s.package), ("plain", False))
        s = scenario.parse("about x\ndom0 systemd\npackage\ndom0: true\n",
                           "x")
        self.assertEqual((s.dom0, s.package), ("systemd", True))
        self.refuse(2, "about x\ndom0 sysv\n", "dom0 'sysv': plain, systemd")
        self.refuse(2, "about x\npackage please\n", "no statement")
        self.refuse(3, "about x\npackage\ndom0: true\n",
                    "dom0 'plain' takes no package")

    def test_expectations(self):
        def wrong(lines, status, output, kept=None):
            s = scenario.parse("about x\ndom0: true\n" + lines, "x")
            return scenario.check(s.steps[0], status, output, kept or {})

        self.assertIsNone(wrong("", 0, "x"))
        self.assertIn("exits 1", wrong("", 1, "x"))
        self.assertIsNone(wrong("\texits nonzero\n", 3, ""))
        self.assertIn("exits 0", wrong("\texits nonzero\n", 0, ""))
        self.assertIsNone(wrong("\texits any\n", 9, ""))
        self.assertIsNone(wrong("\tprints b c\n", 0, "a b c"))
        self.assertIn("does not print", wrong("\tprints d\n", 0, "a b c"))
        self.assertIn("prints 'b'", wrong("\tlacks b\n", 0, "a b c"))
        self.assertIsNone(wrong("\tis $n\n", 0, "7\n", {"n": "7"}))
        self.assertIn("other than '7'", wrong("\tis $n\n", 0, "77\n",
                                              {"n": "7"}))
        self.assertIsNone(wrong("\tmatches ^b$\n", 0, "a\nb\nc"))
        self.assertIn("matches", wrong("\tmatches ^b$\n", 0, "abc"))

    def test_all_scenarios_parse(self):
        top = os.path.join(os.path.dirname(os.path.dirname(
            os.path.abspath(__file__))), "scenarios")
        for name in sorted(os.listdir(top)):
            with self.subTest(name):
                scenario.load(os.path.join(top, name))

    def test_grants(self):
        top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        plain = scenario.named(top, "demo")
        s = scenario.named(top, "demo+grants")
        self.assertEqual(s.name, "demo+grants")
        self.assertNotEqual(s.about, plain.about)
        for name, g in s.guests.items():
            self.assertIn(g.kernel, scenario.GRANTS_KERNEL.values())
            self.assertEqual(len(g.devices),
                             len(plain.guests[name].devices))
            for d in g.devices:
                self.assertTrue(d.endswith(",grants=require"))
        with self.assertRaises(scenario.ScenarioError):
            scenario.named(top, "demo+rants")


class Patience(unittest.TestCase):
    def test_busy_machine_gets_more(self):
        loop = runner.Loop(mock.Mock())
        end = time.monotonic() + 1.2
        for slow, wanted in ((1.0, False), (2.0, True)):
            with mock.patch.object(runner, "slowness", lambda s=slow: s):
                self.assertEqual(
                    loop.until(lambda: time.monotonic() > end, 1), wanted)
            end = time.monotonic() + 1.2


class Fault(unittest.TestCase):
    def fault(self, dmesg, domid=1, said="", booting=True, xen=(),
              silent=False):
        guest = types.SimpleNamespace(name="g", booting=booting,
                                      find=lambda: domid, domid=domid,
                                      silent=lambda: silent)
        play = types.SimpleNamespace(domains={"g": guest},
                                     said_of=lambda _: said)
        return runner.Play.fault(play, {"dmesg": dmesg, "xl dmesg": xen})

    def test_programs_of_dom0(self):
        line = "[  9.1] xl[497]: segfault at 0 ip 00 in libxenctrl.so"
        self.assertEqual(self.fault(["x", line]), line)

    def test_ours_is_ours(self):
        self.assertIsNone(self.fault(["xen-virtiod[9]: segfault at 0"]))
        self.assertIsNone(self.fault(["EXT4-fs mounted"]))

    def test_registers(self):
        dump = ["(XEN) d3v0 Triple fault - invoking HVM shutdown action 1",
                "(XEN) RIP:    e008:[<ffff82d0402044a5>]",
                "(XEN) RFLAGS: 0000000000000246   CONTEXT: hvm guest (d3v0)"]
        self.assertIn("ffff82d0402044a5", self.fault([], xen=dump))
        dump[1] = "(XEN) RIP:    0010:[<ffffffff81000000>]"
        self.assertIsNone(self.fault([], xen=dump))
        self.assertIsNone(self.fault([], xen=["(d3) Kernel panic"]))
        self.assertTrue(self.fault([], xen=["(d3) [1.0] PANIC: double fault"]))

    def test_silence(self):
        for xen, ours in ((False, False), (True, True), (None, True)):
            with mock.patch.object(runner, "in_xen", lambda _, x=xen: x):
                self.assertEqual(self.fault([], silent=True) is None, ours)

    def test_who_waits(self):
        def told(flags):
            return ["(XEN) General information for domain 7:", "(XEN) VCPU "
                    "information and callbacks for domain 7:",
                    "(XEN)     pause_count=0 pause_flags=1",
                    f"(XEN)     pause_count=0 pause_flags={flags}",
                    "(XEN) General information for domain 9:",
                    "(XEN) VCPU information and callbacks for domain 9:",
                    "(XEN)     pause_count=0 pause_flags=4"]
        with mock.patch.object(runner.subprocess, "run"), \
                mock.patch.object(runner.time, "sleep"):
            for flags, want in (("1", False), ("4", True)):
                with mock.patch.object(runner, "lines_of",
                                       lambda _, f=flags: told(f)):
                    self.assertIs(runner.in_xen(7), want)
            with mock.patch.object(runner, "lines_of", lambda _: []):
                self.assertIsNone(runner.in_xen(7))

    def test_who_serves(self):
        for name, daemon, want in (("systemd", None, "journal"),
                                   ("plain", None, ""),
                                   ("systemd", "own", "own")):
            play = types.SimpleNamespace(
                journal=lambda: "journal",
                spec=types.SimpleNamespace(dom0=name))
            guest = types.SimpleNamespace(daemon=daemon and mock.Mock(
                output=lambda d=daemon: d))
            self.assertEqual(runner.Play.said_of(play, guest), want)

    def test_guest_died(self):
        self.assertIn("died", self.fault([], None))
        self.assertIsNone(self.fault([], None, "the driver is ready"))
        self.assertIsNone(self.fault([], None, "", False))


class Bench(unittest.TestCase):
    def test_numbers(self):
        tcp = '{"end": {"sum_received": {"bits_per_second": 12.5e6}}}'
        udp = '{"end": {"sum": {"packets": 70, "lost_packets": 20,' \
              ' "seconds": 5}}}'
        self.assertEqual(bench.iperf_number(tcp, "Mbit/s"), 12.5)
        self.assertEqual(bench.iperf_number(udp, "/s"), 10)
        with self.assertRaises(runner.Failed):
            bench.iperf_number('{"error": "no route"}', "/s")
        text = "".join(f"64 bytes: icmp_seq={n} time={n}.5 ms\n"
                       for n in range(1, 42))
        self.assertEqual(bench.ping_number(text), 21.5)
        with self.assertRaises(runner.Failed):
            bench.ping_number(text[:100])

    def test_what_boots(self):
        for halves, devices in ((["blk"], 1), (["net"], 1),
                                (["blk", "net"], 2)):
            s = scenario.parse(bench.spec(halves), "bench")
            self.assertEqual(len(s.guests["none"].devices), devices)
            self.assertEqual(len(s.guests["qemu"].xl), 1)

    def test_table(self):
        found = {(d[0], j[0]): [1.0, 2.0, 9.0] for h in bench.JOBS
                 for d in bench.DEVICES[h] for j in bench.JOBS[h]}
        found["xen-virtiod", "TCP in"] = [2.6] * 3
        found["xen-virtiod", "ping"] = [1.0] * 3
        found["QEMU virtio-net", "ping"] = [1.2] * 3
        text = bench.table(["net"], found, 9 * 1024, 3)
        self.assertIn("reached  TCP in, times QEMU: 1.30", text)
        self.assertIn("MISSED   TCP out, times QEMU: 1.00", text)
        self.assertIn("MISSED   ping, times QEMU: 1.20", text)
        self.assertIn("reached  ping, times netback: 2.00", text)
        self.assertIn("MISSED   resident memory with one card", text)
        self.assertNotIn("randread", text)

    def test_memory_of_both(self):
        alone = bench.resident(os.getpid())
        with subprocess.Popen([sys.executable, "-c",
                               "x = bytes(range(256)) * 400000; input()"],
                              stdin=subprocess.PIPE) as child:
            self.assertEqual([os.getpid(), child.pid],
                             runner.family(os.getpid()))
            until = time.monotonic() + 20
            while bench.resident(os.getpid()) < alone + 90000:
                self.assertLess(time.monotonic(), until)
            child.communicate(b"\n")
        self.assertEqual([], runner.tasks(child.pid))


class Wire(unittest.TestCase):
    def test_frames(self):
        me, you = bytes(6), b"\2" * 6
        for what, right in (("udp-good", " right"), ("udp-bad", " wrong")):
            f = wire.frame(me, you, what + "/10.9.0.1/10.9.0.2")
            self.assertEqual(f[:14], you + me + b"\x08\x00")
            self.assertEqual(wire.ones_sum(f[14:34]), 0xffff)
            self.assertEqual((wire.said(f), wire.checksum_of(f)),
                             (what, right))
        f = wire.frame(me, you, "group1/239.129.2.3")
        self.assertEqual(f[:6], b"\x01\x00\x5e\x01\x02\x03")
        f = wire.frame(me, you, "strange@00:16:3e:01:02:03")
        self.assertEqual((f[:6], wire.said(f), len(f)),
                         (b"\x00\x16\x3e\x01\x02\x03", "strange", 60))
        f = wire.frame(me, you, "tagged%7")
        self.assertEqual((f[12:16], wire.said(f)),
                         (b"\x81\x00\x00\x07", "tagged"))
        self.assertIsNone(wire.said(bytes(60)))


class Emulator(unittest.TestCase):
    def change(self, text):
        """What becomes of a source tree whose two files say @text."""
        with tempfile.TemporaryDirectory() as tree:
            for name in (emulator.SVM, emulator.FPU):
                path = os.path.join(tree, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="ascii") as f:
                    f.write(text)
            debian.change(tree, emulator.CHANGES)
            with open(path, encoding="ascii") as f:
                return f.read()

    def test_lines_that_are_not_there(self):
        for text in ("", "env->hflags2 &= ~HF2_IGNNE_MASK;\n" * 2):
            with self.assertRaises(base.BuildError):
                self.change(text)

    def test_changed(self):
        with mock.patch.object(emulator, "CHANGES",
                               [(emulator.FPU, "one;", r"if (two) \g<0>")]):
            self.assertEqual(self.change("one;\n"), "if (two) one;\n")

    def test_named_after_what_it_does(self):
        before = emulator.key()
        with mock.patch.object(emulator, "CHANGES", []):
            self.assertNotEqual(emulator.key(), before)


ARCHIVES = ("Debian|$(SIGNED_BY)|http://a/debian/|bookworm|main\n"
            "Debian|/usr/k.gpg|http://a/security/|bookworm-security|main\n"
            "Other|/usr/o.gpg|http://b/|x|main\n")

CONTROL = """Package: libx
Version: 1
Maintainer: Nobody <nobody@example.org>
Architecture: amd64
Multi-Arch: same
Description: something
 Package: not this
"""


class Arm64(unittest.TestCase):
    SHOWSRC = """Package: xen
Version: 4.17.5-1
Directory: pool/main/x/xen
Checksums-Sha256:
 {0} 4735560 xen_4.17.5+72-g0114.orig.tar.xz

Package: xen
Version: 4.20.4+63-0+deb13u1
Directory: pool/updates/main/x/xen
Checksums-Sha1:
 0123456789012345678901234567890123456789 1 xen_4.20.4+63.orig.tar.xz
Checksums-Sha256:
 {1} 4964620 xen_4.20.4+63.orig.tar.xz
 {0} 130000 xen_4.20.4+63-0+deb13u1.debian.tar.xz
"""

    def test_tarballs(self):
        text = self.SHOWSRC.format("a" * 64, "b" * 64)
        self.assertEqual(arm64.tarballs(text + "\n" + text), [
            ("pool/updates/main/x/xen/xen_4.20.4+63.orig.tar.xz", "b" * 64)])
        self.assertEqual(arm64.tarballs(""), [])

    def test_no_source(self):
        with tempfile.TemporaryDirectory() as tmp, \
                mock.patch.object(debian, "sources", return_value=""), \
                mock.patch.object(debian, "private", return_value=[]), \
                mock.patch.object(debian, "archives", return_value=[]), \
                mock.patch.object(arm64, "run", return_value=""), \
                self.assertRaisesRegex(arm64.NoSource, "XEN_SOURCE="):
            arm64.from_debian(tmp)

    def test_no_list(self):
        with tempfile.TemporaryDirectory() as tmp, \
                mock.patch.object(debian, "sources", return_value=""), \
                mock.patch.object(debian, "private",
                                  side_effect=base.BuildError("404")), \
                self.assertRaisesRegex(arm64.NoSource, "404"):
            arm64.from_debian(tmp)

    def test_source_given(self):
        with tempfile.TemporaryDirectory() as tmp:
            given = os.path.join(tmp, "given")
            os.makedirs(os.path.join(given, "xen/arch"))
            with mock.patch.dict(os.environ, {"XEN_SOURCE": given}):
                tree = arm64.xen_source(tmp)
            self.assertTrue(os.path.isdir(os.path.join(tree, "xen/arch")))

    def test_keys(self):
        self.assertNotEqual(arm64.xen_key(), arm64.kernel_key())
        self.assertTrue(image.image_key("arm64").startswith("arm64-"))

    def test_argv(self):
        argv = machine.arm64_argv("/i,j", ["-drive", "x"], "/e", ["-serial"])
        self.assertIn("guest-loader,addr=0x50000000,"
                      "initrd=/i,,j/dom0-initrd", argv)
        self.assertEqual(argv[-2:], ["-drive", "x"])


class Debian(unittest.TestCase):
    def test_sources(self):
        with mock.patch.object(debian, "run", return_value=ARCHIVES):
            self.assertEqual(
                debian.sources("deb-src"),
                "deb-src http://a/debian/ bookworm main\n"
                "deb-src [signed-by=/usr/k.gpg] http://a/security/ "
                "bookworm-security main\n")
            self.assertEqual(
                debian.sources("deb", "trixie"),
                "deb http://a/debian/ trixie main\n"
                "deb [signed-by=/usr/k.gpg] http://a/security/ "
                "trixie-security main\n")
        with mock.patch.object(debian, "run", return_value=""):
            with self.assertRaises(base.BuildError):
                debian.sources("deb")

    def test_an_archive_named_twice(self):
        """As when both releases are there: apt would complain."""
        told = ("Debian||http://a/|bookworm|main\n"
                "Debian||http://a/|trixie|main\n")
        with mock.patch.object(debian, "run", return_value=told):
            self.assertEqual(debian.sources("deb", "trixie"),
                             "deb http://a/ trixie main\n")

    def test_resolve(self):
        told = ("NOTE: simulation\nInst libc6 (2.36-9 Debian:12 [amd64])\n"
                "Inst libboost-x1.74 (1.74-1 Debian:12 [amd64]) []\n"
                "Conf libc6 (2.36-9 Debian:12 [amd64])\n")
        with tempfile.TemporaryDirectory() as tmp:
            with mock.patch.object(debian, "own_release", lambda: "sid"):
                apt = debian.Apt("sid", tmp)
            with mock.patch.object(debian, "run", return_value=told):
                self.assertEqual(apt.resolve(["x"], ["libboost-*"]),
                                 ["libc6=2.36-9"])
            with mock.patch.object(debian, "run", return_value=""):
                with self.assertRaises(base.BuildError):
                    apt.resolve(["x"], [])

    def test_database(self):
        self.assertEqual(debian.list_name(CONTROL), "libx:amd64.list")
        self.assertEqual(
            debian.list_name(CONTROL.replace("same", "foreign")), "libx.list")
        self.assertTrue(debian.installed(CONTROL).startswith(
            "Package: libx\nStatus: install ok installed\nVersion: "))

    def test_what_dpkg_reads(self):
        with tempfile.TemporaryDirectory() as top:
            with mock.patch.object(debian, "run", return_value=CONTROL):
                debian.make_database({"x.deb": ["/.", "/usr/lib/x.so"]}, top)
            info = os.path.join(top, "var/lib/dpkg/info/libx:amd64.list")
            with open(info, encoding="ascii") as f:
                self.assertEqual(f.read(), "/.\n/usr/lib/x.so\n")
            said = subprocess.run(
                ["dpkg-query", "--admindir", os.path.join(top, "var/lib/dpkg"),
                 "-W", "-f", "${Package} ${db:Status-Status}"], check=True,
                stdout=subprocess.PIPE).stdout
            self.assertEqual(said, b"libx installed")


class Dom0(unittest.TestCase):
    def test_accounts(self):
        users, groups = dom0.accounts([
            "# comment", "", "g tty 5 -", "g journal - -", "u tty -",
            "u root 0 - /root /bin/bash", "u sync 4:65534 - /bin",
            "u! net - \"Network\"", "u late 7", "m a b"])
        self.assertEqual(users.splitlines(), [
            "tty:x:5:5::/nonexistent:/usr/sbin/nologin",
            "root:x:0:0::/root:/bin/sh",
            "sync:x:4:65534::/nonexistent:/usr/sbin/nologin",
            "net:x:998:998::/nonexistent:/usr/sbin/nologin",
            "late:x:7:7::/nonexistent:/usr/sbin/nologin"])
        self.assertEqual(groups.splitlines(), [
            "tty:x:5:", "journal:x:999:", "root:x:0:", "net:x:998:",
            "late:x:7:"])

    def test_services(self):
        with tempfile.TemporaryDirectory() as root:
            units = os.path.join(root, "etc/systemd/system")
            dom0.put(root, "etc/init.d/old", "")
            dom0.put(root, dom0.SYSTEM + "/new.service", "")
            dom0.enable(root, units, "old", 3)
            dom0.enable(root, units, "new", 4)
            self.assertEqual(os.readlink(root + "/etc/rc2.d/S03old"),
                             "../init.d/old")
            self.assertTrue(os.path.islink(
                units + "/multi-user.target.wants/new.service"))
            with self.assertRaises(base.BuildError):
                dom0.enable(root, units, "none", 5)

    def test_kinds(self):
        keys = {image.image_key(name) for name in kind.KINDS}
        self.assertEqual(len(keys), len(kind.KINDS))
        for name in kind.KINDS:
            for path in image.ingredients(name):
                self.assertTrue(os.path.isfile(os.path.join(base.LAB, path)))
            recipe = image.Recipe(*kind.recipes(name))
            # Arm's Xen and Linux are built.
            amd64 = kind.KINDS[name].arch == "amd64"
            self.assertEqual("linux-image-amd64" in recipe["package"], amd64)
            self.assertEqual(any(p.startswith("xen-hypervisor-4.")
                                 for p in recipe["package"]), amd64)
        self.assertNotIn("recipe/systemd", image.ingredients("plain"))


class Modules(unittest.TestCase):
    def test_packed(self):
        with tempfile.TemporaryDirectory() as top:
            modules = types.SimpleNamespace(top=top)
            for name, data in (("a.ko", b"elf"),
                               ("b.ko.xz", lzma.compress(b"elf"))):
                with open(os.path.join(top, name), "wb") as f:
                    f.write(data)
                self.assertEqual(image.Modules.read(modules, name), b"elf")
            with open(os.path.join(top, "c.ko.zst"), "wb"):
                pass
            with self.assertRaises(base.BuildError):
                image.Modules.read(modules, "c.ko.zst")
        self.assertEqual(image.Modules.plain("kernel/fs/b.ko.xz"),
                         "kernel/fs/b.ko")


class Drive(unittest.TestCase):
    def test_every_order(self):
        """The script looks in /sys: give it another one."""
        with open(os.path.join(base.LAB, "dom0/drive"),
                  encoding="ascii") as f:
            text = f.read()
        kinds = (("nvme{}n1", "device/serial"), ("vd{}", "serial"))
        for order, (name, path) in itertools.product(
                (["root", "log"], ["log", "root"]), kinds):
            with tempfile.TemporaryDirectory() as sys_:
                for n, serial in enumerate(order):
                    dom0.put(sys_, f"block/{name.format(n)}/{path}",
                             serial + "   \n")
                script = text.replace("/sys/", sys_ + "/")
                for serial, want in (("root", 0), ("nobody", 1)):
                    r = subprocess.run(["sh", "-c", script, "drive", serial],
                                       check=False, stdout=subprocess.PIPE)
                    self.assertEqual(r.returncode, want)
                    if not want:
                        self.assertEqual(
                            r.stdout.decode().strip(),
                            "/dev/" + name.format(order.index("root")))


class Package(unittest.TestCase):
    def make(self, rules, release="bookworm"):
        """What comes of a tree with that Makefile, on a bookworm machine."""
        with tempfile.TemporaryDirectory() as top:
            dom0.put(top, "Makefile", rules)
            with mock.patch.object(debian, "own_release",
                                   lambda: "bookworm"):
                path = package.make(top, release, os.path.join(top, "out"),
                                    mock.Mock())
            return os.path.relpath(path, top)

    def test_made(self):
        rule = "deb:\n\tmkdir -p build/deb/$(DIST)\n" \
               "\ttouch build/deb/$(DIST)/xen-virtiod_1_amd64.deb\n"
        self.assertEqual(self.make(rule), "build/deb/xen-virtiod_1_amd64.deb")
        self.assertEqual(self.make(rule, "trixie"),
                         "build/deb/trixie/xen-virtiod_1_amd64.deb")

    def test_not_made(self):
        for rules, says in (("all:\n", "No rule to make target 'deb'"),
                            ("deb:\n\techo no compiler; false\n",
                             "no compiler"),
                            ("deb:\n\ttrue\n", "leaves no xen-virtiod_")):
            with self.assertRaises(base.BuildError) as e:
                self.make(rules)
            self.assertIn(says, str(e.exception))


if __name__ == "__main__":
    unittest.main()

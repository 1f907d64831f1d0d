"""Reads scenarios: see README.md for the language.

A statement starts in the first column; the indented lines below belong to it.
Everything that can be wrong with a file is found here, before anything boots.
"""

import os
import re

from kind import KINDS, takes_packages

GUEST_KEYS = ("type", "vcpus", "memory", "kernel", "ramdisk", "cmdline",
              "console", "device", "option", "xl", "agent")
# The lab's own (kernel.py), as dom0 sees it.
GRANTS_KERNEL = {"pvh": "/lab/grants/vmlinux", "hvm": "/lab/grants/bzImage"}
LIFE = ("create", "start", "serve", "unpause", "login", "boot", "shutdown",
        "reboot", "destroy", "stop")
NAME = re.compile(r"[a-z][a-z0-9]*$")


class ScenarioError(Exception):
    """A mistake in a scenario; the text names file and line."""


class Guest:
    """What a guest is made of."""

    def __init__(self, name):
        self.name, self.type = name, "pvh"
        self.vcpus, self.memory = 1, 256
        self.kernel = self.ramdisk = None
        self.console, self.agent = "hvc0", True
        self.cmdline, self.devices, self.options, self.xl = [], [], [], []


class Step:
    """One statement: what to do, and what must come of it."""

    def __init__(self, verb, line, who=None, text=""):
        self.verb, self.line, self.who, self.text = verb, line, who, text
        self.expect = []        # (kind, text)
        self.status = 0         # a number, or "any", or "nonzero"
        self.within = None
        self.background = None
        self.keep = None


class Scenario:
    """A parsed file."""

    def __init__(self, name):
        self.name, self.about = name, ""
        self.limit, self.show = 300, False
        self.dom0, self.package = "plain", False
        self.guests, self.steps = {}, []


class _Parser:
    def __init__(self, name, path):
        self.s, self.path, self.line = Scenario(name), path, 0
        self.below = None       # takes the indented lines
        self.jobs = set()

    def fail(self, text):
        raise ScenarioError(f"{self.path}:{self.line}: {text}")

    def number(self, key, text, lowest=1):
        if not text.isdigit() or int(text) < lowest:
            self.fail(f"{key} '{text}': a number from {lowest} up is meant")
        return int(text)

    def parse(self, text):
        for self.line, raw in enumerate(text.splitlines(), 1):
            stripped = raw.strip()
            if not stripped or stripped.startswith("#"):
                continue
            if raw[0] in " \t":
                if self.below is None:
                    self.fail("an indented line with no statement above it")
                self.below(stripped)
            else:
                self.statement(stripped)
        if not self.s.about:
            self.fail("no 'about' line says what the scenario shows")
        if not self.s.steps:
            self.fail("a scenario without a step")
        if self.s.package and not takes_packages(self.s.dom0):
            self.fail(f"dom0 '{self.s.dom0}' takes no package; say which "
                      "one does")
        return self.s

    def statement(self, text):
        self.below = None
        who = re.match(r"([a-z][a-z0-9]*):(?:\s+(.*))?$", text)
        if who:
            name, command = who.group(1), who.group(2) or ""
            if name != "dom0" and name not in self.s.guests:
                self.fail(f"no guest is called '{name}'")
            self.step(Step("run", self.line, name, command), self.of_command)
            return
        word, _, rest = text.partition(" ")
        rest = rest.strip()
        if word == "about":
            self.s.about = rest
        elif word == "limit":
            self.s.limit = self.number("limit", rest)
        elif word == "show" and not rest:
            self.s.show = True
        elif word == "package" and not rest:
            self.s.package = True
        elif word == "dom0":
            if rest not in KINDS:
                self.fail(f"dom0 '{rest}': " + ", ".join(KINDS))
            self.s.dom0 = rest
        elif word == "guest":
            self.guest(rest)
        elif word in LIFE:
            if rest not in self.s.guests:
                self.fail(f"{word}: no guest is called '{rest}'")
            self.step(Step(word, self.line, rest), self.of_life)
        elif word == "wait":
            if rest not in self.jobs:
                self.fail(f"wait: no job is called '{rest}'")
            self.step(Step("wait", self.line, None, rest), self.of_command)
        elif word == "console":
            name, _, what = rest.partition(" ")
            if name not in self.s.guests or not what:
                self.fail("console: a guest's name and a text are meant")
            self.step(Step("console", self.line, name, what.strip()),
                      self.of_life)
        elif word == "say":
            self.step(Step("say", self.line, None, rest), None)
        else:
            self.fail(f"'{word}' is no statement; see tests/lab/README.md")

    def step(self, step, below):
        self.s.steps.append(step)
        self.below = below

    def guest(self, name):
        if not NAME.match(name) or name == "dom0":
            self.fail(f"guest '{name}': lower-case letters and digits, and "
                      "not dom0")
        if name in self.s.guests:
            self.fail(f"guest '{name}' is described twice")
        self.s.guests[name] = Guest(name)
        self.below = self.of_guest

    def of_guest(self, text):
        g = list(self.s.guests.values())[-1]
        key, _, value = text.partition(" ")
        value = value.strip()
        if key not in GUEST_KEYS:
            self.fail(f"'{key}' says nothing about a guest; known: "
                      + " ".join(GUEST_KEYS))
        if not value:
            self.fail(f"{key}: no value")
        if key == "type" and value not in ("pvh", "hvm"):
            self.fail(f"type '{value}': pvh or hvm")
        if key == "agent" and value not in ("yes", "no"):
            self.fail(f"agent '{value}': yes or no")
        if key in ("vcpus", "memory"):
            setattr(g, key, self.number(key, value))
        elif key == "agent":
            g.agent = value == "yes"
        elif key in ("cmdline", "xl"):
            getattr(g, key).append(value)
        elif key in ("device", "option"):
            getattr(g, key + "s").append(value)
        else:
            setattr(g, key, value)

    def of_life(self, text):
        step = self.s.steps[-1]
        key, _, value = text.partition(" ")
        if key != "within":
            self.fail(f"'{key}': only 'within' belongs here")
        step.within = self.number("within", value.strip())

    def of_command(self, text):
        step = self.s.steps[-1]
        if text.startswith("|"):
            if step.verb != "run":
                self.fail("only a command has more lines")
            step.text += ("\n" if step.text else "") + text[1:].lstrip(" ")
            return
        key, _, value = text.partition(" ")
        value = value.strip()
        if key in ("prints", "lacks", "is", "matches"):
            if not value and key != "is":
                self.fail(f"{key}: no text")
            if key == "matches":
                try:
                    re.compile(value)
                except re.error as e:
                    self.fail(f"matches: {e}")
            step.expect.append((key, value))
        elif key == "exits":
            if value not in ("any", "nonzero") and not value.isdigit():
                self.fail(f"exits '{value}': a number, nonzero or any")
            step.status = int(value) if value.isdigit() else value
        elif key == "within":
            step.within = self.number("within", value)
        elif key == "background" and step.verb == "run":
            if not NAME.match(value) or value in self.jobs:
                self.fail(f"background '{value}': a new name is meant")
            step.background = value
            self.jobs.add(value)
        elif key == "keep":
            if not re.match(r"[A-Za-z_]\w*$", value):
                self.fail(f"keep '{value}': a name is meant")
            step.keep = value
        else:
            self.fail(f"'{key}' says nothing about a command")


def parse(text, name, path=None):
    return _Parser(name, path or name).parse(text)


def load(path):
    with open(path, encoding="utf-8") as f:
        return parse(f.read(), os.path.basename(path), path)


def named(top, name):
    """A scenario by its name; NAME+VARIANT is NAME as the function of that
    name makes it.
    """
    plain, plus, variant = name.partition("+")
    s = load(os.path.join(top, "scenarios", plain))
    if plus:
        if variant not in VARIANTS:
            raise ScenarioError(f"{name}: there is "
                                + " and ".join(f"{plain}+{v}"
                                               for v in VARIANTS))
        VARIANTS[variant](s)
    return s


def grants(s):
    """The same with guests that grant what they use, and nothing else."""
    s.name += "+grants"
    s.about += ", by grants"
    for g in s.guests.values():
        if g.kernel:
            continue
        g.kernel = GRANTS_KERNEL[g.type]
        require_grants(g)


def require_grants(g):
    g.devices = [d if "grants=" in d else d + ",grants=require"
                 for d in g.devices]


def arm64(s):
    """The same on Arm, where all guests are PVH and, as their device trees
    say, grant what they use.
    """
    s.name += "+arm64"
    s.about += ", on Arm"
    if s.dom0 != "plain":
        raise ScenarioError(f"{s.name}: dom0 '{s.dom0}' is not for Arm")
    s.dom0 = "arm64"
    for g in s.guests.values():
        g.type = "pvh"
        require_grants(g)


VARIANTS = {"grants": grants, "arm64": arm64}


def check(step, status, output, kept):
    """What is wrong with a command's outcome; None if nothing is."""
    if step.status == "nonzero":
        if status == 0:
            return "exits 0, it should have failed"
    elif step.status != "any" and status != step.status:
        return f"exits {status}, expected {step.status}"
    for kind, text in step.expect:
        want = expand(text, kept)
        if kind == "prints" and want not in output:
            return f"does not print '{want}'"
        if kind == "lacks" and want in output:
            return f"prints '{want}'"
        if kind == "is" and output.strip() != want:
            return f"prints something other than '{want}'"
        if kind == "matches" and not re.search(text, output, re.M):
            return f"prints nothing that matches {text}"
    return None


def expand(text, kept):
    """Put kept values where $NAME stands."""
    return re.sub(r"\$(\w+)", lambda m: kept.get(m.group(1), m.group(0)),
                  text)

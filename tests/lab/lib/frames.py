"""How commands travel to a guest's console and reports come back.

The other end is guest/agent.  A console is shared with the kernel, whose
messages may fall between lines and into them; so a report says how many lines
it has and their checksum, and is asked for again when it does not add up.
"""

import base64
import hashlib


def run_line(job, command):
    """The line that makes the agent run a command."""
    return f"@run {job} {base64.b64encode(command.encode()).decode()}\n"


def ask_line(job):
    """The line that makes the agent say how a job is doing."""
    return f"@ask {job}\n"


class Reports:
    """Picks the agent's lines out of what a console prints.

    feed() returns what was understood: ("hello",), ("pong", n),
    ("busy", job), ("none", job), ("done", job, status, output) and
    ("torn", job) for a report that was damaged on the way.
    """

    MAX_LINE = 65536

    def __init__(self):
        self.rest = b""
        self.lines = {}

    def feed(self, data):
        found = []
        *whole, self.rest = (self.rest + data).split(b"\n")
        self.rest = self.rest[-self.MAX_LINE:]
        for line in whole:
            words = line.strip(b"\r").decode("ascii", "replace").split(" ")
            if words[0].startswith("@"):
                got = self._line(words)
                if got:
                    found.append(got)
        return found

    def _line(self, words):
        verb, args = words[0], words[1:]
        if verb == "@hello":
            return ("hello",)
        if verb in ("@pong", "@busy", "@none") and len(args) == 1:
            return (verb[1:], args[0])
        if verb == "@out" and len(args) == 2:
            self.lines.setdefault(args[0], []).append(args[1])
        elif verb == "@end" and len(args) == 4:
            return self._end(*args)
        return None

    def _end(self, job, status, count, digest):
        lines = self.lines.pop(job, [])
        text = "".join(line + "\n" for line in lines).encode()
        if (str(len(lines)) != count or not status.isdigit()
                or hashlib.md5(text).hexdigest() != digest):
            return ("torn", job)
        try:
            output = base64.b64decode(text, validate=False)
        except ValueError:
            return ("torn", job)
        return ("done", job, int(status), output.decode(errors="replace"))

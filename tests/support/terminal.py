"""A terminal, at which somebody does what a page says, from its top to its bottom."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.documentation import SHELL
from tests.support.servers.processes import PATIENCE

_BIN = Path(sys.executable).parent

# What is another in each run: a line that a page shows stands for any that differs in these.
_PASSING = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+]00:00)?", "a time"),
    (r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} GMT", "a time"),
    (r"(?:[0-9A-F]{2}:){15,}[0-9A-F]{2}", "a fingerprint"),
    (r"\b[0-9A-Fa-f]{16,}\b", "a number"),
    (r"\b\d+\.\d+ (?:hours|minutes|s)\b", "a duration"),
    # OpenSSL writes "CN = www" before version 3.2, and "CN=www" from then on.
    (r"\bCN ?= ?", "a common name"),
    (r"\bPID \d+", "a process"),
    (r"[A-Za-z0-9+/]{48,}={0,2}", "base64"),
]


class Terminal:
    """A shell that stays: directories, variables and what runs behind remain from block to block.

    Args:
        directory: where it begins.
        replace: what stands on pages, and what to type instead; a port, for example.
        stand_ins: scripts by the names of programs that there are none of here.
    """

    def __init__(self, directory, replace=None, stand_ins=None):
        self.replace = dict(replace or {})
        programs = directory / ".programs"
        programs.mkdir(exist_ok=True)
        for name, script in (stand_ins or {}).items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            env=os.environ
            | {
                "PATH": f"{programs}:{_BIN}:{os.environ['PATH']}",
                "HOME": str(directory),
                "VIRTUAL_ENV": "",
                "TERM": "dumb",
            },
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._shell.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.stdout.close()
        self._shell.wait()

    def run(self, command, *, code=0):
        """What the command prints, errors too; fails unless it ends with that exit code."""
        return self.shown(self._run(self.typed(command), command, code))

    def _run(self, typed, command, code=0):
        mark = secrets.token_hex(8)
        typed = f"{typed.rstrip()}\nprintf '\\n%s %d\\n' {mark} $?\n"
        watch = threading.Timer(PATIENCE * 3, self._shell.kill)
        watch.start()
        self._shell.stdin.write(typed)
        self._shell.stdin.flush()
        lines = []
        for line in self._shell.stdout:
            if line.startswith(mark):
                break
            lines.append(line)
        else:
            pytest.fail(f"the shell ended at {command!r}: {''.join(lines)}")
        watch.cancel()
        output = "".join(lines).removesuffix("\n")
        ended = int(line.split()[1])
        assert code is None or code == ended, f"{command} ended with {ended}\n{output}"
        return output

    def start(self, command, *, log, until):
        """Leave a command running behind, and wait until it has written that to its log."""
        log.touch()
        self.run(f"({command}) >{shlex.quote(str(log))} 2>&1 </dev/null &")
        deadline = time.monotonic() + PATIENCE
        while until not in log.read_text():
            assert time.monotonic() < deadline, f"{command}: {log.read_text()}"
            time.sleep(0.05)

    def typed(self, text):
        """What stands on the page, as it is typed here."""
        return _replaced(text, self.replace)

    def shown(self, text):
        """What is printed here, as the page shows it."""
        return _replaced(text, {str(here): shown for shown, here in self.replace.items()})

    def follow(self, block, **servers):
        """Do what one block says.

        A block with a caption is a file to write.  In a ``console`` block each ``$ command`` is
        run, and has to print what stands below it.  Everything else is a script for the shell.

        Args:
            servers: by the beginning of commands that stay, what they write when they are ready.
        """
        if block.caption:
            text = shlex.quote(self.typed(block.text).rstrip("\n"))
            self._run(f"printf '%s\\n' {text} >{block.caption}", block)
            if block.text.startswith("#!"):
                self._run(f"chmod +x {block.caption}", block)
        elif block.language == "console":
            for command, expected in conversation(block):
                assert_shows(expected, self.run(command, code=None), f"{block}: {command}")
        else:
            assert block.language in SHELL, f"{block} is nothing to do at a terminal"
            self.run(block.text)


def _replaced(text, replace):
    """All at once, so that nothing is replaced in what was put there; longer ones go first."""
    if not replace:
        return text
    longest_first = sorted(replace, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    return re.sub(pattern, lambda found: str(replace[found[0]]), text)


def conversation(block):
    """The commands of a console block, each with the lines that it shows."""
    found = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], []])
        elif found and not found[-1][1] and found[-1][0].endswith("\\"):
            found[-1][0] += f"\n{line}"
        else:
            found[-1][1].append(line)
    return [(command, "\n".join(lines).strip("\n")) for command, lines in found]


def assert_shows(expected, real, what=""):
    """What a page shows is what is printed, but for what is another each time.

    ``...`` stands for any part of a line, and alone on its line for any number of lines.
    """
    pattern = "\n".join(map(_pattern, expected.splitlines())).replace("<LINES>\n", "(?:.*\n)*?")
    pattern = pattern.replace("\n<LINES>", "(?:\n.*)*")
    assert re.fullmatch(pattern, real.strip("\n")), f"{what}\nshown:\n{expected}\nreal:\n{real}"


def _pattern(line):
    if line.strip() == "...":
        return "<LINES>"
    passing = "|".join(f"(?:{pattern})" for pattern, _ in _PASSING)
    parts = []
    for part in re.split(rf"((?:{passing})|\.\.\.)", line.rstrip()):
        if part == "...":
            parts.append(".*")
        else:
            [stands_for] = [p for p, _ in _PASSING if re.fullmatch(p, part)][:1] or [None]
            parts.append(stands_for or re.escape(part))
    return "".join(parts) + " *"

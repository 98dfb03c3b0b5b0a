"""A terminal that runs the commands of a page, from top to bottom."""

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
_BASH = ("bash", "--norc", "--noprofile")
_PATIENCE = PATIENCE * 3

# Bash runs a trap after each command that fails, also in the middle of a block.
_TRAP = "failed=; trap 'failed=\"$failed ${BASH_COMMAND%%[[:cntrl:]]*};\"' ERR"

# Text that differs between runs: on both sides, it only has to match the same pattern.
_VARIABLE = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+]00:00)?", "a time"),
    (r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} GMT", "a time"),
    (r"(?:[0-9A-F]{2}:){15,}[0-9A-F]{2}", "a fingerprint"),
    (r"\b[0-9A-Fa-f]{16,}\b", "a number"),
    (r"\b\d+\.\d+ (?:hours|minutes|s)\b", "a duration"),
    # OpenSSL before version 3.2 writes "CN = www", later versions "CN=www".
    (r"\bCN ?= ?", "a common name"),
    (r"\btk_[a-z2-7]{16}\b", "a token"),
    (r"\bPID \d+", "a process"),
    (r"[A-Za-z0-9+/]{48,}={0,2}", "base64"),
]


class Terminal:
    """A shell that keeps its directory, variables and background processes between code blocks.

    Args:
        directory: the working directory.
        replace: text on pages, and what to type instead, such as another port.
        stand_ins: scripts that replace programs, by the program's name.
        shell: the command that starts the shell, such as one on another machine.
        patience: the number of seconds that a command may take.
    """

    def __init__(self, directory, replace=None, stand_ins=None, *, shell=_BASH, patience=_PATIENCE):
        self.replace = dict(replace or {})
        self._patience = patience
        programs = directory / ".programs"
        programs.mkdir(exist_ok=True)
        for name, script in (stand_ins or {}).items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        self._shell = subprocess.Popen(
            list(shell),
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
        """Run a command; return its output, with standard error.

        It must end with this exit code, and with 0 no command in it may fail; None allows any.
        """
        return self.shown(self._run(self.typed(command), command, code))

    def _run(self, typed, command, code=0):
        mark = secrets.token_hex(8)
        typed = f"{_TRAP}\n{typed.rstrip()}\nprintf '\\n%s %d %s\\n' {mark} $? \"$failed\"\n"
        watch = threading.Timer(self._patience, self._shell.kill)
        watch.daemon = True
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
        ended, *failed = line.split()[1:]
        assert code is None or code == int(ended), f"{command} ended with {ended}\n{output}"
        assert code != 0 or not failed, f"{' '.join(failed)} failed\n{output}"
        return output

    def start(self, command, *, log, until):
        """Start a command in the background, and wait until this text is in its log."""
        log.touch()
        self.run(f"({command}) >{shlex.quote(str(log))} 2>&1 </dev/null &")
        deadline = time.monotonic() + PATIENCE
        while until not in log.read_text():
            assert time.monotonic() < deadline, f"{command}: {log.read_text()}"
            time.sleep(0.05)

    def typed(self, text):
        """The text of a page, as it is typed here."""
        return _replaced(text, self.replace)

    def shown(self, text):
        """The output, as the page shows it."""
        return _replaced(text, {str(here): shown for shown, here in self.replace.items()})

    def follow(self, block, **servers):
        """Run the commands of a code block.

        A block with a caption is written to a file.  In a ``console`` block, each ``$ command`` is
        run and has to print the lines below it.  Every other block is run as a shell script.
        """
        if block.caption:
            text = shlex.quote(self.typed(block.text).rstrip("\n"))
            self._run(f"printf '%s\\n' {text} >{block.caption}", block)
            if block.text.startswith("#!"):
                self._run(f"chmod +x {block.caption}", block)
        elif block.language == "console":
            for command, expected in console_commands(block):
                assert_shows(expected, self.run(command, code=None), f"{block}: {command}")
        else:
            assert block.language in SHELL, f"{block} is nothing to do at a terminal"
            self.run(block.text)


def _replaced(text, replace):
    """Replace all texts in one pass, the longest first: no result is replaced again."""
    if not replace:
        return text
    longest_first = sorted(replace, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    return re.sub(pattern, lambda found: str(replace[found[0]]), text)


def console_commands(block):
    """The commands of a console block, each with the output that the block shows."""
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
    """Require that the output is what a page shows, except for text that differs between runs.

    ``...`` stands for any part of a line, or, alone on its line, for any number of lines.
    """
    pattern = "\n".join(map(_pattern, expected.splitlines())).replace("<LINES>\n", "(?:.*\n)*?")
    pattern = pattern.replace("\n<LINES>", "(?:\n.*)*")
    assert re.fullmatch(pattern, real.strip("\n")), f"{what}\nshown:\n{expected}\nreal:\n{real}"


def _pattern(line):
    if line.strip() == "...":
        return "<LINES>"
    variable = "|".join(f"(?:{pattern})" for pattern, _ in _VARIABLE)
    parts = []
    for part in re.split(rf"((?:{variable})|\.\.\.)", line.rstrip()):
        if part == "...":
            parts.append(".*")
        else:
            [stands_for] = [p for p, _ in _VARIABLE if re.fullmatch(p, part)][:1] or [None]
            parts.append(stands_for or re.escape(part))
    return "".join(parts) + " *"

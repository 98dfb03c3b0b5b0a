"""The files that a command runs: programs, scripts, and the interpreters of scripts."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

_VERSION = r"[0-9.]*"

# Programs that run the file in their first argument, even if it is not executable.
_INTERPRETER = re.compile(
    rf"(|a|ba|da|fi|k|mk|ya|z)sh|luajit|node|nodejs|(lua|perl|php|pypy|python|ruby|tclsh){_VERSION}"
)

# Programs that run another program, which they look up on the PATH.
_LAUNCHER = re.compile(
    r"busybox|chroot|chrt|doas|env|flock|ionice|nice|nohup|nsenter|prlimit|runuser|script|setpriv|"
    r"setsid|stdbuf|su|sudo|systemd-cat|systemd-run|taskset|time|timeout|unshare|watch|xargs"
)

# sh -c, bash -ec.
_OPTION_C = re.compile(r"-[A-Za-z]*c", re.ASCII)

# The most interpreters that Linux starts for one script, if scripts are interpreters.
_MAX_INTERPRETERS = 5


def program_of(word: str) -> str:
    """The path of a program, looked up on the PATH; the word itself if there is none."""
    return word if "/" in word else shutil.which(word) or word


def files_run_by(command: Sequence[str], depth: int = 0) -> Iterator[Path]:
    """The files that a command would run; commands inside a script are not included.

    Args:
        command: the program and its arguments.
        depth: the number of nested interpreters so far.
    """
    program = program_of(command[0])
    if "/" in program:
        yield from _with_interpreter(Path(program), depth)
    starts_others = _is_a(_INTERPRETER, program) or _is_a(_LAUNCHER, program)
    for word in command[1:]:
        pieces = _pieces(word)
        for piece in pieces:
            path = program_of(piece) if starts_others else piece
            if "/" in path and _is_file(path) and os.access(path, os.X_OK):
                yield from _with_interpreter(Path(path), depth)
        for before, piece in itertools.pairwise(pieces):
            if before in (".", "source"):
                yield Path(piece)
    yield from _scripts(command)


def _scripts(command: Sequence[str]) -> Iterator[Path]:
    """The scripts that interpreters in the command read; they need not be executable."""
    is_script_next = False
    for word in command:
        program = program_of(word)
        if _is_a(_INTERPRETER, program):
            is_script_next = True
        elif is_script_next and _OPTION_C.fullmatch(word):
            # The next word is the text of the script; files after it are arguments.
            is_script_next = False
        elif is_script_next and _is_file(word):
            yield Path(word)
            is_script_next = False
    if Path(command[0]).name == "run-parts":
        for word in command[1:]:
            # run-parts itself reports a missing directory.
            with contextlib.suppress(OSError):
                entries = list(Path(word).iterdir())
                yield from (Path(word), *entries)


def _with_interpreter(path: Path, depth: int) -> Iterator[Path]:
    """The program itself, and the interpreter in its first line with its files."""
    yield path
    line = b""
    if not _is_file(str(path)):
        # Opening a named pipe would wait for a writer.
        return
    with contextlib.suppress(OSError), path.open("rb") as file:
        line = file.read(256).partition(b"\n")[0]
    words = os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
    if words and depth < _MAX_INTERPRETERS:
        yield from files_run_by(words, depth + 1)


def _is_a(kind: re.Pattern[str], program: str) -> bool:
    """True if the name of the program, or of the target of its link, matches."""
    paths = (program, os.path.realpath(program)) if "/" in program else (program,)
    return any(kind.fullmatch(Path(path).name) for path in paths)


def _is_file(word: str) -> bool:
    # The text of a script can be too long for a path.
    with contextlib.suppress(OSError):
        return Path(word).is_file()
    return False


def _pieces(word: str) -> list[str]:
    """The words in an argument, which may be a script or an option with a value."""
    lexer = shlex.shlex(word, posix=True, punctuation_chars="();<>|&`")
    lexer.whitespace_split = True
    try:
        pieces = list(lexer)
    except ValueError:
        # A quotation mark is missing; the program may accept the word anyway.
        pieces = word.split()
    return [part for piece in [word, *pieces] for part in (piece, piece.partition("=")[2]) if part]

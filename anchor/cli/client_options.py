"""Common options, output and exit codes of the client's commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from anchor.client import tracking
from anchor.client.outcome import Outcome, Result, format_time
from anchor.client.renewal import Renewer
from anchor.client.tracking import StateDirectory

# sysexits.h: EX_TEMPFAIL is 75.
FAILED, HOOK_FAILED, UNAVAILABLE = 1, 3, 75


def add_state_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --state to the parser."""
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="the state directory; default: $ANCHOR_STATE, or /var/lib/anchor-client for "
        "root, or ~/.local/state/anchor",
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options --json and --quiet to the parser."""
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.add_argument(
        "--quiet", action="store_true", help="print nothing unless something is wrong"
    )


def state_directory(namespace: argparse.Namespace) -> StateDirectory:
    """The state directory of the command line, or the default one."""
    path: Path = namespace.state or tracking.default_state_directory()
    return StateDirectory(path.absolute())


def renewer(namespace: argparse.Namespace) -> Renewer:
    """A renewer for the state directory; it prints its progress on a terminal."""
    on_terminal = sys.stderr.isatty() and not namespace.quiet

    def progress(line: str) -> None:
        if on_terminal:
            print(_coloured(f"{line} ...", "2", sys.stderr), file=sys.stderr)

    return Renewer(state_directory(namespace), progress)


def print_outcome(outcome: Outcome, namespace: argparse.Namespace) -> None:
    """Print one line: a success to standard output, a failure to standard error."""
    if outcome.warning:
        print(_coloured(f"{outcome.name}: {outcome.warning}", "33", sys.stderr), file=sys.stderr)
    if exit_code(outcome):
        colour = "33" if exit_code(outcome) == UNAVAILABLE else "31"
        line = _coloured(outcome.message, colour, sys.stderr)
        print(line, file=sys.stderr, flush=True)
    elif not namespace.quiet and not namespace.json:
        print(_coloured(outcome.message, "32", sys.stdout), flush=True)


def exit_code(outcome: Outcome) -> int:
    """The exit code for an outcome."""
    return {
        Result.FAILED: FAILED,
        Result.HOOK_FAILED: HOOK_FAILED,
        Result.POSTPONED: UNAVAILABLE,
    }.get(outcome.result, 0)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a JSON object."""
    return {
        "name": outcome.name,
        "result": outcome.result.value,
        "message": outcome.message,
        "directory": str(outcome.directory) if outcome.directory else None,
        "not_after": format_time(outcome.not_after) if outcome.not_after else None,
        "renews_from": format_time(outcome.renews) if outcome.renews else None,
        "obtained_with": outcome.obtained_with,
        "why_secret": outcome.why_secret or None,
        "deleted_secret": str(outcome.deleted_secret) if outcome.deleted_secret else None,
    }


def print_json(document: object) -> None:
    """Print a document as JSON."""
    print(json.dumps(document, indent=2), flush=True)


def _coloured(line: str, colour: str, stream: Any) -> str:
    """The line in colour on a terminal, unless NO_COLOR is set (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return line
    return f"\x1b[{colour}m{line}\x1b[0m"

"""``anchor unban``: lift a ban."""

from __future__ import annotations

import argparse

from anchor.cli.ban import add_subject
from anchor.cli.check import add_config_option
from anchor.cli.command_modules import run_from


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = "Lift a ban, from the next request on."
    add_subject(parser, nargs=None)
    parser.add_argument("--dry-run", action="store_true", help="only print the ban")
    add_config_option(parser)
    parser.set_defaults(run=run_from("ban_commands", "run_unban"))

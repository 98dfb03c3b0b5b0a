"""``anchor version``: print the version."""

from __future__ import annotations

import argparse

import anchor


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.description = "Print the version, as `anchor --version` does."
    parser.set_defaults(run=run)


def run(_namespace: argparse.Namespace) -> int:
    """Print the version."""
    print(f"anchor {anchor.__version__}")
    return 0

"""The modules of the commands, imported when they are needed, because their libraries are large."""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
from collections.abc import Callable
from typing import Any

from anchor.cli.output import print_error


def import_module(name: str) -> Any:
    """The module of this package with that name."""
    module = f"anchor.cli.{name}"
    if module in sys.modules:
        return sys.modules[module]
    # Imports make many objects and no garbage. To search them for it, here and at the exit of the
    # process, takes a quarter of the time of a short command.
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.enable()
        gc.freeze()


def report_missing_library(error: ModuleNotFoundError) -> int:
    """Print which library a command lacks, because only the client is installed; return 1.

    Raises:
        ModuleNotFoundError: a module of Anchor is missing.
    """
    if str(error.name).startswith("anchor"):
        raise error
    print_error(
        f"this command needs the library {error.name}, which is not installed. On Debian, "
        "it is in the package anchor; anchor-client has only what machines need."
    )
    return 1


def run_from(module: str, function: str = "run") -> Callable[[argparse.Namespace], int]:
    """A command whose module is imported when it runs."""

    def run(namespace: argparse.Namespace) -> int:
        code: int = getattr(import_module(module), function)(namespace)
        return code

    return run

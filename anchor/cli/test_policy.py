"""``anchor test-policy``: run test cases with expected outcomes against a policy."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from anchor.cli import junit
from anchor.cli.check import add_config_option
from anchor.cli.junit import Result
from anchor.cli.terminal import GREEN, RED, Painter, is_coloured, printable
from anchor.errors import ConfigurationError
from anchor.policy_tools import test_cases
from anchor.policy_tools.sample_csrs import CsrFactory
from anchor.policy_tools.test_cases import Case


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Run the test cases in each FILE, which names its configuration, and compare "
        "their outcomes with the expected ones. Nothing is signed, and neither the CA's key nor "
        "the authentication backend is needed. Exits with 0 if every case passes, and with 1 if "
        "not, or if a file has errors."
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="test cases in JSON")
    add_config_option(parser, "config.json; default: the one that FILE names")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML")
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Run the cases."""
    suites = _load(namespace.files, namespace.config)
    if suites is None:
        return 1
    painter = Painter(coloured=is_coloured(sys.stdout))
    results: list[Result] = []
    for path, cases in suites.items():
        print(printable(str(path)))
        for case in cases:
            result = _try(path, case)
            results.append(result)
            print(f"  {_line(result, painter)}")
    failed = sum(result.failure is not None for result in results)
    summary = f"{len(results) - failed} passed, {failed} failed"
    print(painter.paint(RED if failed else GREEN, summary))
    if namespace.junit:
        try:
            junit.write(namespace.junit, results)
        except OSError as error:
            raise ConfigurationError.about(
                "", f"{namespace.junit} cannot be written: {error.strerror}"
            ) from None
    return 1 if failed else 0


def _load(files: list[Path], config: Path | None) -> dict[Path, tuple[Case, ...]] | None:
    """The cases of every file; None, after printing all errors, if a file has any."""
    factory = CsrFactory()
    suites: dict[Path, tuple[Case, ...]] = {}
    count = 0
    for path in files:
        try:
            suites[path] = test_cases.load(path, factory, config)
        except ConfigurationError as error:
            for problem in error.problems:
                print(printable(f"{path}: {problem}"), file=sys.stderr)
            count += len(error.problems)
    if count:
        print(f"{count} error{'s' if count > 1 else ''}, no case was run", file=sys.stderr)
        return None
    return suites


def _try(path: Path, case: Case) -> Result:
    start = time.perf_counter()
    failure = case.failure()
    return Result(str(path), case.name, failure, time.perf_counter() - start)


def _line(result: Result, painter: Painter) -> str:
    if result.failure is None:
        return f"{painter.paint(GREEN, 'ok')}      {printable(result.case)}"
    failed = painter.paint(RED, "FAILED")
    return f"{failed}  {printable(result.case)}: {printable(result.failure)}"

"""``anchor check``: validate a configuration and give advice."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from anchor.cli.parser import CommandLineError
from anchor.cli.terminal import BOLD, RED, YELLOW, Painter, is_coloured
from anchor.config.document import find_config, read_document
from anchor.errors import ConfigProblem, ConfigurationError

if TYPE_CHECKING:
    from anchor.authorities import LoadedConfiguration
    from anchor.cli.config_py import ConfigPy
    from anchor.config_lint.rules import Advice

# The levels of anchor.config_lint, which is imported only when it is needed.
LEVELS = ("notice", "warning", "danger")

CONFIG_HELP = (
    "the configuration; default: the file that $ANCHOR_CONF names, or the first config.json in "
    "the default paths"
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Validate config.json and config.py as the service does at its start, and give "
        "advice. Exits with 0 if the service would start. Otherwise prints all errors and exits "
        "with 1. Advice changes the exit code only with --fail-on."
    )
    parser.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="the configuration, as with --config"
    )
    add_config_option(parser)
    parser.add_argument(
        "--fail-on",
        choices=LEVELS,
        metavar="LEVEL",
        help=f"exit with 1 for advice of this level or above: {', '.join(LEVELS)}",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="the output format; default: text",
    )
    parser.set_defaults(run=run)


def add_config_option(
    parser: argparse.ArgumentParser,
    help_text: str = CONFIG_HELP,
    *,
    default: str | None = None,
) -> None:
    """Add the option --config to the parser."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=help_text, default=default)


def run(namespace: argparse.Namespace) -> int:
    """Validate the configuration and print errors or advice."""
    errors: tuple[ConfigProblem, ...] = ()
    authorities: list[str] = []
    findings: list[Advice] = []
    path = _path(namespace)
    try:
        path = path or find_config()
        authorities, findings = _validate(path)
    except ConfigurationError as error:
        errors = error.problems
    show = _as_json if namespace.format == "json" else _as_text
    show(path, authorities, errors, findings)
    worst = max((advice.level for advice in findings), default=0)
    fails = namespace.fail_on and worst > LEVELS.index(namespace.fail_on)
    if errors:
        return max(each.exit_status for each in errors)
    return 1 if fails else 0


def _path(namespace: argparse.Namespace) -> Path | None:
    file: Path | None = namespace.file
    config: Path | None = namespace.config
    if file and config and file.absolute() != config.absolute():
        raise CommandLineError(f"FILE is {file}, and --config is {config}: give one of them")
    return file or config


def _validate(path: Path) -> tuple[list[str], list[Advice]]:
    """The names of the authorities, and the advice."""
    # Imported here, because other commands import this module for its option.
    from anchor.audit import log_configuration  # noqa: PLC0415
    from anchor.authorities import load_authorities  # noqa: PLC0415
    from anchor.cli.config_py import read  # noqa: PLC0415
    from anchor.config.diagnostics import Diagnostics  # noqa: PLC0415
    from anchor.config_lint.review import ConfigUnderReview  # noqa: PLC0415
    from anchor.config_lint.rules import lint  # noqa: PLC0415
    from anchor.timestamps import utc_now  # noqa: PLC0415
    from anchor.web.settings import require_base_url  # noqa: PLC0415

    problems = Diagnostics()
    loaded: LoadedConfiguration | None = None
    with problems.at(), _silent_backends():
        loaded = load_authorities(path)
    own_handlers = logging.getLogger().handlers[:]
    config_py: ConfigPy | None = None
    with problems.at("config.py"):
        config_py = read(path)
        if config_py.exists:
            sinks = [each.audit for each in loaded.authorities.values()] if loaded else []
            log_configuration.dry_run(config_py.logging, sinks, own_handlers)
    with problems.at():
        # Without config.py nobody knows how the service is started.
        if loaded and config_py and config_py.exists:
            require_base_url(config_py.web, loaded.acme)
    problems.raise_if_any()
    assert loaded is not None
    document = read_document(path, problems)
    review = ConfigUnderReview(
        document=document,
        loaded=loaded,
        now=utc_now(),
        host=config_py.host,
        web=config_py.web,
    )
    return sorted(loaded.authorities), lint(review)


@contextmanager
def _silent_backends() -> Iterator[None]:
    """Suppress the warnings of authentication backends, which the advice repeats."""
    logger = logging.getLogger("anchor.auth")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _as_text(
    path: Path | None,
    authorities: list[str],
    errors: tuple[ConfigProblem, ...],
    findings: list[Advice],
) -> None:
    for problem in errors:
        print(problem, file=sys.stderr)
    if errors:
        count = len(errors)
        print(f"{path or 'anchor'}: {count} error{'s' if count > 1 else ''}", file=sys.stderr)
        return
    painter = Painter(coloured=is_coloured(sys.stderr))
    colours = dict(zip(LEVELS, (BOLD, YELLOW, RED), strict=True))
    for advice in findings:
        level, text = str(advice.level), str(advice)
        print(painter.paint(colours[level], level) + text.removeprefix(level), file=sys.stderr)
    print(f"{path}: good, for {', '.join(authorities)}")


def _as_json(
    path: Path | None,
    authorities: list[str],
    errors: tuple[ConfigProblem, ...],
    findings: list[Advice],
) -> None:
    report = {
        "config": str(path) if path else None,
        "good": not errors,
        "authorities": authorities,
        "errors": [{"path": each.path, "message": each.message} for each in errors],
        "advice": [
            {
                "identifier": each.identifier,
                "level": str(each.level),
                "path": each.path,
                "message": each.message,
                "link": each.link,
            }
            for each in findings
        ],
    }
    print(json.dumps(report, indent=2))

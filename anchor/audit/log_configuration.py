"""The section ``logging`` of ``config.py``: applied at start-up, tested by ``anchor check``."""

from __future__ import annotations

import copy
import json
import logging
import logging.config
import os
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from anchor.audit.sinks import AuditSink
from anchor.config.diagnostics import Diagnostics
from anchor.errors import ConfigurationError
from anchor.logs import AUDIT, Lines


def apply(configuration: Mapping[str, Any]) -> None:
    """Configure logging as ``logging.config.dictConfig`` does.

    Raises:
        ConfigurationError: ``dictConfig`` failed.
    """
    try:
        logging.config.dictConfig({"version": 1, **configuration})
    except (ValueError, TypeError, AttributeError, ImportError, OSError) as error:
        cause = error.__cause__
        because = f": {type(cause).__name__}: {cause}" if cause else ""
        raise ConfigurationError.about("logging", f"{error}{because}") from error
    # disable_existing_loggers, on by default, disables the audit logger if it exists already. That
    # must not depend on the order of imports.
    logging.getLogger(AUDIT).disabled = False


def require_sinks(sinks: Iterable[AuditSink]) -> None:
    """Require a configuration of logging that loses no audit events.

    Raises:
        ConfigurationError: it would lose events.
    """
    problems = Diagnostics()
    # Authorities share sinks.
    for sink in {id(sink): sink for sink in sinks}.values():
        with problems.at("logging"):
            sink.check()
    problems.raise_if_any()


def dry_run(
    configuration: Mapping[str, Any] | None,
    sinks: Iterable[AuditSink],
    without: Collection[logging.Handler] = (),
) -> None:
    """Require that the service can start with this configuration of logging.

    A forked process applies it, and opens no log file, so that this process does not change.

    Args:
        configuration: the section of ``config.py``; None if there is none.
        sinks: the sinks whose events must not be lost.
        without: handlers of the root logger that this process has and the service has not.

    Raises:
        ConfigurationError: logging cannot be configured, or would lose events.
    """
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns about a fork with threads; the child needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        try:
            for handler in without:
                logging.getLogger().removeHandler(handler)
            os.write(write_end, json.dumps(_problems(configuration, sinks)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        text = answer.read()
    os.waitpid(process, 0)
    problems = Diagnostics()
    for path, message in json.loads(text or b'[["logging", "cannot be applied"]]'):
        problems.add(path, message)
    problems.raise_if_any()


def _problems(
    configuration: Mapping[str, Any] | None, sinks: Iterable[AuditSink]
) -> list[tuple[str, str]]:
    try:
        if configuration:
            apply(_without_files(configuration))
        require_sinks(sinks)
    except ConfigurationError as error:
        return [(problem.path, problem.message[:1000]) for problem in error.problems]
    return []


def _without_files(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration, with file handlers that open their file at the first line."""
    changed: dict[str, Any] = {**configuration}
    handlers = configuration.get("handlers")
    if isinstance(handlers, Mapping):
        changed["handlers"] = {name: _delayed(options) for name, options in handlers.items()}
    return changed


def _delayed(options: Any) -> Any:
    name = options.get("class") if isinstance(options, Mapping) else None
    if not isinstance(name, str):
        return options
    try:
        handler_class = logging.config.BaseConfigurator({}).resolve(name)
    except ValueError:
        return options
    if isinstance(handler_class, type) and issubclass(handler_class, logging.FileHandler | Lines):
        return {**copy.copy(options), "delay": True}
    return options

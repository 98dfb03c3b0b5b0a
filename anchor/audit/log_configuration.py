"""``logging`` in ``config.py``: applied at start-up, and tried by ``anchor check``."""

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
        ConfigurationError: it cannot be done; the text says why.
    """
    try:
        logging.config.dictConfig({"version": 1, **configuration})
    except (ValueError, TypeError, AttributeError, ImportError, OSError) as error:
        cause = error.__cause__
        because = f": {type(cause).__name__}: {cause}" if cause else ""
        raise ConfigurationError.about("logging", f"{error}{because}") from error
    # disable_existing_loggers, the default, would disable it if it was used before: the record does
    # not depend on the order in which modules are imported.
    logging.getLogger(AUDIT).disabled = False


def require_sinks(sinks: Iterable[AuditSink]) -> None:
    """Return if logging, as it is now, keeps the audit events that go to it.

    Raises:
        ConfigurationError: it would lose them.
    """
    problems = Diagnostics()
    # Authorities share them.
    for sink in {id(sink): sink for sink in sinks}.values():
        with problems.at("logging"):
            sink.check()
    problems.raise_if_any()


def try_out(
    configuration: Mapping[str, Any] | None,
    sinks: Iterable[AuditSink],
    without: Collection[logging.Handler] = (),
) -> None:
    """Return if the service could start with this configuration of logging.

    It is applied in a process of its own, which opens no log file, so nothing is left of it.

    Args:
        configuration: the section of ``config.py``; None if there is none.
        sinks: their audit events have to be kept.
        without: the root logger's handlers that this process has, and a service has not.

    Raises:
        ConfigurationError: it could not.
    """
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads, of which the new process needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        try:
            for handler in without:
                logging.getLogger().removeHandler(handler)
            os.write(theirs, json.dumps(_tried(configuration, sinks)).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        text = answer.read()
    os.waitpid(process, 0)
    problems = Diagnostics()
    for path, message in json.loads(text or b'[["logging", "cannot be applied"]]'):
        problems.add(path, message)
    problems.raise_if_any()


def _tried(
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
    """The same, with handlers that open their files with the first line only."""
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
        kind = logging.config.BaseConfigurator({}).resolve(name)
    except ValueError:
        return options
    if isinstance(kind, type) and issubclass(kind, logging.FileHandler | Lines):
        return {**copy.copy(options), "delay": True}
    return options

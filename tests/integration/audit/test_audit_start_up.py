"""Logging that would lose audit events fails ``anchor check`` and the start."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from anchor.cli.main import main


def with_logging(tmp_path, configuration, more=""):
    """The shipped config.py with another logging section."""
    if isinstance(configuration, dict):
        # Pecan needs it for keys that are not Python names.
        configuration = {"__force_dict__": True, **configuration}
    (tmp_path / "config.py").write_text(
        'server = {"host": "127.0.0.1", "port": "5016"}\n'
        f'app = {{"modules": ["anchor"]}}\nweb = {{}}\nlogging = {configuration!r}\n{more}'
    )


def audit_to(kind, **options):
    """The audit logger with one handler."""
    return {
        "handlers": {"audit": {"class": kind, **options}},
        "loggers": {"anchor.audit": {"level": "INFO", "handlers": ["audit"], "propagate": False}},
    }


def check_and_start(document, directory, *logging_and_more):
    """Run ``anchor check``, then start the service, with that section of ``config.py``."""
    with_logging(directory, *logging_and_more)
    (directory / "config.json").write_text(json.dumps(document))
    environment = os.environ | {"PECAN_CONFIG": str(directory / "config.py")}
    environment["ANCHOR_CONF"] = str(directory / "config.json")
    # Run the command in this process, which is faster; it leaves no state behind.
    return subprocess.run(
        [sys.executable, "-c", CHECK_AND_START],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
    )


LINES = "anchor.logs.Lines"
_TO_A = {"level": "INFO", "handlers": ["a"]}
LOSING = {
    "no logging": (None,),
    "no logger": ({"version": 1},),
    "root too high": ({"handlers": {"a": {"class": LINES}}, "root": {"handlers": ["a"]}},),
    "no handlers": ({"loggers": {"anchor.audit": {"level": "INFO", "propagate": False}}},),
    "null": (audit_to("logging.NullHandler"),),
    "memory": (audit_to("logging.handlers.MemoryHandler", capacity=9),),
    "handler level": (audit_to(LINES, level="ERROR"),),
    "no such directory": (audit_to(LINES, filename="/nowhere/audit.log"),),
    "no such file handler": (audit_to("logging.FileHandler", filename="/nowhere/audit.log"),),
    "no such class": (audit_to("anchor.logs.Line"),),
    "no syslog": (audit_to("logging.handlers.SysLogHandler", address="/nowhere/log"),),
    "kept nowhere": (audit_to(LINES, filename="/dev/null"),),
    "overwritten": (audit_to("logging.FileHandler", filename="/dev/null", mode="w"),),
    "handler filter, and nobody above": (
        {
            "filters": {"others": {"name": "other"}},
            "handlers": {"audit": {"class": LINES, "filters": ["others"]}},
            "loggers": {"anchor.audit": {"level": "INFO", "handlers": ["audit"]}},
        },
    ),
    "switched off": (audit_to(LINES), "import logging as module; module.disable(module.INFO)"),
    "not a dictionary": ([1],),
}


@pytest.mark.parametrize("kind", LOSING)
def test_logging_that_loses_events_fails_the_check_and_the_start(document, tmp_path, kind):
    tried = check_and_start(document, tmp_path, *LOSING[kind])

    checked, started = tried.stderr.split("checked: ")
    assert "config.py.logging: " in checked
    assert started.startswith("1\n")
    assert tried.returncode == 1
    assert "ConfigurationError: logging: " in started or kind == "not a dictionary"


KEEPING = {
    "the root logger, others disabled": (
        {"handlers": {"a": {"class": LINES}}, "root": {"level": "INFO", "handlers": ["a"]}},
    ),
    "a parent": ({"handlers": {"a": {"class": LINES}}, "loggers": {"anchor": _TO_A}},),
    "a filter of a parent, which records pass by": (
        {
            "filters": {"others": {"name": "other"}},
            "handlers": {"a": {"class": LINES}},
            "loggers": {"anchor": {**_TO_A, "filters": ["others"]}},
        },
    ),
}


@pytest.mark.parametrize("kind", KEEPING)
def test_logging_that_records_events_passes_the_check_and_the_start(document, tmp_path, kind):
    tried = check_and_start(document, tmp_path, *KEEPING[kind])

    assert tried.returncode == 0, tried.stderr
    assert "checked: 0" in tried.stderr


CHECK_AND_START = """
import logging
import sys
from anchor.cli.main import main
print("checked:", main(["check"]), file=sys.stderr)
logging.getLogger().handlers.clear()
import anchor.wsgi
"""


def test_the_check_changes_neither_logging_nor_files(document, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PECAN_CONFIG", raising=False)
    (tmp_path / "logs").mkdir()
    logging_to = audit_to(LINES, filename=str(tmp_path / "logs/audit.log"))
    logging_to["handlers"]["other"] = {
        "class": "logging.handlers.WatchedFileHandler",
        "filename": str(tmp_path / "logs/other.log"),
    }
    with_logging(tmp_path, logging_to)
    (tmp_path / "config.json").write_text(json.dumps(document))
    before = logging.getLogger().handlers[:]

    assert main(["check", "--config", str(tmp_path / "config.json")]) == 0

    assert list((tmp_path / "logs").iterdir()) == []
    assert logging.getLogger().handlers == before


def test_an_audit_file_needs_no_logging(document, tmp_path):
    assert main(["audit", "init", str(tmp_path / "audit.key")]) == 0
    document["audit"] = {
        "target": "file",
        "path": "audit.jsonl",
        "checkpoint_key_path": str(tmp_path / "audit.key"),
    }
    with_logging(tmp_path, None)
    (tmp_path / "config.json").write_text(json.dumps(document))
    assert main(["check", "--config", str(tmp_path / "config.json")]) == 0

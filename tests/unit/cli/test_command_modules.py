"""Commands whose libraries are missing."""

from __future__ import annotations

import importlib
import sys

import pytest

from anchor.cli.main import main


def failing(name):
    def fail(module):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    return fail


def test_a_command_without_its_library_says_which_package_has_it(monkeypatch, capsys):
    monkeypatch.setattr(importlib, "import_module", failing("sqlalchemy"))
    monkeypatch.delitem(sys.modules, "anchor.cli.token", raising=False)

    assert 1 == main(["token", "list"])

    printed = capsys.readouterr().err
    assert "this command needs the library sqlalchemy, which is not installed" in printed
    assert "it is in the package anchor;" in printed


def test_a_missing_module_of_anchor_is_not_hidden(monkeypatch):
    monkeypatch.setattr(importlib, "import_module", failing("anchor.cli.token"))
    monkeypatch.delitem(sys.modules, "anchor.cli.token", raising=False)

    with pytest.raises(ModuleNotFoundError, match=r"anchor\.cli\.token"):
        main(["token", "list"])

"""A config.py that cannot be used is reported in one line, as `anchor check` reports it."""

from __future__ import annotations

import pytest

from anchor.cli import main

# Pecan runs config.py with it.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module")


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ("server = {", "SyntaxError: '{' was never closed (config.py, line 1)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_config_py_that_cannot_be_run_is_reported_in_one_line(
    contents, reason, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("ANCHOR_CONF", "")
    main.main(["init", str(tmp_path)])
    path = tmp_path / "config.py"
    path.write_text(f"{contents}\n")
    capsys.readouterr()

    assert main.main(["serve", "--config", str(tmp_path / "config.json")]) == 1
    assert capsys.readouterr().err == f"anchor: {path} cannot be run: {reason}\n"


def test_a_config_py_without_the_sections_of_the_server_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ANCHOR_CONF", "")
    main.main(["init", str(tmp_path)])
    path = tmp_path / "config.py"
    path.write_text("server = {'host': '127.0.0.1'}\n")
    capsys.readouterr()

    assert main.main(["serve", "--config", str(tmp_path / "config.json"), "--port", "1"]) == 1
    assert capsys.readouterr().err == (
        f"anchor: server: {path} needs a dictionary with 'host' and 'port'\n"
        f"app: {path} needs a dictionary with 'modules'\n"
    )


def test_a_user_with_a_colon_gets_no_configuration(tmp_path, capsys):
    assert main.main(["init", str(tmp_path), "--user", "a:b"]) == 1
    assert "--user has a colon, which HTTP Basic authentication cannot send" in (
        capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())

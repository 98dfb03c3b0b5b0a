"""The man pages and the shell completion are those of the commands, and work."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess

import pytest

from anchor.cli import main
from tests.support.paths import ROOT

_SPEC = importlib.util.spec_from_file_location("command_files", ROOT / "tools/command_files.py")
command_files = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(command_files)


def test_the_files_are_current():
    for name, text in command_files.generated().items():
        assert (ROOT / name).read_text() == text, (
            f"{name} is not current: .venv/python3/bin/python tools/command_files.py"
        )


def test_the_man_page_has_every_command_and_option():
    page = (ROOT / "doc/man/anchor.1").read_text().replace("\\-", "-")
    for parser in command_files.tree(main.make_parser(*main.COMMANDS)):
        assert parser.prog == "anchor" or f'.SH "{parser.prog.upper()}"\n' in page
        for action in parser._actions:
            assert all(f"\\fB{option}\\fR" in page for option in action.option_strings)


@pytest.mark.skipif(not shutil.which("groff"), reason="man needs groff")
@pytest.mark.parametrize("name", ["anchor", "anchor-certmonger"])
def test_groff_has_no_warning_about_a_man_page(name):
    finished = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", ROOT / f"doc/man/{name}.1"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert finished.stderr == ""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["tok"], {"token"}),
        (["token", ""], {"create", "list", "revoke", "--help"}),
        (["token", "create", "--requ"], {"--requester"}),
        (["check", "--fail-on", ""], {"notice", "warning", "danger"}),
        (["check", "--config", "setup."], {"setup.cfg", "setup.py"}),
        (["check", "setup.c"], {"setup.cfg"}),
        (["user", "add", "--prompt", "--sec"], {"--secret-file"}),
        (["ban", "na"], {"name"}),
        (["help", "tok"], {"token"}),
    ],
    ids=lambda words: " ".join(sorted(words)),
)
def test_bash_completes_commands_options_values_and_files(typed, offered):
    script = """
        set -u
        . tools/completion/anchor
        complete -p anchor >&2
        COMP_WORDS=(anchor "$@") COMP_CWORD=$#
        COMPREPLY=()
        _anchor
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    finished = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *typed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert finished.stderr == "complete -o filenames -F _anchor anchor\n"
    assert set(finished.stdout.split()) == offered


def test_zsh_completes_values_of_options_and_arguments():
    text = (ROOT / "tools/completion/_anchor").read_text()
    assert "(' check:--fail-on') compadd notice warning danger; return ;;" in text
    assert "(' unban') choices=(name requester key certificate --help" in text
    assert "(' help') choices=(serve init " in text


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("anchor check --fail-on ", {"notice", "warning", "danger"}),
        ("anchor ban na", {"name"}),
        ("anchor help tok", {"token"}),
        ("anchor token ", {"create", "list", "revoke"}),
    ],
)
def test_fish_completes_commands_and_values(typed, offered, tmp_path):
    finished = subprocess.run(
        [
            "fish",
            "--no-config",
            "-c",
            f"source tools/completion/anchor.fish; complete -C '{typed}'",
        ],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert {line.partition("\t")[0] for line in finished.stdout.splitlines()} == offered

"""Typing mistakes get suggestions, and the help has examples and defaults."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys

import pytest

from anchor.cli import main
from anchor.cli.examples import examples


def subparsers(parser):
    """The parser, and those of its commands, with their commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from subparsers(each)


PARSERS = {parser.prog: parser for parser in subparsers(main.make_parser(*main.COMMANDS))}


@pytest.mark.parametrize(
    ("words", "prog", "message"),
    [
        ("chek", "anchor", "unknown command 'chek': did you mean 'check'?"),
        ("xyzzy", "anchor", "unknown command 'xyzzy': `anchor --help` lists them"),
        ("token creat", "anchor token", "unknown command 'creat': did you mean 'create'?"),
        ("help toke", "anchor", "unknown command 'toke': did you mean 'token'?"),
        ("check --confg x", "anchor check", "unknown option --confg: did you mean '--config'?"),
        ("check --xyzzy", "anchor check", "unknown option --xyzzy"),
        ("check a b", "anchor check", "unexpected argument 'b'"),
        ("certs --xyzzy", "anchor certs", "unknown option --xyzzy"),
        ("certs --fro a", "anchor certs", "unknown option --fro: did you mean '--for'?"),
        ("certs --limit 5 -x", "anchor certs", "unknown option -x"),
        ("certs --limit -1", "anchor certs", "argument --limit: '-1' is not a positive number"),
        ("--verison", "anchor", "unknown option --verison: did you mean '--version'?"),
        (
            "--config a.json check",
            "anchor",
            "unknown option --config: write a command's options after its name",
        ),
        (
            "token --json list",
            "anchor token",
            "unknown option --json: write a command's options after its name",
        ),
        (
            "token create --requestr web1",
            "anchor token create",
            "unknown option --requestr: did you mean '--requester'?",
        ),
        (
            "user add web1 --secret=s3cret",
            "anchor user add",
            "unknown option --secret: did you mean '--secret-file'?",
        ),
        (
            "check --format jsn",
            "anchor check",
            "argument --format: invalid choice 'jsn': did you mean 'json'?",
        ),
        (
            "check --format xyzzy",
            "anchor check",
            "argument --format: invalid choice 'xyzzy': choose from text, json",
        ),
    ],
)
def test_a_mistake_is_answered_with_the_usage_of_its_command(words, prog, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(words.split())

    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith(f"usage: {prog} [-h]")
    assert error.endswith(f"\n{prog}: {message}\n")
    assert "s3cret" not in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("serve --port http", "--port: 'http' is not a port: a number from 1 to 65535 is needed"),
        ("serve --port 65536", "--port: '65536' is not a port: a number from 1 to 65535 is needed"),
        ("init --days 1.5", "--days: '1.5' is not a whole number"),
        ("ban name a.example --hours nan", "--hours: 'nan' is too large"),
        ("ban name a.example --hours two", "--hours: 'two' is not a number"),
        ("request a.example --wait -1", "--wait: '-1' is less than 0 seconds"),
        ("request a.example --key-mode 644", "--key-mode: '644' is not 400, 600, 440, 640 or 660"),
        ("request a.example --renew-when-left 2", "'2' is not from 0.05 to 0.95"),
        ("request a.example --hook it's", '--hook: "it\'s": a quotation mark is not closed'),
        (
            "request a.example --hook a\\",
            "--hook: 'a\\\\': nothing follows the backslash at its end",
        ),
        (
            "explain --from localhost www.csr",
            "--from: 'localhost' is not an IP address such as 192.0.2.1 or 2001:db8::1",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_in_plain_words(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(words.split())

    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.endswith(f"{message}\n")
    assert "invalid" not in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("certs --dry-run", "--dry-run is an option of --prune"),
        ("certs --older-than 0", "--older-than is an option of --prune"),
        ("ban --hours 2", "--hours needs KIND and VALUE: what is to be banned"),
    ],
)
def test_an_option_that_would_do_nothing_is_a_mistake(words, message, capsys, tmp_path):
    main.main(["init", str(tmp_path)])
    config = str(tmp_path / "config.json")

    assert main.main([*words.split(), "--config", config]) == 2
    assert capsys.readouterr().err == f"anchor: {message}\n"


@pytest.mark.parametrize("prog", PARSERS)
def test_no_type_of_an_argument_leaves_its_message_to_argparse(prog):
    for action in PARSERS[prog]._actions:
        # argparse would name the function: "invalid int value".
        assert action.type not in (int, float), f"{prog}: {action.dest}"


def test_two_different_configurations_to_check_are_a_mistake(capsys, tmp_path):
    assert main.main(["check", "a.json", "--config", "b.json"]) == 2
    assert (
        capsys.readouterr().err
        == "anchor: FILE is a.json, and --config is b.json: give one of them\n"
    )


def test_the_configuration_to_check_needs_no_option(capsys, tmp_path):
    assert main.main(["check", str(tmp_path)]) == 1
    assert main.main(["check", str(tmp_path), "--config", str(tmp_path)]) == 1
    assert f"{tmp_path} cannot be read: Is a directory" in capsys.readouterr().err


@pytest.mark.slow
def test_names_in_the_configuration_get_suggestions_and_no_other_line(tmp_path):
    assert main.main(["init", str(tmp_path / "new")]) == 0
    config = tmp_path / "new/config.json"
    text = config.read_text()
    for right, wrong in (
        ("standards_compliance", "standard_compliance"),
        ("enforce_alternative_names_present", "enforce_alternative_names"),
        ('"backend": "static"', '"backend": "statik"'),
        ("output_path", "outputpath"),
        ('"cidrs"', '"cdirs"'),
        ('"audit"', '"audits"'),
        ('"signing_ca": "local"', '"signing_ca": "locla"'),
    ):
        text = text.replace(right, wrong)
    config.write_text(text)

    finished = subprocess.run(
        [sys.executable, "-m", "anchor", "check", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 1
    *problems, last = finished.stderr.splitlines()
    suggestions = [line.rpartition("did you mean ")[2] for line in problems if "did you" in line]
    assert sorted(suggestions) == [
        "'audit'?",
        "'cidrs'?",
        "'enforce_alternative_names_present'?",
        "'local'?",
        "'output_path'?",
        "'standards_compliance'?",
        "'static'?",
    ]
    assert "Could not" not in finished.stderr
    assert "errors" in last


@pytest.mark.parametrize("words", [["help", "token", "create"], ["token", "create", "--help"]])
def test_the_help_of_a_command_can_be_asked_for_in_two_ways(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(words)

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: anchor token create")


@pytest.mark.parametrize("words", [["anchor", "version"], ["-m", "anchor", "--version"]])
def test_the_version_can_be_asked_for_in_several_ways(words, capsys):
    if words[0] == "anchor":
        assert main.main(words[1:]) == 0
        printed = capsys.readouterr().out
    else:
        printed = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, check=True
        ).stdout
    assert printed == f"anchor {main.anchor.__version__}\n"


@pytest.mark.parametrize("prog", PARSERS)
def test_each_command_has_examples_that_are_valid_command_lines(prog):
    for example in examples(prog):
        program, *words = shlex.split(example)
        assert program == "anchor"
        assert example in PARSERS[prog].format_help()
        namespace = main.make_parser(*main.COMMANDS).parse_args(words)
        assert namespace.run


@pytest.mark.parametrize("prog", PARSERS)
def test_the_help_describes_every_argument_with_its_default(prog):
    parser = PARSERS[prog]
    formatter = parser._get_formatter()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        assert action.help, f"{prog}: {action.dest} has no help"
        shown = formatter._get_help_string(action)
        if (
            action.default not in (None, "", argparse.SUPPRESS, False, True, [])
            and action.nargs != 0
        ):
            assert "default" in shown, f"{prog}: {action.dest}"


def test_an_option_has_one_meaning_and_one_help_text():
    """Options of several commands that mean the same have the same words."""
    texts = {}
    for prog, parser in PARSERS.items():
        for action in parser._actions:
            if "--config" in action.option_strings:
                texts.setdefault((action.help, action.metavar), []).append(prog)
    # `anchor request` reads client.json, and `anchor test-policy` gets the name from its file.
    others = {"anchor request", "anchor test-policy"}
    assert len([progs for progs in texts.values() if set(progs) - others]) == 1

"""The pages about users files: the commands work, and every key and option is there."""

from __future__ import annotations

import argparse
import json
import re

import pytest

from anchor.auth.user_lines import _UserLine
from anchor.cli import user
from tests.support.documentation import blocks
from tests.support.pages import SOURCE
from tests.support.paths import DOC
from tests.support.terminal import Terminal

PAGE = "howto/users-file.rst"
COMMANDS = (SOURCE / "reference/command.rst").read_text()


def parsers():
    """The parser of each command."""
    parser = argparse.ArgumentParser()
    user.add_to(parser)
    [commands] = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return commands.choices


@pytest.mark.parametrize("name", parsers())
def test_every_option_is_in_the_section_of_its_command(name):
    section = COMMANDS.partition(f"\nanchor user {name}\n=")[2].partition("\nanchor ")[0]

    for action in parsers()[name]._actions:
        for option in action.option_strings or [action.metavar]:
            if option not in ("-h", "--help"):
                assert re.search(rf"^``.*{option}\b.*``", section, re.MULTILINE), option


def test_every_key_of_a_line_is_in_the_reference():
    reference = (DOC / "reference/configuration.rst").read_text()

    for key in _UserLine.model_fields:
        assert re.search(rf"^``{key}``", reference, re.MULTILINE), key


def test_the_commands_of_the_page_work(document, tmp_path):
    [configuration] = blocks(PAGE, "json")
    document |= json.loads(configuration.text)
    document["authentication"]["machines"]["users_file"] = "users.jsonl"
    (tmp_path / "config.json").write_text(json.dumps(document))
    made, replaced = blocks(PAGE, "shell")
    stand_ins = {"chown": "true", "install": 'shift 4; cp "$1" "$2" && chmod 640 "$2"'}

    with Terminal(tmp_path, {"/etc/anchor": tmp_path}, stand_ins) as terminal:
        terminal.follow(made)
        for block in blocks(PAGE, "console"):
            terminal.follow(block)
        terminal.follow(replaced)
        listed = terminal.run("anchor user list")
        terminal.run("anchor check")

    assert listed == "deploy, in ci: any name of the policy\n"

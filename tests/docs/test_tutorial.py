"""The tutorial: all commands of each page work, and print what the page shows."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support.documentation import blocks
from tests.support.servers.processes import free_port
from tests.support.terminal import Terminal, assert_shows, console_commands


@pytest.fixture
def terminal(tmp_path):
    """A terminal in an empty directory, for a service on a free port."""
    port = free_port()
    replace = {
        "anchor serve": f"anchor serve --port {port}",
        "127.0.0.1:5016": f"127.0.0.1:{port}",
        "8443": free_port(),
    }
    with Terminal(tmp_path, replace) as opened:
        yield opened


def follow(terminal, page, directory):
    """Run all code blocks of a page; ``anchor serve`` keeps running in the background."""
    for number, block in enumerate(blocks(page)):
        command, shown = console_commands(block)[-1] if block.language == "console" else ("", "")
        if not command.startswith("anchor serve"):
            terminal.follow(block)
            continue
        before = block.text[: block.text.index(f"$ {command}")]
        if before:
            terminal.follow(dataclasses.replace(block, text=before))
        log = directory / f"server-{number}.log"
        terminal.start(command, log=log, until="serving on")
        assert_shows(shown, terminal.shown(log.read_text()), f"{block}: {command}")


@pytest.mark.parametrize("page", ["first-certificate", "policy", "renewal"])
def test_each_page_works_from_its_top_to_its_bottom(terminal, tmp_path, page):
    follow(terminal, f"tutorial/{page}.rst", tmp_path)

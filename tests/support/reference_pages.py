"""The source of reference pages, with the options that Sphinx inserts."""

from __future__ import annotations

import re

from anchor.documentation import options
from tests.support.servers.anchor import ROOT

_DIRECTIVE = re.compile(r"^\.\. options:: (\S+)\n((?:\n|   .*\n)*)", re.MULTILINE)


def text(name):
    """The reStructuredText of a page, with every ``options`` directive replaced by its lines."""
    page = (ROOT / f"doc/source/reference/{name}.rst").read_text()
    return _DIRECTIVE.sub(_expanded, f"{page}\n")


def _expanded(match):
    body = [line.removeprefix("   ") for line in match[2].splitlines()]
    return "\n".join(options.lines(match[1], options.remarks_in(body))) + "\n\n"


def documented():
    """The argument of every ``options`` directive, on any page."""
    pages = (ROOT / "doc/source").rglob("*.rst")
    return {match[1] for page in pages for match in _DIRECTIVE.finditer(page.read_text() + "\n")}

"""The pages of the reference as readers see them: with the options that Sphinx puts in."""

from __future__ import annotations

import importlib.util
import re

from tests.support.servers.anchor import ROOT

_SPEC = importlib.util.spec_from_file_location("options", ROOT / "doc/source/_ext/options.py")
options = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(options)

_DIRECTIVE = re.compile(r"^\.\. options:: (\S+)\n((?:\n|   .*\n)*)", re.MULTILINE)


def text(name):
    """A page's reStructuredText, with each directive's lines in its place."""
    page = (ROOT / f"doc/source/reference/{name}.rst").read_text()
    return _DIRECTIVE.sub(_expanded, f"{page}\n")


def _expanded(match):
    body = [line.removeprefix("   ") for line in match[2].splitlines()]
    return "\n".join(options.lines(match[1], options.remarks_in(body))) + "\n\n"


def documented():
    """The names of everything that a directive stands for, on any page."""
    pages = (ROOT / "doc/source").rglob("*.rst")
    return {match[1] for page in pages for match in _DIRECTIVE.finditer(page.read_text() + "\n")}

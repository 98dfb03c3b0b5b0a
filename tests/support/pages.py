"""The pages of the documentation, parsed by docutils."""

from __future__ import annotations

from docutils import nodes
from docutils.core import publish_doctree

from tests.support.servers.anchor import ROOT

DOC = ROOT / "doc"
SOURCE = DOC / "source"


def parse(path):
    """The document tree of a page, without the directives and roles of Sphinx."""
    settings = {"report_level": 5, "halt_level": 6, "file_insertion_enabled": False}
    return publish_doctree(path.read_text(), str(path), settings_overrides=settings)


def tables(path):
    """The tables of a page: rows of cells, each as one line of text, without the heading."""
    return [
        [
            [" ".join(cell.astext().split()) for cell in row.children]
            for body in table.findall(nodes.tbody)
            for row in body.children
        ]
        for table in parse(path).findall(nodes.table)
    ]

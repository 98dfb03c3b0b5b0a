"""The pages of the documentation, and their code blocks."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from tests.support.paths import ROOT

SOURCE = ROOT / "doc/source"

# The language of a literal block, which has none in its source; these blocks contain commands.
LITERAL = "literal"
SHELL = ("shell", "sh", "bash", LITERAL)

_DIRECTIVE = re.compile(r"( *)\.\. code(?:-block)?:: *(\S*)$")
_OPTION = re.compile(r" +:(\w+): *(.*)$")


@dataclass(frozen=True)
class Block:
    """A code block on a page.

    Attributes:
        page: the path of the page, such as ``README.rst`` or ``howto/bans.rst``.
        line: the number of the block's first line.
        language: the language in the directive.
        caption: the name of the file that the block shows, or empty.
        text: the code without its indentation.
    """

    page: str
    line: int
    language: str
    caption: str
    text: str

    def __str__(self):
        return f"{self.page}:{self.line} ({self.language})"


def pages():
    """The paths of all pages."""
    found = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.rst"))
    return ["README.rst", "CONTRIBUTING.rst", *found]


def blocks(page, *languages):
    """The code blocks of a page, in order; with ``languages`` only those in these languages."""
    path = ROOT / page if (ROOT / page).exists() else SOURCE / page
    found = _blocks(page, path.read_text().splitlines())
    return [block for block in found if not languages or block.language in languages]


def _blocks(page, lines):
    found = []
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        directive = _DIRECTIVE.fullmatch(line)
        is_literal = line.endswith("::") and not line.lstrip().startswith(".. ")
        if not directive and not is_literal:
            continue
        outer = len(line) - len(line.lstrip())
        caption = ""
        while directive and number < len(lines) and (option := _OPTION.fullmatch(lines[number])):
            caption = option[2] if option[1] == "caption" else caption
            number += 1
        first = number
        while number < len(lines) and (
            not lines[number].strip() or len(lines[number]) - len(lines[number].lstrip()) > outer
        ):
            number += 1
        text = textwrap.dedent("\n".join(lines[first:number])).strip("\n") + "\n"
        language = directive[2] if directive else LITERAL
        found.append(Block(page, first + 2, language, caption, text))
    return found

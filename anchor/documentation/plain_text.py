"""A page in reStructuredText as text for a terminal.

docutils would need the directives and roles of Sphinx, and is not needed to run Anchor.
"""

from __future__ import annotations

import posixpath
import re
import textwrap
from collections.abc import Iterator

from anchor.documentation.options import lines as options_of
from anchor.documentation.options import remarks_in
from anchor.documentation.pages import Pages, Place

_DIRECTIVE = re.compile(r"( *)\.\. ([a-z][a-z:-]*)::(?: +(.*))?")
_FIELD = re.compile(r" +:([a-z-]+):(?: +(.*))?")
_ROLE = re.compile(r":([a-z:]+):`([^`]+)`")
_TITLE_AND_TARGET = re.compile(r"(.*?)\s*<([^>]+)>", re.DOTALL)
_URL = re.compile(r"`([^`<]+?)\s*<([^`>]+)>`__?")

# Their bodies are for the HTML only.
_LEFT_OUT = frozenset({"toctree", "raw", "highlight", "contents", "image", "figure", "meta"})
_BOXES = frozenset({"note", "warning", "tip", "important", "danger", "hint", "seealso"})


def to_text(pages: Pages, place: Place) -> str:
    """The page or the section, with readable references and without markup for HTML."""
    text = "\n".join(_blocks(pages.text(place)))
    text = _ROLE.sub(lambda role: _role(role[1], role[2], place.page), text)
    text = _URL.sub(r"\1 (\2)", text).replace("``", "`")
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _blocks(lines: list[str]) -> Iterator[str]:
    """The lines, in which directives are replaced by what a reader needs of them."""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        directive = _DIRECTIVE.fullmatch(line)
        if directive is None:
            # A label, or a comment of one line.
            if not line.lstrip().startswith(".. "):
                yield re.sub(r"(\S)::$", r"\1:", line)
            continue
        indent, name, argument = directive[1], directive[2], directive[3] or ""
        fields: dict[str, str] = {}
        while number < len(lines) and (field := _FIELD.fullmatch(lines[number])):
            fields[field[1]] = field[2] or ""
            number += 1
        first = number
        while number < len(lines) and _is_inside(lines[number], indent):
            number += 1
        yield from _directive(indent, name, argument, fields, lines[first:number])


def _is_inside(line: str, indent: str) -> bool:
    return not line.strip() or len(line) - len(line.lstrip()) > len(indent)


def _directive(
    indent: str, name: str, argument: str, fields: dict[str, str], body: list[str]
) -> Iterator[str]:
    if name == "options":
        inner = textwrap.dedent("\n".join(body)).splitlines()
        yield from (f"{indent}{line}".rstrip() for line in options_of(argument, remarks_in(inner)))
    elif name in _LEFT_OUT:
        if fields.get("alt"):
            yield f"{indent}[picture: {fields['alt']}]"
            yield ""
    elif name in _BOXES:
        yield f"{indent}{name.capitalize()}: {argument}".rstrip()
        yield from _blocks(body)
    else:
        title = fields.get("caption") or (argument if name.endswith("table") else "")
        if title:
            yield f"{indent}{title}:"
        yield from body


def _role(name: str, text: str, page: str) -> str:
    both = _TITLE_AND_TARGET.fullmatch(text)
    title, target = (both[1], both[2]) if both else ("", text)
    if name == "doc":
        path = posixpath.normpath(posixpath.join("/", posixpath.dirname(page), target)).strip("/")
        return f"{title} ({path})" if title else path
    if name == "rfc":
        return title or f"RFC {target}"
    return title or target

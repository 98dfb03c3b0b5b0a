"""Finding the pages of the documentation by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anchor
from anchor.config.suggestions import did_you_mean
from anchor.errors import AnchorError

ADVICE = "reference/advice"
# In the order of the table of contents.
_DIRECTORIES = ("tutorial", "howto", "reference", "explanation", "adr")
_UNDERLINE = re.compile(r"([=\-~^\"'])\1{2,}")
_LABEL = re.compile(r"\.\. _([^:]+):")


class UnknownPage(AnchorError):
    """No page of the documentation has that name."""


@dataclass(frozen=True)
class Place:
    """A page, or a section of it.

    Attributes:
        page: the path of the page without its suffix, such as ``howto/hsm``.
        section: the title or the label of a section; empty for the whole page.
    """

    page: str
    section: str = ""

    @property
    def address(self) -> str:
        """The address of the HTML, relative to that of the documentation."""
        return f"{self.page}.html" + (f"#{_slug(self.section)}" if self.section else "")


@dataclass(frozen=True)
class Heading:
    """The title of a page or of a section.

    Attributes:
        start: the index of its first line, which may be a line above the title.
        body: the index of the first line below it.
        level: 0 for the title of the page.
    """

    title: str
    start: int
    body: int
    level: int


class Pages:
    """The pages in a directory."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.names = [
            str(path.relative_to(directory).with_suffix(""))
            for kind in _DIRECTORIES
            for path in sorted((directory / kind).glob("*.rst"))
        ]

    @classmethod
    def installed(cls) -> Pages:
        """Those of the package, or of the clone of an editable installation.

        Raises:
            UnknownPage: the package was built without them.
        """
        package = Path(anchor.__file__).parent
        for directory in (package / "documentation/pages", package.parent / "doc/source"):
            if directory.is_dir():
                return cls(directory)
        raise UnknownPage("the documentation is not part of this installation")

    def lines(self, name: str) -> list[str]:
        """The lines of a page."""
        return (self.directory / f"{name}.rst").read_text(encoding="utf-8").splitlines()

    def title(self, name: str) -> str:
        """The title of a page."""
        return next((each.title for each in headings(self.lines(name))), name)

    def find(self, wanted: str) -> Place:
        """The page with that path or last part, or the section with that identifier or label.

        Raises:
            UnknownPage: there is none, or more than one.
        """
        path, _, section = wanted.partition("#")
        path = re.sub(r"\.(rst|html)$", "", path.strip("/"))
        matches = [name for name in self.names if name == path] or [
            name for name in self.names if name.endswith(f"/{path}")
        ]
        if len(matches) == 1:
            return self._place(matches[0], section)
        if len(matches) > 1:
            raise UnknownPage(f"there is more than one page {path!a}: {', '.join(matches)}")
        sections = {**self._labels(), **self._advice()}
        if path in sections:
            return sections[path]
        known = {*self.names, *(name.rpartition("/")[2] for name in self.names), *sections}
        hint = did_you_mean(path, known) or "; `anchor docs` lists the pages"
        raise UnknownPage(f"there is no page {path!a} in the documentation{hint}")

    def text(self, place: Place) -> list[str]:
        """The lines of a page, or of its section with the sections below it."""
        lines = self.lines(place.page)
        if not place.section:
            return lines
        found = headings(lines)
        index = _index(found, lines, place.section)
        if index is None:
            return lines
        start = found[index]
        later = (each.start for each in found[index + 1 :] if each.level <= start.level)
        return lines[start.start : next(later, len(lines))]

    def _place(self, page: str, section: str) -> Place:
        lines = self.lines(page)
        if section and _index(headings(lines), lines, section) is None:
            raise UnknownPage(f"the page {page} has no section {section!a}")
        return Place(page, section)

    def _advice(self) -> dict[str, Place]:
        if ADVICE not in self.names:
            return {}
        found = headings(self.lines(ADVICE))
        return {each.title: Place(ADVICE, each.title) for each in found if each.level == 2}

    def _labels(self) -> dict[str, Place]:
        return {
            label[1]: Place(name, label[1])
            for name in self.names
            for line in self.lines(name)
            if (label := _LABEL.fullmatch(line))
        }


def headings(lines: list[str]) -> list[Heading]:
    """The titles on a page, in their order."""
    return list(_headings(lines))


def _headings(lines: list[str]) -> Iterator[Heading]:
    styles: list[tuple[str, bool]] = []
    for number in range(1, len(lines)):
        title, line = lines[number - 1], lines[number]
        is_title = title.strip() and not title.startswith(" ") and not _UNDERLINE.fullmatch(title)
        if not is_title or not _UNDERLINE.fullmatch(line) or len(line) < len(title):
            continue
        has_overline = number > 1 and lines[number - 2] == line
        style = (line[0], has_overline)
        if style not in styles:
            styles.append(style)
        start = number - 2 if has_overline else number - 1
        yield Heading(title.strip(), start, number + 1, styles.index(style))


def _index(found: list[Heading], lines: list[str], section: str) -> int | None:
    """The index of the heading with that title, slug or label."""
    for index, heading in enumerate(found):
        before = [line for line in lines[max(0, heading.start - 3) : heading.start] if line]
        labels = [label[1] for line in before if (label := _LABEL.fullmatch(line))]
        if section in (heading.title, _slug(heading.title), *labels):
            return index
    return None


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")

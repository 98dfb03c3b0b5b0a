"""The decisions in doc/adr have the same form, and all of them are listed."""

from __future__ import annotations

import datetime
import re

import pytest

from tests.support.pages import DOC, SOURCE
from tests.support.servers.anchor import ROOT

ADR = DOC / "adr"
PAGES = sorted(ADR.glob("[0-9]*.rst"))
README = (ADR / "README.rst").read_text()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_decision_has_a_context_a_decision_and_what_was_refused(path):
    text = path.read_text()
    rule, title, again = text.splitlines()[:3]

    status, date = re.findall(r"^:(?:Status|Date): (.+)$", text, re.MULTILINE)
    superseded = re.fullmatch(r"accepted|superseded by ADR ([0-9]+)", status)
    assert superseded
    assert superseded[1] is None or superseded[1] in {str(int(page.name[:4])) for page in PAGES}
    assert datetime.date.fromisoformat(date) <= datetime.date.today()
    assert rule == again == "=" * len(title)
    assert re.fullmatch(rf"ADR {int(path.name[:4])}: [A-Z].*[^.]", title)
    assert re.fullmatch(r"[0-9]{4}(-[a-z0-9]+)+\.rst", path.name)
    headings = re.findall(r"^([^\n]+)\n(=+)$", text, re.MULTILINE)[1:]
    assert [("Context", 7 * "="), ("Decision", 8 * "="), ("Refused", 7 * "=")] == headings
    assert re.findall(r"^:Amended by: (.*)$", text, re.M) == re.findall(
        r"^:Amended by: (ADR [0-9]+: \S.+)$", text, re.M
    )
    context, decision, refused = re.split(r"^\w+\n=+$", text, flags=re.MULTILINE)[1:]
    assert context.strip()
    assert decision.strip()
    assert refused.strip().startswith("- ")
    assert len(text.splitlines()) <= 60, "a page is a screen, or little more"


def test_the_readme_lists_every_decision_in_order():
    listed = re.findall(r"^- `(ADR [0-9]+) <(.*?)>`__(: \S.*)$", README, re.MULTILINE)
    titles = {}
    for path in PAGES:
        text = path.read_text()
        by = re.search(r"^:Status: superseded by (ADR [0-9]+)$", text, re.MULTILINE)
        titles[path.name] = text.splitlines()[1] + (f" (superseded by {by[1]})" if by else "")

    assert titles == {name: number + title for number, name, title in listed}
    assert list(titles) == [name for _, name, _ in listed]


def test_no_number_is_taken_twice():
    numbers = [path.name[:4] for path in PAGES]

    assert len(set(numbers)) == len(numbers)


def test_the_documentation_lists_every_decision():
    assert (SOURCE / "adr").resolve() == ADR
    page = (SOURCE / "explanation/decisions.rst").read_text()
    globs = re.findall(r"^   /adr/(\S+)$", page, re.MULTILINE)
    headings = r"^(.+)\n=+$"
    assert PAGES == sorted(path for glob in globs for path in ADR.glob(glob))
    assert re.findall(headings, page, re.M) == re.findall(headings, README, re.M)


@pytest.mark.parametrize(
    "path", [*PAGES, *sorted((SOURCE / "explanation").glob("*.rst"))], ids=lambda path: path.stem
)
def test_decisions_and_explanations_name_existing_files(path):
    files = re.findall(r"``((?:anchor|doc|tests|tools)/[\w./-]+)``", path.read_text())

    assert [] == [file for file in files if not (ROOT / file).exists()]


def test_references_to_decisions_exist():
    numbers = {path.name[:4] for path in PAGES}
    suffixes = {".py", ".rst", ".ini", ".conf"}
    texts = {
        path: path.read_text()
        for directory in (ROOT / "anchor", ROOT / "tools", SOURCE)
        for path in directory.rglob("*")
        if path.suffix in suffixes
    }

    missing = {
        f"{path}: {number}"
        for path, text in texts.items()
        for number in re.findall(r"/adr/([0-9]{4})", text)
        if number not in numbers
    }
    assert set() == missing

"""The pictures of the documentation are accessible and self-contained."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from docutils import nodes

from tests.support.pages import SOURCE, parse, tables

SVG = "{http://www.w3.org/2000/svg}"
PICTURES = sorted((SOURCE / "pictures").glob("*.svg"))


@pytest.fixture(scope="module")
def shown():
    """The alternative texts of each picture on all pages, by the picture's path."""
    found = {}
    for page in SOURCE.rglob("*.rst"):
        if ".svg" in page.read_text():
            for image in parse(page).findall(nodes.image):
                # Relative to the page, which works for Sphinx and for repository viewers.
                path = (page.parent / image["uri"]).resolve()
                found.setdefault(path, []).append(image.get("alt", ""))
    return found


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_says_what_it_shows(path):
    root = ET.parse(path).getroot()

    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
    assert title.text.strip()
    assert len(description.text) > len(title.text)
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_needs_nothing_from_elsewhere(path):
    text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")

    assert not re.search(r"https?:|//|@import|@font-face|href|<script|<image|<!ENTITY", text)
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#arrow"}
    assert set(re.findall(r"font-family: ([^;]*);", text)) == {"sans-serif"}


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_has_a_background_in_light_and_dark(path):
    root = ET.parse(path).getroot()
    first = next(child for child in root if child.tag == f"{SVG}rect")

    assert first.get("class") == "paper"
    assert float(first.get("width")) == float(root.get("width")) - 1
    assert float(first.get("height")) == float(root.get("height")) - 1


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_pictures_text_stays_in_its_box(path):
    root = ET.parse(path).getroot()
    boxes = [
        tuple(float(box.get(side)) for side in ("x", "y", "width", "height"))
        for box in root.iter(f"{SVG}rect")
        if box.get("class") != "zone"
    ]

    for text in root.iter(f"{SVG}text"):
        if text.get("transform"):
            continue
        kinds = (text.get("class") or "").split()
        # The average width of a wide sans-serif letter.
        width = len(text.text) * (12 if "small" in kinds else 14) * 0.52
        x, y = float(text.get("x")), float(text.get("y"))
        left = x - width * (0.5 if "middle" in kinds else 1 if "end" in kinds else 0)
        holding = [
            box for box in boxes if box[0] < x < box[0] + box[2] and box[1] < y < box[1] + box[3]
        ]
        smallest = min(holding, key=lambda box: box[2] * box[3])
        assert smallest[0] <= left, text.text
        assert left + width <= smallest[0] + smallest[2], text.text


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_on_a_page_with_words_for_those_who_do_not_see_it(path, shown):
    texts = shown.get(path)

    assert texts, "no page shows it"
    assert all(len(text) > 40 for text in texts)


def test_there_are_pictures_and_no_page_shows_one_that_is_not_there(shown):
    assert PICTURES
    assert set(PICTURES) == set(shown)


def test_the_picture_of_a_request_shows_every_status():
    root = ET.parse(SOURCE / "pictures/request.svg").getroot()
    elsewhere = {"403", "404", "405"}  # for other paths and methods
    [errors] = [table for table in tables(SOURCE / "reference/http.rst") if table[0][0] == "400"]

    texts = " ".join(text.text for text in root.iter(f"{SVG}text"))
    shown = set(re.findall(r"\b[45][0-9][0-9]\b", texts))
    assert {status for status, _ in errors} - elsewhere == shown


def test_the_picture_of_a_request_has_the_steps_of_its_page():
    root = ET.parse(SOURCE / "pictures/request.svg").getroot()
    page = (SOURCE / "explanation/request.rst").read_text()

    texts = [" ".join(text.text.split()) for text in root.iter(f"{SVG}text")]
    drawn = [text.split(" ", 1) for text in texts if re.match(r"[0-9]+ [A-Z]", text)]
    told = re.findall(r"^([0-9]+)\. (.+)\n=+$", page, re.MULTILINE)
    assert [list(step) for step in told] == drawn

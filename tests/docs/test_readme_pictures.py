"""The README's pictures show what the README says, and package indexes can show the README."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from docutils import nodes
from docutils.core import publish_parts

from tests.support.documentation import LITERAL, blocks
from tests.support.pages import parse
from tests.support.paths import ROOT

README = ROOT / "README.rst"
RECORDING = ROOT / "doc/pictures/first-certificate.svg"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def shown():
    """The text of the recording, without the line breaks of its terminal."""
    return " ".join("".join(text.itertext()) for text in ET.parse(RECORDING).iter(f"{SVG}text"))


def test_each_picture_is_small_and_has_words_for_those_who_do_not_see_it():
    images = list(parse(README).findall(nodes.image))

    assert ["first-certificate.svg", "front-page.png"] == [i["uri"].split("/")[-1] for i in images]
    for image in images:
        assert 1000 < (ROOT / image["uri"]).stat().st_size < 150_000
        assert len(image["alt"]) > 40


def test_the_recording_shows_the_commands_of_the_readme(shown):
    typed = [block.text.strip() for block in blocks("README.rst", LITERAL, "sh")]
    recorded = [
        text for text in typed if text.startswith(("openssl req -out anchor", "openssl x509"))
    ]
    [curl] = [text for text in typed if text.startswith("curl http://127.0.0.1")]

    assert 2 == len(recorded)
    for command in (*recorded, curl):
        assert f"$ {command}" in shown
    assert "-----BEGIN CERTIFICATE-----" in shown
    assert "PRIVATE KEY" not in shown


def test_the_recording_needs_nothing_from_elsewhere_and_is_readable_without_animation():
    text = RECORDING.read_text()
    outside = text.replace('xmlns="http://www.w3.org/2000/svg"', "").replace("http://127.0.0.1", "")

    assert not re.search(r"https?:|@import|@font-face|href|<script|<image|<!ENTITY", outside)
    style = text[text.index("<style>") : text.index("</style>")]
    # Lines are visible unless the animation hides them before their time.
    assert "animation" not in style.split("@media (prefers-reduced-motion: no-preference)")[0]


def test_docutils_renders_the_readme_without_a_warning():
    settings = {"halt_level": 2, "file_insertion_enabled": False, "raw_enabled": False}

    parts = publish_parts(README.read_text(), writer="html5", settings_overrides=settings)

    assert "<h1" in parts["html_body"]

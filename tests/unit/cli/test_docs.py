"""``anchor docs`` finds pages by their names, and prints them as text."""

from __future__ import annotations

import json
import re

import pytest

from anchor.cli import docs, main
from anchor.config_lint.rules import RULES, Advice, Level
from anchor.documentation.pages import Pages
from anchor.documentation.plain_text import to_text
from tests.support.paths import DOC

PAGES = Pages.installed()
TITLE = (DOC / "howto/hsm.rst").read_text().splitlines()[1]


@pytest.fixture
def printed(capsys):
    def run(*arguments, code=0):
        assert main.main(["docs", *arguments]) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return run


def test_the_list_has_every_page_and_its_title(printed):
    listed = printed()

    assert re.search(rf"^howto/hsm +{re.escape(TITLE)}$", listed, re.MULTILINE)
    for path in DOC.glob("*/*.rst"):
        if path.parent.name != "adr":
            assert f"{path.parent.name}/{path.stem} " in listed
    assert "adr/0001-pecan-without-its-dispatch " in printed("adr")
    assert set(printed("tutorial").split()) >= {"tutorial/policy", "tutorial/renewal"}


@pytest.mark.parametrize("name", ["howto/hsm", "hsm", "/howto/hsm.rst", "howto/hsm.html"])
def test_a_page_is_found_by_its_path_or_its_last_part(printed, name):
    assert printed(name).splitlines()[1] == TITLE


def test_a_section_is_found_by_its_title_or_label(printed):
    assert printed("reference/command#anchor-docs").startswith("anchor docs\n===========\n")
    assert "How to" in printed("users-file")
    assert "has no section 'xyzzy'" in printed("howto/hsm#xyzzy", code=1)


def test_an_unknown_page_gets_a_suggestion(printed):
    assert "did you mean 'hsm'?" in printed("hsn", code=1)
    assert "`anchor docs` lists the pages" in printed("qqqqqq", code=1)


def test_the_reference_in_advice_prints_its_section_alone(printed):
    for rule in RULES:
        advice = Advice(rule.identifier, Level.NOTICE, "", "message")
        _, command, identifier = advice.reference.split()
        text = printed(identifier)
        assert command == "docs"
        assert text.splitlines()[:2] == [rule.identifier, "-" * len(rule.identifier)]
        assert not re.search(r"\n\n[a-z-]+\n-+\n", text), "one section only"


def test_advice_has_a_url_if_the_address_of_the_documentation_is_configured():
    advice = Advice("any-name", Level.NOTICE, "", "message", "https://docs.example.com")

    assert str(advice) == (
        "notice: message [https://docs.example.com/reference/advice.html#any-name]"
    )


@pytest.mark.parametrize("name", PAGES.names)
def test_a_page_is_printed_without_markup_for_html(name):
    text = to_text(PAGES, PAGES.find(name))

    assert not re.search(r"^ *\.\. [a-z-]+::", text, re.MULTILINE)
    assert not re.search(r":(doc|ref|rfc):`", text)
    assert "``" not in text
    assert PAGES.title(name) in text


def test_options_are_generated(printed):
    text = printed("reference/fixups")

    assert "Default:" in text or "Required." in text


def test_a_page_is_opened_where_its_html_is(printed, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    monkeypatch.setattr(docs, "_HTML", (tmp_path / "html",))
    config = tmp_path / "config.json"
    config.write_text("{}")
    (tmp_path / "config.py").write_text('app = {"modules": ["anchor"]}\n')
    assert "is not set" in printed("--open", "hsm", "--config", str(config), code=1)

    with (tmp_path / "config.py").open("a") as config_py:
        config_py.write("web = {'documentation_url': 'https://docs.example.com'}\n")
    printed("--open", "any-name", "--config", str(config))
    (tmp_path / "html/howto").mkdir(parents=True)
    (tmp_path / "html/howto/hsm.html").touch()
    printed("--open", "hsm", "--config", str(config))

    assert opened == [
        "https://docs.example.com/reference/advice.html#any-name",
        f"file://{tmp_path}/html/howto/hsm.html",
    ]


def test_check_prints_a_reference_and_json_keeps_the_link(tmp_path, document, capsys):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))

    assert main.main(["check", "--format", "json", str(config)]) == 0
    links = [advice["link"] for advice in json.loads(capsys.readouterr().out)["advice"]]
    assert "reference/advice.html#any-name" in links
    assert main.main(["check", str(config)]) == 0
    assert "[anchor docs any-name]" in capsys.readouterr().err

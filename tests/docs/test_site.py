"""The built documentation in a browser: offline, on a phone, in the dark, and by keyboard."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.support.axe import axe_violations
from tests.support.documentation import blocks
from tests.support.servers.processes import wait_for
from tests.support.terminal import console_commands

PHONE, DESKTOP = (390, 844), (1280, 900)

# The search, the list of pages, and pages with each kind of content: tables, pictures, code,
# options and definitions.
CHECKED = (
    "index.html",
    "search.html",
    "tutorial/first-certificate.html",
    "howto/tokens.html",
    "reference/http.html",
    "reference/validators.html",
    "explanation/ephemeral-pki.html",
)

# What people look for, and the pages of which one has to come first.
SEARCHES = {
    "monitoring": ["howto/monitoring.html"],
    "kubernetes": ["howto/running-in-kubernetes.html", "howto/kubernetes.html"],
    "high availability": ["howto/several-nodes.html"],
    "troubleshooting": ["howto/troubleshooting.html"],
    "backup": ["howto/backup.html"],
}


def local(urls, site):
    return {url for url in urls if url.startswith((f"{site.url}/", "data:"))}


def search(browser, site, words):
    """The paths of the pages that the search finds, the best first."""
    browser.open(f"{site.url}/search.html?q={words.replace(' ', '+')}")
    summary = "document.querySelector('.search-summary')?.textContent ?? ''"
    finished = re.compile("found|did not match")
    wait_for(lambda: finished.search(browser.evaluate(summary)), what="the results")
    # The page fetches an extract for each result.
    browser.settle()
    links = "[...document.querySelectorAll('ul.search li > a')].map(a => a.pathname.slice(1))"
    return browser.evaluate(links)


def test_the_search_finds_the_page_of_a_subject_first(browser, site):
    for words, pages in SEARCHES.items():
        assert search(browser, site, words)[0] in pages, words
    assert [] == search(browser, site, "xylophone")
    assert [] == browser.problems


@pytest.mark.parametrize(
    ("screen", "dark"), list(itertools.product([DESKTOP, PHONE], [False, True]))
)
def test_pages_of_each_kind_are_accessible(browser, site, screen, dark):
    browser.set_screen(*screen, dark=dark)

    violations = []
    for page in CHECKED:
        browser.open(f"{site.url}/{page}")
        violations += [(page, violation) for violation in axe_violations(browser)]
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")

    assert [] == violations
    assert dark == (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200)


def test_no_page_is_wider_than_a_phone_or_asks_another_machine(browser, site):
    browser.set_screen(*PHONE)

    wide = []
    for page in site.pages():
        browser.open(f"{site.url}/{page}")
        if browser.evaluate("document.scrollingElement.scrollWidth > innerWidth"):
            wide.append(page)

    assert [] == wide
    assert [] == browser.problems
    assert set() == set(browser.requested) - local(browser.requested, site)


def test_the_navigation_stays_on_top_of_the_page_on_a_phone(browser, site):
    browser.set_screen(*PHONE)
    browser.open(f"{site.url}/reference/validators.html")
    top = "document.querySelector('.mobile-header').getBoundingClientRect().top"
    left = "document.querySelector('.sidebar-drawer').getBoundingClientRect().left"

    browser.evaluate("scrollTo({top: 4000, behavior: 'instant'})")
    hidden = browser.evaluate(left)
    browser.evaluate("document.querySelector('.mobile-header .nav-overlay-icon').click()")

    assert browser.evaluate("scrollY") > 1000
    assert 0 == browser.evaluate(top)
    assert hidden < 0
    wait_for(lambda: browser.evaluate(left) == 0, what="the list of pages")


def test_code_of_110_characters_needs_no_scrolling_on_a_laptop(browser, site):
    browser.set_screen(*DESKTOP)
    browser.open(f"{site.url}/howto/acme-clients.html")
    boxes = (
        "[...document.querySelectorAll('pre')].map(p => [p.textContent, p.scrollWidth, "
        "p.clientWidth])"
    )

    for text, wanted, available in browser.evaluate(boxes):
        assert wanted <= available or max(map(len, text.splitlines())) > 110, text


def test_what_is_too_wide_is_scrolled_with_the_keyboard(browser, site):
    browser.set_screen(*PHONE)
    browser.open(f"{site.url}/tutorial/policy.html")
    boxes = (
        "[...document.querySelectorAll('pre')].map(p => [p.scrollWidth > p.clientWidth, "
        "p.tabIndex == 0])"
    )

    found = browser.evaluate(boxes)

    assert {(True, True), (False, False)} == set(map(tuple, found))


def test_the_buttons_copy_commands_without_prompts_and_output(browser, site):
    page = "tutorial/first-certificate"
    browser.open(f"{site.url}/{page}.html")
    browser.evaluate(
        "addEventListener('copy', () => { window.copied.push(document.activeElement.value) });"
        "window.copied = []"
    )
    buttons = "document.querySelectorAll('.highlight-console .copybtn')"
    shown = list(blocks(f"{page}.rst", "console"))
    wait_for(lambda: browser.evaluate(f"{buttons}.length") == len(shown), what="the buttons")

    browser.evaluate(f"{buttons}.forEach(button => button.click())")

    commands = ["\n".join(line for line, _ in console_commands(block)) for block in shown]
    assert commands == browser.evaluate("copied")
    assert 0 == browser.evaluate("document.querySelectorAll('.highlight-text .copybtn').length")


def test_every_link_of_a_page_leads_to_a_file(site):
    for page in site.pages():
        for link in site.links(page):
            if not re.match(r"https?:|data:|mailto:", link):
                assert ((site.directory / page).parent / link).exists(), (page, link)


def test_pages_have_a_title_an_icon_and_no_link_to_their_source(site):
    html = site.html("howto/tokens.html")

    assert re.search(r"<title>[^<]+ - Anchor [0-9.]+</title>", html)
    assert 'rel="shortcut icon" href="../_static/anchor.svg"' in html
    assert not re.search("edit this page|view this page|_sources", html, re.IGNORECASE)


def test_no_table_has_a_heading_without_words(site):
    empty = r'<th class="head[^>]*>(?:<p></p>)?</th>'

    assert [] == [page for page in site.pages() if re.search(empty, site.html(page))]

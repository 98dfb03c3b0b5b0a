"""The front page in a browser: complete, self-contained, and readable on every screen."""

from __future__ import annotations

import itertools
import json

import pytest
from cryptography import x509

from tests.support.axe import axe_violations
from tests.support.pki import DAY, make_ca, now
from tests.support.servers.anchor import serving
from tests.support.servers.processes import wait_for
from tests.support.service import small_configuration

SCREENS = [
    pytest.param(width, height, dark, id=f"{width}-{'dark' if dark else 'light'}")
    for (width, height), dark in itertools.product([(1280, 900), (390, 844)], [False, True])
]

# The front page, a page of one authority, and pages for errors.
PAGES = ["", "?authority=default", "nothing", "v1/sign/default", "v1/ca/default?encoding=x"]

# Every text with its colour and its background colour, as [r, g, b, a].
COLOURS = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some(n => n.nodeType == 3 && n.data.trim());
    if (!own || !element.checkVisibility()) continue;
    let behind = element;
    while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] == 0)
      behind = behind.parentElement;
    found.push([element.textContent.slice(0, 40), rgba(getComputedStyle(element).color),
                rgba(getComputedStyle(behind).backgroundColor)]);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    """The CA of the authority ``default``."""
    return make_ca(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def site(tmp_path_factory, issuer):
    """A service that shows everything that a front page can contain."""
    tmp_path = tmp_path_factory.mktemp("site")
    document = small_configuration(issuer)
    root = make_ca(tmp_path, name="Root CA", not_after=now() + 3000 * DAY)
    first = make_ca(
        tmp_path,
        name="Example Corporation Machine Identity Issuing Authority 01",
        issuer=root,
        not_before=now() - 300 * DAY,
        not_after=now() + 20 * DAY,
    )
    second = make_ca(tmp_path, "ec-p384", name="Second CA", not_after=now() + 800 * DAY)
    authorities = document["registration_authority"]
    authorities["default"] |= {
        "validators": {
            "standards_compliance": {},
            "whitelist_names": {
                "names": [f"%.{'long-' * 9}{n}.example.com" for n in range(30)],
                "allow_dns_id": True,
            },
            "server_group": {"group_prefixes": {"Nova": "nv", "<b>Swift</b>": "sw"}},
        },
        "fixups": {"enforce_alternative_names_present": {}, "normalize_names": {}},
    }
    authorities["a" * 64] = {
        "authentication": "static",
        "signing_ca": "rolling",
        "validators": {},
    }
    rolling = {
        "backend": "anchor",
        "cert_path": str(first.cert_path),
        "key_path": str(first.key_path),
        "chain_path": str(root.cert_path),
        "next": {
            "from": (now() + 10 * DAY).isoformat(),
            "cert_path": str(second.cert_path),
            "key_path": str(second.key_path),
        },
    }
    document["signing_ca"]["rolling"] = rolling
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving("uwsgi", tmp_path) as service:
        yield service


@pytest.mark.parametrize(("width", "height", "dark"), SCREENS)
def test_the_pages_are_whole_and_legible(browser, site, tmp_path, width, height, dark):
    browser.set_screen(width, height, dark=dark)

    for path in PAGES:
        browser.problems.clear()
        browser.requested.clear()
        browser.open(f"{site.url}/{path}")
        (tmp_path / "page.png").write_bytes(browser.screenshot())
        assert_is_whole_and_legible(browser, f"{site.url}/{path}", width, dark=dark)


def assert_is_whole_and_legible(browser, url, width, *, dark):
    # Chromium reports the status of an error page.
    assert [] == [each for each in browser.problems if "the server responded with" not in str(each)]
    assert {url} == {url for url in browser.requested if not url.startswith("data:")}
    assert "Anchor" in browser.evaluate("document.title")
    page = "document.scrollingElement"
    assert browser.evaluate(f"{page}.scrollWidth <= window.innerWidth")
    assert width == browser.evaluate("window.innerWidth")
    overflowing = "[...document.querySelectorAll('body *')].filter(e => e.scrollWidth > innerWidth)"
    assert 0 == browser.evaluate(f"{overflowing}.length")
    # The style sheet was applied: the background has its colour.
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ("rgb(17, 24, 29)" if dark else "rgb(244, 246, 247)") == ground
    for text, ink, behind in browser.evaluate(COLOURS):
        assert contrast(ink, behind) >= 4.5, text
    for bar in browser.evaluate(
        "[...document.querySelectorAll('meter')].map(m => m.getBoundingClientRect().width)"
    ):
        assert bar > 50
    assert [] == axe_violations(browser)


def test_the_copy_buttons_copy_the_command_and_say_so(browser, site):
    browser.call(
        "Browser.grantPermissions",
        permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
    )
    browser.open(f"{site.url}/?authority=default")
    # A clipboard needs a page that has the focus.
    browser.call("Page.bringToFront")
    status = "document.querySelector('[role=status]').textContent"
    assert "" == browser.evaluate(status)
    count = browser.evaluate("document.querySelectorAll('.command button').length")

    for number in range(count):
        button = f"document.querySelectorAll('.command button')[{number}]"
        assert browser.evaluate(f"{button}.checkVisibility()")
        browser.evaluate(f"{button}.click()")
        wait_for(lambda: browser.evaluate(status) == "Copied", what="the announcement")
        shown = browser.evaluate(f"{button}.previousElementSibling.textContent")
        assert shown == browser.evaluate("navigator.clipboard.readText()")
    assert count >= 4
    assert [] == browser.problems


def test_without_javascript_there_are_no_buttons_and_all_commands(browser, site):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(f"{site.url}/?authority=default")
    browser.call("Emulation.setScriptExecutionDisabled", value=False)

    visible = "[...document.querySelectorAll('.command button')].filter(b => b.checkVisibility())"
    assert 0 == browser.evaluate(f"{visible}.length")
    assert browser.evaluate("document.querySelector('.command pre').checkVisibility()")
    assert [] == browser.problems


def test_axe_finds_what_is_wrong_with_a_page(browser, site):
    browser.open(f"{site.url}/")
    browser.evaluate("document.documentElement.removeAttribute('lang')")

    [violation] = axe_violations(browser)

    assert violation.startswith("html-has-lang: <html")


@pytest.mark.parametrize("path", ["", "?authority=default"])
def test_the_buttons_save_certificates(browser, site, issuer, tmp_path, path):
    saved = tmp_path / "saved"
    saved.mkdir()
    browser.open(f"{site.url}/{path}")

    pem_name, pem = browser.download('a[href="v1/ca/default"]', saved)
    der_name, der = browser.download('a[href="v1/ca/default?encoding=der"]', saved)

    assert ("default-ca.crt", "default-ca.cer") == (pem_name, der_name)
    assert issuer.certificate == x509.load_pem_x509_certificate(pem)
    assert issuer.certificate == x509.load_der_x509_certificate(der)
    assert [] == browser.problems


def test_no_script_can_be_added_to_the_page(browser, site):
    browser.open(f"{site.url}/")

    browser.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'x = 1'}))"
    )
    browser.evaluate("document.body.setAttribute('style', 'color: red')")

    assert "undefined" == browser.evaluate("typeof x")
    assert browser.problems


def luminance(colour):
    """The relative luminance (WCAG 2.2)."""
    channels = [value / 255 for value in colour[:3]]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """The contrast ratio (WCAG 2.2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)

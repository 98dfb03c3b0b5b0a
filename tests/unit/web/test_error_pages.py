"""Browsers get a page for an error; all other clients get what they always got."""

from __future__ import annotations

import html
import re

import pytest

from anchor.web.pages.templates import content_security_policy, script
from tests.support.acme import acme_configuration
from tests.support.pki import make_csr

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
BASE_URL = "https://anchor.example.com"


def ask(service, path, method="GET", accept=BROWSER, **kwargs):
    return service.http.request(
        path, method=method, headers={"Accept": accept}, expect_errors=True, **kwargs
    )


def paragraphs(answer):
    return [html.unescape(each) for each in re.findall(r"<p>([^<]*)</p>", answer.text)]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/v1/sign/other", "POST", 404),
        ("/v1/sign/default", "GET", 405),
        ("/v1/sign/default", "POST", 400),
        ("/v1/ca/default?encoding=x", "GET", 400),
        ("/metrics", "GET", 403),
        ("/?authority=other", "GET", 404),
    ],
)
def test_a_browser_gets_the_same_words_as_a_page(service, path, method, status):
    plain, page = ask(service, path, method, "*/*"), ask(service, path, method)

    assert (status, "text/plain") == (plain.status_int, plain.content_type)
    assert (status, "text/html") == (page.status_int, page.content_type)
    assert plain.text.strip() in paragraphs(page)
    assert page.headers["X-Request-Id"] in page.text
    assert content_security_policy() == page.headers["Content-Security-Policy"]
    assert "no-store" == page.headers["Cache-Control"]
    assert plain.headers.get("Allow") == page.headers.get("Allow")
    assert "Vary" not in plain.headers
    assert "Content-Security-Policy" not in plain.headers


def test_a_browser_that_has_to_log_in_is_told_how(service):
    form = {"user": "alice", "secret": "wrong", "encoding": "pem", "csr": "x"}
    answer = service.http.post("/v1/sign/default", form, headers={"Accept": BROWSER}, status=401)

    assert "text/html" == answer.content_type
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert "wrong" not in answer.text.replace("user or secret is wrong", "")


def test_an_internal_error_says_nothing_but_its_identifier(service, monkeypatch):
    def broken(*_):
        raise RuntimeError("s3cret in a message")

    monkeypatch.setattr("anchor.web.dispatch.StrictDispatch.route", broken)

    answer = ask(service, "/")

    assert (500, "text/html") == (answer.status_int, answer.content_type)
    assert f"internal error, request {answer.headers['X-Request-Id']}" in paragraphs(answer)
    assert "s3cret" not in answer.text


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/*", "text/plain"),
        ("text/plain, text/html;q=0.9", "text/plain"),
        ("application/json", "application/problem+json"),
        ("application/json, text/html;q=0.9", "application/problem+json"),
        ("text/html", "text/html"),
        ("text/html;q=0", "text/plain"),
        ("text/html;q=2", "text/plain"),
        ("text/html" + ",;" * 20_000, "text/plain"),
        ("\xff<script>text/html", "text/plain"),
    ],
)
def test_only_a_client_that_prefers_html_gets_it(service, accept, expected):
    answer = service.http.get("/nothing", extra_environ={"HTTP_ACCEPT": accept}, status=404)

    assert expected == answer.content_type


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/.well-known/est/default/simpleenroll", "POST", "text/plain"),
        ("/.well-known/est/other/cacerts", "GET", "text/plain"),
        ("/acme/default/new-order", "POST", "application/problem+json"),
        ("/acme/other/directory", "GET", "application/problem+json"),
    ],
)
def test_est_and_acme_have_no_pages(serve, document, path, method, expected):
    service = serve(acme_configuration(document), base_url=BASE_URL)

    answers = [ask(service, path, method, accept) for accept in (BROWSER, "*/*")]

    assert {expected} == {answer.content_type for answer in answers}
    assert 1 == len({answer.status_int for answer in answers})


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "${1+1}<%1%>",
        "</p></article><b>",
        "&lt;b&gt;",
        "\u202etxt.exe",
        "a\x1b[31m",
    ],
)
def test_nothing_of_a_request_becomes_html(service, hostile):
    form = {"user": "alice", "secret": "s3cret", "encoding": hostile, "csr": hostile}
    headers = {"Accept": BROWSER}
    answers = [
        service.http.post("/v1/sign/default", form, headers=headers, expect_errors=True),
        service.sign(names_csr(hostile), headers=headers),
        service.http.get("/", {"authority": hostile}, headers=headers, expect_errors=True),
        ask(service, "/x", environ={"SCRIPT_NAME": hostile}),
        ask(service, "/x", environ={"HTTP_HOST": f"a/{hostile}"}),
    ]

    for answer in answers:
        assert 400 <= answer.status_int < 500
        assert "text/html" == answer.content_type
        for forbidden in ("<script", "<img", "<b>", "\u202e", "\x1b"):
            assert forbidden not in answer.text
        assert 1 == answer.text.count("</article>")
        assert script() not in answer.text


def names_csr(name):
    return make_csr(name[:60] + "\x07")


@pytest.mark.parametrize(
    ("script_name", "home"),
    [("", "/"), ("/pki", "/pki/"), ("//evil.example", "/evil.example/"), ("/a'b", "/a%27b/")],
)
def test_the_page_leads_to_the_front_page(service, script_name, home):
    answer = ask(service, "/nothing", environ={"SCRIPT_NAME": script_name})

    assert f'<a href="{home}">Front page</a>' in answer.text


@pytest.mark.parametrize(
    ("base_url", "home"),
    [("https://pki.example.com", "/"), ("https://pki.example.com/a/b/", "/a/b/")],
)
def test_the_page_leads_to_the_front_page_at_base_url(serve, document, base_url, home):
    service = serve(document, base_url=base_url)

    assert f'<a href="{home}">Front page</a>' in ask(service, "/nothing").text


def test_the_page_leads_nowhere_without_a_front_page(serve, document):
    assert "<a " not in ask(serve(document, front_page="off"), "/nothing").text

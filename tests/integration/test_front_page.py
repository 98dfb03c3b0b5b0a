"""The front page: its contents in each format, without private values."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import anchor
from anchor.authorities import load_authorities
from anchor.controllers import front
from anchor.web.pages.front_page import MAX_DETAILED, FrontPage
from anchor.web.pages.templates import script, style_sheet
from anchor.web.settings import WebSettings
from tests.support.clock import FixedClock
from tests.support.pki import DAY, make_ca, now
from tests.support.servers.processes import program
from tests.support.service import Service

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

VOID = {"meta", "link", "wbr", "circle", "path"}


class Strict(html.parser.HTMLParser):
    """An HTML parser that requires every element to be closed, and collects text and attributes."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(page)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert tag == self.open.pop()

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page(service, query="", **headers):
    return service.http.get(f"/{query}", headers={"Accept": BROWSER, **headers})


def parsed(service, query="", **headers):
    return Strict(page(service, query, **headers).text)


def text(service, **headers):
    return service.http.get("/", headers=headers).text


@pytest.fixture
def many(document):
    """A configuration with a thousand authorities."""
    section = document["registration_authority"]["default"] | {
        "validators": {"whitelist_names": {"names": [f"%.{n}.example.com" for n in range(50)]}}
    }
    document["registration_authority"] = {f"ra-{number:04}": section for number in range(1000)}
    return document


def test_a_browser_gets_a_page_and_curl_the_same_as_text(service, ca):
    shown, plain = page(service), service.http.get("/", headers={"Accept": "*/*"})

    fingerprint = ca.certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    assert ("text/html", "text/plain") == (shown.content_type, plain.content_type)
    for answer in (Strict(shown.text).text, plain.text):
        assert "CN=Test CA" in answer
        assert fingerprint in answer
        assert "364 days left" in answer
        assert "http://localhost:80/v1/sign/default" in answer
        assert "http://localhost:80/v1/renew/default" in answer
        assert "http://localhost:80/.well-known/est/default/" in answer
        assert "24 hours" in answer
        assert "signed with its own key" in answer


def test_programs_get_json(service, ca):
    found = service.http.get("/", headers={"Accept": "application/json"}).json

    [authority] = found["authorities"]
    [certificate] = authority["certificates"]
    assert ("default", "v1/sign/default") == (authority["name"], authority["sign"])
    assert ("v1/renew/default", ".well-known/est/default") == (authority["renew"], authority["est"])
    assert ca.certificate.fingerprint(hashes.SHA256()).hex() == certificate["fingerprint"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "text/plain"),
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/*", "text/plain"),
        (BROWSER, "text/html"),
        ("text/html", "text/html"),
        ("text/html;q=0.4, text/plain;q=0.5", "text/plain"),
        ("text/html;q=0.5, */*;q=0.4", "text/html"),
        ("text/html;q=0, */*", "text/plain"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("image/png", "text/plain"),
        ("text/html;q=2", "text/plain"),
        ("nonsense", "text/plain"),
        ("\xff\x00<script>", "text/plain"),
        ("text/html" + ",;" * 20_000, "text/plain"),
        ("text/html;a=" + '"\\' * 20_000, "text/plain"),
        ("a/b," * 10_000 + "text/html", "text/html"),
    ],
)
def test_the_format_is_the_one_that_the_client_prefers(service, accept, expected):
    answer = service.http.get("/", extra_environ={} if accept is None else {"HTTP_ACCEPT": accept})

    assert expected == answer.content_type
    assert "Accept" in answer.headers["Vary"]


def test_nothing_of_the_page_comes_from_elsewhere(service):
    shown = page(service)
    tree = Strict(shown.text)

    for attributes in (attributes for _, attributes in tree.tags):
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("href", "src"):
            assert re.match(r"(v1/|openapi.yaml$|data:image/svg|$)", attributes.get(name, ""))
    assert [] == tree.all("form") + tree.all("img")
    assert "url(" not in style_sheet()
    assert_has_headers_of_a_page(shown)


def assert_has_headers_of_a_page(answer):
    """Check that nothing runs and nothing is shown but the page's script and style sheet."""
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src '{digest(style_sheet())}'; ")
    assert f"script-src '{digest(script())}'; " in policy
    for directive in ("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"):
        assert directive in policy
    assert "unsafe" not in policy
    assert "nosniff" == answer.headers["X-Content-Type-Options"]
    assert "no-referrer" == answer.headers["Referrer-Policy"]
    assert "Accept" == answer.headers["Vary"]
    # The only script is the one whose hash is in the policy.
    scripts = re.findall(r"<script\b.*?</script>", answer.text, re.DOTALL)
    assert scripts in ([], [f"<script>{script()}</script>"])
    assert answer.text.lower().count("<script") == len(scripts)


def digest(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_page_says_its_language_and_labels_what_it_shows(service):
    tree = parsed(service)

    assert [{"lang": "en"}] == tree.all("html")
    assert 1 == len(tree.all("h1")) == len(tree.all("main"))
    assert all(meter["aria-label"] and meter["value"] for meter in tree.all("meter"))
    assert any(meta.get("name") == "viewport" for meta in tree.all("meta"))


def test_the_buttons_lead_to_the_ca(service, ca):
    tree = parsed(service)
    pem, der = [link["href"] for link in tree.all("a") if link.get("class") == "button"]

    assert ca.certificate == x509.load_pem_x509_certificate(service.http.get(f"/{pem}").body)
    assert ca.certificate == x509.load_der_x509_certificate(service.http.get(f"/{der}").body)


def test_a_page_that_has_not_changed_is_not_sent_again(service):
    first = page(service)
    second = page(service, **{"If-None-Match": first.headers["ETag"]})
    other = service.http.get("/", headers={"If-None-Match": first.headers["ETag"]})

    assert ("no-cache", 304, b"") == (
        first.headers["Cache-Control"],
        second.status_int,
        second.body,
    )
    assert first.headers["ETag"] == second.headers["ETag"]
    assert "Accept" == second.headers["Vary"]
    assert "Content-Security-Policy" in second.headers
    assert 200 == other.status_int


def test_two_workers_have_the_same_tag(serve, document):
    assert page(serve(document)).headers["ETag"] == page(serve(document)).headers["ETag"]


def test_head_is_the_page_without_its_body(service):
    answer = service.http.head("/", headers={"Accept": BROWSER})

    assert ("text/html", b"") == (answer.content_type, answer.body)
    assert page(service).headers["Content-Length"] == answer.headers["Content-Length"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"])
def test_other_methods_are_a_405(service, method):
    assert "GET, HEAD" == service.http.request("/", method=method, status=405).headers["Allow"]


def test_renewals_are_not_on_the_page_if_they_are_switched_off(serve, document):
    document["registration_authority"]["default"]["renewal"] = {"enabled": False}
    service = serve(document)

    assert "renew/" not in text(service)
    assert "renew/" not in page(service).text


def test_it_can_be_switched_off(serve, document):
    service = serve(document, front_page="off")

    for method in ("GET", "POST"):
        assert service.http.request("/", method=method, status=404)


def test_the_short_page_keeps_the_policy_to_itself(serve, document):
    document["registration_authority"]["default"]["validators"] = {
        "common_name": {"allowed_domains": [".internal.example.com"]}
    }
    full, short = serve(document), serve(document, front_page="short")

    for headers in ({}, {"Accept": BROWSER}, {"Accept": "application/json"}):
        assert "internal.example.com" in text(full, **headers)
        answer = text(short, **headers)
        assert "CN=Test CA" in answer
        assert "v1/sign/default" in answer
        for word in ("internal.example.com", "common_name", "24 hours", "user name"):
            assert word not in answer


def test_no_format_contains_a_secret_a_path_or_a_host_of_a_backend(serve, document, tmp_path):
    (tmp_path / "blocklist.dat").write_bytes(bytes(16))
    document["registration_authority"]["default"]["validators"] = {
        "compromised_keys": {"blocklist": str(tmp_path / "blocklist.dat")}
    }
    document["authentication"]["static"]["groups"] = ["hidden-group"]
    service = serve(document)

    for accept in ("*/*", BROWSER, "application/json"):
        answer = text(service, Accept=accept)
        assert "private key is not one that others know" in answer
        for hidden in ("alice", "s3cret", "hidden-group", str(tmp_path), "blocklist.dat"):
            assert hidden not in answer


def test_version_documentation_and_description_are_on_the_page(serve, document):
    plain, linked = serve(document), serve(document, documentation_url="https://docs.example.com")
    described = plain.http.get("/openapi.yaml")

    for service, expected in ((plain, "anchor docs"), (linked, "https://docs.example.com")):
        for accept in ("*/*", BROWSER):
            answer = text(service, Accept=accept)
            assert f"Anchor {anchor.__version__}" in answer
            assert expected in answer
            assert "openapi.yaml" in answer
    assert 'href="https://docs.example.com"' in page(linked).text
    found = text(linked, Accept="application/json")
    assert "https://docs.example.com" == json.loads(found)["documentation"]
    assert "application/yaml" == described.content_type
    assert described.text.startswith("openapi: 3.1")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("anchor.example.org", "http://anchor.example.org"),
        ("anchor.example.org:5016", "http://anchor.example.org:5016"),
        ("192.0.2.1:80", "http://192.0.2.1:80"),
        ("[2001:db8::1]:5016", "http://[2001:db8::1]:5016"),
        ("", front.PLACEHOLDER),
        ("a'; touch /tmp/pwned; '", front.PLACEHOLDER),
        ("a$(id)", front.PLACEHOLDER),
        ("<script>alert(1)</script>", front.PLACEHOLDER),
        ('"><b>', front.PLACEHOLDER),
        ("a\r\nX: y", front.PLACEHOLDER),
        ("a.example.org/path", front.PLACEHOLDER),
        ("user@a.example.org", front.PLACEHOLDER),
        ("a.example.org\n", front.PLACEHOLDER),
        ("ä.example.org", front.PLACEHOLDER),
        ("-o", front.PLACEHOLDER),
        ("a" * 300, front.PLACEHOLDER),
        ("a:99999999", front.PLACEHOLDER),
    ],
)
def test_a_malformed_host_header_is_ignored(service, host, url):
    for accept in ("*/*", BROWSER):
        answer = service.http.get("/", extra_environ={"HTTP_HOST": host, "HTTP_ACCEPT": accept})
        assert f"'{url}/v1/sign/default'" in answer.text
        assert "pwned" not in answer.text
        assert "<script>alert" not in answer.text
        assert "<b>" not in answer.text


def test_without_a_host_there_is_a_placeholder(service):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http"}

    body = b"".join(service.http.app(environ, lambda *_: None))

    assert front.PLACEHOLDER.encode() in body


@pytest.mark.parametrize(
    ("peer", "forwarded", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("::ffff:10.0.0.1", "https", "https"),
        ("10.0.0.1", "javascript", "http"),
        ("192.0.2.7", "https", "http"),
        ("", "https", "http"),
    ],
)
def test_only_a_trusted_proxy_says_that_it_came_by_https(serve, document, peer, forwarded, scheme):
    service = serve(document, trusted_proxies=("10.0.0.0/8",))
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_PROTO": forwarded, "HTTP_HOST": "a.example"}

    assert f"'{scheme}://a.example/v1/" in service.http.get("/", extra_environ=environ).text


def test_the_url_contains_the_path_of_the_service(service):
    environ = {"SCRIPT_NAME": "/p'ki<", "HTTP_HOST": "a.example", "wsgi.url_scheme": "https"}

    answer = service.http.get("/", extra_environ=environ)

    assert "'https://a.example/p%27ki%3C/v1/sign/default'" in answer.text


@pytest.mark.parametrize("accept", ["text/plain", "text/html", "application/json"])
def test_base_url_is_the_url_of_all_commands(serve, document, accept):
    """The proxy ends TLS and removes the prefix; the Host header may be that of the service."""
    service = serve(document, base_url="https://pki.example.com/anchor")
    environ = {"HTTP_HOST": "10.0.0.5:5016", "HTTP_ACCEPT": accept}

    text = service.http.get("/", extra_environ=environ).text

    assert "10.0.0.5" not in text
    assert "--allow-http" not in text
    if accept != "application/json":
        assert "https://pki.example.com/anchor/v1/sign/default" in text


@pytest.mark.parametrize("base_url", [None, "https://pki.example.com/anchor"])
def test_the_openapi_description_has_the_url_of_the_service(serve, document, base_url):
    text = serve(document, base_url=base_url).http.get("/openapi.yaml").text

    assert [base_url or "/"] == re.findall("^servers:\n  - url: (.*)$", text, re.MULTILINE)


def test_a_subject_with_html_in_it_is_text(serve, document, tmp_path):
    hostile = "<script>alert(1)<b>&amp;${1+1}\u202e\x1b[31m"
    ca = make_ca(tmp_path, name=hostile)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
    }

    service = serve(document)
    tree = parsed(service)

    assert 1 == len(tree.all("script"))
    assert r"\<script\>alert(1)\<b\>&amp\;${1\+1}\u202e\x1b[31m" in tree.text
    assert "\x1b" not in text(service)


def test_a_policy_with_html_in_it_is_text(serve, document):
    document["registration_authority"]["default"]["validators"] = {
        "server_group": {"group_prefixes": {"<script>alert(1)</script>": "nv"}},
        "third_party_label": {"longest": 9},
    }
    tree = parsed(serve(document))

    assert 1 == len(tree.all("script"))
    assert "nv- to <script>" in tree.text
    assert "No label is longer than the option says." in tree.text


def test_ten_thousand_patterns_are_cut(serve, document):
    names = [f"host-{number}.example.com" for number in range(10_000)]
    document["registration_authority"]["default"]["validators"] = {
        "whitelist_names": {"names": names, "allow_dns_id": True}
    }

    answer = page(serve(document))

    assert "9,992 more" in answer.text
    assert len(answer.body) < 20_000


def test_of_a_thousand_authorities_there_are_the_names_and_a_page_each(serve, many):
    service = serve(many)

    listed, alone = parsed(service), parsed(service, "?authority=ra-0007")
    plain, found = text(service), text(service, Accept="application/json")

    links = [link["href"] for link in listed.all("a") if link["href"] != "openapi.yaml"]
    assert (1000, "?authority=ra-0007") == (len(links), links[7])
    assert "/v1/sign/ra-0007'" in alone.text
    assert "%.0.example.com" in alone.text
    assert "ra-0008" not in alone.text
    assert "  ra-0999\n" in plain
    assert 1000 == len(json.loads(found)["authorities"])
    assert len(page(service).body) < 100_000


def test_a_few_authorities_are_on_one_page(serve, document):
    section = document["registration_authority"]["default"]
    document["registration_authority"] = {f"ra-{n}": section for n in range(MAX_DETAILED)}

    assert MAX_DETAILED == len(parsed(serve(document)).all("article"))


@pytest.mark.parametrize("name", ["other", "", "__class__", "%3Cscript%3E", "default%00"])
def test_a_page_of_an_authority_that_is_not_there_is_a_404(service, name):
    answer = service.http.get(f"/?authority={name}", status=404)

    assert "script" not in answer.text


@pytest.mark.parametrize("query", ["?x=1", "?authority=default&authority=x", "?%ff=%fe", "?&&=;"])
def test_other_queries_change_nothing(service, query):
    assert page(service, query).status_int == 200


def test_the_page_changes_with_time_and_shows_the_next_ca(tmp_path, document, ca):
    second = make_ca(tmp_path, "ec-p384", name="Second CA", not_after=now() + 800 * DAY)
    document["signing_ca"]["local"]["next"] = {
        "from": (now() + 10 * DAY).isoformat(),
        "cert_path": str(second.cert_path),
        "key_path": str(second.key_path),
    }
    clock = FixedClock()
    authorities = Service(tmp_path, document).settings.authorities
    front_page = FrontPage(authorities, WebSettings(), clock=clock)

    def shown(days):
        clock.moment = now() + days * DAY
        return Strict(front_page.page("text/html").at("http://a").decode())

    first, later, over = shown(0), shown(11), shown(400)
    text_later = front_page.page("text/plain").at("http://a").decode()

    assert first.text.index("CN=Test CA") < first.text.index("CN=Second CA")
    assert "Next CA" in first.text
    assert ["99", "99"] == [meter["value"] for meter in first.all("meter")]
    assert later.text.index("CN=Second CA") < later.text.index("CN=Test CA")
    assert "Former" in later.text
    assert "CN=Test CA" not in over.text
    assert "former" not in text_later
    assert "All as PEM" in first.text
    assert "bundle=1" not in [link["href"] for link in over.all("a")]


def test_an_expired_ca_has_no_time_left(service):
    clock = FixedClock()
    front_page = FrontPage(service.settings.authorities, WebSettings(), clock=clock)
    clock.moment = now() + 400 * DAY

    tree = Strict(front_page.page("text/html").at("http://a").decode())

    assert ["0"] == [meter["value"] for meter in tree.all("meter")]
    assert ["alarm ended"] == [each["class"] for each in tree.all("p") if "class" in each][:1]
    alarm = "This CA has ended: it signs nothing. Replace it now."
    assert alarm in tree.text
    assert alarm in front_page.page("text/plain").at("http://a").decode()
    found = json.loads(front_page.page("application/json").at("http://a"))
    assert "ended" == found["authorities"][0]["certificates"][0]["state"]


def test_a_ca_that_is_about_to_end_looks_like_it(service, tmp_path, document):
    clock = FixedClock()
    pages = FrontPage(service.settings.authorities, WebSettings(), clock=clock)

    def shown(pages, media_type="text/html"):
        return pages.page(media_type).at("http://a").decode()

    assert "replace it now" not in shown(pages) + shown(pages, "text/plain")
    clock.moment = now() + 362 * DAY + DAY / 2
    alarm = "This CA ends in 2 days: replace it now."
    assert f'<p class="alarm ending"><strong>{alarm}</strong></p>' in shown(pages)
    assert 'class="ending" min="0"' in shown(pages)
    assert f"ATTENTION    {alarm}" in shown(pages, "text/plain")
    assert '"state": "ending"' in shown(pages, "application/json")

    # With a successor there is nothing to do.
    second = make_ca(tmp_path, "ec-p384", name="Second CA", not_after=now() + 800 * DAY)
    document["signing_ca"]["local"]["next"] = {
        "from": (now() + 363 * DAY).isoformat(),
        "cert_path": str(second.cert_path),
        "key_path": str(second.key_path),
    }
    authorities = Service(tmp_path, document).settings.authorities
    assert "replace it now" not in shown(FrontPage(authorities, WebSettings(), clock=clock))


def test_within_a_minute_nothing_is_rendered_again(service):
    clock = FixedClock()
    clock.moment = clock.moment.replace(second=1)
    front_page = FrontPage(service.settings.authorities, WebSettings(), clock=clock)

    first = front_page.page("text/html")
    clock.moment = clock.moment.replace(second=59)

    assert first is front_page.page("text/html")


def test_a_chain_has_a_button(serve, document, tmp_path):
    root = make_ca(tmp_path, name="root", not_after=now() + 900 * DAY)
    intermediate = make_ca(tmp_path, name="intermediate", issuer=root)
    document["signing_ca"]["local"] |= {
        "cert_path": str(intermediate.cert_path),
        "key_path": str(intermediate.key_path),
        "chain_path": str(root.cert_path),
    }
    service = serve(document)
    [href] = [link["href"] for link in parsed(service).all("a") if "chain" in link["href"]]

    found = x509.load_pem_x509_certificates(service.http.get(f"/{href}").body)

    assert [intermediate.certificate, root.certificate] == found


def test_behind_nginx_the_commands_have_the_url_that_the_client_used(nginx_anchor):
    curl = [program("curl", "curl"), "--silent", "--cacert", nginx_anchor.tls.ca.cert_path]

    shown = subprocess.run([*curl, nginx_anchor.url], check=True, capture_output=True, text=True)

    # Debian's uwsgi_params do not contain the port; in production it is the default one.
    port = rf"(:{nginx_anchor.port})?"
    assert re.search(rf"'https://127\.0\.0\.1{port}/v1/sign/default'", shown.stdout)


@pytest.mark.parametrize(
    ("backend", "words"), [("third_party_function", "third_party_function"), ("static", "hands")]
)
def test_who_may_ask_depends_on_the_authentication(serve, document, backend, words):
    if backend != "static":
        document["authentication"]["static"] = {"backend": backend, "people": {}}

    assert words in text(serve(document))


def test_a_setting_that_is_none_of_the_three_stops_the_start(serve, document):
    with pytest.raises(ValueError, match="front_page"):
        serve(document, front_page="on")


def test_loading_a_thousand_authorities_renders_nothing(tmp_path, many):
    (tmp_path / "config.json").write_text(json.dumps(many))
    front_page = FrontPage(load_authorities(tmp_path / "config.json").authorities, WebSettings())

    assert {} == front_page._pages

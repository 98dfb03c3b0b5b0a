"""The rollover of a CA: the bundle before it, the switch, and the warnings."""

from __future__ import annotations

import datetime
import json

import pytest
from cryptography import x509

from anchor.app import Application
from anchor.authorities import load_authorities
from anchor.cli.main import main
from anchor.errors import ConfigurationError
from anchor.web.settings import WebSettings
from tests.support.clock import FixedClock
from tests.support.pki import DAY, assert_is_leaf, make_ca, make_csr, now
from tests.support.service import Service

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def second(tmp_path):
    """The next CA."""
    return make_ca(tmp_path, "ec-p384", name="Second CA", not_after=now() + 800 * DAY)


@pytest.fixture
def rolling(document, second):
    """A configuration that switches to the next CA in ten days."""
    document["signing_ca"]["local"]["next"] = following(second, now() + 10 * DAY)
    return document


def following(ca, moment):
    return {
        "from": moment.isoformat(),
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
    }


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def serve_at(tmp_path, clock):
    """Makes a service with the test's clock."""

    def serve(document):
        service = Service(tmp_path, document)
        loaded = load_authorities(tmp_path / "config.json", clock=clock)
        service.http.app = Application(loaded.authorities, WebSettings())
        service.settings = loaded
        return service

    return serve


def bundle(service, query="bundle=1", **kwargs):
    answer = service.http.get(f"/v1/ca/default?{query}", **kwargs)
    return x509.load_pem_x509_certificates(answer.body)


def config_errors(path, document, **kwargs):
    (path / "config.json").write_text(json.dumps(document))
    with pytest.raises(ConfigurationError) as raised:
        load_authorities(path / "config.json", **kwargs)
    return [str(problem) for problem in raised.value.problems]


def test_the_next_ca_signs_from_its_start(serve_at, rolling, ca, second, clock):
    service = serve_at(rolling)

    clock.moment = now() + 10 * DAY - HOUR
    before = service.sign(headers={"Accept": "application/json"}, status=200).json
    clock.moment = now() + 10 * DAY + HOUR
    after = service.sign(headers={"Accept": "application/json"}, status=200).json

    for answer, issuer in ((before, ca), (after, second)):
        certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
        assert_is_leaf(certificate, issued_by=issuer)
        assert [issuer.cert_path.read_text()] == answer["chain"]


def test_the_bundle_contains_the_next_ca_before_it_signs(serve_at, rolling, ca, second, clock):
    service = serve_at(rolling)
    seen = []
    for days in (0, 11, 400):
        clock.moment = now() + days * DAY
        seen.append([bundle(service), bundle(service, "bundle=0"), bundle(service, "")])

    assert [
        [[ca.certificate, second.certificate], [ca.certificate], [ca.certificate]],
        [[second.certificate, ca.certificate], [second.certificate], [second.certificate]],
        [[second.certificate], [second.certificate], [second.certificate]],
    ] == seen


def test_the_bundle_comes_in_json_too(serve_at, rolling, ca, second):
    service = serve_at(rolling)

    answer = service.http.get("/v1/ca/default?bundle=1", headers={"Accept": "application/json"})
    plain = service.http.get("/v1/ca/default", headers={"Accept": "application/json"})

    assert [ca.cert_path.read_text(), second.cert_path.read_text()] == answer.json["bundle"]
    assert ca.cert_path.read_text() == answer.json["certificate"]
    assert "bundle" not in plain.json


def test_a_bundle_with_chains_has_each_certificate_once(serve_at, document, tmp_path):
    root = make_ca(tmp_path, name="root")
    cas = [make_ca(tmp_path, name=name, issuer=root) for name in ("one", "two")]
    first, second = cas
    chain = {"chain_path": str(root.cert_path)}
    document["signing_ca"]["local"] |= {
        "cert_path": str(first.cert_path),
        "key_path": str(first.key_path),
        "next": following(second, now() + DAY) | chain,
        **chain,
    }

    found = bundle(serve_at(document), "bundle=1&chain=1")

    assert [first.certificate, root.certificate, second.certificate] == found


@pytest.mark.parametrize(
    "query", ["bundle=2", "bundle=", "bundle=1&bundle=1", "bundle=1&encoding=der"]
)
def test_a_bundle_that_makes_no_sense_is_refused(serve_at, rolling, query):
    serve_at(rolling).http.get(f"/v1/ca/default?{query}", status=400)


def test_a_ca_without_a_next_one_has_a_bundle_of_one(service, ca):
    assert [ca.certificate] == bundle(service)


@pytest.mark.parametrize("days", [0, 11])
def test_the_key_of_either_ca_is_never_certified(serve_at, rolling, ca, second, clock, days):
    service = serve_at(rolling)
    clock.moment = now() + days * DAY

    for its_key in (ca.key, second.key):
        assert "the key is the CA's own" in service.sign(make_csr(key=its_key), status=400).text


def test_the_keys_of_a_rollover_may_be_in_a_file_and_in_a_token(
    serve_at, document, softhsm, ca, clock
):
    second = softhsm.make_ca("rsa-2048", name="In a token")
    section = softhsm.section(second)
    del section["output_path"]
    document["signing_ca"]["local"]["next"] = section | {"from": (now() + DAY).isoformat()}
    service = serve_at(document)

    assert_is_leaf(service.issue(), issued_by=ca)
    clock.moment = now() + 2 * DAY
    assert_is_leaf(service.issue(), issued_by=second)


# ---- start-up


def test_a_next_ca_may_become_valid_later_but_not_after_it_is_used(
    rolling, tmp_path, serve_at, clock
):
    later = make_ca(tmp_path, name="later", not_before=now() + 9 * DAY)
    rolling["signing_ca"]["local"]["next"] = following(later, now() + 10 * DAY)
    service = serve_at(rolling)
    clock.moment = now() + 11 * DAY
    assert_is_leaf(service.issue(), issued_by=later)

    rolling["signing_ca"]["local"]["next"] = following(later, now() + 8 * DAY)
    [found] = config_errors(tmp_path, rolling)
    assert found.startswith("signing_ca.local.next.cert_path: ")
    assert "is not valid before" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"from": None}, "signing_ca.local.next: missing option 'from'"),
        ({"from": "soon"}, "signing_ca.local.next.from: should be a time with its zone such as"),
        (
            {"from": "2030-01-01T00:00:00"},
            "signing_ca.local.next.from: should be a time with its zone such as",
        ),
        ({"from": 1893456000}, "signing_ca.local.next.from: should be a time with its zone"),
        ({"cert_path": None}, "signing_ca.local.next: missing option 'cert_path'"),
        ({"key_path": None}, "signing_ca.local.next: missing option 'key_path'"),
        ({"valid_hours": 1}, "signing_ca.local.next: unknown option 'valid_hours'"),
        ({"next": {}}, "signing_ca.local.next: unknown option 'next'"),
        ({"backend": "nothing"}, "signing_ca.local.next: no plug-in 'nothing' is installed"),
        ({"from": "2999-01-01T00:00:00Z"}, "signing_ca.local.next.cert_path: "),
    ],
)
def test_errors_in_the_next_ca_are_reported(rolling, tmp_path, change, message):
    changed = rolling["signing_ca"]["local"]["next"] | change
    changed = {name: value for name, value in changed.items() if value is not None}
    rolling["signing_ca"]["local"]["next"] = changed

    assert any(found.startswith(message) for found in config_errors(tmp_path, rolling))


def test_the_next_ca_needs_its_own_key(rolling, tmp_path, ca):
    rolling["signing_ca"]["local"]["next"]["key_path"] = str(ca.key_path)

    assert [
        "signing_ca.local.next: the private key does not match the certificate in 'cert_path'"
    ] == config_errors(tmp_path, rolling)


def test_the_next_ca_is_another_certificate(rolling, tmp_path, ca):
    rolling["signing_ca"]["local"]["next"] = following(ca, now() + DAY)

    assert [
        "signing_ca.local.next.cert_path: is the certificate that is in use already"
    ] == config_errors(tmp_path, rolling)


def test_there_is_no_gap_between_one_ca_and_the_next(rolling, tmp_path):
    late = make_ca(tmp_path, name="late", not_after=now() + 800 * DAY)
    rolling["signing_ca"]["local"]["next"] = following(late, now() + 400 * DAY)

    [found] = config_errors(tmp_path, rolling)

    assert found.startswith("signing_ca.local.next.from: is after the end of the CA")


def test_the_short_form_has_a_next_ca_too(serve, ca, second):
    service = serve(
        {
            "auth": {"static": {"user": "alice", "secret": "s3cret"}},
            "ca": {
                "cert_path": str(ca.cert_path),
                "key_path": str(ca.key_path),
                "next": following(second, now() + DAY),
            },
            "validators": {},
        }
    )

    assert [ca.certificate, second.certificate] == bundle(service)


def test_once_the_next_ca_has_taken_over_the_first_may_end_and_lose_its_key(
    serve_at, rolling, second, clock, ca
):
    service = serve_at(rolling)
    ca.key_path.unlink()
    clock.moment = now() + 400 * DAY

    loaded = load_authorities(service.path / "config.json", clock=clock)

    assert second.certificate == loaded.authorities["default"].signing_ca.at(clock()).certificate


# ---- warnings


@pytest.mark.parametrize(
    ("days", "options", "warned"),
    [
        (31, {}, False),
        (29, {}, True),
        (29, {"warn_lifetimes": 20}, False),
        (29, {"valid_hours": 12}, False),
        (29, {"warn_lifetimes": 0}, False),
        (90, {"warn_lifetimes": 100}, True),
    ],
)
def test_check_and_the_start_warn_of_a_ca_that_is_about_to_end(
    document, tmp_path, days, options, warned, capsys, caplog, monkeypatch
):
    ending = make_ca(tmp_path, name="ending", not_after=now() + days * DAY)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ending.cert_path),
        "key_path": str(ending.key_path),
        **options,
    }
    service = Service(tmp_path, document)

    assert 0 == main(["check", "--config", str(tmp_path / "config.json")])
    shown = capsys.readouterr()
    assert warned is ("warning: signing_ca.local: it ends at" in shown.err)
    assert "good, for default" in shown.out
    assert warned is bool(service.settings.warnings)
    service.issue()
    service.issue()
    assert int(warned) == caplog.text.count("signing CA 'local': it ends at")


def test_a_next_ca_silences_the_warning(document, tmp_path, second, serve):
    ending = make_ca(tmp_path, name="ending", not_after=now() + 5 * DAY)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ending.cert_path),
        "key_path": str(ending.key_path),
        "next": following(second, now() + 4 * DAY),
    }

    assert () == serve(document).settings.warnings


def test_the_log_is_reminded_once_a_day(serve_at, document, clock, caplog):
    document["signing_ca"]["local"]["warn_lifetimes"] = 366
    service = serve_at(document)

    for _ in range(3):
        clock.moment += 13 * HOUR
        service.issue()

    assert 2 == caplog.text.count("signing CA 'local': it ends at")

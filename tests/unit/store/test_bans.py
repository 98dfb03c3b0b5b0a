"""Bans apply from the next request on, in every process, until they end."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from anchor.auth.results import AuthDetails
from anchor.cli import main
from anchor.config.plugins import bind_options
from anchor.errors import ConfigurationError, PluginError, ValidationFailed
from anchor.policy.checks import SUPPLIED
from anchor.policy.policy import Fixup, load_policy
from anchor.store.ban_file import BanFile
from anchor.store.bans import Ban
from anchor.X509.name_matching import index_keys, lookup_keys, matches, overlaps
from anchor.X509.signing_request import X509Csr
from tests.support.pki import make_csr, shared_key
from tests.support.policies import make_context

BIN = Path(sys.executable).parent


@pytest.fixture
def command(service):
    """Runs the command with the service's configuration."""
    config = ["--config", str(service.path / "config.json")]
    return lambda *arguments: main.main([*arguments, *config])


def refused(service, csr=None, **fields):
    """The reason to reject the request; None if it is accepted."""
    answer = service.sign(csr, headers={"Accept": "application/json"}, **fields)
    if answer.status_int == 200:
        return None
    assert answer.status_int == 400
    return {failure["check"]: failure["reason"] for failure in answer.json["failures"]}


def test_a_ban_applies_from_the_next_request_until_it_is_lifted(service, command):
    csr = make_csr("www.example.com", "www.example.com")
    service.issue(csr)

    assert command("ban", "name", "WWW.Example.com.", "--reason", "broken into") == 0
    reasons = refused(service, csr)
    assert list(reasons) == ["not_banned"]
    assert "the name is banned" in reasons["not_banned"]
    assert "broken into" not in reasons["not_banned"]

    assert command("unban", "name", "www.example.com") == 0
    assert refused(service, csr) is None


@pytest.mark.parametrize(
    ("banned", "asked", "is_refused"),
    [
        ("www.example.com", ("other.example.com", "www.example.com"), True),
        ("www.example.com", ("WWW.EXAMPLE.COM",), True),
        ("www.example.com", (None, "www.example.com"), True),
        ("www.example.com", (None, "*.example.com"), True),
        ("www.example.com", (None, "w*.example.com"), True),
        ("www.example.com", (None, "*.www.example.com"), False),
        ("www.example.com", (None, "wwww.example.com"), False),
        ("www.example.com", (None, "a.www.example.com"), False),
        ("www.example.com", (None, x509.UniformResourceIdentifier("https://www.example.com/x")), 1),
        ("*.example.com", (None, "www.example.com"), True),
        ("*.example.com", (None, "*.example.com"), True),
        ("*.example.com", (None, "a.b.example.com"), False),
        (".example.com", (None, "a.b.example.com"), True),
        (".example.com", (None, "*.b.example.com"), True),
        (".example.com", (None, "example.com"), False),
        (".example.com", (None, "badexample.com"), False),
        ("192.0.2.1", (None, "192.0.2.1"), True),
        ("192.0.2.1", ("192.0.2.1",), True),
        ("2001:db8::1", (None, "2001:0db8:0::1"), True),
        ("192.0.2.1", (None, "192.0.2.11"), False),
        ("ops@example.com", (None, x509.RFC822Name("ops@example.com")), True),
        ("bücher.example", (None, "xn--bcher-kva.example"), True),
        ("*.BÜCHER.example", (None, "a.xn--bcher-kva.example"), True),
        (".bücher.example", (None, "a.b.xn--bcher-kva.example"), True),
        ("xn--bcher-kva.example", ("bücher.example",), True),
    ],
)
def test_a_ban_covers_every_certificate_valid_for_the_name(
    service, command, banned, asked, is_refused
):
    assert command("ban", "name", banned) == 0

    assert bool(is_refused) == (refused(service, make_csr(*asked)) is not None)


@pytest.mark.parametrize(
    "text",
    [
        "not a name",
        *("", ".", "..", "*", "*.", "www.*.example.com", "a..example.com", "%.example.com"),
        *("192.0.2.0/24", "fe80::1%eth0", "alice@", "@example.com", "a@b@c", "CN=example"),
        *("urn:x", "urn:uuid:1234", "tel:+1", "data:x", "https://", "https:host", "sip:host"),
        *("https://%zz/", "https://a b/", "https://user:secret@example.com/", "spiffe://"),
        *("https://a,b/x", "https://-/ x", "HTTP/host@REALM", "example.com:", "example.com:x"),
    ],
)
def test_an_invalid_name_cannot_be_banned(command, capsys, tmp_path, text):
    assert command("ban", "name", text) == 1

    assert f"{text!a} is no name that can be banned: write a host" in capsys.readouterr().err
    assert not (tmp_path / "bans.json").exists()


@pytest.mark.parametrize(
    ("text", "banned"),
    [
        ("example.com:443", "example.com"),
        ("*.example.com:443", "*.example.com"),
        ("https://www.example.com:8443/", "www.example.com"),
        ("https://www.example.com/x", "https://www.example.com/x"),
        ("https://b%C3%BCcher.example/", "xn--bcher-kva.example"),
        ("https://[2001:db8::1]/", "2001:db8::1"),
        ("spiffe://example.org/workload", "spiffe://example.org/workload"),
        ("mailto:alice@example.com", "alice@example.com"),
        ("sip:alice@example.com", "alice@example.com"),
    ],
)
def test_a_name_is_banned_in_its_canonical_form(command, capsys, text, banned):
    assert command("ban", "name", text) == 0

    assert f"name {banned} is banned" in capsys.readouterr().out


_names = st.from_regex(r"(\.|\*\.|a\*\.)?(a|b|ab)(\.(a|b)){0,3}", fullmatch=True)


@given(_names.filter(lambda name: not name.startswith(".")), _names)
def test_overlapping_names_share_an_index_key(name, banned):
    if overlaps(banned, name):
        assert set(index_keys(banned)) & set(lookup_keys(name))


@given(st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){1,2}", fullmatch=True), st.data())
def test_a_wildcard_covers_exactly_one_label(name, data):
    wildcard = f"*.{name}"
    label = data.draw(st.from_regex(r"[a-z]{1,5}", fullmatch=True))

    assert matches(wildcard, f"{label}.{name}")
    assert not matches(wildcard, name)
    assert not matches(wildcard, f"{label}.{label}.{name}")
    assert not matches(name, wildcard)


def test_a_requester_is_banned_in_any_case_of_the_name(serve, document, capsys):
    document["authentication"]["static"]["user"] = "Alice"
    service = serve(document)
    config = ["--config", str(service.path / "config.json")]

    main.main(["ban", "requester", "aLICE", *config])

    assert "the requester is banned" in refused(service, user="Alice")["not_banned"]


def test_a_key_is_banned_by_hash_or_by_a_file_that_contains_it(service, command, tmp_path, capsys):
    csr = make_csr(key=shared_key("ec-p384"))
    certificate = service.sign(csr, status=200).body
    public = shared_key("ec-p384").public_key()
    files = {
        "csr.pem": csr,
        "certificate.pem": certificate,
        "key.pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }
    values = set()
    for name, contents in files.items():
        (tmp_path / name).write_bytes(contents)
        assert command("ban", "key", str(tmp_path / name)) == 0
        assert "the key is banned" in refused(service, csr)["not_banned"]
        [ban] = json.loads((tmp_path / "bans.json").read_text())
        values.add(ban["value"])
        assert command("unban", "key", ban["value"]) == 0
        assert refused(service, csr) is None
    [fingerprint] = values
    command("ban", "key", ":".join(fingerprint[i : i + 2].upper() for i in range(0, 64, 2)))
    assert refused(service, csr)
    assert refused(service, make_csr()) is None
    assert "the last certificate of the key ends at" in capsys.readouterr().out


def test_a_ban_ends_at_its_end_time(serve, document, tmp_path):
    service = serve(document)
    moment = datetime.datetime.now(datetime.UTC)
    bans = BanFile(tmp_path / "bans.json", lambda: moment)
    ended = Ban(
        kind="name",
        value="www.example.com",
        since=moment - datetime.timedelta(hours=2),
        until=moment - datetime.timedelta(hours=1),
    )
    bans.add(ended)
    assert refused(service) is None

    bans.add(ended.model_copy(update={"until": moment + datetime.timedelta(hours=1)}))
    assert refused(service)
    assert len(bans.bans()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--hours", "0"],
        ["--hours", "-1"],
        ["--hours", "1e99"],
        ["--hours", "nan"],
        ["--until", "2001-01-01"],
    ],
)
def test_a_ban_that_has_already_ended_is_rejected(command, tmp_path, arguments):
    assert command("ban", "name", "www.example.com", *arguments) == 1
    assert not (tmp_path / "bans.json").exists()


def test_the_list_shows_each_ban_with_its_end_and_reason(command, capsys):
    command("ban", "name", "www.example.com", "--until", "2999-01-31T12:00", "--reason", "stolen")
    command("ban", "requester", "bob")
    capsys.readouterr()

    assert command("ban") == 0

    first, second = capsys.readouterr().out.splitlines()
    assert "name www.example.com is banned since" in first
    assert "until 2999-01-31T12:00:00Z (stolen)" in first
    assert "requester bob" in second
    assert "until it is lifted" in second


def test_banning_shows_when_the_last_certificate_expires(service, command, capsys):
    last = service.issue(make_csr("other.example.com", "*.example.com")).not_valid_after_utc

    command("ban", "name", "www.example.com")

    assert f"ends at {last:%Y-%m-%dT%H:%M:%SZ}, in 24" in capsys.readouterr().out


def test_banning_without_an_inventory_shows_when_all_certificates_expire(service, command, capsys):
    last = service.issue().not_valid_after_utc

    command("ban", "requester", "alice")

    output = capsys.readouterr().out
    assert "who got which certificate is not known" in output
    assert f"the last certificate of anybody's ends at {last:%Y-%m-%dT%H:%M:%SZ}" in output


@pytest.mark.parametrize("contents", ["", "{", "{}", '[{"kind": "name"}]', "\x00"])
def test_a_damaged_file_bans_everything_until_it_is_repaired(service, tmp_path, caplog, contents):
    (tmp_path / "bans.json").write_text(contents)

    assert "internal error" in service.sign(status=500).text
    assert "is damaged" in caplog.text

    (tmp_path / "bans.json").write_text("[]")
    assert refused(service) is None


def test_a_damaged_file_prevents_the_start(serve, document, tmp_path):
    document["bans"] = {"path": "elsewhere.json"}
    (tmp_path / "elsewhere.json").write_text("{")

    with pytest.raises(ConfigurationError, match=r"bans\.path: .*elsewhere\.json is damaged"):
        serve(document)


def test_unknown_options_of_bans_are_rejected(serve, document):
    for section, message in (({"file": "x"}, "bans: unknown option 'file'"), (1, "bans: should")):
        document["bans"] = section
        with pytest.raises(ConfigurationError, match=message):
            serve(document)


@pytest.mark.slow
def test_concurrent_bans_are_all_kept(service, tmp_path):
    config = ["--config", str(service.path / "config.json")]
    processes = [
        subprocess.Popen(
            [BIN / "anchor", "ban", "name", f"host{number}.example.com", *config],
            stdout=subprocess.DEVNULL,
        )
        for number in range(8)
    ]

    assert [0] * 8 == [process.wait(120) for process in processes]
    assert len(json.loads((tmp_path / "bans.json").read_text())) == 8


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["fsync", "utime"])
def test_the_next_ban_removes_files_of_a_killed_writer(command, service, ended):
    assert command("ban", "name", "a.example.com") == 0
    directory = service.path
    others = [directory / ".bans.json.save", directory / "bans.json.12345678"]
    for path in others:
        path.write_text("somebody else's")
    code = (
        "import os, signal, sys\n"
        "from anchor.cli import main as cli\n"
        f"os.{ended} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.main(sys.argv[1:])\n"
    )
    words = ["ban", "name", "b.example.com", "--config", str(directory / "config.json")]
    assert -9 == subprocess.run([sys.executable, "-c", code, *words], check=False).returncode
    assert 2 == len(list(directory.glob(".bans.json.*")))

    assert command("ban", "name", "c.example.com") == 0

    assert [others[0]] == list(directory.glob(".bans.json.*"))
    assert others[1].exists()
    bans = json.loads((directory / "bans.json").read_text())
    assert ["a.example.com", "c.example.com"] == [ban["value"] for ban in bans]


@pytest.mark.slow
def test_every_change_is_seen_even_in_quick_succession(tmp_path):
    path = tmp_path / "bans.json"
    writer = BanFile(path, lambda: datetime.datetime.now(datetime.UTC))
    reader = BanFile(path, lambda: datetime.datetime.now(datetime.UTC))
    since = datetime.datetime.now(datetime.UTC)
    for number in range(300):
        ban = Ban(kind="name", value=f"{'ab'[number % 2]}.example.com", since=since)
        writer.add(ban)
        assert ban in reader.bans()
        writer.remove("name", ban.value)
        assert reader.bans() == ()


def test_a_request_is_checked_against_one_state_of_the_bans(tmp_path, monkeypatch):
    bans = BanFile(tmp_path / "bans.json", lambda: datetime.datetime.now(datetime.UTC))
    fixups = {"enforce_alternative_names_present": {}}
    policy = load_policy({}, fixups, frozenset({65537}), frozenset(), tmp_path, bans=bans)
    csr = X509Csr.from_pem(make_csr("www.example.com"))
    looks = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda *path, **how: looks.append(path) or stat(*path, **how))

    came_before = policy.context(AuthDetails("alice"), None, {})
    bans.add(Ban(kind="name", value="www.example.com", since=datetime.datetime.now(datetime.UTC)))
    looks.clear()

    # The request that the fixup returns is checked against the bans as well.
    assert policy.evaluate(csr, came_before).require_approved().dns_names == ("www.example.com",)
    assert not looks
    with pytest.raises(ValidationFailed, match="the name is banned"):
        policy.evaluate(csr, policy.context(AuthDetails("alice"), None, {})).require_approved()
    assert looks == [(tmp_path / "bans.json",)]


def test_a_name_added_by_a_fixup_is_checked_against_the_bans(tmp_path):
    bans = BanFile(tmp_path / "bans.json", lambda: datetime.datetime.now(datetime.UTC))
    bans.add(Ban(kind="name", value="other.example.com", since=datetime.datetime.now(datetime.UTC)))
    policy = load_policy({}, {}, frozenset({65537}), frozenset(), tmp_path, bans=bans)
    added = [x509.DNSName("other.example.com")]
    adding = Fixup("adding", lambda supplied: supplied["csr"].with_alternative_names(added))
    policy = dataclasses.replace(policy, fixups=(adding,))

    with pytest.raises(ValidationFailed, match="the name is banned"):
        policy.evaluate(
            X509Csr.from_pem(make_csr()), policy.context(AuthDetails("alice"), None, {})
        ).require_approved()


def test_a_request_fails_if_the_bans_were_not_read(tmp_path):
    bans = BanFile(tmp_path / "bans.json", lambda: datetime.datetime.now(datetime.UTC))
    policy = load_policy({}, {}, frozenset({65537}), frozenset(), tmp_path, bans=bans)

    with pytest.raises(PluginError, match="'not_banned' failed"):
        policy.evaluate(X509Csr.from_pem(make_csr()), make_context()).require_approved()


def test_a_plugin_that_takes_all_arguments_does_not_get_the_bans(tmp_path):
    takes_all = bind_options(lambda **supplied: supplied.keys(), {}, SUPPLIED, tmp_path)

    assert takes_all(make_context().arguments(X509Csr.from_pem(make_csr()))) == SUPPLIED

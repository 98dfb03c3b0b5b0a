"""Bans apply from the next request on, in every process, until they end."""

from __future__ import annotations

import dataclasses
import datetime
import json
import multiprocessing
import os
import signal
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from anchor.auth.results import AuthDetails
from anchor.cli import main
from anchor.config.plugins import bind_options
from anchor.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    PluginError,
    ValidationFailed,
)
from anchor.policy.checks import SUPPLIED
from anchor.policy.policy import Fixup, load_policy
from anchor.store.ban_file import prepare_database
from anchor.store.bans import Ban, normalize
from anchor.store.database import bans as database_bans
from anchor.store.database.bans import Bans
from anchor.timestamps import timestamp, utc_now
from anchor.X509.name_matching import index_keys, lookup_keys, matches, overlaps
from anchor.X509.signing_request import X509Csr
from tests.support.inventory import open_database
from tests.support.pki import make_csr, shared_key
from tests.support.policies import make_context


@pytest.fixture
def command(service):
    """Runs the command with the service's configuration."""
    config = ["--config", str(service.path / "config.json")]
    return lambda *arguments: main.main([*arguments, *config])


def stored(directory):
    """The bans in the database of a directory."""
    return Bans(open_database(directory)).all()


def make_ban(value, kind="name", **values):
    values = {"since": datetime.datetime.now(datetime.UTC)} | values
    return Ban(kind=kind, value=value, **values)


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
        *("localhost:192.0.2.1", "DNS:", "IP:", "DNS:IP:192.0.2.1", "RID:1.2.3.4"),
    ],
)
def test_an_invalid_name_cannot_be_banned(command, capsys, tmp_path, text):
    assert command("ban", "name", text) == 1

    assert f"{text!a} is no name that can be banned: write a host" in capsys.readouterr().err
    assert not (tmp_path / "anchor.db").exists()


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
        ("DNS:www.example.com", "www.example.com"),
        ("DNS:*.example.com", "*.example.com"),
        ("CN:localhost", "localhost"),
        ("IP:192.0.2.1", "192.0.2.1"),
        ("IP:2001:db8::1", "2001:db8::1"),
        ("email:alice@example.com", "alice@example.com"),
        ("URI:https://www.example.com/x", "https://www.example.com/x"),
        ("ip:443", "ip"),
        ("dns://192.0.2.1/www.example.com", "dns://192.0.2.1/www.example.com"),
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
        [ban] = stored(tmp_path)
        values.add(ban.value)
        assert command("unban", "key", ban.value) == 0
        assert refused(service, csr) is None
    [fingerprint] = values
    command("ban", "key", ":".join(fingerprint[i : i + 2].upper() for i in range(0, 64, 2)))
    assert refused(service, csr)
    assert refused(service, make_csr()) is None
    assert "the last certificate of the key ends at" in capsys.readouterr().out


def test_a_certificate_is_banned_by_its_fingerprint_or_by_a_file_with_it(
    service, command, tmp_path, capsys
):
    certificate = service.issue()
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    path = tmp_path / "certificate.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    assert command("ban", "certificate", str(path)) == 0
    end = timestamp(certificate.not_valid_after_utc)
    assert f"it stays valid until {end}: Anchor publishes no revocations" in capsys.readouterr().out
    [ban] = stored(tmp_path)
    assert (ban.kind, ban.value) == ("certificate", fingerprint)
    # Its key and its names are not banned.
    assert refused(service) is None
    assert command("certs", "show", fingerprint) == 0
    assert "banned:      the certificate, since " in capsys.readouterr().out
    assert command("unban", "certificate", fingerprint.upper()) == 0
    assert stored(tmp_path) == []


def test_a_certificate_that_is_not_in_the_inventory_can_be_banned(service, command, capsys):
    assert command("ban", "certificate", "ab:" * 31 + "ab") == 0
    assert "it is not in the inventory, or has expired" in capsys.readouterr().out


def test_what_is_no_certificate_cannot_be_banned(service, command, tmp_path, capsys):
    for text, reason in (
        ("abc", "is neither a SHA-256 in hexadecimal nor a file"),
        (str(service.path / "config.json"), "holds no certificate in PEM"),
    ):
        assert command("ban", "certificate", text) == 1
        assert reason in capsys.readouterr().err
    assert stored(tmp_path) == []


def test_a_ban_ends_at_its_end_time(serve, document, tmp_path):
    service = serve(document)
    moment = datetime.datetime.now(datetime.UTC)
    bans = Bans(open_database(tmp_path))
    hour = datetime.timedelta(hours=1)
    ended = make_ban("www.example.com", since=moment - 2 * hour, until=moment - hour)
    bans.add(ended)
    assert refused(service) is None

    bans.add(ended.model_copy(update={"until": moment + hour}))
    assert refused(service)
    assert len(bans.all()) == 1


def test_a_ban_with_a_fraction_of_a_second_does_not_end_early(tmp_path):
    bans = Bans(open_database(tmp_path))
    end = datetime.datetime(2040, 1, 1, microsecond=500_000, tzinfo=datetime.UTC)
    bans.add(make_ban("www.example.com", until=end))

    just_before = end - datetime.timedelta(microseconds=1)
    assert bans.find(["name www.example.com"], just_before)
    assert bans.bans_names(just_before)
    assert not bans.find(["name www.example.com"], end + datetime.timedelta(seconds=1))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--hours", "0"],
        ["--hours", "-1"],
        ["--hours", "1e9"],
        ["--until", "2001-01-01"],
    ],
)
def test_a_ban_that_has_already_ended_is_rejected(command, tmp_path, arguments):
    assert command("ban", "name", "www.example.com", *arguments) == 1
    assert not (tmp_path / "anchor.db").exists()


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


def test_banning_a_requester_shows_the_last_end_and_the_number(service, command, capsys):
    service.issue()
    last = service.issue().not_valid_after_utc

    command("ban", "requester", "ALICE")

    end = f"the last certificate of the requester ends at {last:%Y-%m-%dT%H:%M:%SZ}, in 24.0 hours"
    assert capsys.readouterr().out.endswith(f"{end}; 2 are in force\n")


def test_banning_counts_one_certificate_in_the_singular(service, command, capsys):
    service.issue()

    command("ban", "requester", "alice")

    assert capsys.readouterr().out.endswith("; 1 is in force\n")


def test_banning_shows_that_there_is_no_certificate(service, command, capsys):
    service.issue()

    command("ban", "name", "other.example.net")

    assert "there is no certificate of the name in force\n" in capsys.readouterr().out


@pytest.mark.parametrize("contents", ["", "{", "{}", '[{"kind": "name"}]', "\x00"])
def test_a_damaged_ban_file_prevents_the_start_and_new_bans(
    service, command, tmp_path, capsys, contents
):
    (tmp_path / "bans.json").write_text(contents)

    with pytest.raises(ConfigurationError, match=r"bans\.path: .*bans\.json is damaged"):
        prepare_database(service.settings.database, service.settings.ban_file)
    assert command("ban", "name", "www.example.com") == 1
    assert "bans.json is damaged" in capsys.readouterr().err
    assert stored(tmp_path) == []


def test_an_existing_ban_file_is_imported_once(service, command, tmp_path, capsys):
    file = [make_ban(f"{name}.example.com").model_dump(mode="json") for name in "ab"]
    (tmp_path / "bans.json").write_text(json.dumps(file))

    assert command("unban", "name", "a.example.com") == 0
    assert "imported 2 bans of" in capsys.readouterr().err
    assert command("ban", "name", "c.example.com", "--json") == 0
    assert command("ban") == 0

    assert [ban.value for ban in stored(tmp_path)] == ["b.example.com", "c.example.com"]
    assert "imported" not in capsys.readouterr().err
    assert refused(service, make_csr("b.example.com"))


@pytest.mark.parametrize(
    ("hours_in_database", "hours_in_file", "hours"),
    [(1, None, None), (1, 2, 2), (-1, 2, 2), (2, 1, 2), (None, 1, None), (None, None, None)],
)
def test_an_imported_ban_never_ends_earlier_than_in_the_file_or_the_database(
    service, command, tmp_path, hours_in_database, hours_in_file, hours
):
    now = utc_now().replace(microsecond=0)

    def until(hours):
        return None if hours is None else now + datetime.timedelta(hours=hours)

    bans = Bans(service.settings.database)
    bans.add(make_ban("a.example.com", until=until(hours_in_database), reason="first"))
    file = [make_ban("A.example.com", until=until(hours_in_file)).model_dump(mode="json")]
    (tmp_path / "bans.json").write_text(json.dumps(file))

    assert command("ban") == 0

    [ban] = stored(tmp_path)
    assert ban.until == until(hours)
    assert ban.reason.startswith("first")
    assert refused(service, make_csr("a.example.com"))


def test_unknown_options_of_bans_are_rejected(serve, document):
    for section, message in (({"file": "x"}, "bans: unknown option 'file'"), (1, "bans: should")):
        document["bans"] = section
        with pytest.raises(ConfigurationError, match=message):
            serve(document)


def in_processes(count, work):
    """Call ``work(number)`` in forked processes at the same time; return their exit codes."""
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=lambda each=number: sys.exit(work(each))) for number in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


@pytest.mark.slow
def test_forty_concurrent_bans_are_all_kept(service, command, tmp_path):
    """The database does not exist before."""
    codes = in_processes(40, lambda number: command("ban", "name", f"host{number}.example.com"))

    assert codes == [0] * 40
    assert {f"host{number}.example.com" for number in range(40)} == {
        ban.value for ban in stored(tmp_path)
    }


def test_concurrent_bans_of_one_value_leave_one(command, tmp_path):
    codes = in_processes(
        8, lambda number: command("ban", "name", "www.example.com", "--reason", f"{number}")
    )

    assert codes == [0] * 8
    assert len(stored(tmp_path)) == 1


def test_a_killed_command_leaves_nothing_and_the_next_one_succeeds(command, tmp_path, monkeypatch):
    assert command("ban", "name", "a.example.com") == 0
    insert = database_bans._insert

    def killed(number):
        def die(*arguments):
            insert(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(database_bans, "_insert", die)
        return command("ban", "name", "b.example.com")

    assert in_processes(1, killed) == [-signal.SIGKILL]
    assert command("ban", "name", "c.example.com") == 0

    assert [ban.value for ban in stored(tmp_path)] == ["a.example.com", "c.example.com"]


def test_every_change_is_seen_at_once(tmp_path):
    writer, reader = Bans(open_database(tmp_path)), Bans(open_database(tmp_path))
    now = datetime.datetime.now(datetime.UTC)
    for number in range(30):
        value = f"{'ab'[number % 2]}.example.com"
        writer.add(make_ban(value))
        assert [ban.value for ban in reader.find([f"name {value}"], now)] == [value]
        assert reader.bans_names(now)
        assert writer.remove("name", value)
        assert not writer.remove("name", value)
        assert not reader.find([f"name {value}"], now)
        assert not reader.bans_names(now)


def test_a_request_is_checked_against_one_state_of_the_bans(tmp_path, monkeypatch):
    bans = Bans(open_database(tmp_path))
    fixups = {"enforce_alternative_names_present": {}}
    policy = load_policy({}, fixups, frozenset({65537}), frozenset(), tmp_path, bans=bans)
    csr = X509Csr.from_pem(make_csr("www.example.com"))
    reads = []
    find = bans.find
    monkeypatch.setattr(bans, "find", lambda keys, now: reads.append(keys) or find(keys, now))

    came_before = policy.context(AuthDetails("alice"), None, {})
    # The request that the fixup returns is checked against the bans as well.
    assert policy.evaluate(csr, came_before).require_approved().dns_names == ("www.example.com",)
    assert len(reads) == 1
    bans.add(make_ban("www.example.com"))

    assert policy.evaluate(csr, came_before).require_approved()
    assert len(reads) == 1
    with pytest.raises(ValidationFailed, match="the name is banned"):
        policy.evaluate(csr, policy.context(AuthDetails("alice"), None, {})).require_approved()
    assert len(reads) == 2


def test_a_name_added_by_a_fixup_is_checked_against_the_bans(tmp_path):
    bans = Bans(open_database(tmp_path))
    bans.add(make_ban("other.example.com"))
    policy = load_policy({}, {}, frozenset({65537}), frozenset(), tmp_path, bans=bans)
    added = [x509.DNSName("other.example.com")]
    adding = Fixup("adding", lambda supplied: supplied["csr"].with_alternative_names(added))
    policy = dataclasses.replace(policy, fixups=(adding,))

    with pytest.raises(ValidationFailed, match="the name is banned"):
        policy.evaluate(
            X509Csr.from_pem(make_csr()), policy.context(AuthDetails("alice"), None, {})
        ).require_approved()


def test_a_request_fails_if_the_bans_cannot_be_read(tmp_path):
    bans = Bans(open_database(tmp_path))
    policy = load_policy({}, {}, frozenset({65537}), frozenset(), tmp_path, bans=bans)
    csr = X509Csr.from_pem(make_csr())
    bans.database.close()
    (tmp_path / "anchor.db").write_bytes(b"no database" * 1000)

    with pytest.raises(PluginError, match="'not_banned' failed"):
        policy.evaluate(csr, policy.context(AuthDetails("alice"), None, {})).require_approved()


def test_a_request_fails_if_the_database_is_away(tmp_path):
    bans = Bans(open_database(tmp_path))
    policy = load_policy({}, {}, frozenset({65537}), frozenset(), tmp_path, bans=bans)
    csr = X509Csr.from_pem(make_csr())
    bans.database.close()
    (tmp_path / "anchor.db").unlink()
    (tmp_path / "anchor.db").mkdir()

    with pytest.raises(DatabaseUnavailable, match=r"unable to open|was removed or replaced"):
        policy.evaluate(csr, policy.context(AuthDetails("alice"), None, {})).require_approved()


def test_the_command_reports_a_locked_database_in_one_line(command, tmp_path, document, capsys):
    document["database"] = {"timeout_seconds": 0.1}
    (tmp_path / "config.json").write_text(json.dumps(document))
    database = open_database(tmp_path)

    with database.write():
        assert command("ban", "name", "www.example.com") == 1

    assert capsys.readouterr().err == f"anchor: {tmp_path / 'anchor.db'}: database is locked\n"


@pytest.mark.parametrize("name", ["\udcff", "a\0b", "\ud800.example.com", "x" * 300, "\x1b[2J"])
def test_hostile_values_are_banned_and_lifted(tmp_path, name):
    bans = Bans(open_database(tmp_path))
    now = datetime.datetime.now(datetime.UTC)
    ban = make_ban(normalize("requester", name), kind="requester")
    bans.add(ban)

    assert bans.find(database_bans.ban_keys(ban), now)
    assert not bans.find([f"requester {len(name)}"], now)
    assert bans.remove("requester", name)
    assert bans.all() == []


def test_values_with_a_common_start_longer_than_a_key_are_not_confused(tmp_path):
    bans = Bans(open_database(tmp_path))
    policy = load_policy({}, {}, frozenset({65537}), frozenset(), tmp_path, bans=bans)
    csr = X509Csr.from_pem(make_csr())
    bans.add(make_ban("x" * 300 + "y", kind="requester"))

    context = policy.context(AuthDetails("x" * 300 + "z"), None, {})
    assert policy.evaluate(csr, context).require_approved()
    context = policy.context(AuthDetails("x" * 300 + "y"), None, {})
    with pytest.raises(ValidationFailed, match="the requester is banned"):
        policy.evaluate(csr, context).require_approved()


def test_a_plugin_that_takes_all_arguments_does_not_get_the_bans(tmp_path):
    takes_all = bind_options(lambda **supplied: supplied.keys(), {}, SUPPLIED, tmp_path)

    assert takes_all(make_context().arguments(X509Csr.from_pem(make_csr()))) == SUPPLIED

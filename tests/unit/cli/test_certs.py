"""``anchor certs`` lists, shows and prunes the certificates of the database."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from anchor.cli import main
from tests.support.inventory import add, keep, open_inventory
from tests.support.pki import DAY, make_csr, now, shared_key, subject

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def certs(document, tmp_path, capsys):
    """Runs ``anchor certs``; returns its output, or its errors if it has to fail."""
    (tmp_path / "config.json").write_text(json.dumps(document))

    def run(*arguments, code=0, command="certs"):
        config = ["--config", str(tmp_path / "config.json")]
        assert main.main([command, *arguments, *config]) == code
        output = capsys.readouterr()
        assert bool(output.err) == bool(code)
        return output.err if code else output.out

    return run


@pytest.fixture
def inventory(tmp_path):
    return open_inventory(tmp_path)


@pytest.fixture
def kept(inventory):
    """Certificates with various ends."""
    add(inventory, "old.example.com", not_after=now() - 10 * DAY)
    add(inventory, "gone.example.com", not_after=now() - HOUR)
    add(inventory, "soon.example.com", not_after=now() + HOUR, requester="bob", authority="second")
    add(inventory, "*.example.com", "late.example.com", not_after=now() + 2 * DAY)
    return inventory


def listed(certs, *arguments):
    """The first name of each certificate."""
    lines = certs(*arguments, "--json").splitlines()
    return [json.loads(line)["names"][0].removeprefix("DNS:") for line in lines]


OLD, GONE, SOON, WILD = "old.example.com", "gone.example.com", "soon.example.com", "*.example.com"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", [OLD, GONE, SOON, WILD]),
        ("--in-force", [SOON, WILD]),
        ("--expired", [OLD, GONE]),
        ("--expiring 24", [SOON]),
        ("--expiring 24h", [SOON]),
        ("--expiring 90min", [SOON]),
        ("--expiring 3000s", []),
        ("--expiring 2.5d", [SOON, WILD]),
        ("--expiring 999999999999999999d", [SOON, WILD]),
        ("--for Gone.Example.com", [GONE, WILD]),
        ("--name gone.example.com --in-force", [WILD]),
        ("--for example.com", []),
        ("--for .example.com --expired", [GONE, OLD]),
        ("--requester BOB", [SOON]),
        ("--requester carol", []),
        ("--authority second", [SOON]),
        ("--authority second --requester alice", []),
        ("--since 24h", [SOON, WILD]),
        ("--since 2999-01-31T12:00Z", []),
        ("--limit 2", [OLD, GONE]),
        ("--in-force --limit 1", [SOON]),
    ],
)
def test_listing_filters(certs, kept, arguments, expected):
    assert sorted(listed(certs, *arguments.split())) == sorted(expected)


def test_the_table_has_a_header_and_aligned_columns(certs, kept):
    header, *rows = certs().splitlines()

    assert header.split() == ["EXPIRES", "FINGERPRINT", "REQUESTER", "AUTHORITY", "NAMES"]
    start = header.index("NAMES")
    assert [row[start:] for row in rows] == [
        "DNS:old.example.com",
        "DNS:gone.example.com",
        "DNS:soon.example.com",
        "DNS:*.example.com DNS:late.example.com",
    ]
    assert rows[2].split()[2:4] == ["bob", "second"]


@pytest.mark.parametrize("count", [49, 50, 51, 120])
def test_a_long_table_is_aligned_and_complete(certs, inventory, count):
    for number in range(count):
        add(inventory, f"host{number}.example.com")

    header, *rows = certs().splitlines()
    assert len(rows) == count
    assert {row.index("DNS:") for row in rows} == {header.index("NAMES")}


def test_an_empty_list_says_so(certs, inventory):
    assert certs().startswith("there is no certificate in ")
    assert certs("--in-force").startswith("there is no certificate that matches in ")
    assert certs("--for", "x.example.com").startswith("there is no certificate that matches in ")
    assert certs("--json") == ""


def test_an_empty_list_for_a_text_that_is_no_name_says_what_a_name_is(certs, kept):
    assert "'[192.0.2.1]' is no host" in certs("--for", "[192.0.2.1]")
    assert "is no host" not in certs("--for", "192.0.2.1")


def test_the_list_for_a_name_with_its_type_is_that_of_the_name(certs, kept):
    assert listed(certs, "--for", f"DNS:{SOON}") == [SOON, WILD]


def test_any_number_can_limit_the_list(certs, kept):
    assert listed(certs, "--limit", "9" * 30) == [OLD, GONE, SOON, WILD]


def test_listing_for_a_name_ends_with_the_last_end(certs, kept):
    text = certs("--for", "SOON.example.com")
    assert text.splitlines()[-1].startswith("the last certificate for SOON.example.com ends at ")
    assert text.endswith("in 48.0 hours\n")

    assert "there is no certificate for .old.example.com in force" in certs(
        "--for", ".old.example.com"
    )
    assert "the last" not in certs("--for", "soon.example.com", "--json")


@pytest.mark.parametrize(
    "arguments",
    [
        "--expiring x", "--expiring -1", "--expiring 2w", "--expiring nan", "--since yesterday",
        "--since 12", "--since 2h3", "--limit 0", "--limit -1", "--limit x", "--limit ²",
        "--serial xyz", "--serial _1", "--prune --older-than -1", "--prune --older-than nan",
        "--in-force --expired",
    ],
)  # fmt: skip
def test_a_wrong_value_is_a_usage_error(certs, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        certs(*arguments.split())

    assert ended.value.code == 2
    assert "anchor certs: argument --" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a" * 64 + "0", "no such file", "abc"])
def test_a_key_that_is_neither_a_number_nor_a_file_is_an_error(certs, inventory, text):
    assert "is neither a SHA-256 in hexadecimal nor a file" in certs("--key", text, code=1)


def test_certificates_are_found_by_key_and_serial(certs, inventory, tmp_path, capsys):
    public = shared_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(public)
    command = ["ban", "key", str(tmp_path / "key.pem"), "--config", str(tmp_path / "config.json")]
    assert main.main(command) == 0
    capsys.readouterr()
    add(inventory, OLD, key="ab" * 32)
    record = inventory.find(add(inventory, SOON, key="cd" * 32))

    assert listed(certs, "--key", "ABAB") == [OLD]
    assert listed(certs, "--key", ":".join(["CD"] * 32)) == [SOON]
    assert listed(certs, "--key", str(tmp_path / "key.pem")) == []
    assert listed(certs, "--serial", f"0x00{record.serial.upper()}") == [SOON]
    assert listed(certs, "--serial", f"00:{record.serial}") == [SOON]


def test_a_new_certificate_is_listed_with_all_its_identifiers(service, certs):
    certificate = service.issue(make_csr("www.example.com", "www.example.com", "192.0.2.1"))

    found = json.loads(certs("--json"))
    assert sorted(found["names"]) == ["CN:www.example.com", "DNS:www.example.com", "IP:192.0.2.1"]
    assert found["serial"] == f"{certificate.serial_number:x}"
    assert found["fingerprint"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert found["not_after"] == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert (found["requester"], found["authority"], found["door"]) == ("alice", "default", "sign")
    assert found["status"] == "valid"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (x509.UniformResourceIdentifier("https://b%C3%BCcher.example:8443/x"), "bücher.example"),
        (x509.UniformResourceIdentifier("spiffe://example.com/ns/x"), "spiffe://example.com/ns/x"),
        (x509.UniformResourceIdentifier("https://0x7f.1/"), "127.0.0.1"),
        (x509.RFC822Name("Alice@Example.com"), "alice@example.com"),
        (x509.DirectoryName(subject("alt.example.com")), "ALT.example.com."),
        ("2001:db8::1", "2001:DB8:0::1"),
        ("192.0.2.1", "192.0.2.0/24"),
        ("a.b.example.com", ".Example.com"),
    ],
)
def test_names_of_every_type_match_in_every_spelling(service, certs, name, wanted):
    service.issue(make_csr("other.example.net", name))
    service.issue(make_csr("another.example.net"))

    [line] = certs("--for", wanted, "--json").splitlines()
    assert "CN:other.example.net" in json.loads(line)["names"]


@pytest.mark.parametrize("written", ["127.1", "0x7f000001", "2130706433"])
def test_a_common_name_that_resolves_as_an_address_matches_that_address(service, certs, written):
    service.issue(make_csr(written))

    assert json.loads(certs("--for", "127.0.0.1", "--json"))["names"][-1] == f"CN:{written}"


def test_a_certificate_that_is_not_yet_valid_is_listed_as_future(certs, inventory):
    begin = now() + HOUR
    add(inventory, "later.example.com", issued_at=begin)
    add(inventory, "now.example.com")
    add(inventory, "past.example.com", not_after=now() - HOUR)

    for line in certs().splitlines():
        note = f"(not yet valid, from {begin:%Y-%m-%dT%H:%M:%SZ} on)"
        assert (note in line) == ("DNS:later" in line)
    found = [json.loads(line) for line in certs("--json").splitlines()]
    assert {each["names"][0]: each["status"] for each in found} == {
        "DNS:later.example.com": "not yet valid",
        "DNS:now.example.com": "valid",
        "DNS:past.example.com": "expired",
    }


def test_hostile_text_is_printed_in_printable_ascii_and_in_bounded_lines(certs, inventory):
    names = ["\x1b[2J", "a\0b", "\ud800.example.com", "x" * 70_000, "\u202eabc", "a\nb"]
    fingerprint = add(inventory, *names, requester="mallory\x1b[2J\n\udcff" + "y" * 999)
    add(inventory, "x" * 300)

    for arguments in ((), ("--json",), ("show", fingerprint), ("show", fingerprint, "--json")):
        output = certs(*arguments)
        assert output.isascii()
        assert output.replace("\n", "").isprintable()
    assert len(certs().splitlines()) == 3
    assert all(len(line) < 600 for line in certs().splitlines())
    assert "and 5 more" in certs() or "and 4 more" in certs() or "and 3 more" in certs()


def test_a_certificate_is_shown_by_fingerprint(service, certs):
    certificate = service.issue(make_csr("www.example.com", "www.example.com", "192.0.2.1"))
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()

    colons = ":".join(fingerprint[start : start + 2].upper() for start in range(0, 64, 2))
    for text in (fingerprint, fingerprint[:7], colons):
        shown = certs("show", text)
        assert f"fingerprint: {fingerprint}\n" in shown
        for value in ("DNS:www.example.com", "IP:192.0.2.1", "alice", "default", "local", "sign",
                      "192.0.2.7"):  # fmt: skip
            assert f" {value}\n" in shown
    assert x509.load_pem_x509_certificate(certs("show", fingerprint, "--pem").encode()) == (
        certificate
    )
    found = json.loads(certs("show", fingerprint, "--json"))
    assert (found["address"], found["signing_ca"]) == ("192.0.2.7", "local")
    assert x509.load_pem_x509_certificate(found["pem"].encode()) == certificate


def test_an_unknown_or_ambiguous_fingerprint_is_an_error(certs, inventory):
    found = [add(inventory, "a.example.com") for _ in range(20)]
    first = {fingerprint[0] for fingerprint in found}
    shared = next(digit for digit in first if sum(each[0] == digit for each in found) > 1)

    assert "fingerprints of several certificates start with" in certs("show", shared, code=1)
    assert "no certificate in" in certs("show", "0" * 64, code=1)
    for text in ("xyz", "", "a" * 65, "\u0661"):
        assert "is not a SHA-256 in hexadecimal" in certs("show", text, code=1)


@pytest.mark.parametrize(
    "arguments", [[], ["--json"], ["--prune"], ["show", "ab"], ["--for", "x.example.com"]]
)
def test_without_a_database_commands_say_where_it_would_be_and_make_none(
    certs, tmp_path, arguments
):
    expected = f"database.url: there is no database yet: the service creates {tmp_path}/anchor.db"
    assert expected in certs(*arguments, code=1)
    assert expected in certs(code=1, command="ban")
    assert not (tmp_path / "anchor.db").exists()


def test_a_damaged_database_is_reported_in_one_line(certs, tmp_path):
    (tmp_path / "anchor.db").write_bytes(b"x" * 10_000)
    (tmp_path / "anchor.db").chmod(0o600)

    for arguments in ((), ("show", "ab"), ("--prune",)):
        [line] = certs(*arguments, code=1).splitlines()
        assert line.endswith("anchor.db: file is not a database")


def test_listing_needs_no_keys_or_ca_certificate(certs, ca, kept):
    ca.key_path.unlink()
    ca.cert_path.unlink()

    assert len(listed(certs)) == 4


def test_pruning_deletes_expired_certificates_only(certs, kept):
    assert "would delete 1 certificate" in certs("--prune", "--older-than", "5", "--dry-run")
    assert "would delete 2 certificates" in certs("--prune", "--dry-run")
    assert len(listed(certs)) == 4
    assert "deleted 1 certificate" in certs("--prune", "--older-than", "5")
    assert listed(certs) == [GONE, SOON, WILD]
    assert "deleted 1 certificate" in certs("--prune")
    assert listed(certs) == [SOON, WILD]
    assert "deleted 0 certificates" in certs("--prune", "--older-than", "999999")


@pytest.mark.parametrize("options", ["--requester bob", "--for x.a", "--in-force", "--json"])
def test_pruning_a_selection_is_refused(certs, kept, options):
    assert "--prune deletes all expired certificates" in certs("--prune", *options.split(), code=1)
    assert len(listed(certs)) == 4


def test_pruning_deletes_the_files_of_expired_certificates(certs, inventory, ca, tmp_path):
    directory = tmp_path / "certs"
    gone = keep(directory, ca, GONE, not_after=now() - HOUR)
    kept = [
        keep(directory, ca, SOON, not_after=now() + HOUR),
        keep(directory, ca, OLD, not_after=now() - HOUR).rename(directory / "mine.crt"),
        directory / "other.txt",
    ]
    kept[-1].write_text("not a certificate")

    assert "would delete 1 file of" in certs("--prune", "--dry-run")
    assert gone.exists()
    assert "deleted 1 file of" in certs("--prune")
    assert set(directory.iterdir()) == set(kept)

    (directory / "broken.crt").write_text("broken")
    assert f"{directory / 'broken.crt'} contains no certificate" in certs("--prune", code=1)
    assert (directory / "broken.crt").exists()


def killed_while_writing(directory, ended):
    """Kill a process while it stores a certificate, and while it checks that it can."""
    code = (
        "import os, pathlib, signal\n"
        "from anchor.store import certificate_files\n"
        "def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"os.{ended} = die\n"
        f"store = certificate_files.CertificateDirectory(pathlib.Path({str(directory)!r}))\n"
        f"store.{'ready()' if ended == 'posix_fallocate' else 'put(64 * chr(97), bytes(99))'}\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("ended", ["write", "fsync", "rename", "posix_fallocate"])
def test_pruning_removes_files_of_killed_writers_after_an_hour(certs, inventory, tmp_path, ended):
    directory = tmp_path / "certs"
    directory.mkdir()
    hidden = {name: directory / name for name in (".keep", f".{'b' * 64}.1234567", ".ready.x")}
    for path in hidden.values():
        path.write_text("not the service's")
        os.utime(path, (0, 0))
    killed_while_writing(directory, ended)
    [left] = [path for path in directory.glob(".*") if path not in hidden.values()]

    assert "temporary" not in certs("--prune")
    assert left.exists(), "its writer may still be running"
    os.utime(left, (time.time() - 3700,) * 2)

    assert "deleted 1 temporary files of writers that were killed" in certs("--prune")
    assert set(directory.glob(".*")) == set(hidden.values())


@pytest.mark.slow
def test_a_listing_ends_quietly_if_its_reader_does(inventory, certs, tmp_path):
    for number in range(300):
        add(inventory, f"{number}{'x' * 300}.example.com")
    code = "import sys; from anchor.cli.main import main; sys.exit(main())"
    command = f"'{sys.executable}' -c '{code}' certs --config '{tmp_path}/config.json' | head -1"

    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)

    assert ended.stdout.startswith("EXPIRES")
    assert ended.stderr == ""

"""``anchor certs``: the issued certificates, and when the last one expires."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.cli import main
from tests.support.pace import cpu_limit
from tests.support.pki import DAY, hash_for, make_csr, now, shared_key, subject

ANCHOR = Path(sys.executable).with_name("anchor")
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def certs(service, capsys):
    """Runs ``anchor certs`` with the service's configuration; returns what it printed."""

    def run(*arguments, command=("certs",), code=0):
        config = ["--config", str(service.path / "config.json")]
        assert main.main([*command, *arguments, *config]) == code
        output = capsys.readouterr()
        return output.err if code else output.out

    return run


def listed(certs, *arguments):
    return {tuple(found["names"]) for found in json.loads(certs(*arguments, "--json"))}


def keep(directory, ca, *names, not_before=None, not_after):
    """Store a certificate with another validity, as the service does."""
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject(names[0]))
        .issuer_name(ca.certificate.subject)
        .public_key(shared_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now() - 30 * DAY)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
        .sign(ca.key, hash_for(ca.key))
    )
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    directory.mkdir(exist_ok=True)
    path = directory / f"{fingerprint}.crt"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def kept(service, ca):
    """Stores certificates with various validities; returns their directory."""
    directory = service.path / "certs"
    keep(directory, ca, "old.example.com", not_after=now() - 10 * DAY)
    keep(directory, ca, "gone.example.com", not_after=now() - HOUR)
    keep(directory, ca, "soon.example.com", not_after=now() + HOUR)
    keep(directory, ca, "*.example.com", "late.example.com", not_after=now() + 2 * DAY)
    return directory


OLD = ("DNS:old.example.com", "CN:old.example.com")
GONE = ("DNS:gone.example.com", "CN:gone.example.com")
SOON = ("DNS:soon.example.com", "CN:soon.example.com")
WILD = ("DNS:*.example.com", "DNS:late.example.com", "CN:*.example.com")


def test_listing_filters_by_time_and_name(certs, kept):
    assert {OLD, GONE, SOON, WILD} == listed(certs)
    assert {SOON, WILD} == listed(certs, "--in-force")
    assert {OLD, GONE} == listed(certs, "--expired")
    assert {SOON} == listed(certs, "--expiring", "24")
    assert {GONE, WILD} == listed(certs, "--name", "Gone.Example.com")
    assert {WILD} == listed(certs, "--in-force", "--name", "gone.example.com")
    assert set() == listed(certs, "--name", "example.com")
    assert [line.split()[2] for line in certs().splitlines()] == [
        names[0] for names in (OLD, GONE, SOON, WILD)
    ]


def test_a_new_certificate_is_listed_with_all_its_identifiers(service, certs):
    certificate = service.issue(make_csr("www.example.com", "www.example.com", "192.0.2.1"))

    [found] = json.loads(certs("--json"))
    assert found["names"] == ["DNS:www.example.com", "IP:192.0.2.1", "CN:www.example.com"]
    assert found["serial"] == f"{certificate.serial_number:x}"
    assert found["fingerprint"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert found["not_after"] == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert x509.load_pem_x509_certificate(Path(found["path"]).read_bytes()) == certificate


def test_listing_for_a_name_includes_wildcards_and_the_last_end(certs, kept):
    answer = json.loads(certs("--for", "SOON.example.com", "--json"))
    assert [tuple(found["names"]) for found in answer["certificates"]] == [WILD, SOON]
    assert answer["last_valid_until"] == answer["certificates"][0]["not_after"]

    text = certs("--for", "soon.example.com")
    assert text.startswith(
        f"the last certificate good for soon.example.com ends at {answer['last_valid_until']}, in 4"
    )
    assert "there is no certificate good for a.b.example.com in force" in certs(
        "--for", "a.b.example.com"
    )


def test_certificates_are_listed_for_an_address_or_a_common_name(service, certs):
    service.issue(make_csr("Solo.Example.com", "2001:db8::1"))

    for name in ("2001:DB8:0::1", "solo.example.com"):
        assert len(json.loads(certs("--for", name, "--json"))["certificates"]) == 1


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (x509.UniformResourceIdentifier("https://b%C3%BCcher.example:8443/x"), "bücher.example"),
        (x509.UniformResourceIdentifier("spiffe://example.com/ns/x"), "spiffe://example.com/ns/x"),
        (x509.UniformResourceIdentifier("https://0x7f.1/"), "127.0.0.1"),
        (x509.RFC822Name("Alice@Example.com"), "alice@example.com"),
        (x509.DirectoryName(subject("alt.example.com")), "ALT.example.com."),
    ],
)
def test_names_of_every_type_match_in_every_spelling(service, certs, name, wanted):
    service.issue(make_csr("other.example.net", name))
    service.issue(make_csr("another.example.net"))

    [found] = json.loads(certs("--for", wanted, "--json"))["certificates"]
    assert "CN:other.example.net" in found["names"]
    assert f"certificate of the name ends at {found['not_after']}" in certs(
        "name", wanted, command=("ban",)
    )


@pytest.mark.parametrize("written", ["127.1", "0x7f000001", "2130706433"])
def test_a_common_name_that_resolves_as_an_address_matches_that_address(service, certs, written):
    service.issue(make_csr(written))

    [found] = json.loads(certs("--for", "127.0.0.1", "--json"))["certificates"]
    assert found["names"][-1] == f"CN:{written}"


def test_deleted_and_new_files_are_noticed_at_once(certs, kept, ca):
    assert {OLD, GONE, SOON, WILD} == listed(certs)

    for path in kept.glob("*.crt"):
        path.unlink()
    keep(kept / "moved", ca, "new.example.com", not_after=now() + DAY)

    assert {("DNS:new.example.com", "CN:new.example.com")} == listed(certs)


def write(contents):
    return lambda path: path.write_bytes(contents(path.read_bytes()))


def in_its_place(make):
    def replace_file(path):
        path.unlink()
        make(path)

    return replace_file


DAMAGE = {
    "empty": write(lambda pem: b""),
    "cut off": write(lambda pem: pem[:200]),
    "other bytes": write(lambda pem: pem.replace(b"M", b"N", 1)),
    "without its end": write(lambda pem: pem[:-30]),
    "no certificate in it": write(
        lambda pem: b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    ),
    "no text": write(lambda pem: bytes(range(256))),
    # Reading the whole file would exhaust the memory.
    "8 GiB": lambda path: os.truncate(path, 1 << 33),
    "a link to nothing": in_its_place(lambda path: path.symlink_to("nowhere")),
    "a link to itself": in_its_place(lambda path: path.symlink_to(path)),
    "a directory": in_its_place(lambda path: path.mkdir()),
    "a pipe": in_its_place(os.mkfifo),
    "another name": lambda path: path.rename(path.with_name("host.crt")).write_text("broken"),
    "a name of that length": lambda path: path.rename(path.with_name(f"{'x' * 64}.crt")).write_text(
        "broken"
    ),
    "in a directory below": lambda path: (
        (path.parent / "below").mkdir(),
        path.rename(path.parent / "below" / path.name).write_text("broken"),
    ),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize(
    "arguments", [(), ("--json",), ("--in-force",), ("--for", "x.example.com")]
)
def test_a_broken_file_is_named_and_the_others_are_listed(service, kept, capsys, how, arguments):
    [broken] = [path for path in kept.glob("*.crt") if names_in(path) == ["soon.example.com"]]
    before = set(kept.rglob("*.crt"))
    DAMAGE[how](broken)
    path = next(iter({*kept.rglob("*.crt")} - before), broken)

    code = main.main(["certs", *arguments, "--config", str(service.path / "config.json")])

    output = capsys.readouterr()
    assert 1 == code
    [line] = output.err.splitlines()
    assert line.startswith(f"anchor: {path}")
    assert "late.example.com" in output.out
    assert "soon.example.com" not in output.out
    if arguments == ("--json",):
        assert 3 == len(json.loads(output.out))


def names_in(path):
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def test_every_broken_file_is_named(service, kept, ca, capsys):
    broken = sorted(kept.glob("*.crt"))[:2]
    for path in broken:
        path.write_text("broken")

    assert 1 == main.main(["certs", "--config", str(service.path / "config.json")])

    output = capsys.readouterr()
    assert 2 == len(output.out.splitlines())
    assert all(f"{path} holds no certificate" in output.err for path in broken)


def test_pruning_leaves_a_broken_file_and_names_it(service, kept, capsys):
    [broken] = [path for path in kept.glob("*.crt") if names_in(path) == ["old.example.com"]]
    broken.write_text("broken")

    config = ("--config", str(service.path / "config.json"))
    assert 1 == main.main(["certs", "--prune", *config])

    output = capsys.readouterr()
    assert "deleted 1 cert" in output.out
    assert f"{broken} holds no certificate" in output.err
    assert broken.exists()


def test_certificates_in_files_with_other_names_are_ignored(certs, kept):
    [path] = [path for path in kept.glob("*.crt") if names_in(path) == ["soon.example.com"]]
    path.rename(path.with_name("mine.crt"))
    (kept / "README").write_text("not a certificate")
    (kept / ".hidden.crt").write_text("not a certificate")

    assert {OLD, GONE, WILD} == listed(certs)


def test_a_certificate_that_is_not_yet_valid_is_listed_as_future(certs, service, ca):
    directory = service.path / "certs"
    begin = now() + HOUR
    keep(directory, ca, "later.example.com", not_before=begin, not_after=now() + DAY)
    keep(directory, ca, "now.example.com", not_after=now() + DAY)
    keep(directory, ca, "past.example.com", not_after=now() - HOUR)
    moment = f"{begin:%Y-%m-%dT%H:%M:%SZ}"

    for arguments in ((), ("--in-force",), ("--for", "later.example.com")):
        for line in certs(*arguments).splitlines():
            assert (f"(not yet valid, from {moment} on)" in line) == ("DNS:later" in line)
    assert {
        "DNS:later.example.com": "not yet valid",
        "DNS:now.example.com": "valid",
        "DNS:past.example.com": "expired",
    } == {found["names"][0]: found["status"] for found in json.loads(certs("--json"))}


def test_a_certificate_in_a_wrong_file_is_listed_by_its_contents(certs, kept):
    first, second = sorted(kept.glob("*.crt"))[:2]
    second.write_bytes(first.read_bytes())

    found = json.loads(certs("--json"))

    assert 4 == len(found)
    assert 2 == len({row["path"] for row in found} & {str(first), str(second)})
    assert 1 == len({row["serial"] for row in found if row["path"] in (str(first), str(second))})


def test_pruning_deletes_expired_certificates_only(certs, kept):
    (kept / "other.txt").write_text("not a certificate")

    assert "deleted 1 cert" in certs("--prune", "--older-than", "5")
    assert {GONE, SOON, WILD} == listed(certs)
    assert "deleted 1 cert" in certs("--prune")
    assert {SOON, WILD} == listed(certs)
    assert len(list(kept.glob("*.crt"))) == 2
    assert (kept / "other.txt").exists()


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
    assert -9 == subprocess.run([sys.executable, "-c", code], check=False).returncode


@pytest.mark.parametrize("ended", ["write", "fsync", "rename", "posix_fallocate"])
def test_pruning_removes_files_of_killed_writers_after_an_hour(certs, kept, ended):
    hidden = {name: kept / name for name in (".keep", f".{'b' * 64}.1234567", ".ready.x")}
    for path in hidden.values():
        path.write_text("not the service's")
        os.utime(path, (0, 0))
    killed_while_writing(kept, ended)
    [left] = [path for path in kept.glob(".*") if path not in hidden.values()]

    assert "temporary" not in certs("--prune")
    assert left.exists(), "whoever writes it may be at work still"
    os.utime(left, (time.time() - 3700,) * 2)

    assert "deleted 1 temporary files of writers that were killed" in certs("--prune")
    assert set(hidden.values()) == set(kept.glob(".*"))
    assert {SOON, WILD} == listed(certs)


def test_listing_by_requester_uses_the_audit_file(serve, document, tmp_path, capsys):
    assert main.main(["audit", "init", str(tmp_path / "audit.key")]) == 0
    document["audit"] = {
        "target": "file",
        "path": "audit.jsonl",
        "checkpoint_key_path": "audit.key",
    }
    document["authentication"]["other"] = {"backend": "static", "user": "bob", "secret": "s3cret"}
    document["registration_authority"]["second"] = {
        "authentication": "other",
        "signing_ca": "local",
        "validators": {},
    }
    service = serve(document)
    service.issue(make_csr("alices.example.com"))
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.jsonl.1")
    bobs = service.issue(make_csr("bobs.example.com"), authority="second", user="bob")
    config = ["--config", str(tmp_path / "config.json")]
    capsys.readouterr()

    main.main(["certs", "--requester", "Bob", "--json", *config])
    assert [["CN:bobs.example.com"]] == [
        found["names"] for found in json.loads(capsys.readouterr().out)
    ]
    main.main(["certs", "--requester", "alice", *config])
    assert "alices.example.com" in capsys.readouterr().out

    main.main(["ban", "requester", "bob", *config])
    output = capsys.readouterr().out
    assert f"ends at {bobs.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}" in output


def test_listing_by_requester_requires_an_audit_file(certs):
    certs("--requester", "alice", code=1)


def test_listing_needs_no_keys_or_ca_certificate(service, certs, ca, kept):
    ca.key_path.unlink()
    ca.cert_path.unlink()

    assert len(listed(certs)) == 4


def test_a_ca_that_stores_nothing_is_named(serve, document, capsys):
    del document["signing_ca"]["local"]["output_path"]
    service = serve(document)
    service.issue()

    main.main(["certs", "--for", "a.example.com", "--config", str(service.path / "config.json")])

    assert "signing_ca.local stores no certificates" in capsys.readouterr().out


# ---- many certificates


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A configuration with 20,000 certificates, each with its own serial and names; they are one
    certificate with other octets in those places, so unsigned."""
    from tests.support.pki import make_ca

    path = tmp_path_factory.mktemp("many")
    ca = make_ca(path)
    directory = path / "certs"
    first = keep(directory, ca, "host00000.example.com", not_after=now() + DAY)
    certificate = x509.load_pem_x509_certificate(first.read_bytes())
    first.unlink()
    template = certificate.public_bytes(Encoding.DER)
    offset = template.index(b"\xa0\x03\x02\x01\x02\x02") + 7
    for number in range(20_000):
        serial = b"\x01" + number.to_bytes(4)
        der = template[:offset] + serial + template[offset + 5 :]
        der = der.replace(b"host00000", b"host%05d" % number)
        fingerprint = hashlib.sha256(der).hexdigest()
        pem = base64.encodebytes(der)
        (directory / f"{fingerprint}.crt").write_bytes(
            b"-----BEGIN CERTIFICATE-----\n" + pem + b"-----END CERTIFICATE-----\n"
        )
    document = {
        "auth": {"static": {"user": "alice", "secret": "s3cret"}},
        "ca": {
            "cert_path": str(ca.cert_path),
            "key_path": str(ca.key_path),
            "output_path": "certs",
        },
        "validators": {},
    }
    (path / "config.json").write_text(json.dumps(document))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--in-force"], 20_000),
        (["--name", "host17777.example.com"], 1),
        (["--for", "host17777.example.com"], 2),
    ],
)
def test_twenty_thousand_certificates_are_searched_in_seconds(many, arguments, count):
    """Measures the least CPU time of three attempts; three seconds are usual."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = subprocess.run(
            [ANCHOR, "certs", *arguments, "--config", many / "config.json"],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert len(output.splitlines()) == count

    assert min(seconds) < cpu_limit(8, in_this_process=False)

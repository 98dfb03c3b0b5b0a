"""``anchor certs import`` brings certificates from files into the database."""

from __future__ import annotations

import datetime
import json
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.cli import certs_import, main
from anchor.store.database.certificates import Selection
from anchor.X509.name_search import query_valid_for
from tests.support.inventory import keep, open_inventory
from tests.support.pki import DAY, make_csr, now

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def run(document, tmp_path, capsys):
    """Runs ``anchor certs import``; returns its output and its errors."""

    def run(*arguments, code=0):
        (tmp_path / "config.json").write_text(json.dumps(document))
        config = ["--config", str(tmp_path / "config.json")]
        assert main.main(["certs", "import", *map(str, arguments), *config]) == code
        return capsys.readouterr()

    return run


@pytest.fixture
def kept(tmp_path, ca):
    """A directory with four certificates, one of them in a directory below."""
    directory = tmp_path / "certs"
    keep(directory, ca, "old.example.com", not_after=now() - DAY)
    keep(directory, ca, "soon.example.com", not_after=now() + HOUR)
    keep(directory, ca, "*.example.com", "late.example.com", not_after=now() + 2 * DAY)
    keep(directory / "below", ca, "below.example.com", not_after=now() + DAY)
    return directory


def names(tmp_path, **selection):
    inventory = open_inventory(tmp_path)
    return {record.names[0] for record in inventory.select(Selection(**selection))}


ALL = {"CN:old.example.com", "CN:soon.example.com", "CN:*.example.com", "CN:below.example.com"}


def test_the_output_path_is_imported_by_default_and_kept(run, kept, tmp_path):
    files = set(kept.rglob("*"))

    assert run().out == f"imported 4 certificates into {tmp_path / 'anchor.db'}\n"

    assert names(tmp_path) == ALL
    assert set(kept.rglob("*")) == files
    found = names(tmp_path, names=query_valid_for("x.example.com"))
    assert found == {"CN:*.example.com"}
    record = next(open_inventory(tmp_path).select(Selection()))
    assert record.issuance is None
    assert (kept / f"{record.fingerprint}.crt").read_bytes() == x509.load_der_x509_certificate(
        record.der
    ).public_bytes(Encoding.PEM)


def test_an_import_can_be_repeated_and_continued(run, kept, tmp_path, ca, monkeypatch):
    monkeypatch.setattr(certs_import, "_BATCH", 2)
    run()
    keep(kept, ca, "new.example.com", not_after=now() + DAY)

    assert "imported 1 certificate into" in run().out
    assert "imported 0 certificates" in run(kept, kept / "below").out
    assert names(tmp_path) == ALL | {"CN:new.example.com"}


def test_files_with_other_names_are_imported_and_other_files_ignored(run, kept, tmp_path):
    next(kept.glob("*.crt")).rename(kept / "mine.crt")
    (kept / "README").write_text("not a certificate")
    (kept / ".hidden.crt").write_text("not a certificate")

    assert "imported 4 certificates" in run(kept).out
    assert names(tmp_path) == ALL


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
    "a pipe": in_its_place(os.mkfifo),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_broken_file_is_named_after_the_others_are_imported(run, kept, tmp_path, how):
    [broken] = (kept / "below").glob("*.crt")
    DAMAGE[how](broken)

    output = run(code=1)

    assert "imported 3 certificates" in output.out
    [line] = output.err.splitlines()
    assert line.startswith(f"anchor: {broken}")
    assert names(tmp_path) == ALL - {"CN:below.example.com"}


def test_every_broken_file_is_named(run, kept):
    broken = sorted(kept.glob("*.crt"))[:2]
    for path in broken:
        path.write_text("broken")

    output = run(code=1)

    assert "imported 2 certificates" in output.out
    assert all(f"{path} contains no certificate" in output.err for path in broken)


def test_a_certificate_that_the_database_refuses_is_named_and_the_others_imported(
    run, kept, tmp_path, ca
):
    [path] = [path for path in kept.glob("*.crt") if b"x" in path.read_bytes()][:1]
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    other = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.issuer)
        .public_key(certificate.public_key())
        .serial_number(certificate.serial_number)
        .not_valid_before(now())
        .not_valid_after(now() + DAY)
        .sign(ca.key, certificate.signature_hash_algorithm)
    )
    (kept / "zzz.crt").write_bytes(other.public_bytes(Encoding.PEM))

    output = run(code=1)

    assert "imported 4 certificates" in output.out
    assert ".crt cannot be imported: " in output.err
    assert "UNIQUE constraint failed: certificates.serial" in output.err


def test_a_directory_that_is_not_there_is_an_error(run, document, tmp_path):
    assert f"{tmp_path / 'nowhere'} is not a directory" in run(tmp_path / "nowhere", code=1).err
    del document["signing_ca"]["local"]["output_path"]
    assert "no signing CA has an output_path" in run(code=1).err
    assert not (tmp_path / "anchor.db").exists()


def test_requesters_come_from_the_audit_file(serve, document, run, tmp_path, capsys, ca):
    assert main.main(["audit", "init", str(tmp_path / "audit.key")]) == 0
    document["audit"] = {
        "target": "file",
        "path": "audit.jsonl",
        "checkpoint_key_path": "audit.key",
    }
    document["authentication"]["other"] = {"backend": "static", "user": "Bob", "secret": "s3cret"}
    document["registration_authority"]["second"] = {
        "authentication": "other",
        "signing_ca": "local",
        "validators": {},
    }
    service = serve(document)
    service.issue(make_csr("alices.example.com"))
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.jsonl.1")
    service.issue(make_csr("bobs.example.com"), authority="second", user="Bob")
    issued = {record.fingerprint: record for record in open_inventory(tmp_path).select(Selection())}
    keep(tmp_path / "certs", ca, "x.example.com", not_after=now())
    service.settings.database.close()
    for path in tmp_path.glob("anchor.db*"):
        path.unlink()
    capsys.readouterr()

    assert "imported 3 certificates" in run().out

    assert names(tmp_path, requester="bob") == {"CN:bobs.example.com"}
    assert names(tmp_path, authority="default") == {"CN:alices.example.com"}
    for record in open_inventory(tmp_path).select(Selection()):
        expected = issued.pop(record.fingerprint, None)
        if expected is None:
            assert record.names[0] == "CN:x.example.com"
            assert record.issuance is None
        else:
            assert record.issuance.signing_ca == "local"
            assert record.issuance.address == "192.0.2.7"
            assert record.issuance.request_id == expected.issuance.request_id
            assert record.issuance.issued_at == expected.issuance.issued_at
            assert (record.key, record.serial, record.ca_key_id, record.subject) == (
                expected.key, expected.serial, expected.ca_key_id, expected.subject
            )  # fmt: skip
            assert sorted(record.names) == sorted(expected.names)
    assert not issued


def test_nothing_is_imported_if_the_audit_file_was_changed(serve, document, run, tmp_path):
    assert main.main(["audit", "init", str(tmp_path / "audit.key")]) == 0
    document["audit"] = {
        "target": "file",
        "path": "audit.jsonl",
        "checkpoint_key_path": "audit.key",
    }
    serve(document).issue()
    path = tmp_path / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"alice", b"mallo"))
    before = names(tmp_path)

    assert "audit.jsonl, line" in run(code=1).err
    assert names(tmp_path) == before

"""Databases and certificates for the tests of the inventory."""

from __future__ import annotations

import hashlib
import itertools

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.store.database.certificates import Inventory
from anchor.store.database.engine import Database
from anchor.store.database.settings import locate_database
from anchor.store.records import CertificateRecord, Issuance
from anchor.X509.name_search import search_key
from tests.support.pki import DAY, hash_for, now, shared_key, subject

_numbers = itertools.count(1)


def open_database(directory):
    """The SQLite database in a directory, as a configuration there has it by default."""
    database = Database(locate_database({}, directory))
    database.prepare()
    return database


def open_inventory(directory):
    return Inventory(open_database(directory))


def add(inventory, *names, not_after=None, issued_at=None, key="", **issuance):
    """Store a made-up certificate for names; return its fingerprint."""
    number = next(_numbers)
    fingerprint = hashlib.sha256(b"%d" % number).hexdigest()
    end = (not_after or now() + DAY).replace(microsecond=0)
    begin = issued_at or min(now(), end - DAY)
    values = {"requester": "alice", "user_id": None, "project_id": None, "groups": ("ops",)}
    values |= {"authority": "default", "signing_ca": "local", "door": "sign"}
    values |= {"address": "192.0.2.1", "request_id": "0123"} | issuance
    record = CertificateRecord(
        fingerprint=fingerprint,
        serial=f"{number:x}",
        ca_key_id="ab",
        key=key or hashlib.sha256(fingerprint.encode()).hexdigest(),
        subject="CN=x",
        names=tuple(f"DNS:{name}" for name in names),
        not_before=begin,
        not_after=end,
        der=b"der",
        issuance=Issuance(issued_at=begin, **values),
    )
    inventory.add(record, {name: search_key(name) for name in names})
    return fingerprint


def keep(directory, ca, *names, not_before=None, not_after):
    """Store a certificate with some validity in a file, as the service does; return its path."""
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

"""What the inventory needs to know of each stored certificate, in one file beside them.

Parsing a hundred thousand certificates takes ten seconds, reading a hundred thousand lines a
fraction of one.  The files are the truth: the index may lack any of them, as a crash between a file
and its line makes it, and may name some that are gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from anchor.X509 import coverage, names

NAME = ".index"


class Entry(NamedTuple):
    """A certificate in short; times are in seconds since 1970, names have their kind in front."""

    fingerprint: str
    serial: str
    not_before: int
    not_after: int
    subject: str
    names: tuple[str, ...]
    key: str

    @classmethod
    def of(cls, certificate: x509.Certificate, fingerprint: str) -> Entry:
        """The same of a parsed certificate."""
        try:
            extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            described = [names.describe(name) for name in extension.value]
        except x509.ExtensionNotFound:
            described = []
        described += [
            f"CN:{attribute.value!s}"
            for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ]
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(
            fingerprint,
            f"{certificate.serial_number:x}",
            int(certificate.not_valid_before_utc.timestamp()),
            int(certificate.not_valid_after_utc.timestamp()),
            certificate.subject.rfc4514_string(),
            tuple(dict.fromkeys(map(_normal, described))),
            hashlib.sha256(key).hexdigest(),
        )

    @property
    def plain_names(self) -> tuple[str, ...]:
        """The names without their kind, and the hosts in URIs."""
        return tuple(coverage.values(self.names))


def _normal(described: str) -> str:
    kind, _, value = described.partition(":")
    return f"{kind}:{coverage.normal(value)}"


def note(directory: Path, certificate: x509.Certificate, fingerprint: str) -> None:
    """Add a certificate to the index, if somebody has asked for one by using the inventory."""
    try:
        file = os.open(directory / NAME, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    _write(file, [Entry.of(certificate, fingerprint)])


def append(directory: Path, entries: Iterable[Entry]) -> None:
    """Add lines, to a new index if there is none."""
    file = os.open(directory / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    _give_to_owner(file, directory)
    _write(file, entries)


def _write(file: int, entries: Iterable[Entry]) -> None:
    """Those of any number of threads and processes do not mix."""
    try:
        os.write(file, _lines(entries))
    finally:
        os.close(file)


def _lines(entries: Iterable[Entry]) -> bytes:
    # The break comes first: a line that a crash left unfinished does not take the next one along.
    return "".join(f"\n{json.dumps(entry, separators=(',', ':'))}" for entry in entries).encode()


def _give_to_owner(file: int, directory: Path) -> None:
    """What root makes when looking through the certificates, the service has to write to."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)


def read(directory: Path) -> dict[str, Entry]:
    """What the index has, by fingerprint; whatever is unreadable in it is left out."""
    try:
        text = (directory / NAME).read_bytes()
    except OSError:
        return {}
    lines = [line for line in text.split(b"\n") if line]
    try:
        rows = json.loads(b"[%b]" % b",".join(lines))
    except ValueError:
        rows = list(filter(None, map(_row, lines)))
    return {row[0]: Entry(*row) for row in rows if _is_entry(row)}


def _row(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _is_entry(row: object) -> bool:
    return (
        type(row) is list
        and len(row) == len(Entry._fields)
        and type(row[0]) is str
        and type(row[3]) is int
        and type(row[5]) is list
    )


def rewrite(directory: Path, entries: Iterable[Entry]) -> None:
    """An index of exactly these; what others add meanwhile is found in the files again."""
    passing = directory / f"{NAME}.{secrets.token_hex(4)}"
    try:
        with passing.open("xb") as file:
            _give_to_owner(file.fileno(), directory)
            file.write(_lines(entries))
        passing.rename(directory / NAME)
    except BaseException:
        passing.unlink(missing_ok=True)
        raise

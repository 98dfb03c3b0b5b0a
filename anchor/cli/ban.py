"""``anchor ban`` and ``anchor unban``: issue no certificate to a name, requester or key."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from anchor.audit.requesters import issued_to
from anchor.ca.certificate_locations import CertificateLocations
from anchor.cli.certs import last_of, print_unstored, read_document
from anchor.cli.check import add_config_option
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import Document
from anchor.config.plugins import validate_options
from anchor.errors import ConfigurationError, UnreadableRequest
from anchor.store import bans, inventory
from anchor.store.ban_file import BanFile, BanSettings, load_bans
from anchor.store.bans import Ban
from anchor.store.inventory import Predicate, read_certificates
from anchor.timestamps import timestamp, utc_now
from anchor.X509 import pem
from anchor.X509.csr_reader import detect_encoding, read_csr
from anchor.X509.name_matching import overlaps

_KINDS = ("name", "requester", "key")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)


def add_to(subparsers: Any) -> None:
    """Add the commands to the parser."""
    ban = subparsers.add_parser(
        "ban",
        help="issue nothing more to a name, requester or key",
        description="Ban a name, a requester or a key from the next request on, and print when its "
        "last certificate expires. Without arguments: list the bans.",
    )
    _add_subject(ban, nargs="?")
    until = ban.add_mutually_exclusive_group()
    until.add_argument("--hours", type=float, help="how long; default: until anchor unban")
    until.add_argument(
        "--until", type=_time, metavar="TIME", help="when it ends, such as 2027-01-31T12:00Z"
    )
    ban.add_argument("--reason", default="", help="a reason, shown in the list")
    add_config_option(ban)
    ban.set_defaults(run=run_ban)
    unban = subparsers.add_parser(
        "unban", help="lift a ban", description="Lift a ban, from the next request on."
    )
    _add_subject(unban, nargs=None)
    add_config_option(unban)
    unban.set_defaults(run=run_unban)


def _add_subject(parser: argparse.ArgumentParser, nargs: str | None) -> None:
    parser.add_argument("kind", choices=_KINDS, nargs=nargs, metavar="name|requester|key")
    parser.add_argument(
        "value",
        nargs=nargs,
        help="a host, a wildcard, '.a.domain', an address, a mailbox or a URI; a user name; or a "
        "key's SHA-256, or a file with the key or a certificate of it in PEM, or a request",
    )


def _time(text: str) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in ISO 8601") from None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def run_ban(namespace: argparse.Namespace) -> int:
    """Ban, or list the bans."""
    document = read_document(namespace.config)
    ban_file = _ban_file(document)
    now = utc_now()
    if namespace.kind is None:
        for ban in ban_file.bans():
            print(_describe(ban, now))
        return 0
    ban = Ban(
        kind=namespace.kind,
        value=_value_to_ban(namespace),
        since=now.replace(microsecond=0),
        until=_until(namespace, now),
        reason=namespace.reason,
    )
    # Add the ban first: a failure to read the certificates must not prevent it.
    ban_file.add(ban)
    print(f"{ban_file.path}: {_describe(ban, now)}")
    _print_last_expiry(CertificateLocations.of(document), ban, now)
    return 0


def run_unban(namespace: argparse.Namespace) -> int:
    """Lift a ban."""
    ban_file = _ban_file(read_document(namespace.config))
    value = _value(namespace)
    if not ban_file.remove(namespace.kind, value):
        print(f"{ban_file.path}: there is no ban of the {namespace.kind} {value}")
        return 1
    print(f"{ban_file.path}: the {namespace.kind} {value} is not banned any more")
    return 0


def _ban_file(document: Document) -> BanFile:
    settings = validate_options(BanSettings, document.bans, document.base)
    return load_bans(settings, utc_now)


def _value_to_ban(namespace: argparse.Namespace) -> str:
    if namespace.kind == "name" and namespace.value is not None:
        try:
            return bans.canonical_name(namespace.value)
        except ValueError as error:
            raise ConfigurationError.about("", str(error)) from None
    return _value(namespace)


def _value(namespace: argparse.Namespace) -> str:
    if namespace.value is None:
        raise ConfigurationError.about("", f"which {namespace.kind}?")
    value = bans.normalize(namespace.kind, namespace.value)
    if namespace.kind == "key" and not _FINGERPRINT.fullmatch(value):
        return _key_in(Path(namespace.value))
    if not value.strip("."):
        raise ConfigurationError.about("", f"an empty {namespace.kind} cannot be banned")
    return value


def _key_in(path: Path) -> str:
    """The SHA-256 of the SubjectPublicKeyInfo in a file."""
    try:
        public_key_info = _public_key_info(path.read_bytes())
    except OSError as error:
        raise ConfigurationError.about(
            "", f"{path} is no SHA-256 in hexadecimal, and no file: {error.strerror}"
        ) from None
    except UnreadableRequest as error:
        raise ConfigurationError.about(
            "", f"{path} holds no public key, certificate or request: {error}"
        ) from error
    except Exception as error:
        # Do not show the text of a parser's error: the file may contain a private key.
        raise ConfigurationError.about(
            "", f"{path} holds no public key, certificate or request"
        ) from error
    return hashlib.sha256(public_key_info).hexdigest()


def _public_key_info(contents: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a request, or of a certificate or public key in PEM."""
    if detect_encoding(contents) == "der":
        return read_csr(contents, "der").public_key_info
    text = pem.as_utf8(contents)
    if b"-----BEGIN CERTIFICATE-----" in text:
        key: Any = x509.load_pem_x509_certificate(text).public_key()
    elif b"-----BEGIN PUBLIC KEY-----" in text or b"-----BEGIN RSA PUBLIC KEY-----" in text:
        key = load_pem_public_key(text)
    else:
        return read_csr(text, "pem").public_key_info
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _until(namespace: argparse.Namespace, now: datetime.datetime) -> datetime.datetime | None:
    until: datetime.datetime | None = namespace.until
    if namespace.hours is not None:
        try:
            until = now + datetime.timedelta(hours=namespace.hours)
        except (OverflowError, ValueError):
            raise ConfigurationError.about("", "--hours is too long") from None
    if until is not None and until <= now:
        raise ConfigurationError.about("", "the ban would have ended already")
    return until


def _describe(ban: Ban, now: datetime.datetime) -> str:
    end = "until it is lifted"
    if ban.until is not None:
        ended = "" if ban.is_in_force(now) else ", which is over"
        end = f"until {timestamp(ban.until.astimezone(datetime.UTC))}{ended}"
    reason = f" ({ban.reason})" if ban.reason else ""
    since = timestamp(ban.since.astimezone(datetime.UTC))
    return f"{ban.kind} {ban.value} is banned since {since} {end}{reason}"


def _print_last_expiry(locations: CertificateLocations, ban: Ban, now: datetime.datetime) -> None:
    what = f"certificate of the {ban.kind}"
    is_banned: Predicate = _banned(ban, ())
    if ban.kind == "requester" and locations.audit is not None:
        what = "certificate of the requester on record"
        is_banned = _banned(ban, issued_to(locations.audit, ban.value))
    elif ban.kind == "requester":
        print("audit.target is not 'file', so who got which certificate is not known;")
        what, is_banned = "certificate of anybody's", inventory.any_certificate
    is_valid = inventory.in_force(now)
    problems = Diagnostics()
    ends = read_certificates(
        locations.directories,
        lambda certificate: is_valid(certificate) and is_banned(certificate),
        lambda certificate: certificate.not_after,
        problems,
    )
    print(last_of(max(ends, default=None), what, now))
    print_unstored(locations, now)
    problems.raise_if_any()


def _banned(ban: Ban, issued: Collection[str]) -> Predicate:
    """A test whether a certificate matches the ban.

    Args:
        ban: the ban.
        issued: the fingerprints of the certificates of a banned requester.
    """
    match ban.kind:
        case "name":
            return lambda certificate: any(
                overlaps(ban.value, name) for name in certificate.plain_names
            )
        case "key":
            return lambda certificate: certificate.key == ban.value
        case _:
            return lambda certificate: certificate.fingerprint in issued

"""``anchor certs show``: everything that is known about a certificate."""

from __future__ import annotations

import argparse
import base64
import datetime
import json
import re
from collections.abc import Iterator, Sequence

from anchor.cli.certs_table import status
from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import open_database
from anchor.cli.key_argument import hexadecimal
from anchor.cli.terminal import printable
from anchor.errors import ConfigurationError
from anchor.store.database.certificate_bans import CertificateBan, find_certificate_bans
from anchor.store.database.certificates import Inventory
from anchor.store.records import CertificateRecord, Issuance
from anchor.timestamps import timestamp, utc_now

_PREFIX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
# How many fingerprints an ambiguous start lists.
_LISTED = 5


def run(namespace: argparse.Namespace) -> int:
    """Print a certificate."""
    prefix = hexadecimal(namespace.fingerprint)
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError.about(
            "", f"{namespace.fingerprint!a} is not a SHA-256 in hexadecimal, or the start of one"
        )
    inventory = Inventory(open_database(read_configuration(namespace.config)))
    record = _find(inventory, prefix)
    now = utc_now()
    bans = find_certificate_bans(inventory.database, record, now)
    if namespace.pem:
        print(as_pem(record), end="")
    elif namespace.json:
        print(full_json(record, bans, now))
    else:
        print("\n".join(describe(record, bans, now)))
    return 0


def _find(inventory: Inventory, prefix: str) -> CertificateRecord:
    found = inventory.starting_with(prefix, _LISTED + 1)
    if not found:
        raise ConfigurationError.about(
            "", f"no certificate in {inventory.database} has a fingerprint {prefix}"
        )
    if len(found) > 1:
        listed = ", ".join(record.fingerprint for record in found[:_LISTED])
        more = ", ..." if len(found) > _LISTED else ""
        raise ConfigurationError.about(
            "", f"the fingerprints of several certificates start with {prefix}: {listed}{more}"
        )
    return found[0]


def describe(
    record: CertificateRecord, bans: Sequence[CertificateBan], now: datetime.datetime
) -> Iterator[str]:
    """Everything that is known about a certificate, as lines for people.

    Args:
        record: the certificate.
        bans: the bans of it and of its key.
        now: the time, in UTC.
    """
    issuance = record.issuance
    values: list[tuple[str, str | None]] = [
        ("fingerprint", record.fingerprint),
        ("serial", record.serial),
        ("status", status(record, now)),
        ("not before", timestamp(record.not_before)),
        ("not after", timestamp(record.not_after)),
        ("subject", record.subject),
        *(("name", name) for name in record.names),
        ("key", record.key),
        ("CA's key id", record.ca_key_id),
        *(("banned", _describe_ban(ban)) for ban in bans),
    ]
    if issuance:
        values += [
            ("issued at", timestamp(issuance.issued_at)),
            ("authority", issuance.authority),
            ("signing CA", issuance.signing_ca),
            ("protocol", issuance.door),
            ("requester", issuance.requester),
            ("user id", issuance.user_id),
            ("project id", issuance.project_id),
            *(("group", group) for group in issuance.groups),
            ("address", issuance.address),
            ("request id", issuance.request_id),
            ("accepted by", issuance.authentication),
            ("credential", issuance.credential),
            ("token", issuance.token_id),
            ("account", issuance.acme_account),
            *(("claim", f"{name}={value}") for name, value in (issuance.claims or {}).items()),
            *(("allowed name", name) for name in issuance.allowed_names or ()),
            *_lineage(issuance),
        ]
    for title, value in values:
        if value:
            yield f"{title + ':':<12} {printable(value)}"
    if issuance is None:
        yield "It was imported, and no audit event says who requested it."


def _lineage(issuance: Issuance) -> Iterator[tuple[str, str]]:
    if issuance.renewed_from is not None and issuance.lineage_since is not None:
        yield "renewed from", issuance.renewed_from
        yield "renewals", str(issuance.renewals)
        yield "first issued", timestamp(issuance.lineage_since)


def _describe_ban(ban: CertificateBan) -> str:
    reason = f" ({ban.reason})" if ban.reason else ""
    return f"the {ban.kind}, since {timestamp(ban.since)}{reason}"


def full_json(
    record: CertificateRecord, bans: Sequence[CertificateBan], now: datetime.datetime
) -> str:
    """Everything that is known about a certificate, as a line of JSON; see :func:`describe`."""
    issuance = record.issuance
    since = issuance.lineage_since if issuance else None
    values = record.as_json() | {
        "status": status(record, now),
        "ca_key_id": record.ca_key_id,
        "banned": [ban.kind for ban in bans],
        "issued_at": timestamp(issuance.issued_at) if issuance else None,
        "signing_ca": issuance.signing_ca if issuance else None,
        "user_id": issuance.user_id if issuance else None,
        "project_id": issuance.project_id if issuance else None,
        "groups": list(issuance.groups) if issuance else None,
        "address": issuance.address if issuance else None,
        "request_id": issuance.request_id if issuance else None,
        "authentication": issuance.authentication if issuance else None,
        "credential": issuance.credential if issuance else None,
        "token_id": issuance.token_id if issuance else None,
        "acme_account": issuance.acme_account if issuance else None,
        "claims": issuance.claims if issuance else None,
        "allowed_names": issuance.allowed_names if issuance else None,
        "renewed_from": issuance.renewed_from if issuance else None,
        "lineage_since": timestamp(since) if since else None,
        "renewals": issuance.renewals if issuance else None,
        "pem": as_pem(record),
    }
    return json.dumps(values)


def as_pem(record: CertificateRecord) -> str:
    """The certificate in PEM."""
    text = base64.b64encode(record.der).decode()
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])

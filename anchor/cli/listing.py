"""``anchor list``: show the tracked certificates."""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from typing import Any

from cryptography import x509

from anchor.cli import client_options
from anchor.cli.table import Lines
from anchor.client.certificate_directory import CertificateDirectory
from anchor.client.due import renewal_time
from anchor.client.outcome import format_time
from anchor.client.tracking import StateDirectory
from anchor.errors import AnchorError


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Show the tracked certificates. Exits with 0 if all of them are valid, and with 1 if not."
    )
    client_options.add_state_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Print the tracked certificates."""
    state = client_options.state_directory(namespace)
    rows = [_describe(state, name) for name in state.names()]
    if namespace.json:
        client_options.print_json(rows)
    elif rows:
        _print_table(rows)
    else:
        print(f"nothing is tracked in {state.path}")
    return 0 if all(row["state"] == "valid" for row in rows) else 1


def _describe(state: StateDirectory, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "state": "unknown",
        "not_after": None,
        "renews_from": None,
        "error": None,
    }
    try:
        tracked = state.read(name)
    except AnchorError as error:
        return row | {"error": str(error)}
    row |= {
        "names": list(tracked.spec.names),
        "directory": str(tracked.spec.directory),
        "hook": list(tracked.spec.hook),
        "failures": tracked.history.failures,
        "error": tracked.history.error,
        "obtained_with": tracked.history.obtained_with,
        "why_secret": tracked.history.why_secret,
    }
    certificate = CertificateDirectory(tracked.spec.directory).certificate()
    if certificate is None:
        return row | {"state": "missing"}
    end = certificate.not_valid_after_utc
    return row | {
        "state": _state(certificate),
        "not_after": format_time(end),
        "renews_from": format_time(renewal_time(tracked, certificate)),
        "serial": f"{certificate.serial_number:x}",
    }


def _state(certificate: x509.Certificate) -> str:
    now = datetime.datetime.now(datetime.UTC)
    if certificate.not_valid_after_utc <= now:
        return "expired"
    return "valid" if certificate.not_valid_before_utc <= now else "not yet valid"


def _print_table(rows: list[dict[str, Any]]) -> None:
    """Print a table, with the last error and the reason for a secret below a line."""
    header = ("NAME", "STATE", "VALID UNTIL", "RENEWS FROM", "OBTAINED WITH")
    table = [
        (
            row["name"],
            row["state"],
            _when(row["not_after"]),
            _when(row["renews_from"]),
            row.get("obtained_with") or "-",
        )
        for row in rows
    ]
    lines = Lines([max(map(len, column)) for column in zip(header, *table, strict=True)])
    lines.print_header(header)
    for cells, row in zip(table, rows, strict=True):
        lines.print_row(cells)
        if row["error"]:
            print(f"  {row['error']}")
        if row.get("why_secret"):
            print(f"  the secret was used: {row['why_secret']}")


def _when(timestamp: str | None) -> str:
    """The time; on a terminal also the time until then."""
    if timestamp is None:
        return "-"
    if not sys.stdout.isatty():
        return timestamp
    away = datetime.datetime.fromisoformat(timestamp).timestamp() - time.time()
    return f"{timestamp} ({_span(abs(away))}{' ago' if away < 0 else ''})"


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"

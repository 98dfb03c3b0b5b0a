"""``anchor explain``: what an authority would make of a request."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from anchor.auth.results import AuthDetails
from anchor.authorities import load_authorities
from anchor.authority import RegistrationAuthority
from anchor.cli.check import add_config_option
from anchor.cli.terminal import GREEN, RED, YELLOW, Painter, is_coloured, printable
from anchor.config.document import find_config
from anchor.policy.checks import Verdict
from anchor.policy_tools import explain
from anchor.policy_tools.explain import SIGNED, Explanation, Requester
from anchor.timestamps import timestamp

# The service's own limit stands in config.py; this one is for a device or a disk image by mistake.
MAX_OCTETS = 1 << 24

COLOURS = {"ok": GREEN, "changed": YELLOW, "mended": YELLOW, "refused": RED, "crashed": RED}


class NotUnderstood(Exception):
    """The command line asks for something that is not there."""


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "explain",
        help="tell what would become of a request, and why",
        description="Run an authority's policy over a request, and print each check with its "
        "verdict, what each fixup does, and what the certificate would contain. Nothing is signed, "
        "and neither the CA's key nor the authentication backend is needed. Exits with 0 if the "
        "request would be signed, with 1 if not, and with 2 if the question makes no sense.",
    )
    parser.add_argument(
        "request", metavar="REQUEST", help="the CSR in PEM or DER, a file or - for standard input"
    )
    add_config_option(parser)
    parser.add_argument(
        "--ra", metavar="NAME", help="the registration authority, if there are several"
    )
    parser.add_argument(
        "--user", default="anonymous", help="who asks, as authenticated; default: anonymous"
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="GROUP",
        help="a group of theirs; may be given several times",
    )
    parser.add_argument(
        "--from",
        dest="address",
        type=ip_address,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where the request comes from; default: 127.0.0.1",
    )
    parser.add_argument("--json", action="store_true", help="print an object of JSON")
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Explain the request."""
    asker = Requester(AuthDetails(namespace.user, namespace.group), namespace.address)
    try:
        octets = _read(namespace.request)
        path = namespace.config or find_config()
        authority = _choose(load_authorities(path, offline=True).authorities, namespace.ra)
    except NotUnderstood as error:
        print(f"anchor explain: {error}", file=sys.stderr)
        return 2
    explained = explain.explain(authority, octets, asker)
    if namespace.json:
        print(json.dumps(explain.as_json(explained), indent=2))
    else:
        for line in _lines(explained, Painter(coloured=is_coloured(sys.stdout))):
            print(line)
    return 0 if explained.outcome == SIGNED else 1


def _read(name: str) -> bytes:
    try:
        if name == "-":
            octets = sys.stdin.buffer.read(MAX_OCTETS + 1)
        else:
            with Path(name).open("rb") as file:
                octets = file.read(MAX_OCTETS + 1)
    except OSError as error:
        raise NotUnderstood(f"{printable(name)} cannot be read: {error.strerror}") from None
    if len(octets) > MAX_OCTETS:
        raise NotUnderstood(f"{printable(name)} is larger than {MAX_OCTETS} octets")
    return octets


def _choose(
    authorities: Mapping[str, RegistrationAuthority], name: str | None
) -> RegistrationAuthority:
    known = ", ".join(sorted(authorities))
    if name is None:
        if len(authorities) != 1:
            raise NotUnderstood(f"--ra is needed, one of {known}")
        [only] = authorities.values()
        return only
    if name not in authorities:
        raise NotUnderstood(f"there is no registration authority {name!a}, but {known}")
    return authorities[name]


def _lines(explained: Explanation, painter: Painter) -> Iterator[str]:
    identity, address = explained.asker.identity, explained.asker.address
    groups = f" of {', '.join(identity.groups)}" if identity.groups else ""
    yield printable(f"{explained.authority}: asked by {identity.username}{groups} from {address}")
    for title, rows in (
        ("The request", _checks(explained.checks, explained.judgement.mended)),
        ("The fixups", _fixups(explained)),
        ("The request as the fixups leave it", _checks(explained.rechecks)),
    ):
        yield from _table(title, rows, painter)
    if explained.contents:
        yield from _contents(explained)
    yield ""
    yield _conclusion(explained, painter)


Row = tuple[str, str, str]


def _checks(checks: tuple[Verdict, ...], mended: frozenset[str] = frozenset()) -> list[Row]:
    return [
        (explain.word(verdict, mended), verdict.check, explain.reason(verdict))
        for verdict in checks
    ]


def _fixups(explained: Explanation) -> list[Row]:
    return [
        (
            explain.word(mending),
            mending.fixup,
            explain.reason(mending) or "; ".join(mending.changes),
        )
        for mending in explained.fixups
    ]


def _table(title: str, rows: list[Row], painter: Painter) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield title
    width = max(len(name) for _, name, _ in rows)
    for word, name, text in rows:
        mark = painter.paint(COLOURS[word], f"{word:8}")
        yield f"  {mark}{name:{width}}  {printable(text)}".rstrip()


def _contents(explained: Explanation) -> Iterator[str]:
    contents = explained.contents
    assert contents is not None
    yield ""
    yield "The certificate"
    for name, values in (
        ("subject", [contents.subject]),
        ("names", contents.names),
        ("key", [contents.key]),
        ("key usage", contents.key_usage),
        ("extended key usage", contents.extended_key_usage),
        ("for a CA", ["yes" if contents.ca else "no"]),
        ("issuer", [contents.issuer]),
        ("not before", [timestamp(contents.not_before)]),
        ("not after", [timestamp(contents.not_after)]),
        ("left out", (*contents.dropped_subject_attributes, *contents.dropped_extensions)),
    ):
        shown = ", ".join(value for value in values if value) or "none"
        yield f"  {name:18}  {printable(shown)}"


def _conclusion(explained: Explanation, painter: Painter) -> str:
    if explained.outcome == SIGNED:
        return painter.paint(GREEN, "It would be signed.")
    return painter.paint(RED, "It would not be signed: ") + printable(explain.why_not(explained))

"""``anchor explain``: show how an authority would handle a request."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from anchor.auth.results import AuthDetails
from anchor.authorities import load_authorities
from anchor.authority import RegistrationAuthority
from anchor.cli import explain_order, values
from anchor.cli.check import add_config_option
from anchor.cli.terminal import GREEN, RED, YELLOW, Painter, is_coloured, printable
from anchor.config.document import find_config
from anchor.config.suggestions import did_you_mean
from anchor.errors import ConfigurationError, DatabaseUnavailable, StorageError
from anchor.policy.checks import Verdict
from anchor.policy_tools import explain
from anchor.policy_tools.explain import SIGNED, Explanation, Requester
from anchor.policy_tools.explain_order import UnknownOrder
from anchor.timestamps import timestamp
from anchor.X509.allowed_names import parse_allowed_name

# The limit of the service is in config.py; this one is against a wrong file, such as a disk image.
MAX_BYTES = 1 << 24

COLOURS = {"ok": GREEN, "changed": YELLOW, "mended": YELLOW, "refused": RED, "crashed": RED}


class UsageError(Exception):
    """The command line names a file or an authority that does not exist."""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Apply an authority's policy to a request. Print each check with its verdict, "
        "the changes of each fixup, and the contents of the certificate. Nothing is signed, and "
        "neither the CA's key nor the authentication backend is needed. Exits with 0 if the "
        "request would be signed, with 1 if not, and with 2 if the command line is not valid. With "
        "--acme: explain why an order of an ACME client is in its state."
    )
    parser.add_argument(
        "request",
        metavar="REQUEST",
        nargs="?",
        help="the CSR in PEM or DER, a file or - for standard input",
    )
    parser.add_argument(
        "--acme",
        metavar="ORDER",
        help="explain an ACME order instead: its identifier or its URL",
    )
    add_config_option(parser)
    parser.add_argument(
        "--ra", metavar="NAME", help="the registration authority, if there are several"
    )
    parser.add_argument(
        "--user", default="anonymous", help="the authenticated user; default: anonymous"
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="GROUP",
        help="a group of the user; may be given several times",
    )
    parser.add_argument(
        "--claim",
        action="append",
        type=_claim,
        default=[],
        metavar="NAME=VALUE",
        help="a claim of the user's credential; may be given several times",
    )
    parser.add_argument(
        "--allow-name",
        action="append",
        type=_allowed_name,
        metavar="NAME",
        help="a name that the credential is limited to; may be given several times. Without it "
        "the credential is not limited",
    )
    parser.add_argument(
        "--from",
        dest="address",
        type=values.address,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the address of the client; default: 127.0.0.1",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Explain the request, or the order."""
    try:
        if namespace.acme is not None:
            return _explain_order(namespace)
        identity = AuthDetails(
            namespace.user,
            namespace.group,
            claims=_claims(namespace.claim),
            allowed_names=namespace.allow_name,
        )
        requester = Requester(identity, namespace.address)
        contents = _read(namespace.request or "")
        path = namespace.config or find_config()
        authority = _choose(load_authorities(path, offline=True).authorities, namespace.ra)
    except UsageError as error:
        print(f"anchor explain: {error}", file=sys.stderr)
        return 2
    try:
        explained = explain.explain(authority, contents, requester)
    except (ConfigurationError, DatabaseUnavailable, StorageError) as error:
        print(f"anchor explain: the bans are not considered: {error}", file=sys.stderr)
        without_bans = load_authorities(path, offline=True, with_bans=False)
        explained = explain.explain(without_bans.authorities[authority.name], contents, requester)
    if namespace.json:
        print(json.dumps(explain.as_json(explained), indent=2))
    else:
        for line in _lines(explained, Painter(coloured=is_coloured(sys.stdout))):
            print(line)
    return 0 if explained.outcome == SIGNED else 1


def _explain_order(namespace: argparse.Namespace) -> int:
    if namespace.request is not None:
        raise UsageError("give either a request, or --acme with an order")
    try:
        return explain_order.run(namespace, namespace.config or find_config())
    except UnknownOrder as error:
        raise UsageError(str(error)) from None


def _claim(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!a} is not a name and a value: use 'project=web'")
    return name, value


def _claims(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    claims = dict(pairs)
    if len(claims) < len(pairs):
        raise UsageError("--claim gives a claim twice: a credential has each claim once")
    return claims


def _allowed_name(text: str) -> str:
    try:
        parse_allowed_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _read(name: str) -> bytes:
    if not name:
        raise UsageError("name a request, or an order with --acme")
    try:
        if name == "-":
            contents = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                contents = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{printable(name)} cannot be read: {error.strerror}") from None
    if len(contents) > MAX_BYTES:
        raise UsageError(f"{printable(name)} is larger than {MAX_BYTES} bytes")
    return contents


def _choose(
    authorities: Mapping[str, RegistrationAuthority], name: str | None
) -> RegistrationAuthority:
    names = ", ".join(sorted(authorities))
    if name is None:
        if len(authorities) != 1:
            raise UsageError(f"--ra is needed, one of {names}")
        [only] = authorities.values()
        return only
    if name not in authorities:
        hint = did_you_mean(name, authorities) or f": the configuration has {names}"
        raise UsageError(f"there is no registration authority {name!a}{hint}")
    return authorities[name]


def _lines(explained: Explanation, painter: Painter) -> Iterator[str]:
    identity, address = explained.requester.identity, explained.requester.address
    groups = f" of {', '.join(identity.groups)}" if identity.groups else ""
    yield printable(f"{explained.authority}: asked by {identity.username}{groups} from {address}")
    yield from map(printable, _requester(explained))
    for title, rows in (
        ("The request", _checks(explained.checks, explained.evaluation.resolved_by_fixups)),
        ("The fixups", _fixups(explained)),
        ("The request as the fixups leave it", _checks(explained.rechecks)),
    ):
        yield from _table(title, rows, painter)
    if explained.certificate:
        yield from _contents(explained)
    yield ""
    yield _conclusion(explained, painter)


def _requester(explained: Explanation) -> Iterator[str]:
    """What the requester's credential says, and the names that it therefore may have."""
    identity, patterns = explained.requester.identity, explained.requester_names
    claims = ", ".join(f"{name}={value}" for name, value in identity.claims.items())
    if claims:
        yield f"  claims: {claims}"
    if identity.allowed_names is not None:
        yield f"  limited to: {', '.join(identity.allowed_names) or 'no name'}"
    if patterns is not None:
        more = ", ..." if len(patterns) == explain.MAX_PATTERNS else ""
        yield f"  requester_names: {', '.join(patterns) or 'none'}{more}"


Row = tuple[str, str, str]


def _checks(checks: tuple[Verdict, ...], resolved: frozenset[str] = frozenset()) -> list[Row]:
    return [
        (explain.verdict_word(verdict, resolved), verdict.check, explain.reason(verdict))
        for verdict in checks
    ]


def _fixups(explained: Explanation) -> list[Row]:
    return [
        (
            explain.verdict_word(result),
            result.fixup,
            explain.reason(result) or "; ".join(result.changes),
        )
        for result in explained.fixups
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
    contents = explained.certificate
    assert contents is not None
    yield ""
    yield "The certificate"
    for name, entries in (
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
        shown = ", ".join(entry for entry in entries if entry) or "none"
        yield f"  {name:18}  {printable(shown)}"


def _conclusion(explained: Explanation, painter: Painter) -> str:
    if explained.outcome == SIGNED:
        return painter.paint(GREEN, "It would be signed.")
    reason = explain.rejection_reason(explained)
    return painter.paint(RED, "It would not be signed: ") + printable(reason)

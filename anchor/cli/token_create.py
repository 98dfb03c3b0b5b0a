"""``anchor token create``: create a token."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from anchor.auth.credentials import new_token_id
from anchor.auth.token import Token, hash_secret, mac_key_of, new_secret
from anchor.cli import times
from anchor.cli.arguments import unknown_authority
from anchor.cli.configuration import read_configuration
from anchor.cli.database_access import open_database
from anchor.cli.new_files import write_new
from anchor.cli.terminal import printable
from anchor.cli.token_description import describe
from anchor.config.document import Document
from anchor.errors import ConfigurationError
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now
from anchor.X509.allowed_names import parse_allowed_name

_MAX_TEXT = 255
_MAX_GROUPS = 100
# A request has no more names.
_MAX_NAMES = 1000


def run(namespace: argparse.Namespace) -> int:
    """Create a token, and print it."""
    document = read_configuration(namespace.config)
    _require_tokens(document, namespace.authority)
    created = utc_now().replace(microsecond=0)
    expires = None
    if namespace.expires is not None:
        expires = times.later(created, namespace.expires).replace(microsecond=0)
    secret = new_secret()
    token = Token(
        id=new_token_id(),
        authority=namespace.authority,
        requester=_text("--requester", namespace.requester),
        groups=_groups(namespace.groups),
        names=_names(namespace.names),
        secret_hash=hash_secret(secret),
        mac_key=mac_key_of(secret) if _has_acme(document, namespace.authority) else None,
        uses=namespace.uses,
        created=created,
        expires=expires,
    )
    tokens = Tokens(open_database(document, create=True))
    described = {"id": token.id, "secret": secret} | describe(token)
    # The file first: a token whose secret nobody has is of no use.
    with _written(namespace.output, described):
        tokens.add(token)
    if token.names is None and _requires_names(document, namespace.authority):
        print(
            "warning: the token is not limited to names, and the policy of "
            f"{namespace.authority!a} (requester_names with credential_names) refuses such tokens: "
            "create one with --name, and revoke this one",
            file=sys.stderr,
        )
    if namespace.output is not None:
        del described["secret"]
        described["file"] = str(namespace.output)
    if namespace.json:
        print(json.dumps(described))
        return 0
    described["expires"] = described["expires"] or "never"
    for key in ("id", "secret", "file", "uses", "expires"):
        if key in described:
            print(f"{key + ':':<9}{printable(str(described[key]))}")
    if described["acme"]:
        print("ACME:    the id is the key identifier (kid), the secret is the HMAC key")
    return 0


def _require_tokens(document: Document, authority: str) -> None:
    """Require that an authority accepts tokens, so that nobody gets one that is of no use."""
    section = document.registration_authority.get(authority)
    if section is None:
        raise unknown_authority(document, authority)
    used = section.get("authentication")
    names = [used] if isinstance(used, str) else used if isinstance(used, list) else []
    backends = {
        document.authentication.get(name, {}).get("backend")
        for name in names
        if isinstance(name, str)
    }
    if "token" not in backends:
        raise ConfigurationError.about(
            f"registration_authority.{authority}.authentication",
            "names no authentication that accepts tokens: add one with "
            '{"backend": "token"} to "authentication", and name it here',
        )


def _has_acme(document: Document, authority: str) -> bool:
    return document.registration_authority[authority].get("acme") is not None


def _requires_names(document: Document, authority: str) -> bool:
    """True if the policy refuses credentials that are not limited to names."""
    validators = document.registration_authority[authority].get("validators")
    options = validators.get("requester_names") if isinstance(validators, dict) else None
    return isinstance(options, dict) and options.get("credential_names") is not None


def _groups(values: Sequence[str]) -> tuple[str, ...]:
    groups = tuple(dict.fromkeys(_text("--group", value) for value in values))
    if len(groups) > _MAX_GROUPS:
        raise ConfigurationError.about("--group", f"was given for more than {_MAX_GROUPS} groups")
    return groups


def _names(values: Sequence[str] | None) -> tuple[str, ...] | None:
    """The names in canonical form; None if any name is allowed."""
    if values is None:
        return None
    if len(values) > _MAX_NAMES:
        raise ConfigurationError.about("--name", f"was given for more than {_MAX_NAMES} names")
    try:
        return tuple(dict.fromkeys(str(parse_allowed_name(value)) for value in values))
    except ValueError as error:
        raise ConfigurationError.about("--name", str(error)) from None


def _text(option: str, value: str) -> str:
    """A user name or a group: a short line of text."""
    if not value or len(value) > _MAX_TEXT or not value.isprintable() or value != value.strip():
        shown = f"{value[:_MAX_TEXT]!a}{'...' if len(value) > _MAX_TEXT else ''}"
        raise ConfigurationError.about(
            option,
            f"{shown} should be 1 to {_MAX_TEXT} printable characters without spaces around them",
        )
    return value


@contextlib.contextmanager
def _written(path: Path | None, described: dict[str, Any]) -> Iterator[None]:
    """Write a new file, and remove it again if the block fails."""
    if path is None:
        yield
        return
    try:
        write_new(path, f"{json.dumps(described)}\n".encode("ascii"), 0o600)
    except FileExistsError:
        raise ConfigurationError.about(
            "--output", f"{printable(str(path))} exists already"
        ) from None
    except OSError as error:
        raise ConfigurationError.about(
            "--output", f"{printable(str(path))}: {error.strerror}"
        ) from None
    try:
        yield
    except BaseException:
        path.unlink()
        raise

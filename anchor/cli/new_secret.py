"""A secret for a new credential: from a file, from a prompt, or a random one."""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from pathlib import Path

from anchor.auth.credentials import kind_of
from anchor.auth.results import CredentialKind
from anchor.auth.secret_hashes import SHORTEST_SECRET
from anchor.config.file_types import read_secret
from anchor.errors import ConfigurationError

# The service rejects longer ones.
LONGEST = 16384


def read_or_generate(namespace: argparse.Namespace, user: str) -> tuple[str, str]:
    """The secret for a user, and the same again if it was generated, else an empty text.

    Raises:
        ConfigurationError: the secret cannot be read, or is too short or too long to be used.
    """
    if namespace.secret_file is None and not namespace.prompt:
        generated = secrets.token_urlsafe(32)
        return generated, generated
    secret = _prompt() if namespace.prompt else _read(namespace.secret_file)
    if not SHORTEST_SECRET <= len(secret) <= LONGEST:
        raise ConfigurationError.about(
            "",
            f"the secret has {len(secret)} characters, and should have {SHORTEST_SECRET} to "
            f"{LONGEST}: without --prompt and --secret-file a random one is generated",
        )
    if kind_of(user, secret) is not CredentialKind.PASSWORD:
        raise ConfigurationError.about(
            "", "the secret has the form of a JWT, which is not compared with users' secrets"
        )
    return secret, ""


def _prompt() -> str:
    try:
        secret = getpass.getpass("Secret: ")
        again = getpass.getpass("Repeat the secret: ")
    except EOFError:
        raise ConfigurationError.about("", "the input ended before the secret") from None
    if secret != again:
        raise ConfigurationError.about("", "the two secrets differ")
    return secret


def _read(path: str) -> str:
    try:
        if path != "-":
            return read_secret(Path(path)).get_secret_value()
        return sys.stdin.buffer.read(4 * LONGEST + 2).decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError.about("", "standard input is not UTF-8 text") from None
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from None

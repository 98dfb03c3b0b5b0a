"""The options of ``anchor init``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anchor.cli import values
from anchor.errors import ConfigurationError
from anchor.X509 import create_ca

# Defaults. Options that were not given are None, so that useless ones can be rejected.
USER, ROOT_NAME, ROOT_DAYS, KEY_LABEL = "anchor", "Anchor Root CA", 3650, "anchor-ca"

_MAX_DAYS = 36500


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser."""
    parser.add_argument(
        "directory", type=Path, nargs="?", default=Path(), help="where to make them; default: here"
    )
    parser.add_argument("--name", default="Anchor CA", help="the CA's common name")
    parser.add_argument(
        "--key",
        choices=create_ca.KEYS,
        default="ec-p256",
        help="the kind of the CA's key, and of a new root's",
    )
    parser.add_argument(
        "--days",
        type=values.whole_number,
        default=365,
        help="how many days the CA is valid, if its root is valid as long",
    )
    parser.add_argument("--user", help=f"the user name for requests; default: {USER}")
    parser.add_argument(
        "--ca-only",
        action="store_true",
        help="make the CA, and its root with --intermediate, but no configuration",
    )
    _add_intermediate(parser.add_argument_group("an intermediate CA under an offline root"))
    _add_token(parser.add_argument_group("a key inside a token"))


def _add_intermediate(group: Any) -> None:
    group.add_argument(
        "--intermediate",
        action="store_true",
        help="make a root in root/, to be kept offline, and a CA that this root issues",
    )
    group.add_argument(
        "--root-cert", type=Path, metavar="FILE", help="issue the CA with this root instead"
    )
    group.add_argument("--root-key", type=Path, metavar="FILE", help="the key of that root")
    group.add_argument(
        "--root-passphrase-file",
        type=Path,
        metavar="FILE",
        help="a file with the passphrase that encrypts the root's key",
    )
    group.add_argument("--root-name", help=f"a new root's common name; default: {ROOT_NAME}")
    group.add_argument(
        "--root-days",
        type=values.whole_number,
        help=f"how many days a new root is valid; default: {ROOT_DAYS}",
    )


def _add_token(group: Any) -> None:
    group.add_argument(
        "--pkcs11", type=Path, metavar="MODULE", help="make the CA's key with this PKCS#11 module"
    )
    group.add_argument("--token", metavar="LABEL", help="the label of the token")
    group.add_argument(
        "--token-serial", metavar="NUMBER", help="the token's serial number, instead of its label"
    )
    group.add_argument("--pin-file", type=Path, metavar="FILE", help="a file with the token's PIN")
    group.add_argument("--key-label", help=f"the label of the key; default: {KEY_LABEL}")


def check_options(namespace: argparse.Namespace) -> None:
    """Raise ConfigurationError, with all problems, if the options do not fit together."""
    problems = [
        *_general_problems(namespace),
        *_intermediate_problems(namespace),
        *_token_problems(namespace),
    ]
    if problems:
        raise ConfigurationError.about("", "; ".join(problems))


def _general_problems(namespace: argparse.Namespace) -> Iterator[str]:
    for option, text in (
        ("--name", namespace.name),
        ("--root-name", namespace.root_name),
        ("--user", namespace.user),
    ):
        if text is not None and not _is_name(text):
            yield f"{option} should have 1 to 64 printable characters"
    if ":" in (namespace.user or ""):
        yield "--user has a colon, which HTTP Basic authentication cannot send"
    for option, days in (("--days", namespace.days), ("--root-days", namespace.root_days)):
        if days is not None and not 1 <= days <= _MAX_DAYS:
            yield f"{option} should be from 1 to {_MAX_DAYS}"
    if namespace.ca_only and namespace.user is not None:
        yield "--user is for the configuration, which --ca-only leaves out"


def _is_name(text: str) -> bool:
    # RFC 5280 appendix A.1, ub-common-name.
    return len(text) <= 64 and text.isprintable() and bool(text.strip())


def _intermediate_problems(namespace: argparse.Namespace) -> Iterator[str]:
    has_root = namespace.root_cert is not None
    if has_root != (namespace.root_key is not None):
        yield "--root-cert and --root-key belong together"
    if not namespace.intermediate and (namespace.root_cert or namespace.root_passphrase_file):
        yield "--root-cert and --root-passphrase-file go with --intermediate"
    describes_root = namespace.root_name is not None or namespace.root_days is not None
    if describes_root and (not namespace.intermediate or has_root):
        yield (
            "--root-name and --root-days are for a new root, with --intermediate and without "
            "--root-cert"
        )


def _token_problems(namespace: argparse.Namespace) -> Iterator[str]:
    names_token = bool(namespace.token or namespace.token_serial)
    if len({bool(namespace.pkcs11), names_token, bool(namespace.pin_file)}) > 1:
        yield "--pkcs11, --token or --token-serial, and --pin-file belong together"
    if namespace.token and namespace.token_serial:
        yield "--token and --token-serial both name the token: give one of them"
    if namespace.key_label is not None and not namespace.pkcs11:
        yield "--key-label goes with --pkcs11"
    if namespace.pkcs11 and namespace.key.startswith("ed"):
        yield "a token makes RSA and EC keys only"

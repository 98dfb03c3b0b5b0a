"""The options that say which service is asked, and with which credentials."""

from __future__ import annotations

import argparse
from pathlib import Path

# By their names in client.json. Each is an option of the command line; all but url need it.
_CREDENTIALS = ("token_file", "jwt_file", "user")
_OTHERS = ("secret_file", "ca_file", "issuer_ca_file", "allow_http", "renew_with_certificate")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --config, and the options that replace a client.json, to the parser."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--config", type=Path, metavar="FILE", help="client.json, if not in a default path"
    )
    source.add_argument(
        "--url",
        type=_text,
        help="the URL of the service, or of an authority's /v1/sign/NAME; then no client.json is "
        "read, and one of --token-file, --jwt-file and --user is needed",
    )
    credential = parser.add_mutually_exclusive_group()
    credential.add_argument(
        "--token-file",
        type=_path,
        metavar="FILE",
        help="a file with what `anchor token create --json` prints",
    )
    credential.add_argument(
        "--jwt-file", type=_path, metavar="FILE", help="a file with a JWT; read for each request"
    )
    credential.add_argument("--user", type=_text, help="the user name of a password")
    parser.add_argument(
        "--secret-file", type=_path, metavar="FILE", help="a file with the password of --user"
    )
    parser.add_argument(
        "--ca-file",
        type=_path,
        metavar="FILE",
        help="the CA certificates that verify the service; default: those of the system",
    )
    parser.add_argument(
        "--issuer-ca-file",
        type=_path,
        metavar="FILE",
        help="the CA certificates that a new certificate must lead to",
    )
    parser.add_argument(
        "--allow-http",
        action="store_true",
        default=None,
        help="allow a URL without TLS, which shows the secret",
    )
    parser.add_argument(
        "--no-renew-with-certificate",
        dest="renew_with_certificate",
        action="store_false",
        default=None,
        help="renew with the secret only, not with the certificate",
    )


def add_delete_secret(parser: argparse.ArgumentParser) -> None:
    """Add the option --delete-secret to the parser."""
    parser.add_argument(
        "--delete-secret",
        action="store_true",
        help="delete the file of the secret or token after the first renewal with the certificate",
    )


def as_settings(
    parser: argparse.ArgumentParser, namespace: argparse.Namespace, *, may_ask: bool
) -> dict[str, str | bool] | None:
    """The options as those of a client.json, with absolute paths; None without ``--url``.

    Args:
        parser: reports options that do not fit each other, and exits.
        namespace: the parsed command line.
        may_ask: True if the password of ``--user`` need not be in a file.
    """
    values = {name: getattr(namespace, name) for name in (*_CREDENTIALS, *_OTHERS)}
    given = {name: value for name, value in values.items() if value is not None}
    if getattr(namespace, "delete_secret", False):
        given["delete_secret"] = True
    if namespace.url is None:
        for name in given:
            option = f"--{'no-' if values.get(name) is False else ''}{name.replace('_', '-')}"
            parser.error(f"{option} needs --url; without it, client.json has the settings")
        return None
    if not any(name in given for name in _CREDENTIALS):
        parser.error("--url needs one of --token-file, --jwt-file and --user")
    if "secret_file" in given and "user" not in given:
        parser.error("--secret-file needs --user")
    if "user" in given and "secret_file" not in given and not may_ask:
        parser.error("--user needs --secret-file")
    settings = {
        name: str(value) if isinstance(value, Path) else value for name, value in given.items()
    }
    return {"url": namespace.url, **settings}


def _text(text: str) -> str:
    # Python turns bytes on the command line that are not UTF-8 into surrogates.
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError("is empty, or not printable UTF-8 text")
    return text


def _path(text: str) -> Path:
    """An absolute path, because renewals run in another directory."""
    return Path(_text(text)).expanduser().absolute()

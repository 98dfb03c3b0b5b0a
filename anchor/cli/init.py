"""``anchor init``: a CA and a configuration in a directory of one's own."""

from __future__ import annotations

import argparse
import datetime
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.ca import chain
from anchor.ca.file_key import FileKey
from anchor.ca.pkcs11.key import INSTALL
from anchor.cli import first_configuration
from anchor.cli.new_files import NewFiles
from anchor.config import plugins
from anchor.config.config_py import find_config_py
from anchor.config.option_types import read_secret
from anchor.errors import ConfigurationError
from anchor.X509 import create_ca
from anchor.X509.create_ca import Issuer

CERTIFICATE, KEY = "CA/root-ca.crt", "CA/root-ca-unwrapped.key"
INTERMEDIATE, INTERMEDIATE_KEY = "CA/intermediate-ca.crt", "CA/intermediate-ca.key"
ROOT, ROOT_KEY = "root/root-ca.crt", "root/root-ca.key"

# What options are if they are not given.
USER, ROOT_NAME, ROOT_DAYS, KEY_LABEL = "anchor", "Anchor Root CA", 3650, "anchor-ca"


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "init",
        help="make a CA and a configuration",
        description="Make a CA, a configuration with a random secret, and the directory for "
        "certificates. Files that are there already are never changed: config.py and "
        "config.schema.json are kept, and with any other nothing is made at all.",
    )
    parser.add_argument(
        "directory", type=Path, nargs="?", default=Path(), help="where to; default: here"
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
        type=int,
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
    parser.set_defaults(run=run)


def _add_intermediate(group: Any) -> None:
    group.add_argument(
        "--intermediate",
        action="store_true",
        help="make a root in root/, to be taken away, and a CA that it issues",
    )
    group.add_argument(
        "--root-cert", type=Path, metavar="FILE", help="issue the CA with this root instead"
    )
    group.add_argument("--root-key", type=Path, metavar="FILE", help="the key of that root")
    group.add_argument(
        "--root-passphrase-file",
        type=Path,
        metavar="FILE",
        help="what the root's key is, or is to be, encrypted with",
    )
    group.add_argument("--root-name", help=f"a new root's common name; default: {ROOT_NAME}")
    group.add_argument(
        "--root-days", type=int, help=f"how many days a new root is valid; default: {ROOT_DAYS}"
    )


def _add_token(group: Any) -> None:
    group.add_argument(
        "--pkcs11", type=Path, metavar="MODULE", help="make the CA's key with this PKCS#11 module"
    )
    group.add_argument("--token", metavar="LABEL", help="the label of the token")
    group.add_argument(
        "--token-serial", metavar="NUMBER", help="the token's serial number, instead of its label"
    )
    group.add_argument("--pin-file", type=Path, metavar="FILE", help="where the token's PIN is")
    group.add_argument("--key-label", help=f"the label of the key; default: {KEY_LABEL}")


def run(namespace: argparse.Namespace) -> int:
    """Make what is asked for."""
    _check_options(namespace)
    directory: Path = namespace.directory
    issued = namespace.intermediate
    certificate, key_path = (INTERMEDIATE, INTERMEDIATE_KEY) if issued else (CERTIFICATE, KEY)
    _require_absent(namespace, certificate, key_path)
    section: dict[str, Any] = {"backend": "anchor", "cert_path": certificate}
    files = NewFiles(directory)
    try:
        issuer = _root(namespace, files) if issued else None
        with ExitStack() as stack:
            if namespace.pkcs11:
                # Destroyed again if anything below fails.
                ca_key, options = stack.enter_context(_key_in_token(namespace))
            else:
                ca_key, options = create_ca.make_key(namespace.key), {"key_path": key_path}
                files.add(key_path, create_ca.key_pem(ca_key), 0o400)
            ca = create_ca.certify(namespace.name, ca_key, namespace.days, issuer)
            files.add(certificate, ca.public_bytes(Encoding.PEM), 0o644)
            if issuer:
                section["chain_path"] = CERTIFICATE
                files.add(CERTIFICATE, issuer.certificate.public_bytes(Encoding.PEM), 0o644)
            if namespace.ca_only:
                files.write()
            else:
                _add_configuration(namespace, section | options, files)
                files.write(first_configuration.CERTIFICATES)
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from None
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None
    _report(namespace, directory / certificate, directory / key_path)
    return 0


def _require_absent(namespace: argparse.Namespace, certificate: str, key: str) -> None:
    """Raise ConfigurationError if a file is there that would be made."""
    made = [certificate]
    made += [] if namespace.pkcs11 else [key]
    made += [] if namespace.ca_only else ["config.json"]
    made += [CERTIFICATE] if namespace.intermediate else []
    made += [ROOT, ROOT_KEY] if namespace.intermediate and not namespace.root_cert else []
    for path in made:
        # A link that leads nowhere is there too.
        if os.path.lexists(namespace.directory / path):
            raise ConfigurationError.about("", f"{namespace.directory / path} is there already")


def _check_options(namespace: argparse.Namespace) -> None:
    """Whether the options make sense together."""
    wrong = [
        message
        for message, is_wrong in (
            *(
                (f"{option} is 1 to 64 printable characters", not _is_name(text))
                for option, text in (
                    ("--name", namespace.name),
                    ("--root-name", namespace.root_name),
                    ("--user", namespace.user),
                )
                if text is not None
            ),
            ("--days is from 1 to 36500", not 1 <= namespace.days <= 36500),
            (
                "--root-days is from 1 to 36500",
                namespace.root_days is not None and not 1 <= namespace.root_days <= 36500,
            ),
            (
                "--root-cert and --root-key belong together",
                (namespace.root_cert is None) != (namespace.root_key is None),
            ),
            (
                "--root-cert and --root-passphrase-file go with --intermediate",
                not namespace.intermediate
                and bool(namespace.root_cert or namespace.root_passphrase_file),
            ),
            (
                "--root-name and --root-days are for a new root, with --intermediate and without "
                "--root-cert",
                (not namespace.intermediate or namespace.root_cert is not None)
                and (namespace.root_name is not None or namespace.root_days is not None),
            ),
            (
                "--user is for the configuration, which --ca-only leaves out",
                namespace.ca_only and namespace.user is not None,
            ),
            (
                "--pkcs11, --token or --token-serial, and --pin-file belong together",
                len(
                    {
                        bool(namespace.pkcs11),
                        bool(namespace.token or namespace.token_serial),
                        bool(namespace.pin_file),
                    }
                )
                > 1,
            ),
            (
                "--token and --token-serial both name the token: one is needed",
                bool(namespace.token and namespace.token_serial),
            ),
            (
                "--key-label goes with --pkcs11",
                namespace.key_label is not None and not namespace.pkcs11,
            ),
            (
                "a token makes RSA and EC keys only",
                bool(namespace.pkcs11) and namespace.key.startswith("ed"),
            ),
        )
        if is_wrong
    ]
    if wrong:
        raise ConfigurationError.about("", "; ".join(wrong))


def _is_name(text: str) -> bool:
    # RFC 5280 appendix A.1, ub-common-name.
    return len(text) <= 64 and text.isprintable() and bool(text.strip())


def _root(namespace: argparse.Namespace, files: NewFiles) -> Issuer:
    """The root that issues the CA: the one that is there, or a new one, among the files."""
    passphrase_file = namespace.root_passphrase_file
    if namespace.root_cert is None:
        key = create_ca.make_key(namespace.key)
        certificate = create_ca.certify(
            namespace.root_name or ROOT_NAME, key, namespace.root_days or ROOT_DAYS
        )
        passphrase = read_secret(passphrase_file).get_secret_value() if passphrase_file else None
        files.add(ROOT_KEY, create_ca.key_pem(key, passphrase), 0o400)
        files.add(ROOT, certificate.public_bytes(Encoding.PEM), 0o644)
        return Issuer(certificate, key)
    certificate = chain.read_ca(namespace.root_cert, datetime.datetime.now(datetime.UTC))
    options = {"key_path": str(namespace.root_key)}
    if passphrase_file:
        options["passphrase_file"] = str(passphrase_file)
    key = FileKey(**plugins.Signature.of(FileKey).validate(options, Path())).private_key()
    if key.public_key() != certificate.public_key():
        raise ConfigurationError.about("", "the root's key does not match its certificate")
    return Issuer(certificate, key)


@contextmanager
def _key_in_token(
    namespace: argparse.Namespace,
) -> Iterator[tuple[CertificateIssuerPrivateKeyTypes, dict[str, Any]]]:
    """A key that a token made, and the options that lead to it; destroyed if the block fails."""
    # Not before they are wanted: they are about what only some have.
    from anchor.ca.pkcs11 import generate  # noqa: PLC0415
    from anchor.ca.pkcs11 import module as pkcs11_module  # noqa: PLC0415
    from anchor.ca.pkcs11.key_location import KeyLocation  # noqa: PLC0415

    module_path, pin_file = namespace.pkcs11.absolute(), namespace.pin_file.absolute()
    identifier = secrets.token_bytes(8)
    pin = read_secret(pin_file).get_secret_value()
    location = KeyLocation(
        None, namespace.token, identifier, namespace.key_label or KEY_LABEL, namespace.token_serial
    )
    try:
        module = pkcs11_module.module_at(module_path)
    except ModuleNotFoundError:
        raise ConfigurationError.about("", f"--pkcs11 needs PyKCS11: {INSTALL}") from None
    token = (
        {"token_serial": namespace.token_serial}
        if namespace.token_serial
        else {"token_label": namespace.token}
    )
    with generate.new_key_pair(module, location, pin, namespace.key) as key:
        yield (
            key,
            {
                "backend": "pkcs11",
                "pkcs11_path": str(module_path),
                **token,
                "pin_file": str(pin_file),
                "key_id": identifier.hex(),
            },
        )


def _report(namespace: argparse.Namespace, certificate: Path, key: Path) -> None:
    token = namespace.token or namespace.token_serial
    print(f"made {certificate} and {f'its key in the token {token!r}' if token else key}")
    if namespace.intermediate and not namespace.root_cert:
        root = namespace.directory / "root"
        print(f"made a root in {root}: take that directory away, and keep it offline")
    if not namespace.ca_only:
        config = namespace.directory / "config.json"
        print(f"made {config}, with the secret of {namespace.user or USER!r} in it")
        print(f"now: cd {shlex.quote(str(namespace.directory))} && anchor serve")


def _add_configuration(
    namespace: argparse.Namespace, ca: Mapping[str, Any], files: NewFiles
) -> None:
    directory: Path = namespace.directory
    config = directory / "config.json"
    files.add(
        "config.json", first_configuration.as_text(namespace.user or USER, ca).encode(), 0o600
    )
    if not (directory / "config.py").exists():
        files.add("config.py", find_config_py(config).read_bytes(), 0o644)
    if not (directory / first_configuration.SCHEMA).exists():
        # Beside it: a path into the installed package would not outlive the next installation.
        files.add(
            first_configuration.SCHEMA,
            resources.files("anchor").joinpath(first_configuration.SCHEMA).read_bytes(),
            0o644,
        )

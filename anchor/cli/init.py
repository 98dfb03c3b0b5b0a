"""``anchor init``: a CA and a configuration in a directory of one's own."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from anchor import new_ca, plugins
from anchor.cli.serve import find_config_py
from anchor.errors import ConfigurationError
from anchor.new_ca import Issuer
from anchor.options import read_secret
from anchor.signers import certificates
from anchor.signers.cryptography_io import FileKey
from anchor.signers.pkcs11 import INSTALL

CERTIFICATE, KEY = "CA/root-ca.crt", "CA/root-ca-unwrapped.key"
INTERMEDIATE, INTERMEDIATE_KEY = "CA/intermediate-ca.crt", "CA/intermediate-ca.key"
SCHEMA = "config.schema.json"
ROOT, ROOT_KEY = "root/root-ca.crt", "root/root-ca.key"


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "init",
        help="make a CA and a configuration",
        description="Make a CA, a configuration with a random secret, and the directory for "
        "certificates. Nothing that is there already is touched.",
    )
    parser.add_argument(
        "directory", type=Path, nargs="?", default=Path(), help="where to; default: here"
    )
    parser.add_argument("--name", default="Anchor CA", help="the CA's common name")
    parser.add_argument(
        "--key", choices=new_ca.KEYS, default="ec-p256", help="the kind of the CA's key"
    )
    parser.add_argument("--days", type=int, default=365, help="how long the CA is valid")
    parser.add_argument("--user", default="anchor", help="the user name for requests")
    parser.add_argument(
        "--ca-only", action="store_true", help="make CA/ and leave the configuration alone"
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
    group.add_argument("--root-name", default="Anchor Root CA", help="a new root's common name")
    group.add_argument("--root-days", type=int, default=3650, help="how long a new root is valid")


def _add_token(group: Any) -> None:
    group.add_argument(
        "--pkcs11", type=Path, metavar="MODULE", help="make the CA's key with this PKCS#11 module"
    )
    group.add_argument("--token", metavar="LABEL", help="the label of the token")
    group.add_argument("--pin-file", type=Path, metavar="FILE", help="where the token's PIN is")
    group.add_argument("--key-label", default="anchor-ca", help="the label of the key")


def run(namespace: argparse.Namespace) -> int:
    """Make what is asked for."""
    _prove(namespace)
    directory: Path = namespace.directory
    issued = namespace.intermediate
    certificate, key = (INTERMEDIATE, INTERMEDIATE_KEY) if issued else (CERTIFICATE, KEY)
    made = [certificate]
    made += [] if namespace.pkcs11 else [key]
    made += [] if namespace.ca_only else ["config.json"]
    made += [CERTIFICATE] if issued else []
    made += [ROOT, ROOT_KEY] if issued and not namespace.root_cert else []
    for path in made:
        if (directory / path).exists():
            raise ConfigurationError.about("", f"{directory / path} is there already")
    section: dict[str, Any] = {"backend": "anchor", "cert_path": certificate}
    files: dict[str, tuple[bytes, int]] = {}
    try:
        issuer = _root(namespace, files) if issued else None
        if namespace.pkcs11:
            ca_key, options = _key_in_token(namespace)
        else:
            ca_key, options = new_ca.make_key(namespace.key), {"key_path": key}
            files[key] = new_ca.key_pem(ca_key), 0o400
        ca = new_ca.certify(namespace.name, ca_key, namespace.days, issuer)
        files[certificate] = ca.public_bytes(Encoding.PEM), 0o644
        if issuer:
            section["chain_path"] = CERTIFICATE
            files[CERTIFICATE] = issuer.certificate.public_bytes(Encoding.PEM), 0o644
        for path, (contents, mode) in files.items():
            write_new(directory / path, contents, mode)
        _report(namespace, directory / certificate, directory / key)
        if not namespace.ca_only:
            _write_configuration(namespace, section | options)
    except ValueError as error:
        raise ConfigurationError.about("", str(error)) from None
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None
    return 0


def _prove(namespace: argparse.Namespace) -> None:
    """Whether the options make sense together."""
    wrong = [
        message
        for message, is_wrong in (
            ("--days is from 1 to 36500", not 1 <= namespace.days <= 36500),
            ("--root-days is from 1 to 36500", not 1 <= namespace.root_days <= 36500),
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
                "--pkcs11, --token and --pin-file belong together",
                len({bool(namespace.pkcs11), bool(namespace.token), bool(namespace.pin_file)}) > 1,
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


def _root(namespace: argparse.Namespace, files: dict[str, tuple[bytes, int]]) -> Issuer:
    """The root that issues the CA: the one that is there, or a new one, among the files."""
    passphrase_file = namespace.root_passphrase_file
    if namespace.root_cert is None:
        key = new_ca.make_key(namespace.key)
        certificate = new_ca.certify(namespace.root_name, key, namespace.root_days)
        passphrase = read_secret(passphrase_file).get_secret_value() if passphrase_file else None
        files[ROOT_KEY] = new_ca.key_pem(key, passphrase), 0o400
        files[ROOT] = certificate.public_bytes(Encoding.PEM), 0o644
        return Issuer(certificate, key)
    certificate = certificates.read_ca(namespace.root_cert, datetime.datetime.now(datetime.UTC))
    options = {"key_path": str(namespace.root_key)}
    if passphrase_file:
        options["passphrase_file"] = str(passphrase_file)
    key = FileKey(**plugins.Signature.of(FileKey).prove(options, Path())).private_key()
    if key.public_key() != certificate.public_key():
        raise ConfigurationError.about("", "the root's key does not match its certificate")
    return Issuer(certificate, key)


def _key_in_token(
    namespace: argparse.Namespace,
) -> tuple[CertificateIssuerPrivateKeyTypes, dict[str, Any]]:
    """A key that a token made, and the options that lead to it."""
    # Not before they are wanted: they are about what only some have.
    from anchor.signers import pkcs11_generate, pkcs11_module  # noqa: PLC0415

    module_path, pin_file = namespace.pkcs11.absolute(), namespace.pin_file.absolute()
    identifier = secrets.token_bytes(8)
    try:
        key = pkcs11_generate.make_key_pair(
            pkcs11_module.module_at(module_path),
            pkcs11_module.KeyPlace(None, namespace.token, identifier, namespace.key_label),
            read_secret(pin_file).get_secret_value(),
            namespace.key,
        )
    except ModuleNotFoundError:
        raise ConfigurationError.about("", f"--pkcs11 needs PyKCS11: {INSTALL}") from None
    return key, {
        "backend": "pkcs11",
        "pkcs11_path": str(module_path),
        "token_label": namespace.token,
        "pin_file": str(pin_file),
        "key_id": identifier.hex(),
    }


def _report(namespace: argparse.Namespace, certificate: Path, key: Path) -> None:
    whereabouts = f"its key in the token {namespace.token!r}" if namespace.pkcs11 else key
    print(f"made {certificate} and {whereabouts}")
    if namespace.intermediate and not namespace.root_cert:
        root = namespace.directory / "root"
        print(f"made a root in {root}: take that directory away, and keep it offline")


def _write_configuration(namespace: argparse.Namespace, ca: Mapping[str, Any]) -> None:
    directory: Path = namespace.directory
    config, config_py = directory / "config.json", directory / "config.py"
    write_new(config, _configuration(namespace.user, ca).encode(), 0o600)
    if not config_py.exists():
        shutil.copyfile(find_config_py(config), config_py)
    if not (directory / SCHEMA).exists():
        # Beside it: a path into the installed package would not outlive the next installation.
        (directory / SCHEMA).write_bytes(resources.files("anchor").joinpath(SCHEMA).read_bytes())
    print(f"made {config}, with the secret of {namespace.user!r} in it")
    print(f"now: cd {directory} && anchor serve")


def _configuration(user: str, ca: Mapping[str, Any]) -> str:
    document = {
        "$schema": SCHEMA,
        "authentication": {
            "static": {"backend": "static", "user": user, "secret": secrets.token_urlsafe(24)}
        },
        "signing_ca": {
            "local": {
                **ca,
                "output_path": "certs",
                "signing_hash": "sha256",
                "valid_hours": 24,
            }
        },
        "registration_authority": {
            "default": {
                "authentication": "static",
                "signing_ca": "local",
                "validators": {
                    "standards_compliance": {},
                    "source_cidrs": {"cidrs": ["127.0.0.0/8", "::1"]},
                },
                "fixups": {"enforce_alternative_names_present": {}},
            }
        },
        "audit": {"target": "log"},
    }
    return json.dumps(document, indent=2) + "\n"


def write_new(path: Path, contents: bytes, mode: int) -> None:
    """Write a new file; nobody sees it with a wider mode than its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(contents)

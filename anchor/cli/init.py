"""``anchor init``: make a CA and a configuration in a directory."""

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
from anchor.cli.init_options import (
    KEY_LABEL,
    ROOT_DAYS,
    ROOT_NAME,
    USER,
    add_options,
    check_options,
)
from anchor.cli.new_files import NewFiles
from anchor.config import plugins
from anchor.config.config_py import find_config_py
from anchor.config.file_types import read_secret
from anchor.errors import ConfigurationError, describe_os_error
from anchor.X509 import create_ca
from anchor.X509.create_ca import Issuer

CERTIFICATE, KEY = "CA/root-ca.crt", "CA/root-ca-unwrapped.key"
INTERMEDIATE, INTERMEDIATE_KEY = "CA/intermediate-ca.crt", "CA/intermediate-ca.key"
ROOT, ROOT_KEY = "root/root-ca.crt", "root/root-ca.key"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Make a CA, a configuration, a file with a random secret, and the directory for "
        "certificates. Existing files are never changed: config.py and config.schema.json are "
        "kept, and if any other file exists, nothing is made."
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Make the CA and the configuration."""
    check_options(namespace)
    directory: Path = namespace.directory
    intermediate = namespace.intermediate
    certificate, key_path = (INTERMEDIATE, INTERMEDIATE_KEY) if intermediate else (CERTIFICATE, KEY)
    _require_absent(namespace, certificate, key_path)
    section: dict[str, Any] = {"backend": "anchor", "cert_path": certificate}
    files = NewFiles(directory)
    try:
        issuer = _root(namespace, files) if intermediate else None
        with ExitStack() as stack:
            if namespace.pkcs11:
                # The token destroys the key again if anything below fails.
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
        raise ConfigurationError.about("", describe_os_error(error)) from None
    _report(namespace, directory / certificate, directory / key_path)
    return 0


def _require_absent(namespace: argparse.Namespace, certificate: str, key: str) -> None:
    """Raise ConfigurationError if a file to be made exists already, or DIRECTORY is a file."""
    directory = namespace.directory
    if os.path.lexists(directory) and not directory.is_dir():
        raise ConfigurationError.about("", f"{directory} is not a directory")
    made = [certificate]
    made += [] if namespace.pkcs11 else [key]
    made += [] if namespace.ca_only else ["config.json", first_configuration.SECRET_FILE]
    made += [CERTIFICATE] if namespace.intermediate else []
    made += [ROOT, ROOT_KEY] if namespace.intermediate and not namespace.root_cert else []
    for path in made:
        # A dangling link counts as existing.
        if os.path.lexists(directory / path):
            raise ConfigurationError.about("", f"{directory / path} is there already")


def _root(namespace: argparse.Namespace, files: NewFiles) -> Issuer:
    """Load the root that issues the CA, or make one and add it to the files."""
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
    """A new key in a token, and the CA options for it; destroyed if the block fails."""
    # Imported here because PKCS#11 is optional.
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
        secret = namespace.directory / first_configuration.SECRET_FILE
        print(f"made {config}, and {secret} with the secret of {namespace.user or USER!r}")
        print(f"now: cd {shlex.quote(str(namespace.directory))} && anchor serve")


def _add_configuration(
    namespace: argparse.Namespace, ca: Mapping[str, Any], files: NewFiles
) -> None:
    directory: Path = namespace.directory
    config = directory / "config.json"
    files.add(
        "config.json", first_configuration.as_text(namespace.user or USER, ca).encode(), 0o600
    )
    files.add(first_configuration.SECRET_FILE, first_configuration.new_secret().encode(), 0o600)
    if not (directory / "config.py").exists():
        files.add("config.py", find_config_py(config).read_bytes(), 0o644)
    if not (directory / first_configuration.SCHEMA).exists():
        # A copy, because the path of the installed package changes with an upgrade.
        files.add(
            first_configuration.SCHEMA,
            resources.files("anchor").joinpath(first_configuration.SCHEMA).read_bytes(),
            0o644,
        )

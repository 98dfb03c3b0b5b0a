"""``anchor init``: a CA and a configuration in a directory of one's own."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from anchor import new_ca
from anchor.cli.serve import find_config_py
from anchor.errors import ConfigurationError


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
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Make what is asked for."""
    directory: Path = namespace.directory
    certificate, key = directory / "CA/root-ca.crt", directory / "CA/root-ca-unwrapped.key"
    config = directory / "config.json"
    made = (certificate, key) if namespace.ca_only else (certificate, key, config)
    for path in made:
        if path.exists():
            raise ConfigurationError.about("", f"{path} is there already")
    if not 1 <= namespace.days <= 36500:
        raise ConfigurationError.about("", "--days is from 1 to 36500")
    try:
        (directory / "CA").mkdir(parents=True, exist_ok=True)
        pair = new_ca.make_root(namespace.name, namespace.key, namespace.days)
        write_new(key, pair.key_pem, 0o400)
        write_new(certificate, pair.certificate_pem, 0o644)
        print(f"made {certificate} and {key}")
        if namespace.ca_only:
            return 0
        write_new(config, _configuration(namespace.user).encode(), 0o600)
        config_py = directory / "config.py"
        if not config_py.exists():
            shutil.copyfile(find_config_py(config), config_py)
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None
    print(f"made {config}, with the secret of {namespace.user!r} in it")
    print(f"now: cd {directory} && anchor serve")
    return 0


def _configuration(user: str) -> str:
    document = {
        "authentication": {
            "static": {"backend": "static", "user": user, "secret": secrets.token_urlsafe(24)}
        },
        "signing_ca": {
            "local": {
                "backend": "anchor",
                "cert_path": "CA/root-ca.crt",
                "key_path": "CA/root-ca-unwrapped.key",
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
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(contents)

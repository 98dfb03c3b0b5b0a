"""The configuration that ``anchor init`` writes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

SCHEMA = "config.schema.json"
CERTIFICATES = "certs"
SECRET_FILE = "secret"  # noqa: S105  # the name of a file


def new_secret() -> str:
    """A random secret for the file ``secret``."""
    # Without a line break, `curl -F 'secret=<secret'` can send the file.
    return secrets.token_urlsafe(24)


def as_text(user: str, ca: Mapping[str, Any]) -> str:
    """A config.json for one user, whose secret is in the file ``secret``.

    Args:
        user: the user's name.
        ca: the options of the signing CA's backend.
    """
    document = {
        "$schema": SCHEMA,
        "database": {"url": "sqlite:///anchor.db"},
        "authentication": {
            "static": {"backend": "static", "user": user, "secret_file": SECRET_FILE}
        },
        "signing_ca": {
            "local": {
                **ca,
                "output_path": CERTIFICATES,
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
                    "ext_key_usage": {"allowed_usage": ["serverAuth", "clientAuth"]},
                },
                "fixups": {"enforce_alternative_names_present": {}},
            }
        },
        "audit": {"target": "log"},
    }
    return json.dumps(document, indent=2) + "\n"

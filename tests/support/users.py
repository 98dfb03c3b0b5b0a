"""Users files for tests, with hashes that cost next to nothing."""

from __future__ import annotations

import base64
import json
import os

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SECRET = "correct-horse-battery"


def cheap_hash(secret=SECRET):
    """A hash with the smallest parameters."""
    salt = os.urandom(16)
    digest = Scrypt(salt=salt, length=32, n=2, r=1, p=1).derive(secret.encode())
    encoded = "$".join(base64.b64encode(part).decode().rstrip("=") for part in (salt, digest))
    return f"$scrypt$ln=1,r=1,p=1${encoded}"


def user_line(user, secret=SECRET, **more):
    """The line of a user."""
    return json.dumps({"user": user, "secret": cheap_hash(secret), **more})


def write_users(path, *lines, mode=0o600):
    """Replace a users file in one step, as `anchor user` does."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes("".join(f"{line}\n" for line in lines).encode())
    new.chmod(mode)
    new.rename(path)
    return path

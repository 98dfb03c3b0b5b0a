"""The credentials in a file: a token of Anchor, or a JWT."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

from anchor.auth.credentials import is_jwt
from anchor.client.credentials import MAX_SECRET, Credentials
from anchor.config.file_types import read_private

MAX_FILE = 65536

# The service rejects longer user names.
MAX_USER = 256

_VISIBLE = re.compile(r"[!-~]+", re.ASCII)


def read_token(path: Path) -> Credentials:
    """The token in a file with the JSON that ``anchor token create --json`` prints.

    A file that others can read causes a warning only: `anchor token create --json >file` makes one,
    and the token is often spent a moment later.

    Raises:
        ValueError: there is no token in the file, or others can write it; the text has no secret.
    """
    contents = read_private(path, MAX_FILE, others_may_read=True)
    _require_contents(path, contents)
    try:
        document = json.loads(contents, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ValueError(
            f"{path} is not a JSON object such as `anchor token create --json` prints, each key "
            "once"
        )
    return Credentials(
        _member(path, document, "id", MAX_USER),
        _member(path, document, "secret", MAX_SECRET),
        remedy=f"the token in {path} may be used up, expired or revoked: write the output of "
        "`anchor token create --json` to the file, or use another credential",
        warning=f"other users can read the token in {path}: chmod 600 prevents that"
        if path.stat().st_mode & stat.S_IROTH
        else "",
    )


def read_jwt(path: Path) -> Credentials:
    """The JWT in a file, without white space around it, as the secret of an empty user.

    Others may read the file: Kubernetes writes it so for a pod that runs as root.

    Raises:
        ValueError: there is no JWT in the file, or others can write it; the text has no secret.
    """
    contents = read_private(path, MAX_FILE, others_may_read=True)
    _require_contents(path, contents)
    try:
        jwt = contents.decode("ascii").strip()
    except UnicodeDecodeError:
        jwt = ""
    if not is_jwt(jwt):
        raise ValueError(
            f"{path} is not a JWT, which has three parts in base64url with dots between them"
        )
    if len(jwt) > MAX_SECRET:
        raise ValueError(f"{path} holds a JWT of {len(jwt)} characters, more than {MAX_SECRET}")
    return Credentials(
        "",
        jwt,
        remedy=f"the JWT in {path} may be expired, used already, or for another audience",
    )


def _require_contents(path: Path, contents: bytes) -> None:
    if not contents.strip():
        raise ValueError(f"{path} is empty")


def _member(path: Path, document: dict[str, Any], name: str, limit: int) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value) or len(value) > limit:
        raise ValueError(
            f"{path}: {name!r} should be a string of 1 to {limit} visible ASCII characters"
        )
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key is there twice")
    return document

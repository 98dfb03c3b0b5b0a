"""Adding, changing, removing and listing the users in a file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from anchor.auth.principals import counting_key
from anchor.auth.secret_hashes import hash_secret
from anchor.auth.user_lines import User, format_line, parse_line, parse_users, read_object
from anchor.auth.users_file import read_users_file
from anchor.cli.configuration import read_configuration
from anchor.cli.new_secret import read_or_generate
from anchor.cli.terminal import printable
from anchor.cli.users_editing import UsersText, editing, located
from anchor.errors import ConfigurationError


def run_add(namespace: argparse.Namespace) -> int:
    """Add a user."""
    path = _path(namespace)
    # Report a bad name before anyone types a secret.
    values: dict[str, Any] = {"user": namespace.user, "secret": _UNUSABLE}
    values |= {"groups": namespace.group} if namespace.group else {}
    values |= {"names": namespace.names} if namespace.names else {}
    parse_line(format_line(values))
    secret, generated = read_or_generate(namespace, namespace.user)
    values["secret"] = hash_secret(secret)
    with editing(path, create=True) as text:
        key = counting_key(namespace.user)
        for name in text.users():
            if counting_key(name) == key:
                raise ConfigurationError.about("", f"there is a user {name!a} already")
        text.append(format_line(values))
    _report(f"{path}: added {printable(namespace.user)}", generated)
    return 0


def run_set_secret(namespace: argparse.Namespace) -> int:
    """Replace the secrets of a user, or drop the old one."""
    path = _path(namespace)
    if namespace.drop_old:
        if namespace.keep_old:
            raise ConfigurationError.about("", "--drop-old and --keep-old exclude each other")
        with editing(path) as text:
            values = _values(text, namespace.user)
            values["secret"] = _secrets(values)[0]
            text.replace(namespace.user, format_line(values))
        _report(f"{path}: {printable(namespace.user)} has only the newest secret", generated="")
        return 0
    with editing(path) as text:
        _values(text, namespace.user)
    secret, generated = read_or_generate(namespace, namespace.user)
    new_hash = hash_secret(secret)
    with editing(path) as text:
        values = _values(text, namespace.user)
        old = _secrets(values)[:1] if namespace.keep_old else []
        values["secret"] = [new_hash, *old] if old else new_hash
        text.replace(namespace.user, format_line(values))
    kept = "added a secret to" if old else "replaced the secret of"
    _report(f"{path}: {kept} {printable(namespace.user)}", generated)
    return 0


def run_remove(namespace: argparse.Namespace) -> int:
    """Remove a user."""
    path = _path(namespace)
    with editing(path) as text:
        _require(text, namespace.user)
        text.remove(namespace.user)
    print(f"{path}: removed {printable(namespace.user)}")
    return 0


def run_list(namespace: argparse.Namespace) -> int:
    """List the users."""
    path = _path(namespace)
    with located(path):
        users = parse_users(read_users_file(path)[0])
    for user in users.values():
        print(json.dumps(_as_json(user)) if namespace.json else _describe(user))
    if not users and not namespace.json:
        print(f"{path} has no users")
    return 0


# A hash of nothing, to validate a line before its secret is known.
_UNUSABLE = "$scrypt$ln=1,r=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"


def _path(namespace: argparse.Namespace) -> Path:
    """The users file that the options name, or the only one in the configuration."""
    if namespace.file is not None:
        path: Path = namespace.file
        return path
    document = read_configuration(namespace.config)
    paths = {
        name: document.base / Path(section["users_file"]).expanduser()
        for name, section in document.authentication.items()
        if section["backend"] == "static" and isinstance(section.get("users_file"), str)
    }
    wanted = namespace.authentication
    if wanted is not None and wanted not in paths:
        raise ConfigurationError.about(
            "", f"there is no authentication {wanted!a} with 'users_file'"
        )
    if not paths:
        raise ConfigurationError.about(
            "", "no authentication in the configuration has 'users_file': name a file with --file"
        )
    if wanted is None and len(set(paths.values())) > 1:
        raise ConfigurationError.about(
            "", f"which users file? Choose with --authentication: {', '.join(paths)}"
        )
    return paths[wanted] if wanted is not None else next(iter(paths.values()))


def _require(text: UsersText, name: str) -> User:
    user = text.users().get(name)
    if user is None:
        raise ConfigurationError.about("", f"there is no user {name!a}")
    return user


def _values(text: UsersText, name: str) -> dict[str, Any]:
    _require(text, name)
    return read_object(text.line(name))


def _secrets(values: dict[str, Any]) -> list[str]:
    """The hashes in a valid line."""
    secret: str | list[str] = values["secret"]
    return [secret] if isinstance(secret, str) else secret


def _report(message: str, generated: str) -> None:
    """Print a message; a generated secret is alone on standard output."""
    if not generated:
        print(message)
        return
    where = "the new secret is on standard output, and nowhere else"
    print(f"{message}; {where}", file=sys.stderr, flush=True)
    print(generated)


def _as_json(user: User) -> dict[str, Any]:
    names = user.identity.allowed_names
    return {
        "user": user.identity.username,
        "groups": list(user.identity.groups),
        "names": None if names is None else list(names),
        "secrets": len(user.hashes),
    }


def _describe(user: User) -> str:
    identity = user.identity
    groups = f", in {', '.join(identity.groups)}" if identity.groups else ""
    names = identity.allowed_names
    allowed = "any name of the policy" if names is None else ", ".join(names)
    secrets = "" if len(user.hashes) == 1 else f", with {len(user.hashes)} secrets"
    return printable(f"{identity.username}{groups}: {allowed}{secrets}")

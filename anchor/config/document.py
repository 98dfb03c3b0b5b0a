"""Finding and reading ``config.json``, and converting the short form to the long form."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anchor.config.diagnostics import Diagnostics
from anchor.config.suggestions import did_you_mean
from anchor.errors import ConfigurationError

# Names appear in URLs, in messages and in audit events, so they have no characters to escape.
SECTION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)

LONG_FORM = ("authentication", "signing_ca", "registration_authority")
SHORT_FORM = ("auth", "ca", "validators", "fixups")
BOTH_FORMS = ("database", "audit", "bans", "$schema")

Section = dict[str, Any]


@dataclass(frozen=True)
class Document:
    """The sections of a configuration, in the long form and by their names.

    Malformed sections are left out; each has a problem in the diagnostics.

    Attributes:
        base: the directory that relative paths start from.
        declared: the names of all sections by their kind, the malformed ones included.
        aliases: the short form's path for each path of the long form; empty for the long form.
    """

    base: Path
    authentication: dict[str, Section]
    signing_ca: dict[str, Section]
    registration_authority: dict[str, Section]
    database: Section
    audit: Section
    bans: Section
    declared: dict[str, frozenset[str]]
    aliases: dict[str, str]

    @property
    def audit_path(self) -> Path | None:
        """The file of ``audit.target: file``, not validated; None for other targets."""
        path = self.audit.get("path")
        if self.audit.get("target") != "file" or not isinstance(path, str):
            return None
        return self.base / Path(path).expanduser()

    @property
    def audit_key_path(self) -> Path | None:
        """The file of the checkpoint key, not validated; None without such a key."""
        path = self.audit.get("checkpoint_key_path")
        return self.base / Path(path).expanduser() if isinstance(path, str) else None

    def as_written(self, path: str) -> str:
        """The path in the file for a path of the long form."""
        for long, short in self.aliases.items():
            if path == long or path.startswith(f"{long}."):
                return f"{short}{path.removeprefix(long)}".removeprefix(".")
        return path


def find_config(environment: Mapping[str, str] = os.environ) -> Path:
    """The path of the first ``config.json`` that exists; ``$ANCHOR_CONF`` has priority.

    The path in ``$ANCHOR_CONF`` is returned even if there is no such file.

    Raises:
        ConfigurationError: there is no ``config.json`` in any of the standard directories.
    """
    if environment.get("ANCHOR_CONF"):
        return Path(environment["ANCHOR_CONF"]).expanduser()
    paths = [
        Path("config.json"),
        Path("~/.config/anchor/config.json").expanduser(),
        *(prefix / "etc/anchor/config.json" for prefix in _virtual_environment(environment)),
        Path("/etc/anchor/config.json"),
    ]
    for path in paths:
        if path.is_file():
            return path
    raise ConfigurationError.about(
        "",
        "there is no config.json in "
        + ", ".join(map(str, paths))
        + "; `anchor init` makes one, $ANCHOR_CONF names one elsewhere",
    )


def _virtual_environment(environment: Mapping[str, str]) -> list[Path]:
    if environment.get("VIRTUAL_ENV"):
        return [Path(environment["VIRTUAL_ENV"])]
    # `uwsgi --venv` and programs called by their path use an environment without activating it.
    return [Path(sys.prefix)] if sys.prefix != sys.base_prefix else []


def read_document(path: Path, problems: Diagnostics) -> Document:
    """Read a configuration in the long or the short form.

    Args:
        path: the file; relative paths in it start from its directory.
        problems: collects the problems of the document's structure; options are not validated.

    Raises:
        ConfigurationError: the file cannot be read or is not a JSON object.
    """
    document = parse_document(path)
    known = (*LONG_FORM, *SHORT_FORM, *BOTH_FORMS)
    for key in document:
        if key not in known:
            problems.add("", f"unknown key {key!r}{did_you_mean(key, known)}")
    short = [key for key in SHORT_FORM if key in document]
    aliases: dict[str, str] = {}
    if short and any(key in document for key in LONG_FORM):
        problems.add("", f"{short[0]!r} is of the short form, other keys are of the long one")
    elif short:
        document, aliases = _to_long_form(document, problems)
    if not isinstance(document.get("$schema", ""), str):
        problems.add("$schema", "should be a string")
    sections: dict[str, dict[str, Section]] = {}
    for key in LONG_FORM:
        sections[key] = _named_sections(document, key, problems, require_one=not aliases)
    for key in ("database", "audit", "bans"):
        if not isinstance(document.setdefault(key, {}), dict):
            problems.add(key, "should be an object")
            document[key] = {}
    return Document(
        path.absolute().parent,
        **sections,
        database=document["database"],
        audit=document["audit"],
        bans=document["bans"],
        declared={key: _declared(document.get(key), aliases) for key in LONG_FORM},
        aliases=aliases,
    )


def _declared(sections: object, aliases: dict[str, str]) -> frozenset[str]:
    if aliases:
        return frozenset({"default"})
    return frozenset(sections) if isinstance(sections, dict) else frozenset()


def parse_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file, parsed without accepting duplicate keys or NaN.

    Raises:
        ConfigurationError: the file cannot be read, is not a JSON object, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError.about("", f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError.about("", f"{path} is not UTF-8 text") from None
    problems = Diagnostics()

    def object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            problems.add("", f"the key {key!r} is in one object twice")
        return dict(pairs)

    def reject_constant(name: str) -> None:
        problems.add("", f"{name} is not JSON")

    try:
        document = json.loads(
            text, object_pairs_hook=object_without_duplicates, parse_constant=reject_constant
        )
    except (ValueError, RecursionError) as error:
        reason = _describe_json_error(text, error)
        raise ConfigurationError.about("", f"{path} is not JSON: {reason}") from None
    problems.raise_if_any()
    if not isinstance(document, dict):
        raise ConfigurationError.about("", f"{path} does not hold a JSON object")
    return document


def _describe_json_error(text: str, error: Exception) -> str:
    """Why a text is not JSON, in plain words."""
    if not text.strip():
        return "it is empty"
    if text.startswith("\ufeff"):
        return "it begins with a byte order mark; save it as UTF-8 without one"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, in line {error.lineno}, column {error.colno}"
    if isinstance(error, RecursionError):
        return "its objects or arrays are nested too deeply"
    return "a number has too many digits"


def _named_sections(
    document: Mapping[str, Any], key: str, problems: Diagnostics, *, require_one: bool
) -> dict[str, Section]:
    if key not in document:
        problems.add("", f"missing key {key!r}")
        return {}
    if not isinstance(document[key], dict) or (require_one and not document[key]):
        problems.add(key, "should be an object with at least one named section")
        return {}
    sections: dict[str, Section] = {}
    for name, section in document[key].items():
        if not SECTION_NAME.fullmatch(name):
            problems.add(
                key, f"{name!r} is not a valid name: use letters, digits, '_', '-' and '.'"
            )
        elif not isinstance(section, dict):
            problems.add(f"{key}.{name}", "should be an object")
        elif key != "registration_authority" and not isinstance(section.get("backend"), str):
            problems.add(f"{key}.{name}", "missing option 'backend', which names a plug-in")
        else:
            sections[name] = section
    return sections


def _to_long_form(
    document: Mapping[str, Any], problems: Diagnostics
) -> tuple[dict[str, Any], dict[str, str]]:
    """The long form of a short form, in which every section is named ``default``; the aliases."""
    for key in ("auth", "ca", "validators"):
        if key not in document:
            problems.add("", f"missing key {key!r}")
    aliases = {"signing_ca.default": "ca", "registration_authority.default": ""}
    authentication: dict[str, Any] = {}
    backends = document.get("auth")
    if isinstance(backends, dict) and len(backends) == 1:
        [(backend, options)] = backends.items()
        aliases["authentication.default"] = f"auth.{backend}"
        if isinstance(options, dict):
            if options.get("backend", backend) != backend:
                problems.add(f"auth.{backend}.backend", "is named by the key already")
            authentication["default"] = {**options, "backend": backend}
        else:
            problems.add(f"auth.{backend}", "should be an object")
    elif "auth" in document:
        problems.add("auth", "should be an object with one key, the authentication backend")
    signing_ca: dict[str, Any] = {}
    if isinstance(document.get("ca"), dict):
        signing_ca["default"] = {"backend": "anchor", **document["ca"]}
    elif "ca" in document:
        problems.add("ca", "should be an object")
    authority = {key: document[key] for key in ("validators", "fixups") if key in document}
    long = {
        "authentication": authentication,
        "signing_ca": signing_ca,
        "registration_authority": {
            "default": {"authentication": "default", "signing_ca": "default", **authority}
        },
    }
    if "validators" not in document:
        # Its absence is reported above, so the long form must not report it again.
        long["registration_authority"]["default"]["validators"] = {}
    return long | {key: document[key] for key in BOTH_FORMS if key in document}, aliases

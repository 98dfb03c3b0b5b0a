"""``config.json`` as it stands in its file: found, read, and brought into its long form."""

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
from anchor.errors import ConfigurationError

# A name is a part of URLs, of paths in messages and of audit events: nothing there needs quoting.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)

LONG = ("authentication", "signing_ca", "registration_authority")
SHORT = ("auth", "ca", "validators", "fixups")
EITHER = ("audit", "bans", "$schema")

Section = dict[str, Any]


@dataclass(frozen=True)
class Document:
    """The sections of a configuration, in the long form and by their names.

    Only those parts are in it that can be looked at further; the others have their problem.

    Attributes:
        base: the directory that relative paths in it start from.
        declared: the names of all sections by their kind, also of those that are no good.
        aliases: what paths of the long form are called in the file, if it is in the short form.
    """

    base: Path
    authentication: dict[str, Section]
    signing_ca: dict[str, Section]
    registration_authority: dict[str, Section]
    audit: Section
    bans: Section
    declared: dict[str, frozenset[str]]
    aliases: dict[str, str]

    @property
    def audit_path(self) -> Path | None:
        """Where ``audit.target: file`` writes to; None for other targets.  Nothing is proved."""
        path = self.audit.get("path")
        if self.audit.get("target") != "file" or not isinstance(path, str):
            return None
        return self.base / Path(path).expanduser()

    @property
    def audit_key_path(self) -> Path | None:
        """Where the key for checkpoints is; None if none is named.  Nothing is proved."""
        path = self.audit.get("checkpoint_key_path")
        return self.base / Path(path).expanduser() if isinstance(path, str) else None

    def as_written(self, path: str) -> str:
        """The path by which the file's author knows a place in the long form."""
        for long, short in self.aliases.items():
            if path == long or path.startswith(f"{long}."):
                return f"{short}{path.removeprefix(long)}".removeprefix(".")
        return path


def find_config(environment: Mapping[str, str] = os.environ) -> Path:
    """The first ``config.json`` there is, in the order that the documentation gives.

    Raises:
        ConfigurationError: there is none; or ``$ANCHOR_CONF`` names a file that is not there.
    """
    if environment.get("ANCHOR_CONF"):
        return Path(environment["ANCHOR_CONF"]).expanduser()
    places = [
        Path("config.json"),
        Path("~/.config/anchor/config.json").expanduser(),
        *(prefix / "etc/anchor/config.json" for prefix in _virtual_environment(environment)),
        Path("/etc/anchor/config.json"),
    ]
    for place in places:
        if place.is_file():
            return place
    raise ConfigurationError.about(
        "",
        "there is no config.json in "
        + ", ".join(map(str, places))
        + "; `anchor init` makes one, $ANCHOR_CONF names one elsewhere",
    )


def _virtual_environment(environment: Mapping[str, str]) -> list[Path]:
    if environment.get("VIRTUAL_ENV"):
        return [Path(environment["VIRTUAL_ENV"])]
    # uwsgi --venv, and programs called by their path, run in one that nobody activated.
    return [Path(sys.prefix)] if sys.prefix != sys.base_prefix else []


def read_document(path: Path, problems: Diagnostics) -> Document:
    """Read a configuration, in whichever form it is.

    Args:
        path: of the file; relative paths in it start from its directory.
        problems: gets what is wrong with its skeleton.

    Raises:
        ConfigurationError: it cannot be read as a JSON object at all.
    """
    document = parse_document(path)
    for key in document:
        if key not in (*LONG, *SHORT, *EITHER):
            problems.add("", f"unknown key {key!r}")
    short = [key for key in SHORT if key in document]
    aliases: dict[str, str] = {}
    if short and any(key in document for key in LONG):
        problems.add("", f"{short[0]!r} is of the short form, other keys are of the long one")
    elif short:
        document, aliases = _long_form(document, problems)
    if not isinstance(document.get("$schema", ""), str):
        problems.add("$schema", "should be a string")
    sections: dict[str, dict[str, Section]] = {}
    for key in LONG:
        sections[key] = _named_sections(document, key, problems, needs_one=not aliases)
    for key in ("audit", "bans"):
        if not isinstance(document.setdefault(key, {}), dict):
            problems.add(key, "should be an object")
            document[key] = {}
    return Document(
        path.absolute().parent,
        **sections,
        audit=document["audit"],
        bans=document["bans"],
        declared={key: _declared(document.get(key), aliases) for key in LONG},
        aliases=aliases,
    )


def _declared(sections: object, aliases: dict[str, str]) -> frozenset[str]:
    if aliases:
        return frozenset({"default"})
    return frozenset(sections) if isinstance(sections, dict) else frozenset()


def parse_document(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds, with nothing in it that readers could understand twice.

    Raises:
        ConfigurationError: it cannot be read, or is no JSON object, or has a key twice.
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

    def no_constant(name: str) -> None:
        problems.add("", f"{name} is not JSON")

    try:
        document = json.loads(
            text, object_pairs_hook=object_without_duplicates, parse_constant=no_constant
        )
    except (ValueError, RecursionError) as error:
        raise ConfigurationError.about("", f"{path} is not JSON: {error}") from None
    problems.raise_if_any()
    if not isinstance(document, dict):
        raise ConfigurationError.about("", f"{path} does not hold a JSON object")
    return document


def _named_sections(
    document: Mapping[str, Any], key: str, problems: Diagnostics, *, needs_one: bool
) -> dict[str, Section]:
    if key not in document:
        problems.add("", f"missing key {key!r}")
        return {}
    if not isinstance(document[key], dict) or (needs_one and not document[key]):
        problems.add(key, "should be an object with at least one named section")
        return {}
    good: dict[str, Section] = {}
    for name, section in document[key].items():
        if not NAME.fullmatch(name):
            problems.add(key, f"{name!r} is no name: letters, digits, '_', '-' and '.' make one")
        elif not isinstance(section, dict):
            problems.add(f"{key}.{name}", "should be an object")
        elif key != "registration_authority" and not isinstance(section.get("backend"), str):
            problems.add(f"{key}.{name}", "missing option 'backend', which names a plug-in")
        else:
            good[name] = section
    return good


def _long_form(
    document: Mapping[str, Any], problems: Diagnostics
) -> tuple[dict[str, Any], dict[str, str]]:
    """The short form describes one authority, of the name ``default``."""
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
        # It has its problem, by the name that it has in this form.
        long["registration_authority"]["default"]["validators"] = {}
    return long | {key: document[key] for key in EITHER if key in document}, aliases

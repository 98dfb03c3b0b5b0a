"""Advice on files with secrets and on the audit."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url

from anchor.audit import sinks
from anchor.config.document import Section
from anchor.config_lint.review import ConfigUnderReview
from anchor.errors import ConfigProblem


def secrets_readable(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find secrets in a configuration file that everyone can read."""
    for path, instead in _secrets(review) if _mode(review.loaded.path) & stat.S_IROTH else ():
        yield ConfigProblem(
            path,
            f"everyone on this machine can read {review.loaded.path}, and the secret in it: use "
            f"'{instead}', or remove the permission with chmod o-r",
        )


def secrets_in_configuration(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find secrets in a configuration file that is not readable by everyone."""
    for path, instead in () if _mode(review.loaded.path) & stat.S_IROTH else _secrets(review):
        yield ConfigProblem(
            path,
            "a secret in the configuration is copied with it, into backups and version "
            f"control: use '{instead}'",
        )


def _secrets(review: ConfigUnderReview) -> Iterator[tuple[str, str]]:
    """The paths of options that contain a secret, and the options to use instead."""
    sections: dict[str, Section] = {}
    for kind in ("authentication", "signing_ca"):
        for name, section in getattr(review.document, kind).items():
            sections[f"{kind}.{name}"] = section
            sections[f"{kind}.{name}.next"] = section.get("next") or {}
    for path, section in sections.items():
        for option in ("secret", "service_secret", "pin"):
            if section.get(option) is not None:
                yield f"{path}.{option}", f"{option}_file"
    if review.document.audit.get("url") is not None:
        yield "audit.url", "url_file"
    database_url = make_url(review.loaded.database.location.settings.url)
    if database_url.password is not None or "password" in database_url.query:
        yield "database.url", "password_file"


def writable_by_others(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find important files and directories that everyone can write."""
    files = {"": review.loaded.path}
    for name, section in review.document.signing_ca.items():
        for option in ("cert_path", "key_path"):
            if isinstance(section.get(option), str):
                files[f"signing_ca.{name}.{option}"] = review.file(section[option])
    for backend, option in (("static", "users_file"), ("oidc", "jwks_file")):
        for path, section in review.sections("authentication", backend):
            if isinstance(section.get(option), str):
                files[f"{path}.{option}"] = review.file(section[option])
    for path, file in files.items():
        # In a sticky directory others cannot replace existing files.
        sticky = _mode(file.parent) & stat.S_ISVTX
        writable = [file] if _mode(file) & stat.S_IWOTH else []
        writable += [file.parent] if _mode(file.parent) & stat.S_IWOTH and not sticky else []
        for target in writable:
            yield ConfigProblem(
                path,
                f"everyone on this machine can write to {target}, and so decide what the service "
                "does and signs with: remove the permission with chmod o-w",
            )


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def audit_in_log_only(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find an audit that goes to the log."""
    if review.document.audit.get("target", sinks.DEFAULT) == "log":
        yield ConfigProblem(
            "audit.target",
            "audit events in a log can be changed without a trace: with 'file' they form a chain "
            "of hashes that `anchor audit verify` checks",
        )


def unused_section(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find authentications and signing CAs that no authority uses."""
    sections = [section for _, section in review.authorities()]
    used = {
        "authentication": {name for each in sections for name in review.authentications(each)},
        "signing_ca": {each["signing_ca"] for each in sections},
    }
    for kind, names in used.items():
        for name in getattr(review.document, kind).keys() - names:
            yield ConfigProblem(
                f"{kind}.{name}", "no registration authority uses it: is that what you meant?"
            )

"""Advice on files: those with secrets, and those that remember what was done."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from anchor.audit import sinks
from anchor.config.document import Section
from anchor.config_lint.review import ConfigUnderReview
from anchor.errors import ConfigProblem


def secrets_readable(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """A secret stands in a file that others can read."""
    for path in _secrets(review) if _mode(review.loaded.path) & stat.S_IROTH else ():
        yield ConfigProblem(
            path,
            f"everyone on this machine can read {review.loaded.path}, and the secret in it: use "
            f"'{path.rpartition('.')[2]}_file', or take away the right to read it",
        )


def secrets_in_configuration(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """A secret stands among what is shown to others, copied and kept in version control."""
    for path in () if _mode(review.loaded.path) & stat.S_IROTH else _secrets(review):
        yield ConfigProblem(
            path,
            "a secret in the configuration goes wherever that goes, into backups and version "
            f"control: use '{path.rpartition('.')[2]}_file'",
        )


def _secrets(review: ConfigUnderReview) -> Iterator[str]:
    """The paths of secrets that stand in the file itself."""
    sections: dict[str, Section] = {}
    for kind in ("authentication", "signing_ca"):
        for name, section in getattr(review.document, kind).items():
            sections[f"{kind}.{name}"] = section
            sections[f"{kind}.{name}.next"] = section.get("next") or {}
    for path, section in sections.items():
        for option in ("secret", "service_secret", "pin"):
            if section.get(option) is not None:
                yield f"{path}.{option}"
    if review.document.audit.get("url") is not None:
        yield "audit.url"


def writable_by_others(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Others can put something else in the place of a file that decides who gets certificates."""
    files = {"": review.loaded.path}
    for name, section in review.document.signing_ca.items():
        for option in ("cert_path", "key_path"):
            if isinstance(section.get(option), str):
                files[f"signing_ca.{name}.{option}"] = review.file(section[option])
    for path, file in files.items():
        # In a sticky directory others can add files, and not replace these.
        sticky = _mode(file.parent) & stat.S_ISVTX
        loose = [file] if _mode(file) & stat.S_IWOTH else []
        loose += [file.parent] if _mode(file.parent) & stat.S_IWOTH and not sticky else []
        for place in loose:
            yield ConfigProblem(
                path,
                f"everyone on this machine can write to {place}, and so decide what the service "
                "does and signs with: take away that right",
            )


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def not_stored(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Nobody can tell afterwards what was issued."""
    for name, section in review.document.signing_ca.items():
        if section.get("output_path") is None:
            yield ConfigProblem(
                f"signing_ca.{name}",
                "without 'output_path' certificates are not kept, so `anchor certs` cannot tell "
                "what was issued, nor what is about to expire",
            )


def audit_in_log_only(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """The record can be changed without a trace."""
    if review.document.audit.get("target", sinks.DEFAULT) == "log":
        yield ConfigProblem(
            "audit.target",
            "in a log the record of who got what can be changed without a trace: with 'file' it is "
            "a chain that `anchor audit verify` proves",
        )


def unused_section(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Something is configured that no authority uses."""
    for kind in ("authentication", "signing_ca"):
        used = {section[kind] for _, section in review.authorities()}
        for name in getattr(review.document, kind).keys() - used:
            yield ConfigProblem(
                f"{kind}.{name}", "no registration authority uses it: is that what you meant?"
            )

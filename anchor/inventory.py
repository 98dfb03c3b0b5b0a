"""What was issued: read from the directories in which certificates are stored."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from anchor import audit, index, plugins, storage
from anchor.audit import verification
from anchor.audit.events import SIGNING
from anchor.bans import Ban
from anchor.bans import normal as normal_ban
from anchor.config_file import Document
from anchor.errors import ConfigurationError
from anchor.index import Entry
from anchor.signers import CASettings
from anchor.X509 import coverage


@dataclass(frozen=True)
class Places:
    """Where a configuration has its certificates and its record.

    Attributes:
        directories: of the stored certificates.
        unstored: the signing CAs that store none.
        longest: the longest validity of any signing CA.
        audit: the audit's file, if it goes to one.
    """

    directories: tuple[Path, ...]
    unstored: tuple[str, ...]
    longest: datetime.timedelta
    audit: Path | None

    @classmethod
    def of(cls, document: Document) -> Places:
        """Those in a configuration; neither keys nor secrets nor a CA still valid are needed.

        Raises:
            ConfigurationError: a signing CA's section is not in order.
        """
        directories: dict[Path, None] = {}
        unstored = []
        longest = datetime.timedelta()
        for name, section in document.signing_ca.items():
            common = {key: section[key] for key in CASettings.model_fields if key in section}
            settings = plugins.prove(CASettings, common, document.base)
            longest = max(longest, settings.profile().validity)
            if settings.output_path is None:
                unstored.append(name)
            else:
                directories[settings.output_path.absolute()] = None
        return cls(
            tuple(directories),
            tuple(unstored),
            longest,
            audit.file_path(document.audit, document.base),
        )


class Stored(NamedTuple):
    """A certificate and the file it is in."""

    entry: Entry
    path: str


def read(directories: Iterable[Path]) -> list[Stored]:
    """Every stored certificate.

    What the index of a directory lacks is read from its file, and added to the index, which is made
    if there is none, as far as it can be written to.
    """
    found: dict[str, Stored] = {}
    for directory in directories:
        if not directory.is_dir():
            continue
        try:
            known = index.read(directory)
            unknown: list[Entry] = []
            for fingerprint, path in storage.stored(str(directory)):
                entry = known.get(fingerprint)
                if entry is None:
                    entry = _parse(fingerprint, Path(path))
                    if entry is None:
                        continue
                    unknown.append(entry)
                found[fingerprint] = Stored(entry, path)
        except OSError as error:
            raise ConfigurationError.about("", f"{directory}: {error.strerror}") from None
        if unknown or not (directory / index.NAME).exists():
            with contextlib.suppress(OSError):
                index.append(directory, unknown)
    return list(found.values())


def _parse(fingerprint: str, path: Path) -> Entry | None:
    """What the index would say; None if the file has just been pruned."""
    try:
        return Entry.of(x509.load_pem_x509_certificate(path.read_bytes()), fingerprint)
    except FileNotFoundError:
        return None
    except ValueError:
        raise ConfigurationError.about("", f"{path} holds no certificate") from None


def good_for(stored: Iterable[Stored], name: str) -> Iterator[Stored]:
    """Those that a client would accept for a name, wildcards included."""
    wanted = coverage.normal(name)
    for one in stored:
        if any(coverage.covers(holder, wanted) for holder in one.entry.plain_names):
            yield one


def banned(stored: Iterable[Stored], ban: Ban, issued: Collection[str]) -> Iterator[Stored]:
    """Those that would not be issued any more with that ban.

    Args:
        stored: to choose from.
        ban: the ban.
        issued: the fingerprints of what was issued to the requester, for a ban of one.
    """
    for one in stored:
        match ban.kind:
            case "name":
                hit = any(coverage.touches(ban.value, name) for name in one.entry.plain_names)
            case "key":
                hit = one.entry.key == ban.value
            case _:
                hit = one.entry.fingerprint in issued
        if hit:
            yield one


def issued_to(record: Path, requester: str) -> frozenset[str]:
    """The fingerprints of the certificates that a requester got, as far as the record tells."""
    wanted = normal_ban("requester", requester)
    event = f'"event":"{SIGNING}"'.encode()
    found = set()
    for line in verification.lines_of(verification.files_of(record)):
        if event not in line or b'"fingerprint"' not in line:
            continue
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        who = (fields.get("user"), fields.get("user_id"))
        if any(normal_ban("requester", name) == wanted for name in who if name):
            found.add(fields["fingerprint"])
    return frozenset(found)


def prune(places: Places, before: datetime.datetime) -> int:
    """Delete the certificates that had expired by then; returns how many."""
    count = 0
    for directory in places.directories:
        kept: list[Entry] = []
        gone = 0
        for one in read([directory]):
            if one.entry.not_after < before.timestamp() and _has_expired(Path(one.path), before):
                Path(one.path).unlink(missing_ok=True)
                gone += 1
            else:
                kept.append(one.entry)
        if gone:
            index.rewrite(directory, kept)
        count += gone
    return count


def _has_expired(path: Path, before: datetime.datetime) -> bool:
    """As the file says; the index is not asked when something is to be deleted."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    return certificate.not_valid_after_utc < before

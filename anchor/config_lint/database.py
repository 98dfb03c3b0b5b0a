"""Advice on the database."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL

from anchor.config_lint.review import ConfigUnderReview, is_loopback
from anchor.errors import ConfigProblem

MOUNTS = Path("/proc/mounts")

_URL = "database.url"
_VERIFIED = ("verify-ca", "verify-full")
# File systems on which two machines, or two processes, do not see each other's locks reliably.
_NETWORK = re.compile(r"nfs\d?|cifs|smb\w*|9p|afs|ceph|lustre|fuse\.(sshfs|glusterfs|ceph|s3fs)")


def database_writable_by_others(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find a SQLite database in a directory that everyone can write."""
    path = review.loaded.database.location.path
    # The sticky bit does not help: SQLite reads new files beside the database.
    if path is not None and path.parent.stat().st_mode & stat.S_IWOTH:
        yield ConfigProblem(
            _URL,
            f"everyone on this machine can write to {path.parent}, and make files beside the "
            "database that SQLite takes for a part of it: remove the permission with chmod o-w",
        )


def database_on_a_network(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find a SQLite database on a network file system."""
    path = review.loaded.database.location.path
    kind = None if path is None else _file_system(path.parent)
    if kind and _NETWORK.fullmatch(kind):
        yield ConfigProblem(
            _URL,
            f"{path} is on a network file system ({kind}), where SQLite's locks can fail and the "
            "database be damaged: use a local disk, or PostgreSQL for several nodes",
        )


def _file_system(directory: Path) -> str | None:
    """The type of the file system that a directory is on; None if it is unknown."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    mounts = {_unescaped(point): kind for _, point, kind, *_ in map(str.split, lines)}
    resolved = directory.resolve()
    found = (mounts.get(str(parent)) for parent in (resolved, *resolved.parents))
    return next((kind for kind in found if kind), None)


def _unescaped(text: str) -> str:
    """The text of a field in which a space is ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def database_beside_configuration(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find a SQLite database in the directory of ``config.json``."""
    path = review.loaded.database.location.path
    if path is not None and path.parent.resolve() == review.document.base.resolve():
        yield ConfigProblem(
            _URL,
            f"because of the database, the service has to be able to write to {path.parent}, so it "
            "could replace its configuration: use a directory for the database alone, such "
            "as sqlite:////var/lib/anchor/anchor.db",
        )


def database_not_verified(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find connections to PostgreSQL that do not verify the server's certificate."""
    location = review.loaded.database.location
    if location.path is None and location.url.query.get("sslmode") not in _VERIFIED:
        for host in _hosts(location.url):
            if not host.startswith("/") and not is_loopback(host):
                yield ConfigProblem(
                    _URL,
                    f"the certificate of {host} is not verified, so an attacker on the network "
                    "can read the password, lift bans and lose certificates: add "
                    "sslmode=verify-full&sslrootcert=FILE to the URL",
                )
                return


def _hosts(url: URL) -> Iterator[str]:
    """The hosts in a URL, without their ports."""
    if url.host:
        yield url.host
    listed = url.query.get("host", ())
    for host in (listed,) if isinstance(listed, str) else listed:
        yield re.sub(r":\d+$", "", host)

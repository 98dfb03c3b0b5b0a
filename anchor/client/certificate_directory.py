"""The directory in which a key and its certificate always fit each other.

::

    key.pem        -> current/key.pem           the names that servers are configured with
    cert.pem       -> current/cert.pem
    chain.pem      -> current/chain.pem
    fullchain.pem  -> current/fullchain.pem     certificate and chain, without the root
    combined.pem   -> current/combined.pem      key and fullchain
    current        -> versions/2                the one link that changes
    versions/1, versions/2

A version is complete and on disk before ``current`` points to it, and renaming that link is one
step: whoever starts at any moment finds the old pair or the new one.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from anchor.client import files, locks, trust
from anchor.client.errors import Misconfigured, Unwritable
from anchor.client.service import IssuedCertificate
from anchor.X509.parse_errors import MALFORMED

LOCK = ".lock"
CURRENT = "current"
VERSIONS = "versions"
KEY, CERTIFICATE, CHAIN = "key.pem", "cert.pem", "chain.pem"
FULL_CHAIN, COMBINED = "fullchain.pem", "combined.pem"
NAMES = (KEY, CERTIFICATE, CHAIN, FULL_CHAIN, COMBINED)


@dataclass(frozen=True)
class Access:
    """Who may do what with a file; an owner or group of -1 is that of the current process."""

    owner: int
    group: int
    mode: int

    @classmethod
    def of(cls, owner: str | None, group: str | None, key_mode: int) -> Access:
        """Look the names up.

        Raises:
            Misconfigured: this machine does not know one of them.
        """
        try:
            return cls(
                -1 if owner is None else pwd.getpwnam(owner).pw_uid,
                -1 if group is None else grp.getgrnam(group).gr_gid,
                key_mode,
            )
        except KeyError:
            raise Misconfigured(
                f"this machine does not know {' or '.join(filter(None, (owner, group)))}"
            ) from None


@dataclass(frozen=True)
class Pair:
    """A private key and a certificate that fit each other."""

    key_pem: bytes = field(repr=False)
    key: CertificateIssuerPrivateKeyTypes = field(repr=False)
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        """The SHA-256 over the certificate, in hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def _pair(version: Path) -> Pair | None:
    """The pair in the directory of a version; None if it is missing or damaged, or does not fit."""
    try:
        key_pem = (version / KEY).read_bytes()
        key = load_pem_private_key(key_pem, None)
        certificate = x509.load_pem_x509_certificate((version / CERTIFICATE).read_bytes())
        if key.public_key() != certificate.public_key():
            return None
    except PermissionError as error:
        raise Unwritable(f"{error.filename}: {error.strerror}") from None
    except (OSError, *MALFORMED):
        return None
    return Pair(key_pem, key, certificate)  # type: ignore[arg-type]  # a kind that was certified


@dataclass(frozen=True)
class CertificateDirectory:
    """The files of one certificate."""

    path: Path

    def locked(self, patience: float | None = None) -> contextlib.AbstractContextManager[None]:
        """Keep every other run away from it.

        Args:
            patience: for how many seconds to wait for another run; two minutes if None.

        Raises:
            Untrusted: another user could change the directory, and have us write elsewhere.
        """
        trust.require(self.path)
        trust.require(self.path / VERSIONS)
        return locks.exclusive(self.path / LOCK, patience)

    def current(self) -> Pair | None:
        """What servers see now; None if there is nothing, or nothing that is any good."""
        try:
            # Read the link once: both files are to be of one version.
            version = self.path / (self.path / CURRENT).readlink()
        except OSError:
            return None
        return _pair(version)

    def certificate(self) -> x509.Certificate | None:
        """The certificate, for who may not read the key."""
        with contextlib.suppress(OSError, *MALFORMED):
            return x509.load_pem_x509_certificate((self.path / CERTIFICATE).read_bytes())
        return None

    def prepare(self) -> None:
        """Make sure, before anybody is asked for a certificate, that there is room for it.

        Raises:
            Unwritable: it cannot be written to, or has files in it that come from elsewhere.
        """
        try:
            files.make_directory(self.path / VERSIONS)
        except OSError as error:
            raise Unwritable(f"{error.filename or self.path}: {error.strerror}") from None
        self.repair()

    def repair(self) -> None:
        """Remove what a killed run has left, and put back links that a backup has lost.

        A copy of what a link leads to, which some tools make of it, becomes a link again.

        Raises:
            Unwritable: a file is in the way which is no such copy; nothing is lost.
        """
        try:
            self.sweep()
            self._mend_current()
            self._mend_names()
        except OSError as error:
            raise Unwritable(f"{error.filename or self.path}: {error.strerror}") from None

    def _mend_current(self) -> None:
        current = self.path / CURRENT
        if current.is_dir() and current.is_symlink():
            return
        numbers = sorted(self._numbers(), reverse=True)
        if current.is_dir():
            copied = [n for n in numbers if _is_copy(self.path / VERSIONS / str(n), current)]
            if copied:
                shutil.rmtree(current)
            else:
                copied = [max(numbers, default=0) + 1]
                files.make_directory(self.path / VERSIONS)
                current.rename(self.path / VERSIONS / str(copied[0]))
            number: int | None = copied[0]
        elif current.exists():
            raise _in_the_way(current)
        else:
            good = (n for n in numbers if _pair(self.path / VERSIONS / str(n)))
            number = next(good, None)
        if number is not None:
            files.point(current, f"{VERSIONS}/{number}")

    def _mend_names(self) -> None:
        for name in NAMES:
            path, wanted = self.path / name, self.path / CURRENT / name
            if path.exists() and path.is_symlink():
                continue
            if path.exists() and not (wanted.is_file() and _is_same(path, wanted)):
                raise _in_the_way(path)
            if wanted.is_file():
                files.point(path, f"{CURRENT}/{name}")

    def access_by_hand(self) -> dict[str, Access]:
        """The owner, group and mode that each file has now, to be kept at a renewal.

        Nobody but owner and group may ever read a key, whatever was set by hand.
        """
        found = {}
        for name in NAMES:
            with contextlib.suppress(OSError):
                status = (self.path / CURRENT / name).stat()
                allowed = 0o660 if name in (KEY, COMBINED) else 0o666
                found[name] = Access(
                    status.st_uid if os.geteuid() == 0 else -1,
                    status.st_gid if _may_give_to(status.st_gid) else -1,
                    status.st_mode & allowed | 0o400,
                )
        return found

    def install(
        self,
        key_pem: bytes,
        certified: IssuedCertificate,
        access: Access,
        kept: Mapping[str, Access] | None = None,
    ) -> None:
        """Make a new pair the current one.

        Args:
            key_pem: the private key.
            certified: the certificate and its chain.
            access: who may do what with the files.
            kept: the same for single files, by their names, where it differs.

        Raises:
            Unwritable: it cannot be written; the old pair is current still.
        """
        try:
            versions = self.path / VERSIONS
            number = max(self._numbers(), default=0) + 1
            passing = versions / f".{number}.{secrets.token_hex(4)}"
            try:
                self._write(passing, key_pem, certified, access, kept or {})
                passing.rename(versions / str(number))
            except BaseException:
                shutil.rmtree(passing, ignore_errors=True)
                raise
            files.sync_directory(versions)
            for name in NAMES:
                if not (self.path / name).is_symlink():
                    files.point(self.path / name, f"{CURRENT}/{name}")
            files.point(self.path / CURRENT, f"{VERSIONS}/{number}")
            # The one before is kept for who is reading it at this moment.
            for old in self._numbers():
                if old < number - 1:
                    shutil.rmtree(versions / str(old), ignore_errors=True)
        except OSError as error:
            raise Unwritable(f"{error.filename or self.path}: {error.strerror}") from None

    @staticmethod
    def _write(
        directory: Path,
        key_pem: bytes,
        certified: IssuedCertificate,
        access: Access,
        kept: Mapping[str, Access],
    ) -> None:
        directory.mkdir(mode=0o755)
        directory.chmod(0o755)
        full_chain = certified.presented_pem
        for name, contents, mode in (
            (KEY, key_pem, access.mode),
            (CERTIFICATE, certified.pem, 0o644),
            (CHAIN, certified.chain_pem, 0o644),
            (FULL_CHAIN, full_chain, 0o644),
            (COMBINED, key_pem + full_chain, access.mode),
        ):
            found = kept.get(name, Access(access.owner, access.group, mode))
            files.write_new(directory / name, contents, found.mode, found.owner, found.group)
        files.sync_directory(directory)

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in (self.path / VERSIONS).iterdir()]
        except FileNotFoundError:
            names = []
        return [int(name) for name in names if name.isascii() and name.isdigit()]

    def sweep(self) -> None:
        """Remove what a run that was killed has left; nobody else is at work here."""
        for leftover in (self.path / VERSIONS).glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for name in (*NAMES, CURRENT):
            for leftover in self.path.glob(f".{name}.*"):
                leftover.unlink(missing_ok=True)


def _may_give_to(gid: int) -> bool:
    """True for root, and for groups that the current user is in."""
    return os.geteuid() == 0 or gid in (os.getegid(), *os.getgroups())


def _is_copy(version: Path, directory: Path) -> bool:
    """True if the files of a version are in a directory too, with the same contents."""
    return all(
        (directory / name).is_file() and _is_same(version / name, directory / name)
        for name in NAMES
    )


def _is_same(path: Path, other: Path) -> bool:
    return path.is_file() and path.read_bytes() == other.read_bytes()


def _in_the_way(path: Path) -> Unwritable:
    return Unwritable(f"{path} is there already, and not from here; move it away")

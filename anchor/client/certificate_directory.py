"""The directory of a certificate, in which the key and the certificate always fit each other.

::

    key.pem        -> current/key.pem           the paths that servers are configured with
    cert.pem       -> current/cert.pem
    chain.pem      -> current/chain.pem
    fullchain.pem  -> current/fullchain.pem     certificate and chain, without the root
    combined.pem   -> current/combined.pem      key and fullchain
    current        -> versions/2                the only link that a renewal changes
    versions/1, versions/2

A version is complete and on disk before ``current`` points to it. The link is replaced by one
rename, so a server that starts at any moment reads either the old pair or the new one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from anchor.client import certificate_version, files, locks, trust
from anchor.client.certificate_version import (
    CERTIFICATE,
    NAMES,
    Access,
    KeyAndCertificate,
    read_key_and_certificate,
)
from anchor.client.errors import Unwritable
from anchor.client.issued import IssuedCertificate
from anchor.X509.parse_errors import MALFORMED

LOCK = ".lock"
CURRENT = "current"
VERSIONS = "versions"


@dataclass(frozen=True)
class CertificateDirectory:
    """The files of one certificate."""

    path: Path

    def locked(self, timeout: float | None = None) -> contextlib.AbstractContextManager[None]:
        """Lock the directory against other runs.

        Args:
            timeout: how many seconds to wait for another run; two minutes if None.

        Raises:
            Untrusted: another user could change the directory and redirect our writes.
        """
        trust.require(self.path)
        trust.require(self._versions)
        return locks.exclusive(self.path / LOCK, timeout)

    def current(self) -> KeyAndCertificate | None:
        """The key and certificate that servers read now; None if missing or damaged."""
        try:
            # Read the link once, so that both files are of the same version.
            version = self.path / self._current.readlink()
        except OSError:
            return None
        return read_key_and_certificate(version)

    def certificate(self) -> x509.Certificate | None:
        """The certificate, for users who may not read the key."""
        with contextlib.suppress(OSError, *MALFORMED):
            return x509.load_pem_x509_certificate((self.path / CERTIFICATE).read_bytes())
        return None

    def prepare(self, access: Access, access_by_name: Mapping[str, Access] | None = None) -> None:
        """Make the directory, and check that a version can be written, before one is requested.

        Otherwise a full disk, or an owner that we may not set, would waste a certificate and a
        token that is good once.

        Args:
            access: as for :meth:`install`.
            access_by_name: as for :meth:`install`.

        Raises:
            Unwritable: it cannot be written, or contains files of another program.
        """
        with self._unwritable():
            files.make_directory(self._versions)
        self.repair()
        with self._unwritable(), self._temporary_version() as directory:
            certificate_version.write_trial(directory, access, access_by_name or {})

    def repair(self) -> None:
        """Remove what a killed run has left, and restore links that a backup has lost.

        Some backup tools copy the target of a link; such a copy becomes a link again.

        Raises:
            Unwritable: a file that is not such a copy has the name of a link; nothing is lost.
        """
        with self._unwritable():
            self.sweep()
            self._restore_current()
            self._restore_links()

    def _restore_current(self) -> None:
        current = self._current
        if current.is_dir() and current.is_symlink():
            return
        numbers = sorted(self._numbers(), reverse=True)
        number: int | None
        if current.is_dir():
            number = next((n for n in numbers if self._is_copied_to(n, current)), None)
            if number is not None:
                shutil.rmtree(current)
            else:
                number = max(numbers, default=0) + 1
                files.make_directory(self._versions)
                current.rename(self._version(number))
        elif current.exists():
            raise _in_the_way(current)
        else:
            number = next((n for n in numbers if read_key_and_certificate(self._version(n))), None)
        if number is not None:
            self._make_current(number)

    def _is_copied_to(self, number: int, directory: Path) -> bool:
        return certificate_version.is_copy(self._version(number), directory)

    def _restore_links(self) -> None:
        for name in NAMES:
            link, target = self.path / name, self._current / name
            if self._follows_renewals(link):
                continue
            if link.is_symlink():
                is_ours = self._leads_to_a_version(link)
            else:
                is_ours = target.is_file() and certificate_version.has_same_contents(link, target)
            if os.path.lexists(link) and not is_ours:
                raise _in_the_way(link)
            if target.is_file():
                files.replace_symlink(link, f"{CURRENT}/{name}")

    def _follows_renewals(self, link: Path) -> bool:
        """True for a link that leads to the current version, also after the next renewal."""
        if not (link.is_symlink() and link.exists()):
            return False
        # A link may lead to another one here, such as cert.pem to fullchain.pem.
        next_path = Path(os.path.normpath(self.path / link.readlink()))
        is_current = _real_path(link).parent == _real_path(self._current)
        return is_current and next_path.parent in (self.path, self._current)

    def _leads_to_a_version(self, link: Path) -> bool:
        """True for a link that leads to a version of this directory, even if that is missing."""
        directory = _real_path(link).parent
        return directory == _real_path(self._current) or directory.is_relative_to(
            _real_path(self._versions)
        )

    def current_access(self) -> dict[str, Access]:
        """The owner, group and mode of each current file, which a renewal keeps."""
        return certificate_version.read_access(self._current)

    def install(
        self,
        key_pem: bytes,
        issued: IssuedCertificate,
        access: Access,
        access_by_name: Mapping[str, Access] | None = None,
    ) -> None:
        """Write a new version and make it the current one.

        Args:
            key_pem: the private key.
            issued: the certificate and its chain.
            access: owner and group of the files, and the mode of those with the key.
            access_by_name: the access to single files, by name, where it differs.

        Raises:
            Unwritable: it cannot be written; the old pair is still current.
        """
        with self._unwritable():
            number = max(self._numbers(), default=0) + 1
            with self._temporary_version() as temporary:
                certificate_version.write_version(
                    directory=temporary,
                    key_pem=key_pem,
                    issued=issued,
                    access=access,
                    access_by_name=access_by_name or {},
                )
                temporary.rename(self._version(number))
            files.sync_directory(self._versions)
            self._make_current(number)
            self._restore_links()
            # Keep the previous version: a server may be reading it.
            for old in self._numbers():
                if old < number - 1:
                    shutil.rmtree(self._version(old), ignore_errors=True)

    @contextlib.contextmanager
    def _temporary_version(self) -> Iterator[Path]:
        """The path of a version that is removed after the block if it has not been renamed."""
        temporary = self._versions / f".{secrets.token_hex(4)}"
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a killed run has left; the caller holds the lock."""
        for leftover in self._versions.glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for name in (*NAMES, CURRENT):
            for leftover in self.path.glob(f".{name}.*"):
                leftover.unlink(missing_ok=True)

    def _make_current(self, number: int) -> None:
        files.replace_symlink(self._current, f"{VERSIONS}/{number}")

    @property
    def _current(self) -> Path:
        return self.path / CURRENT

    @property
    def _versions(self) -> Path:
        return self.path / VERSIONS

    def _version(self, number: int) -> Path:
        return self._versions / str(number)

    def _numbers(self) -> list[int]:
        try:
            names = [path.name for path in self._versions.iterdir()]
        except FileNotFoundError:
            names = []
        return [int(name) for name in names if name.isascii() and name.isdigit()]

    @contextlib.contextmanager
    def _unwritable(self) -> Iterator[None]:
        """Raise Unwritable for an OSError in the block."""
        try:
            yield
        except OSError as error:
            raise Unwritable(f"{error.filename or self.path}: {error.strerror}") from None


def _real_path(path: Path) -> Path:
    # Unlike Path.resolve(), it raises nothing if links are a loop.
    return Path(os.path.realpath(path))


def _in_the_way(path: Path) -> Unwritable:
    return Unwritable(f"{path} exists and was not written by anchor; move it away")

"""One version of a key and its certificate: five files that are written together."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from anchor.client import files
from anchor.client.errors import Misconfigured, Unwritable
from anchor.client.issued import IssuedCertificate
from anchor.X509.parse_errors import MALFORMED

KEY, CERTIFICATE, CHAIN = "key.pem", "cert.pem", "chain.pem"
FULL_CHAIN, COMBINED = "fullchain.pem", "combined.pem"
NAMES = (KEY, CERTIFICATE, CHAIN, FULL_CHAIN, COMBINED)

_USUAL_SIZE = 4096


@dataclass(frozen=True)
class Access:
    """Owner, group and mode of a file; -1 is the owner or group of the current process."""

    owner: int
    group: int
    mode: int

    @classmethod
    def of(cls, owner: str | None, group: str | None, key_mode: int) -> Access:
        """Look up the names of a user and a group.

        Raises:
            Misconfigured: this machine does not know one of the names.
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
class KeyAndCertificate:
    """A private key and a certificate for this key."""

    key_pem: bytes = field(repr=False)
    key: CertificateIssuerPrivateKeyTypes = field(repr=False)
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, in hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def read_key_and_certificate(version: Path) -> KeyAndCertificate | None:
    """The contents of a version; None if a file is missing, damaged or for another key.

    Raises:
        Unwritable: the current user may not read the files.
    """
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
    return KeyAndCertificate(key_pem, key, certificate)  # type: ignore[arg-type]  # a kind that was certified


def read_access(version: Path) -> dict[str, Access]:
    """The owner, group and mode of each file of a version, for the next version.

    Only the owner and the group may read a key, even if its mode was changed by hand.
    """
    access = {}
    for name in NAMES:
        with contextlib.suppress(OSError):
            status = (version / name).stat()
            allowed = 0o660 if name in (KEY, COMBINED) else 0o666
            access[name] = Access(
                status.st_uid if os.geteuid() == 0 else -1,
                status.st_gid if _may_give_to(status.st_gid) else -1,
                status.st_mode & allowed | 0o400,
            )
    return access


def write_version(
    directory: Path,
    key_pem: bytes,
    issued: IssuedCertificate,
    access: Access,
    access_by_name: Mapping[str, Access],
) -> None:
    """Make a directory with the five files, and wait until they are on disk.

    Args:
        directory: the new directory.
        key_pem: the private key.
        issued: the certificate and its chain.
        access: owner and group of the files, and the mode of those with the key.
        access_by_name: the access to single files, by name, where it differs.
    """
    contents = {
        KEY: key_pem,
        CERTIFICATE: issued.pem,
        CHAIN: issued.chain_pem,
        FULL_CHAIN: issued.full_chain_pem,
        COMBINED: key_pem + issued.full_chain_pem,
    }
    _write(directory, contents, access, access_by_name)


def write_trial(directory: Path, access: Access, access_by_name: Mapping[str, Access]) -> None:
    """Make a directory like :func:`write_version`, whose files have a usual size and no contents.

    Args:
        directory: the new directory.
        access: as for :func:`write_version`.
        access_by_name: as for :func:`write_version`.
    """
    _write(directory, dict.fromkeys(NAMES, bytes(_USUAL_SIZE)), access, access_by_name)


def _write(
    directory: Path,
    contents: Mapping[str, bytes],
    access: Access,
    access_by_name: Mapping[str, Access],
) -> None:
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    for name in NAMES:
        mode = access.mode if name in (KEY, COMBINED) else 0o644
        own = access_by_name.get(name, Access(access.owner, access.group, mode))
        files.write_new(directory / name, contents[name], own.mode, own.owner, own.group)
    files.sync_directory(directory)


def is_copy(version: Path, directory: Path) -> bool:
    """True if the directory has the files of the version, with the same contents."""
    return all(
        (directory / name).is_file() and has_same_contents(version / name, directory / name)
        for name in NAMES
    )


def has_same_contents(path: Path, other: Path) -> bool:
    """True if both are files with the same bytes."""
    return path.is_file() and path.read_bytes() == other.read_bytes()


def _may_give_to(gid: int) -> bool:
    """True for root, and for the groups of the current user."""
    return os.geteuid() == 0 or gid in (os.getegid(), *os.getgroups())

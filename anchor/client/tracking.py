"""The state directory, with one file for each tracked certificate."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pydantic

from anchor.client import files, locks, trust
from anchor.client.certificate_directory import CertificateDirectory
from anchor.client.errors import ClientError, Misconfigured, Unwritable
from anchor.client.issued import ObtainedWith

# The usual size of a file, at most.
_USUAL_SIZE = 4096

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}"


def is_name(text: str) -> bool:
    """True if a certificate can be tracked under this name."""
    return re.fullmatch(_NAME, text, re.ASCII) is not None


class CertificateSpec(pydantic.BaseModel):
    """The options of ``anchor request``, which renewals use again.

    Attributes:
        config: the ``client.json``; None if there is none.
        client: without a ``client.json``, its options from the command line; none is secret.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = pydantic.Field(min_length=1)
    directory: Path
    config: Path | None = None
    client: dict[str, str | bool] | None = None
    authority: str | None = None
    common_name: str | None = None
    key: str = "ec-p256"
    reuse_key: bool = False
    owner: str | None = None
    group: str | None = None
    key_mode: int = 0o600
    hook: tuple[str, ...] = ()
    renew_when_left: float | None = None

    @pydantic.model_validator(mode="after")
    def _require_one_configuration(self) -> CertificateSpec:
        if (self.config is None) == (self.client is None):
            raise ValueError("exactly one of 'config' and 'client' is needed")
        return self


class History(pydantic.BaseModel):
    """The results of earlier tries. Times are in seconds since the epoch.

    Attributes:
        fingerprint: the fingerprint of the certificate to which ``renew_after`` applies.
        renew_after: the renewal time that the service asked for.
        obtained_with: the kind of credential that the service accepted for that certificate.
        why_secret: why its renewal used the secret and not the certificate before.
        hook_done: the fingerprint of the certificate for which the hook last succeeded.
        clock_wrong: True if the new certificate was due at once, or if the clock was wrong.
        failures: the number of failures since the last success.
        error: the message of the last failure.
        credentials_refused: True if the last failure was about the credentials; other credentials
            may be tried at once.
        tried: the time of the last try.
        wait_until: the time before which a daemon does not try again.
        keep_off_until: the time before which no run tries again, because the service asked for it.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    fingerprint: str | None = None
    renew_after: float | None = None
    obtained_with: ObtainedWith | None = None
    why_secret: str | None = None
    hook_done: str | None = None
    clock_wrong: bool = False
    failures: int = 0
    error: str | None = None
    credentials_refused: bool = False
    tried: float | None = None
    wait_until: float | None = None
    keep_off_until: float | None = None


class TrackedCertificate(pydantic.BaseModel):
    """A certificate that this machine renews."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = pydantic.Field(pattern=rf"\A{_NAME}\z")
    # Files of earlier versions call it "wish".
    spec: CertificateSpec = pydantic.Field(validation_alias="wish", serialization_alias="wish")
    history: History = History()

    def after(self, **changes: object) -> TrackedCertificate:
        """A copy with changes in its history."""
        return self.model_copy(update={"history": self.history.model_copy(update=changes)})


def default_state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """The default state directory, for root or for the current user."""
    if environment.get("ANCHOR_STATE"):
        return Path(environment["ANCHOR_STATE"])
    if os.geteuid() == 0:
        return _roots_directory(Path("/var/lib"))
    home = environment.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(home) / "anchor"


def _roots_directory(parent: Path) -> Path:
    """Root's directory, or the directory of earlier versions if it is still in use."""
    directory, former = parent / "anchor-client", parent / "anchor"
    if (directory / "tracked").exists():
        return directory
    # Earlier versions tracked certificates here, which the service uses too.
    with contextlib.suppress(OSError):
        if (former / "tracked").lstat().st_uid == 0:
            return former
    return directory


@dataclass(frozen=True)
class StateDirectory:
    """The directory that tracks the certificates of this machine."""

    path: Path
    _tracked: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tracked", self.path / "tracked")

    def default_directory(self, name: str) -> Path:
        """The default directory for the files of a certificate."""
        return self.path / "certificates" / name

    def names(self) -> list[str]:
        """The names of all tracked certificates, sorted.

        Raises:
            Untrusted: another user could have changed the state.
        """
        self._require_trusted()
        try:
            return sorted(
                path.stem
                for path in self._tracked.iterdir()
                if path.suffix == ".json" and not path.name.startswith(".")
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unwritable(f"{self._tracked}: {error.strerror}") from None

    def read(self, name: str) -> TrackedCertificate:
        """Return the certificate that is tracked under a name.

        Raises:
            Misconfigured: it is not tracked, its file is damaged, or another user could have
                changed the file.
        """
        path = self._path(name)
        self._require_trusted()
        trust.require(path)
        try:
            return TrackedCertificate.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise Misconfigured(f"{name!r} is not tracked here") from None
        except OSError as error:
            raise Unwritable(f"{path}: {error.strerror}") from None
        except pydantic.ValidationError:
            raise Misconfigured(f"{path} is damaged; `anchor request` writes it anew") from None

    def prepare(self) -> None:
        """Check that a file can be written, before a certificate is requested.

        Raises:
            Unwritable: it cannot.
        """
        path = self._tracked / f".trial.json.{secrets.token_hex(4)}"
        try:
            self._require_trusted()
            with locks.exclusive(self._tracked / ".lock"):
                self._sweep_tracked()
                try:
                    files.write_new(path, bytes(_USUAL_SIZE), 0o600)
                finally:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise Unwritable(f"{path.parent}: {error.strerror}") from None

    def write(self, tracked: TrackedCertificate) -> None:
        """Write the file of a certificate in one step."""
        path = self._path(tracked.name)
        text = json.dumps(
            tracked.model_dump(mode="json", exclude_none=True, by_alias=True), indent=2
        )
        try:
            self._require_trusted()
            with locks.exclusive(self._tracked / ".lock"):
                self._sweep_tracked()
                files.replace(path, f"{text}\n".encode(), 0o644)
        except OSError as error:
            raise Unwritable(f"{path}: {error.strerror}") from None

    def sweep(self) -> None:
        """Remove temporary files of killed runs, also of certificates that are not tracked."""
        self._require_trusted()
        # A run that changes nothing else must not fail because of leftovers.
        with contextlib.suppress(OSError, ClientError):
            if self._tracked.is_dir():
                with locks.exclusive(self._tracked / ".lock"):
                    self._sweep_tracked()
            for directory in self.default_directory("x").parent.glob("*/.lock"):
                # Skip a directory that another run has locked.
                with (
                    contextlib.suppress(ClientError),
                    CertificateDirectory(directory.parent).locked(timeout=0),
                ):
                    CertificateDirectory(directory.parent).sweep()

    def _sweep_tracked(self) -> None:
        """Remove temporary files: those with eight characters after the name."""
        for leftover in self._tracked.glob(".*.json.????????"):
            leftover.unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Stop tracking a certificate; keep its files."""
        path = self._path(name)
        self._require_trusted()
        try:
            path.unlink()
        except FileNotFoundError:
            raise Misconfigured(f"{name!r} is not tracked here") from None
        except OSError as error:
            raise Unwritable(f"{path}: {error.strerror}") from None

    def _require_trusted(self) -> None:
        trust.require(self.path)
        trust.require(self._tracked)

    def _path(self, name: str) -> Path:
        if not is_name(name):
            raise Misconfigured(f"{name!r} is no name for a certificate")
        return self._tracked / f"{name}.json"

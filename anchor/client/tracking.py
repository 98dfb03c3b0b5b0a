"""What is tracked on this machine: one file a certificate, in the state directory."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pydantic

from anchor.client import files, locks, trust
from anchor.client.certificate_directory import CertificateDirectory
from anchor.client.errors import ClientError, Misconfigured, Unwritable

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}"


def is_name(text: str) -> bool:
    """Whether a certificate can be tracked by that name."""
    return re.fullmatch(_NAME, text, re.ASCII) is not None


class CertificateSpec(pydantic.BaseModel):
    """What is wanted, as it was asked for."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = pydantic.Field(min_length=1)
    directory: Path
    config: Path
    authority: str | None = None
    common_name: str | None = None
    key: str = "ec-p256"
    reuse_key: bool = False
    owner: str | None = None
    group: str | None = None
    key_mode: int = 0o600
    hook: tuple[str, ...] = ()
    renew_when_left: float | None = None


class History(pydantic.BaseModel):
    """What became of it.  Times are in seconds since the epoch.

    Attributes:
        fingerprint: of the certificate that ``renew_after`` is about.
        hook_done: the fingerprint of the certificate that the hook has seen.
        clock_wrong: whether the certificate was due as soon as it was there, or not valid at all.
        failures: how often it failed since it last worked.
        error: the last failure's sentence.
        credentials_refused: whether the last failure was that; others may be tried at once.
        wait_until: before that, a daemon does not try again.
        keep_off_until: before that, nobody tries again: the service said so.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    fingerprint: str | None = None
    renew_after: float | None = None
    hook_done: str | None = None
    clock_wrong: bool = False
    failures: int = 0
    error: str | None = None
    credentials_refused: bool = False
    tried: float | None = None
    wait_until: float | None = None
    keep_off_until: float | None = None


class TrackedCertificate(pydantic.BaseModel):
    """A certificate that is kept renewed."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str = pydantic.Field(pattern=rf"\A{_NAME}\z")
    wish: CertificateSpec
    history: History = History()

    def after(self, **changes: object) -> TrackedCertificate:
        """The same, with another history."""
        return self.model_copy(update={"history": self.history.model_copy(update=changes)})


def default_state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the state is: ``/var/lib/anchor-client`` for root, in the home for others."""
    if environment.get("ANCHOR_STATE"):
        return Path(environment["ANCHOR_STATE"])
    if os.geteuid() == 0:
        return _roots_directory(Path("/var/lib"))
    home = environment.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(home) / "anchor"


def _roots_directory(parent: Path) -> Path:
    """Root's own directory; or the one before it, which the service's user may share."""
    directory, former = parent / "anchor-client", parent / "anchor"
    if (directory / "tracked").exists():
        return directory
    # Certificates that have been tracked there for long are still renewed.
    with contextlib.suppress(OSError):
        if (former / "tracked").lstat().st_uid == 0:
            return former
    return directory


@dataclass(frozen=True)
class StateDirectory:
    """All that is tracked."""

    path: Path
    _tracked: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tracked", self.path / "tracked")

    def default_directory(self, name: str) -> Path:
        """Where the files of a certificate go when nobody says otherwise."""
        return self.path / "certificates" / name

    def names(self) -> list[str]:
        """The names of all that is tracked, in order.

        Raises:
            Untrusted: another user could have written what is tracked.
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
        """One of them.

        Raises:
            Misconfigured: it is not tracked, its file is damaged, or another user could have
                written it.
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

    def write(self, tracked: TrackedCertificate) -> None:
        """Keep it, whole or not at all."""
        path = self._path(tracked.name)
        text = json.dumps(tracked.model_dump(mode="json", exclude_none=True), indent=2)
        try:
            self._require_trusted()
            with locks.exclusive(self._tracked / ".lock"):
                self._sweep_tracked()
                files.replace(path, f"{text}\n".encode(), 0o644)
        except OSError as error:
            raise Unwritable(f"{path}: {error.strerror}") from None

    def sweep(self) -> None:
        """Remove what killed runs have left, also for certificates that are not tracked."""
        self._require_trusted()
        # A run that only looks does not fail over what it cannot remove.
        with contextlib.suppress(OSError, ClientError):
            if self._tracked.is_dir():
                with locks.exclusive(self._tracked / ".lock"):
                    self._sweep_tracked()
            for directory in self.default_directory("x").parent.glob("*/.lock"):
                # A run that holds the lock removes its own.
                with (
                    contextlib.suppress(ClientError),
                    CertificateDirectory(directory.parent).locked(patience=0),
                ):
                    CertificateDirectory(directory.parent).sweep()

    def _sweep_tracked(self) -> None:
        """Remove files of eight digits after a name, which are renamed when they are whole."""
        for leftover in self._tracked.glob(".*.json.????????"):
            leftover.unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Track it no more; its files stay."""
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

"""The options that every signing CA has, with any backend."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import pydantic

from anchor.config.file_types import FilePath

Hours = Annotated[float, pydantic.Field(gt=0, le=24 * 366 * 10)]


class CASettings(pydantic.BaseModel):
    """The options that every signing CA has, with any backend."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    cert_path: FilePath = pydantic.Field(
        description="the CA's certificate in PEM. It has to be valid now, to belong to a CA, and "
        "to match the key"
    )
    chain_path: FilePath | None = pydantic.Field(
        None,
        description="the certificates between the CA's certificate and a root, in PEM. The issuer "
        "of the CA's certificate is first, and each one has issued the one before it",
    )
    output_path: FilePath | None = pydantic.Field(
        None,
        description="a directory in which Anchor also stores each certificate, as ``<SHA-256 "
        "fingerprint>.crt``. Anchor creates it. Without this option certificates are "
        "only in the database",
    )
    signing_hash: Literal["sha224", "sha256", "sha384", "sha512"] = pydantic.Field(
        "sha256", description="the hash for signatures; Ed25519 and Ed448 keys take none"
    )
    valid_hours: Hours = pydantic.Field(
        24,
        description="how long a certificate is valid, counted from the moment of issue; a fraction "
        "is allowed, and 24 are exactly 86,400 seconds",
    )
    backdate_seconds: Annotated[int, pydantic.Field(ge=0, le=86400)] = pydantic.Field(
        60,
        description="how many seconds ``notBefore`` is before the moment of issue, for clients "
        "whose clock is late",
    )
    min_valid_hours: Hours = pydantic.Field(
        1,
        description="how many hours a certificate has to be valid. Near the end of the CA, "
        "certificates end with the CA, which is logged. If less than this would be "
        "left, the request fails",
    )
    warn_lifetimes: Annotated[float, pydantic.Field(ge=0, le=100000)] = pydantic.Field(
        30,
        description="warn at the start, in ``anchor check`` and once a day in the log when the CA, "
        "or its successor, has less than this many lifetimes of a certificate left; 0 for never",
    )
    next: dict[str, Any] | None = pydantic.Field(
        None, description="the CA's next certificate and key, and when they take over"
    )

    @property
    def validity(self) -> datetime.timedelta:
        """How long a certificate is valid; fractions of a second are dropped."""
        return datetime.timedelta(seconds=max(1, round(self.valid_hours * 3600)))

"""The section ``renewal`` of a registration authority."""

from __future__ import annotations

import datetime
from typing import Annotated

import pydantic

Hours = Annotated[float, pydantic.Field(gt=0, le=24 * 366 * 10)]


class RenewalSettings(pydantic.BaseModel):
    """Whether certificates can be renewed without a secret, and how long."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    enabled: bool = pydantic.Field(
        default=True, description="whether a certificate can be renewed without a secret"
    )
    grace_hours: Annotated[float, pydantic.Field(ge=0, le=24 * 366)] = pydantic.Field(
        default=0, description="for how many hours after its end a certificate can still be renewed"
    )
    allow_fewer_names: bool = pydantic.Field(
        default=False,
        description="whether the new certificate may leave out alternative names of the old one. "
        "The subject has to be the same in any case",
    )
    max_renewals: Annotated[int, pydantic.Field(ge=1, le=1_000_000)] | None = pydantic.Field(
        default=None,
        description="how many times a certificate and its successors can be renewed; after that "
        "the requester has to show a secret, a token or a JWT again. By default there is no limit",
    )
    max_age_hours: Hours | None = pydantic.Field(
        default=None,
        description="for how many hours after the first certificate it and its successors can be "
        "renewed; after that the requester has to show a secret, a token or a JWT again. By "
        "default there is no limit",
    )

    @property
    def grace(self) -> datetime.timedelta:
        """How long after its end a certificate can still be renewed."""
        return datetime.timedelta(hours=self.grace_hours)

    @property
    def max_age(self) -> datetime.timedelta | None:
        """How long after the first certificate renewals are possible."""
        return None if self.max_age_hours is None else datetime.timedelta(hours=self.max_age_hours)

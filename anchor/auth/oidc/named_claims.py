"""The option ``claims``: claims of a token, or parts of them, by the names that policies use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic

from anchor.auth.oidc.claims import MAX_TEXT, ClaimReference, find_claim, text_claim
from anchor.auth.oidc.requirements import TextPattern
from anchor.config.file_types import text

CAPTURE = "{}"

_SEPARATORS = re.compile(r"([/:])")


@dataclass(frozen=True)
class SegmentPattern:
    """A text between ``/`` and ``:``, one segment of which is the value.

    Attributes:
        segments: the patterns of the segments; None for the one that is the value.
        separators: the separators between them.
    """

    segments: tuple[TextPattern | None, ...]
    separators: tuple[str, ...]

    @classmethod
    def parse(cls, pattern: str) -> SegmentPattern:
        """Read a pattern.

        Raises:
            ValueError: it does not have one segment ``{}``, or it has a ``**``.
        """
        parts = _SEPARATORS.split(pattern)
        segments = parts[::2]
        if segments.count(CAPTURE) != 1 or pattern.count("{") != 1 or pattern.count("}") != 1:
            raise ValueError(
                f"{pattern!r} should have '{{}}' once, as a whole segment between '/' and ':'"
            )
        if "**" in pattern:
            raise ValueError(f"{pattern!r} has '**', with which segments cannot be counted")
        return cls(
            tuple(None if part == CAPTURE else TextPattern.parse(part) for part in segments),
            tuple(parts[1::2]),
        )

    def capture(self, value: str) -> str | None:
        """The segment that is the value; None if the text is not as the pattern says."""
        parts = _SEPARATORS.split(value)
        segments = parts[::2]
        if tuple(parts[1::2]) != self.separators:
            return None
        captured = None
        for pattern, segment in zip(self.segments, segments, strict=True):
            if pattern is None:
                captured = segment
            elif not pattern.matches(segment):
                return None
        return captured or None


def _parse(pattern: str) -> str:
    SegmentPattern.parse(pattern)
    return pattern


class ClaimPart(pydantic.BaseModel):
    """A segment of a claim."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    claim: ClaimReference = pydantic.Field(description="the claim")
    pattern: Annotated[
        str,
        pydantic.Field(min_length=1, max_length=MAX_TEXT),
        pydantic.AfterValidator(_parse),
        text("pattern", maxLength=MAX_TEXT, pattern=r"^([^{}]*[/:])?\{\}([/:][^{}]*)?$"),
    ] = pydantic.Field(
        description="the text of the claim, with ``{}`` for the segment that is the value"
    )


ClaimOrPart = Annotated[
    Annotated[ClaimReference, pydantic.Tag("claim")] | Annotated[ClaimPart, pydantic.Tag("part")],
    pydantic.Discriminator(lambda written: "part" if isinstance(written, dict) else "claim"),
]
"""A claim, or a segment of one."""


@dataclass(frozen=True)
class NamedClaim:
    """A claim, or a segment of it, that policies can use."""

    reference: str
    pattern: SegmentPattern | None = None

    @classmethod
    def of(cls, written: str | ClaimPart) -> NamedClaim:
        """The claim that an entry of the option means."""
        if isinstance(written, str):
            return cls(written)
        return cls(written.claim, SegmentPattern.parse(written.pattern))

    def value(self, claims: Mapping[str, Any]) -> str | None:
        """The value in a token; None if the token does not have it, or if it is empty.

        Raises:
            TokenRefused: the claim is no text, or a text that no name can be.
        """
        if find_claim(claims, self.reference) == "":
            # GitHub has an empty "head_ref" in the tokens of all jobs but those of a pull request.
            return None
        found = text_claim(claims, self.reference)
        return found if found is None or self.pattern is None else self.pattern.capture(found)

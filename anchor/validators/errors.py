"""The error that a check raises, and helpers to raise it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from anchor.errors import Rejected

MAX_LISTED = 5


class ValidationError(Rejected):
    """A check rejects the request; the message is for the requester.

    Args:
        message: what is wrong, in a few words.
        data: with which name, size or usage; shown to the requester and kept in the audit.
    """


Function = TypeVar("Function", bound=Callable[..., Any])


def by_request_alone(function: Function) -> Function:
    """Mark a validator or a fixup whose outcome follows from ``csr`` and its options alone.

    It looks at no clock, file or network, and is not asked again about the same request.
    """
    function.by_request_alone = True  # type: ignore[attr-defined]  # any function takes attributes
    return function


def is_by_request_alone(function: Callable[..., Any]) -> bool:
    """Whether it is marked."""
    return getattr(function, "by_request_alone", False) is True


def refuse_any(message: str, **offending: Iterable[object]) -> None:
    """Return if nothing offends; else refuse with the first few of what does, and their number.

    Args:
        message: what is wrong with each of them.
        offending: what offends, under the noun for it; only what is shown is made a text.

    Raises:
        ValidationError: something offends.
    """
    [(noun, items)] = offending.items()
    items = iter(items)
    listed = tuple(map(str, islice(items, MAX_LISTED)))
    more = sum(1 for _ in items)
    if more:
        raise ValidationError(message, **{noun: listed, "more": more})
    if listed:
        raise ValidationError(message, **{noun: listed})

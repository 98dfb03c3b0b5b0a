"""The error that a check raises, and helpers to raise it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from anchor.errors import Rejected

LOG = logging.getLogger(__name__)

MAX_LISTED = 5


class ValidationError(Rejected):
    """A check rejects the request; the message is for the requester.

    Args:
        message: what is wrong, in a few words.
        data: with which name, size or usage; shown to the requester and kept in the audit.
    """


Function = TypeVar("Function", bound=Callable[..., Any])


def by_request_alone(function: Function) -> Function:
    """Deprecated: it does nothing any more.  Plug-ins written for Anchor 1.0 may still use it."""
    LOG.warning(
        "%s.%s uses anchor.validators.by_request_alone, which does nothing any more: remove it",
        function.__module__,
        function.__qualname__,
    )
    return function


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

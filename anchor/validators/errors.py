"""The error that a validator raises, and helpers to raise it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from anchor.errors import Rejected

LOG = logging.getLogger(__name__)

MAX_LISTED = 5


class ValidationError(Rejected):
    """Raised by a validator that rejects the request; the requester sees the message.

    Args:
        message: what is wrong, in a few words.
        data: the values that are wrong, by name; the requester sees them and the audit keeps them.
    """


Function = TypeVar("Function", bound=Callable[..., Any])


def by_request_alone(function: Function) -> Function:
    """Deprecated: return the function unchanged, for plug-ins written for Anchor 1.0."""
    LOG.warning(
        "%s.%s uses anchor.validators.by_request_alone, which does nothing any more: remove it",
        function.__module__,
        function.__qualname__,
    )
    return function


def judges_names(function: Function) -> Function:
    """Mark a validator that uses nothing of a request but its names, and the requester.

    ACME asks such validators about the names in an order, before there is a request.
    """
    vars(function)["judges_names"] = True
    return function


def refuse_any(message: str, **offending: Iterable[object]) -> None:
    """Raise if there are offending items; the error shows the first five.

    Args:
        message: what is wrong with the items.
        offending: one keyword, a noun for the items, with the items; only listed items are
            converted to text.

    Raises:
        ValidationError: there is an offending item.
    """
    [(noun, items)] = offending.items()
    items = iter(items)
    listed = tuple(map(str, islice(items, MAX_LISTED)))
    more = sum(1 for _ in items)
    if more:
        raise ValidationError(message, **{noun: listed, "more": more})
    if listed:
        raise ValidationError(message, **{noun: listed})

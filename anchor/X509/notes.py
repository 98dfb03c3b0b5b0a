"""What was found out of a request, kept with it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from anchor.X509.signing_request import X509Csr

Value = TypeVar("Value")


class Notes(dict[object, Any]):
    """As much as is kept of a request: it may be posted to any number of authorities."""

    ROOM = 64

    def __setitem__(self, key: object, value: Any) -> None:
        if len(self) >= self.ROOM:
            self.clear()
        super().__setitem__(key, value)


def noted(function: Callable[[X509Csr], Value]) -> Callable[[X509Csr], Value]:
    """Of a function that follows from a request alone: found out once for each, never None."""

    @functools.wraps(function)
    def of(csr: X509Csr) -> Value:
        known: Value | None = csr.notes.get(function)
        if known is None:
            known = csr.notes[function] = function(csr)
        return known

    return of

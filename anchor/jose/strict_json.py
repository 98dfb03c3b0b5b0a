"""JSON objects from strangers: no member twice, no NaN, no deep nesting."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 16
MAX_DIGITS = 4000
"""The digits that a whole number may have."""


def parse_object(encoded: bytes) -> dict[str, Any]:
    """The JSON object in UTF-8.

    Raises:
        ValueError: it is no such object; the message contains nothing of it.
    """
    try:
        value = _DECODER.decode(encoded.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("its JSON is not an object")
    _require_shallow(value)
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("its JSON has a member twice")
    return value


def _refuse_constant(_constant: str) -> Any:
    raise ValueError("its JSON has a number that is not finite")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("its JSON has a number that is not finite")
    return number


def _bounded(digits: str) -> int:
    # Python converts at most 4300 digits.
    if len(digits) > MAX_DIGITS:
        raise ValueError("its JSON has a number that is too large")
    return int(digits)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_duplicates,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_bounded,
)


def _require_shallow(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return
        level = inner
    raise ValueError("its JSON is nested too deeply")

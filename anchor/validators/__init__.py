"""The validators that come with Anchor, one module for each part of a request.

A validator is a function that returns if the request is valid.  It raises :class:`ValidationError`
if the request is invalid or if it cannot decide.
"""

from anchor.validators.errors import (
    ValidationError,
    by_request_alone,
    judges_names,
    refuse_any,
)

__all__ = ["ValidationError", "by_request_alone", "judges_names", "refuse_any"]

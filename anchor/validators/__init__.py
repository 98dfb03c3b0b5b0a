"""The checks that an authority's policy is made of, grouped by what they look at.

A check is a plain function that returns if the request is in order, and raises
:class:`ValidationError` if it is not, or if that cannot be decided.
"""

from anchor.validators.errors import ValidationError, by_request_alone, refuse_any

__all__ = ["ValidationError", "by_request_alone", "refuse_any"]

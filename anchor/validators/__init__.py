"""The checks that an authority's policy is made of, grouped by what they look at.

A check is a plain function that returns when the request is in order and raises
:class:`ValidationError` when it is not, or when it cannot tell.
"""

from __future__ import annotations

from anchor.errors import AnchorError


class ValidationError(AnchorError):
    """A check refuses the request; the message is for the requester.

    Args:
        message: what is wrong, in a few words.
        data: with which name, size or usage; shown to the requester and kept in the audit.
    """

    def __init__(self, message: str, **data: object):
        self.message = message
        self.data = data
        shown = ", ".join(f"{key} {str(value)!a}" for key, value in data.items())
        super().__init__(f"{message} ({shown})" if shown else message)

"""The problem document for every error of Anchor's."""

from __future__ import annotations

from anchor import errors
from anchor.acme.problems import AcmeProblem, ProblemType

_KINDS: dict[type[BaseException], ProblemType] = {
    errors.UnknownPath: ProblemType.NOT_FOUND,
    errors.NotAuthenticated: ProblemType.UNAUTHORIZED,
    errors.Forbidden: ProblemType.UNAUTHORIZED,
    errors.OrderNotReady: ProblemType.ORDER_NOT_READY,
    errors.TooManyAttempts: ProblemType.RATE_LIMITED,
    errors.UnreadableRequest: ProblemType.BAD_CSR,
    errors.ValidationFailed: ProblemType.BAD_CSR,
    errors.RequestError: ProblemType.MALFORMED,
    Exception: ProblemType.SERVER_INTERNAL,
}


def problem_type(error: BaseException) -> ProblemType:
    """The registered type for an error; its HTTP status may differ from that of the error."""
    if isinstance(error, AcmeProblem):
        return error.kind
    return next(_KINDS[kind] for kind in type(error).__mro__ if kind in _KINDS)

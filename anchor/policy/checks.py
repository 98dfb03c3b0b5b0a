"""Running checks over a request, and gathering everything that they object to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from anchor.auth.results import AuthDetails
from anchor.errors import Failure, PluginError
from anchor.store.bans import NOT_LOOKED_AT, Bans
from anchor.validators.errors import ValidationError
from anchor.X509.signing_request import X509Csr

SUPPLIED = frozenset({"csr", "auth_result", "request", "conf"})


@dataclass(frozen=True, kw_only=True)
class Context:
    """What checks may look at besides the request itself.

    Attributes:
        auth_result: the requester.
        request: the HTTP request (``pecan.Request``).
        conf: the registration authority's section of the configuration.
        bans: the bans as the request came; for the enforced check alone.
    """

    auth_result: AuthDetails
    request: Any
    conf: Mapping[str, Any]
    bans: Bans = NOT_LOOKED_AT

    def supply(self, csr: X509Csr) -> Mapping[str, object]:
        """The keyword arguments that a check can ask for."""
        return {
            "csr": csr,
            "auth_result": self.auth_result,
            "request": self.request,
            "conf": self.conf,
            "bans": self.bans,
        }


@dataclass(frozen=True)
class Check:
    """A check under the name by which requesters and operators know it.

    Attributes:
        looks_at_csr: False if it looks only at who asks and from where; no fixup can change its
            verdict.
    """

    name: str
    function: Callable[[Mapping[str, object]], object]
    looks_at_csr: bool = True


class Verdict(NamedTuple):
    """What a check said of a request.

    Attributes:
        check: the check's name.
        failure: its objection, if it has one.
        crash: why there is no saying, if it raised something other than a ValidationError.
    """

    check: str
    failure: Failure | None = None
    crash: PluginError | None = None


def run_checks(checks: Iterable[Check], csr: X509Csr, context: Context) -> tuple[Verdict, ...]:
    """Run every check on a request and return their verdicts, in their order."""
    supplied = context.supply(csr)
    return tuple(_verdict(check, supplied) for check in checks)


def _verdict(check: Check, supplied: Mapping[str, object]) -> Verdict:
    objection = _objection(check, supplied)
    if isinstance(objection, PluginError):
        return Verdict(check.name, crash=objection)
    return Verdict(check.name, objection)


def _objection(check: Check, supplied: Mapping[str, object]) -> Failure | PluginError | None:
    """What a check has against the request, or why there is no saying."""
    try:
        answer = check.function(supplied)
    except ValidationError as error:
        return Failure(check.name, str(error), error.data)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plug-in may raise anything
        return _crash(check, "failed", error)
    # Whoever answers False meant to refuse.
    return _crash(check, "answered False, and did not raise") if answer is False else None


def _crash(check: Check, what: str, cause: BaseException | None = None) -> PluginError:
    crash = PluginError(f"the validator {check.name!r} {what}")
    crash.__cause__ = cause
    return crash

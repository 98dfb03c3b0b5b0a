"""Running checks on a request and collecting their verdicts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from anchor.auth.results import AuthDetails
from anchor.errors import DatabaseUnavailable, Failure, PluginError
from anchor.store.bans import RequestBans
from anchor.validators.errors import ValidationError
from anchor.X509.signing_request import X509Csr

SUPPLIED = frozenset({"csr", "auth_result", "request", "conf"})


@dataclass(frozen=True, kw_only=True)
class Context:
    """The arguments that checks and fixups can ask for, besides the request for a certificate.

    Attributes:
        auth_result: the requester.
        request: the HTTP request (``pecan.Request``).
        conf: the registration authority's section of the configuration.
        bans: the bans that concern the request; only the mandatory check gets them.
    """

    auth_result: AuthDetails
    request: Any
    conf: Mapping[str, Any]
    bans: RequestBans

    def arguments(self, csr: X509Csr) -> Mapping[str, object]:
        """The values that a check can ask for, by the name of its parameter."""
        return {
            "csr": csr,
            "auth_result": self.auth_result,
            "request": self.request,
            "conf": self.conf,
            "bans": self.bans,
        }


@dataclass(frozen=True)
class Check:
    """A check and its name in the configuration and in answers.

    Attributes:
        looks_at_csr: False if it does not use the request for a certificate, so that no fixup can
            change its verdict.
        judges_names: True if it uses nothing but the names and the requester.
    """

    name: str
    function: Callable[[Mapping[str, object]], object]
    looks_at_csr: bool = True
    judges_names: bool = False


class Verdict(NamedTuple):
    """The result of a check.

    Attributes:
        check: the check's name.
        failure: the reason if the check refused the request.
        crash: the error if the check failed to decide.
    """

    check: str
    failure: Failure | None = None
    crash: PluginError | None = None


def run_checks(checks: Iterable[Check], csr: X509Csr, context: Context) -> tuple[Verdict, ...]:
    """Run every check on a request; return the verdicts in the order of the checks."""
    arguments = context.arguments(csr)
    return tuple([_verdict(check, arguments) for check in checks])


def _verdict(check: Check, arguments: Mapping[str, object]) -> Verdict:
    try:
        result = check.function(arguments)
    except ValidationError as error:
        return Verdict(check.name, failure=Failure(check.name, str(error), error.data))
    except DatabaseUnavailable:
        # Not the request's fault, and it may pass.
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plug-in may raise anything
        return Verdict(check.name, crash=_crash(check, "failed", error))
    if result is None:
        return Verdict(check.name)
    # A check that returns False was probably meant to reject the request.
    if result is False:
        return Verdict(check.name, crash=_crash(check, "answered False, and did not raise"))
    # A decorator can return what a coroutine or a generator would check, which nobody runs.
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        return Verdict(check.name, crash=_crash(check, f"answered a {type(result).__name__}"))
    return Verdict(check.name)


def _crash(check: Check, what: str, cause: BaseException | None = None) -> PluginError:
    crash = PluginError(f"the validator {check.name!r} {what}")
    crash.__cause__ = cause
    return crash

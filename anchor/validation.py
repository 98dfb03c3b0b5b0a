"""Running checks over a request, and gathering everything that they object to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from anchor.auth.results import AuthDetails
from anchor.errors import Failure, PluginError, ValidationFailed
from anchor.validators import ValidationError
from anchor.X509.signing_request import X509Csr

SUPPLIED = frozenset({"csr", "auth_result", "request", "conf"})


@dataclass(frozen=True)
class Context:
    """What checks may look at besides the request itself.

    Attributes:
        auth_result: the requester.
        request: the HTTP request (``pecan.Request``).
        conf: the registration authority's section of the configuration.
    """

    auth_result: AuthDetails
    request: Any
    conf: Mapping[str, Any]

    def supply(self, csr: X509Csr) -> Mapping[str, object]:
        """The keyword arguments that a check can ask for."""
        return MappingProxyType(
            {
                "csr": csr,
                "auth_result": self.auth_result,
                "request": self.request,
                "conf": self.conf,
            }
        )


@dataclass(frozen=True)
class Check:
    """A check under the name by which requesters and operators know it.

    One that does not look at the request, but at who asks and from where, has the same verdict
    whatever becomes of the request.
    """

    name: str
    function: Callable[[Mapping[str, object]], object]
    looks_at_csr: bool = True


@dataclass(frozen=True)
class Verdict:
    """What a check said of a request.

    Attributes:
        check: the check's name.
        failure: its objection, if it has one.
        crash: why there is no saying, if it raised something other than a ValidationError.
    """

    check: str
    failure: Failure | None = None
    crash: PluginError | None = None


def verdicts(checks: Iterable[Check], csr: X509Csr, context: Context) -> Iterator[Verdict]:
    """The verdict of each check, as soon as it is reached."""
    supplied = context.supply(csr)
    for check in checks:
        try:
            answer = check.function(supplied)
        except ValidationError as error:
            yield Verdict(check.name, Failure(check.name, str(error), error.data))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plug-in may raise anything
            yield Verdict(check.name, crash=_crash(check, "failed", error))
        else:
            # Whoever answers False meant to refuse.
            crash = _crash(check, "answered False, and did not raise") if answer is False else None
            yield Verdict(check.name, crash=crash)


def _crash(check: Check, what: str, cause: BaseException | None = None) -> PluginError:
    crash = PluginError(f"the validator {check.name!r} {what}")
    crash.__cause__ = cause
    return crash


def validate(checks: Iterable[Check], csr: X509Csr, context: Context) -> None:
    """Run every check.

    Raises:
        ValidationFailed: with the objections of all checks that have one.
        PluginError: a check raised something other than a ValidationError.
    """
    failures: list[Failure] = []
    for verdict in verdicts(checks, csr, context):
        if verdict.crash:
            raise verdict.crash
        if verdict.failure:
            failures.append(verdict.failure)
    if failures:
        raise ValidationFailed(failures)

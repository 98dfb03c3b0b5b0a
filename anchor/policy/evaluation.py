"""The result of a policy: verdicts of the checks, before and after the fixups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from anchor.errors import Failure, PluginError, ValidationFailed
from anchor.policy.checks import Verdict
from anchor.X509.signing_request import X509Csr


class FixupStep(NamedTuple):
    """The result of one fixup.

    Attributes:
        before: the request before the fixup.
        after: the request that the fixup returned; None if it refused or crashed.
        implied: True for a fixup that runs without being configured.
        failures: the reasons if the fixup refused the request.
        crash: the error if the fixup crashed.
    """

    fixup: str
    before: X509Csr
    after: X509Csr | None
    implied: bool = False
    failures: tuple[Failure, ...] = ()
    crash: PluginError | None = None


@dataclass(frozen=True)
class Evaluation:
    """The verdicts of a policy on a request.

    Attributes:
        checks: the verdicts on the submitted request.
        steps: the results of the fixups; empty if a check refused the request for good.
        rechecks: the verdicts on the request after the fixups; empty if they did not change it.
        result: the request after all fixups; None if a check or a fixup stopped the evaluation.
    """

    checks: tuple[Verdict, ...]
    steps: tuple[FixupStep, ...] = ()
    rechecks: tuple[Verdict, ...] = ()
    result: X509Csr | None = None

    @property
    def crashes(self) -> tuple[PluginError, ...]:
        """The errors of checks and fixups that crashed."""
        return (
            *[verdict.crash for verdict in self.checks if verdict.crash],
            *[step.crash for step in self.steps if step.crash],
            *[verdict.crash for verdict in self.rechecks if verdict.crash],
        )

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The reasons to refuse the request.

        If the fixups changed the request, only the verdicts on the changed request count.
        """
        verdicts = self.rechecks or self.checks
        return (
            *[failure for step in self.steps for failure in step.failures],
            *[verdict.failure for verdict in verdicts if verdict.failure],
        )

    @property
    def resolved_by_fixups(self) -> frozenset[str]:
        """The checks that refused the submitted request and accept it after the fixups."""
        passed = {verdict.check for verdict in self.rechecks if not verdict.failure}
        return frozenset(
            verdict.check for verdict in self.checks if verdict.failure and verdict.check in passed
        )

    @property
    def approved(self) -> X509Csr | None:
        """The request that may be signed, or None."""
        return None if self.crashes or self.failures else self.result

    def require_approved(self) -> X509Csr:
        """Return the request that may be signed.

        Raises:
            PluginError: a check or a fixup crashed.
            ValidationFailed: with every reason to refuse the request.
        """
        if self.crashes:
            raise self.crashes[0]
        if self.failures or self.result is None:
            raise ValidationFailed(self.failures)
        return self.result

"""What a policy says of a request: the checks, the fixups, and the checks of their result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from anchor.errors import Failure, PluginError, ValidationFailed
from anchor.policy.checks import Verdict
from anchor.X509.signing_request import X509Csr


class FixupStep(NamedTuple):
    """What a fixup made of a request.

    Attributes:
        before: the request that it got.
        after: the request that it returned; None if it refused or failed.
        implied: True if no configuration names the fixup.
        failures: why it cannot mend the request.
        crash: the error that it must not raise.
    """

    fixup: str
    before: X509Csr
    after: X509Csr | None
    implied: bool = False
    failures: tuple[Failure, ...] = ()
    crash: PluginError | None = None


@dataclass(frozen=True)
class Evaluation:
    """The verdicts on a request, in the order in which they were reached.

    Attributes:
        checks: on the request as it was submitted.
        steps: what each fixup did; none if a check refused the request for good.
        rechecks: on the request that the fixups returned, if they changed it.
        result: the request after all fixups, or None if it did not get that far.
    """

    checks: tuple[Verdict, ...]
    steps: tuple[FixupStep, ...] = ()
    rechecks: tuple[Verdict, ...] = ()
    result: X509Csr | None = None

    @property
    def crashes(self) -> tuple[PluginError, ...]:
        """The errors of checks and fixups that failed to decide."""
        found = [
            *(verdict.crash for verdict in self.checks),
            *(step.crash for step in self.steps),
            *(verdict.crash for verdict in self.rechecks),
        ]
        return tuple(crash for crash in found if crash)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The reasons to refuse the request.

        What a check had against the submitted request does not count if the fixups returned
        another request: then that check has been made again.
        """
        verdicts = self.rechecks or self.checks
        return (
            *(failure for step in self.steps for failure in step.failures),
            *(verdict.failure for verdict in verdicts if verdict.failure),
        )

    @property
    def mended(self) -> frozenset[str]:
        """The checks that refused the submitted request, and accept what the fixups returned."""
        passed = {verdict.check for verdict in self.rechecks if not verdict.failure}
        return frozenset(
            verdict.check for verdict in self.checks if verdict.failure and verdict.check in passed
        )

    @property
    def approved(self) -> X509Csr | None:
        """The request that may be certified, or None."""
        return None if self.crashes or self.failures else self.result

    def require_approved(self) -> X509Csr:
        """Return the request that may be certified.

        Raises:
            PluginError: a check or a fixup failed to decide.
            ValidationFailed: with every reason to refuse the request.
        """
        if self.crashes:
            raise self.crashes[0]
        if self.failures or self.result is None:
            raise ValidationFailed(self.failures)
        return self.result

"""The policy of a registration authority: its checks and fixups."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from anchor.auth.results import AuthDetails
from anchor.config import plugins
from anchor.config.diagnostics import Diagnostics
from anchor.config.plugins import bind_options, load_plugin
from anchor.errors import Failure, PluginError, ValidationFailed
from anchor.policy import fixups as shipped_fixups
from anchor.policy import mandatory_checks
from anchor.policy.checks import SUPPLIED, Check, Context, run_checks
from anchor.policy.evaluation import Evaluation, FixupStep
from anchor.store.bans import BanStore, RequestBans
from anchor.timestamps import utc_now
from anchor.validators.errors import ValidationError
from anchor.X509 import weak_keys
from anchor.X509.attribute_patterns import AttributePatterns
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.signing_request import X509Csr

VALIDATORS = "anchor.validators"
FIXUPS = "anchor.fixups"


@dataclass(frozen=True, eq=False)
class Fixup:
    """A fixup and its name in the configuration.

    Attributes:
        implied: True if it runs without being configured.
    """

    name: str
    function: Callable[[Mapping[str, object]], Any]
    implied: bool = False

    def apply(self, csr: X509Csr, context: Context) -> X509Csr:
        """Apply the fixup and return its request.

        Raises:
            ValidationFailed: the fixup refused the request.
            PluginError: the fixup raised another error, did not return a request, or returned one
                that was made from another submission.
        """
        try:
            changed = self.function(context.arguments(csr))
        except ValidationError as error:
            raise ValidationFailed([Failure(self.name, str(error), error.data)]) from error
        except (Exception, SystemExit) as error:
            raise PluginError(f"the fixup {self.name!r} failed") from error
        if not isinstance(changed, X509Csr):
            raise PluginError(f"the fixup {self.name!r} did not return a request")
        if changed.submitted is not csr.submitted:
            raise PluginError(f"the fixup {self.name!r} returned another request's bytes")
        return changed


SUBJECT_ATTRIBUTES = "subject_attributes"
"""A validator and a fixup; if neither is configured, a subject keeps only its common names."""


def _implied(name: str, function: Callable[[X509Csr], X509Csr]) -> Fixup:
    return Fixup(name, lambda arguments: function(arguments["csr"]), implied=True)  # type: ignore[arg-type]  # csr is a request


DROP_ATTRIBUTES = _implied(SUBJECT_ATTRIBUTES, shipped_fixups.subject_attributes)
UNIQUE_NAMES = _implied("unique_names", shipped_fixups.unique_names)


@dataclass(frozen=True)
class Policy:
    """The checks and fixups of one registration authority, in the configuration's order.

    Attributes:
        key_checks: the mandatory checks on the key, which no fixup can change.
        content_checks: the mandatory checks before and after the fixups.
        result_checks: the mandatory checks after the fixups only.
        configured: the validators in the configuration.
        fixups: the fixups in the configuration.
        keeps_attributes: False if a subject keeps only its common names.
        signs_intermediates: True if the authority signs requests for intermediate CAs only.
        bans: the requesters, keys and names that get no certificate.
        clock: the time, in UTC.
        allowed_keys: the smallest size in bits of each kind of key that the validator
            ``public_key`` allows; None without the validator.
    """

    key_checks: tuple[Check, ...]
    content_checks: tuple[Check, ...]
    result_checks: tuple[Check, ...]
    configured: tuple[Check, ...]
    fixups: tuple[Fixup, ...]
    bans: BanStore
    clock: Callable[[], datetime.datetime] = utc_now
    keeps_attributes: bool = False
    signs_intermediates: bool = False
    allowed_keys: Mapping[str, int] | None = None

    def context(self, auth_result: AuthDetails, request: Any, conf: Mapping[str, Any]) -> Context:
        """The context in which to check a request, with the bans of this moment."""
        bans = RequestBans(self.bans, self.clock())
        return Context(auth_result=auth_result, request=request, conf=conf, bans=bans)

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Every check that a request has to pass."""
        return self.key_checks + self.content_checks + self.result_checks + self.configured

    @cached_property
    def name_checks(self) -> frozenset[str]:
        """The names of the checks that need nothing of a request but its names.

        A check that does not look at the request at all counts too.
        """
        return frozenset(
            check.name for check in self.checks if check.judges_names or not check.looks_at_csr
        )

    @cached_property
    def for_names(self) -> Policy:
        """A policy with the :attr:`name_checks` and the fixups, for a request that is a probe."""

        def some(checks: tuple[Check, ...]) -> tuple[Check, ...]:
            return tuple(check for check in checks if check.name in self.name_checks)

        return dataclasses.replace(
            self,
            key_checks=(),
            content_checks=some(self.content_checks),
            result_checks=some(self.result_checks),
            configured=some(self.configured),
        )

    @cached_property
    def all_fixups(self) -> tuple[Fixup, ...]:
        """The configured and the implied fixups, in the order in which they run."""
        # First: named_attributes then checks the attributes that another fixup adds.
        dropping = () if self.keeps_attributes else (DROP_ATTRIBUTES,)
        # Last, so that no fixup can leave duplicate names.
        return (*dropping, *self.fixups, UNIQUE_NAMES)

    @cached_property
    def _final_checks(self) -> frozenset[str]:
        """The names of the checks whose refusal of the submitted request is final."""
        mandatory = self.key_checks + self.content_checks
        without_csr = tuple(check for check in self.configured if not check.looks_at_csr)
        return frozenset(check.name for check in mandatory + without_csr)

    def evaluate(self, csr: X509Csr, context: Context) -> Evaluation:
        """Check a request, apply the fixups, and check the result again if they changed it.

        A validator that refuses the submitted request may accept the result. A mandatory check has
        to accept both, so no fixup sees a request that it refuses.
        """
        checks = run_checks(self.key_checks + self.content_checks + self.configured, csr, context)
        refused = [verdict for verdict in checks if verdict.failure or verdict.crash]
        if any(verdict.crash or verdict.check in self._final_checks for verdict in refused):
            return Evaluation(checks)
        steps = self._apply_fixups(csr, context)
        result = steps[-1].after
        if result is None:
            return Evaluation(checks, steps)
        if result is csr:
            checks += run_checks(self.result_checks, csr, context)
            return Evaluation(checks, steps, result=csr)
        repeated = tuple(check for check in self.configured if check.looks_at_csr)
        rechecks = run_checks(self.content_checks + self.result_checks + repeated, result, context)
        return Evaluation(checks, steps, rechecks, result)

    def _apply_fixups(self, csr: X509Csr, context: Context) -> tuple[FixupStep, ...]:
        """Apply the fixups in order, up to the first that refuses or crashes."""
        steps: list[FixupStep] = []
        for fixup in self.all_fixups:
            try:
                after = fixup.apply(csr, context)
            except ValidationFailed as error:
                steps.append(FixupStep(fixup.name, csr, None, fixup.implied, error.failures))
                break
            except PluginError as crash:
                steps.append(FixupStep(fixup.name, csr, None, fixup.implied, crash=crash))
                break
            steps.append(FixupStep(fixup.name, csr, after, fixup.implied))
            csr = after
        return tuple(steps)


def load_policy(
    validators: Mapping[str, Any],
    fixups: Mapping[str, Any],
    exponents: frozenset[int],
    ca_keys: frozenset[bytes],
    base: Path,
    *,
    bans: BanStore,
    clock: Callable[[], datetime.datetime] = utc_now,
    issuer: Callable[[], CACertificate] | None = None,
) -> Policy:
    """Load the policy from an authority's section of the configuration.

    Args:
        validators: the options of each validator, by its name.
        fixups: the options of each fixup, by its name.
        exponents: the public exponents that RSA keys may have.
        ca_keys: the keys of the authority's CA and its chain, as SubjectPublicKeyInfo.
        base: the directory of relative paths.
        bans: the requesters, keys and names that get no certificate.
        clock: the time, in UTC.
        issuer: return the CA's current certificate.

    Raises:
        ConfigurationError: with all problems of the validators and the fixups.
    """
    problems = Diagnostics()
    bound: dict[str, list[tuple[str, plugins.BoundFunction]]] = {VALIDATORS: [], FIXUPS: []}
    for namespace, key, section in (
        (VALIDATORS, "validators", validators),
        (FIXUPS, "fixups", fixups),
    ):
        for name, options in section.items():
            with problems.at(key, name):
                function = load_plugin(namespace, name)
                bound[namespace].append((name, bind_options(function, options, SUPPLIED, base)))
    problems.raise_if_any()
    intermediate = _signs_intermediates(validators)
    weak = weak_keys.Allowed(exponents, _allows_dsa(validators))
    listed = tuple(_listed_attributes(bound[VALIDATORS] + bound[FIXUPS]))
    return Policy(
        key_checks=mandatory_checks.key_checks(ca_keys, weak),
        content_checks=mandatory_checks.content_checks(intermediate=intermediate),
        result_checks=mandatory_checks.result_checks(listed, issuer),
        configured=tuple(
            Check(
                name,
                function,
                "csr" in function.supplied_names,
                hasattr(function.call.func, "judges_names"),
            )
            for name, function in bound[VALIDATORS]
        ),
        fixups=tuple(Fixup(name, function) for name, function in bound[FIXUPS]),
        keeps_attributes=SUBJECT_ATTRIBUTES in validators or SUBJECT_ATTRIBUTES in fixups,
        signs_intermediates=intermediate,
        bans=bans,
        clock=clock,
        allowed_keys=_allowed_keys(bound[VALIDATORS]),
    )


def _allowed_keys(
    validators: Iterable[tuple[str, plugins.BoundFunction]],
) -> Mapping[str, int] | None:
    for name, function in validators:
        if name == "public_key":
            return function.call.keywords.get("allowed_keys") or {}
    return None


def _listed_attributes(
    bound: Iterable[tuple[str, plugins.BoundFunction]],
) -> Iterable[AttributePatterns]:
    """The subject attributes in the options of the validator and of the fixup."""
    for name, function in bound:
        if name == SUBJECT_ATTRIBUTES:
            options = function.call.keywords
            for patterns in (options.get("allowed"), options.get("keep")):
                if patterns is not None:
                    yield patterns
            yield AttributePatterns.of(options.get("fixed") or ())


def _signs_intermediates(validators: Mapping[str, Any]) -> bool:
    return validators.get("ca_status", MappingProxyType({})).get("ca_requested") is True


def _allows_dsa(validators: Mapping[str, Any]) -> bool:
    allowed = validators.get("public_key", MappingProxyType({})).get("allowed_keys")
    return isinstance(allowed, dict) and "DSA" in allowed

"""What a registration authority demands of a request, and how it mends one."""

from __future__ import annotations

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
from anchor.store.bans import NO_BANS, BanFile
from anchor.validators.errors import ValidationError
from anchor.X509 import weak_keys
from anchor.X509.attribute_patterns import AttributePatterns
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.signing_request import X509Csr

VALIDATORS = "anchor.validators"
FIXUPS = "anchor.fixups"


@dataclass(frozen=True, eq=False)
class Fixup:
    """A fixup under the name by which operators know it.

    Attributes:
        implied: True if it works without a word about it in the configuration.
    """

    name: str
    function: Callable[[Mapping[str, object]], Any]
    implied: bool = False

    def apply(self, csr: X509Csr, context: Context) -> X509Csr:
        """Return the request as the fixup changes it.

        Raises:
            ValidationFailed: it cannot change the request, and says why.
            PluginError: it raised another error, or did not return a request, or returned one
                that was submitted by somebody else.
        """
        try:
            changed = self.function(context.supply(csr))
        except ValidationError as error:
            raise ValidationFailed([Failure(self.name, str(error), error.data)]) from error
        except (Exception, SystemExit) as error:
            raise PluginError(f"the fixup {self.name!r} failed") from error
        if not isinstance(changed, X509Csr):
            raise PluginError(f"the fixup {self.name!r} did not return a request")
        if changed.submitted is not csr.submitted:
            raise PluginError(f"the fixup {self.name!r} returned another request's octets")
        return changed


SUBJECT_ATTRIBUTES = "subject_attributes"
"""A validator and a fixup; without either a subject keeps its common names only."""


def _implied(name: str, function: Callable[[X509Csr], X509Csr]) -> Fixup:
    return Fixup(name, lambda supplied: function(supplied["csr"]), implied=True)  # type: ignore[arg-type]  # csr is a request


DROP_ATTRIBUTES = _implied(SUBJECT_ATTRIBUTES, shipped_fixups.subject_attributes)
UNIQUE_NAMES = _implied("unique_names", shipped_fixups.unique_names)


@dataclass(frozen=True)
class Policy:
    """The checks and fixups of one registration authority, in the configuration's order.

    Attributes:
        about_the_key: the enforced checks on what no fixup can change.
        about_the_content: the enforced checks on the submitted request and on the fixups' result.
        about_the_result: the enforced checks on the result alone.
        configured: the checks that the operator chose.
        fixups: the fixups that the operator chose.
        keeps_attributes: False if all attributes of the subject but common names are left out.
        signs_intermediates: whether it signs requests for intermediates, and nothing else.
        bans: who and what gets no certificate.
    """

    about_the_key: tuple[Check, ...]
    about_the_content: tuple[Check, ...]
    about_the_result: tuple[Check, ...]
    configured: tuple[Check, ...]
    fixups: tuple[Fixup, ...]
    keeps_attributes: bool = False
    signs_intermediates: bool = False
    bans: BanFile | None = None

    def context(self, auth_result: AuthDetails, request: Any, conf: Mapping[str, Any]) -> Context:
        """What the checks of a request may look at, the bans as they are now among it."""
        bans = NO_BANS if self.bans is None else self.bans.now()
        return Context(auth_result=auth_result, request=request, conf=conf, bans=bans)

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Every check that a request has to pass."""
        enforced_checks = self.about_the_key + self.about_the_content + self.about_the_result
        return enforced_checks + self.configured

    @cached_property
    def all_fixups(self) -> tuple[Fixup, ...]:
        """The fixups in the order in which they work, the implied ones included."""
        # First, so that the attributes which another fixup adds have to be named in the policy.
        dropping = () if self.keeps_attributes else (DROP_ATTRIBUTES,)
        # Last, so that no fixup can make a name stand there twice.
        return (*dropping, *self.fixups, UNIQUE_NAMES)

    @cached_property
    def _decisive(self) -> frozenset[str]:
        """The checks on the submitted request that no fixup can satisfy."""
        mandatory = self.about_the_key + self.about_the_content
        blind = tuple(check for check in self.configured if not check.looks_at_csr)
        return frozenset(check.name for check in mandatory + blind)

    def evaluate(self, csr: X509Csr, context: Context) -> Evaluation:
        """Check a request, apply the fixups, and check the result if it is another request.

        A configured check that refuses the submitted request may accept the result. The enforced
        checks decide about both, so no fixup sees a request that they refuse.
        """
        checks = run_checks(
            self.about_the_key + self.about_the_content + self.configured, csr, context
        )
        if any(
            verdict.crash or (verdict.failure and verdict.check in self._decisive)
            for verdict in checks
        ):
            return Evaluation(checks)
        steps = self._apply_fixups(csr, context)
        result = steps[-1].after
        if result is None:
            return Evaluation(checks, steps)
        if result is csr:
            checks += run_checks(self.about_the_result, csr, context)
            return Evaluation(checks, steps, result=csr)
        again = tuple(check for check in self.configured if check.looks_at_csr)
        rechecks = run_checks(
            self.about_the_content + self.about_the_result + again, result, context
        )
        return Evaluation(checks, steps, rechecks, result)

    def _apply_fixups(self, csr: X509Csr, context: Context) -> tuple[FixupStep, ...]:
        """What each fixup did, up to the first that did not return a request."""
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
    bans: BanFile | None = None,
    issuer: Callable[[], CACertificate] | None = None,
) -> Policy:
    """The policy that an authority's section of the configuration describes.

    Args:
        validators: options by the validator's name.
        fixups: options by the fixup's name.
        exponents: the public exponents that RSA keys may have.
        ca_keys: the keys, as SubjectPublicKeyInfo, of the authority's CA and its chain.
        base: the directory that relative paths start from.
        bans: who and what gets no certificate.
        issuer: the CA's certificate that is used now.

    Raises:
        ConfigurationError: with everything that is wrong with any of them.
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
    return Policy(
        mandatory_checks.key_checks(ca_keys, weak_keys.Allowed(exponents, _allows_dsa(validators))),
        mandatory_checks.content_checks(intermediate=intermediate, bans=bans),
        mandatory_checks.result_checks(
            tuple(_named_attributes(bound[VALIDATORS] + bound[FIXUPS])), issuer
        ),
        tuple(
            Check(name, function, "csr" in function.supplied_names)
            for name, function in bound[VALIDATORS]
        ),
        tuple(Fixup(name, function) for name, function in bound[FIXUPS]),
        SUBJECT_ATTRIBUTES in validators or SUBJECT_ATTRIBUTES in fixups,
        intermediate,
        bans,
    )


def _named_attributes(
    bound: Iterable[tuple[str, plugins.BoundFunction]],
) -> Iterable[AttributePatterns]:
    """The attributes of a subject that the policy's validator and its fixup name."""
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

"""What a registration authority demands of a request, and how it mends one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from anchor import enforced, plugins, weak_keys
from anchor.auth.results import AuthDetails
from anchor.bans import NO_BANS, BanFile
from anchor.complaints import Complaints
from anchor.errors import Failure, PluginError, ValidationFailed
from anchor.lazily import lazily
from anchor.validation import SUPPLIED, Check, Context, Round
from anchor.validators import ValidationError, is_by_request_alone
from anchor.X509.signing_request import X509Csr

VALIDATORS = "anchor.validators"
FIXUPS = "anchor.fixups"


@dataclass(frozen=True, eq=False)
class Fixup:
    """A fixup under the name by which operators know it."""

    name: str
    function: Callable[[Mapping[str, object]], Any]
    by_request_alone: bool = False

    def mend(self, csr: X509Csr, context: Context) -> X509Csr:
        """The request as the fixup leaves it; raises as it does when it is asked."""
        mended: X509Csr | None = csr.notes.get(self)
        if mended is None:
            mended = self._ask(csr, context)
            if self.by_request_alone:
                csr.notes[self] = mended
        return mended

    def _ask(self, csr: X509Csr, context: Context) -> X509Csr:
        """The request as the fixup leaves it now.

        Raises:
            ValidationFailed: it cannot mend the request, and says why.
            PluginError: it raised another error, or returned something else than a request,
                or another one.
        """
        try:
            mended = self.function(context.supply(csr))
        except ValidationError as error:
            raise ValidationFailed([Failure(self.name, str(error), error.data)]) from error
        except (Exception, SystemExit) as error:
            raise PluginError(f"the fixup {self.name!r} failed") from error
        if not isinstance(mended, X509Csr):
            raise PluginError(f"the fixup {self.name!r} did not return a request")
        if mended.submitted is not csr.submitted:
            raise PluginError(f"the fixup {self.name!r} returned another request's octets")
        return mended


@dataclass(frozen=True)
class Policy:
    """The checks and fixups of one registration authority, in the configuration's order.

    Attributes:
        about_the_key: the enforced checks on what no fixup can change.
        about_the_content: the enforced checks on all the rest.
        configured: the checks that the operator chose.
        fixups: what is mended once the checks have passed.
        signs_intermediates: whether it signs requests for intermediates, and nothing else.
        bans: who and what gets no certificate.
    """

    about_the_key: tuple[Check, ...]
    about_the_content: tuple[Check, ...]
    configured: tuple[Check, ...]
    fixups: tuple[Fixup, ...]
    signs_intermediates: bool = False
    bans: BanFile | None = None

    def context(self, auth_result: AuthDetails, request: Any, conf: Mapping[str, Any]) -> Context:
        """What the checks of a request may look at, the bans as they are now among it."""
        bans = NO_BANS if self.bans is None else self.bans.now()
        return Context(auth_result, request, conf, bans)

    @lazily
    def checks(self) -> tuple[Check, ...]:
        """Every check that a request has to pass."""
        return self.about_the_key + self.about_the_content + self.configured

    @lazily
    def checks_of_content(self) -> tuple[Check, ...]:
        """The checks whose verdict a fixup can change."""
        configured = tuple(check for check in self.configured if check.looks_at_csr)
        return self.about_the_content + configured

    @lazily
    def _first(self) -> Round:
        return Round(self.checks)

    @lazily
    def _second(self) -> Round:
        return Round(self.checks_of_content)

    def approve(self, csr: X509Csr, context: Context) -> X509Csr:
        """The request as it may be certified.

        Raises:
            ValidationFailed: checks refuse it, as it came or as the fixups left it.
            PluginError: a check or a fixup failed in a way that it should not.
        """
        self._first.hold(csr, context)
        mended = self.fix_up(csr, context)
        if mended is not csr:
            # What has been approved is a value that does not change; another value is asked anew.
            self._second.hold(mended, context)
        return mended

    def fix_up(self, csr: X509Csr, context: Context) -> X509Csr:
        """The request with every fixup applied.

        Raises:
            ValidationFailed: a fixup cannot mend the request, and says why.
            PluginError: a fixup raised another error, or returned something else than a request.
        """
        for fixup in self.fixups:
            csr = fixup.mend(csr, context)
        return csr


def configure(
    validators: Mapping[str, Any],
    fixups: Mapping[str, Any],
    exponents: frozenset[int],
    ca_keys: frozenset[bytes],
    base: Path,
    *,
    bans: BanFile | None = None,
) -> Policy:
    """The policy that an authority's section of the configuration describes.

    Args:
        validators: options by the validator's name.
        fixups: options by the fixup's name.
        exponents: the public exponents that RSA keys may have.
        ca_keys: the keys, as SubjectPublicKeyInfo, of the authority's CA and its chain.
        base: the directory that relative paths start from.
        bans: who and what gets no certificate.

    Raises:
        ConfigurationError: with everything that is wrong with any of them.
    """
    complaints = Complaints()
    bound: dict[str, list[tuple[str, plugins.Bound]]] = {VALIDATORS: [], FIXUPS: []}
    for namespace, key, section in (
        (VALIDATORS, "validators", validators),
        (FIXUPS, "fixups", fixups),
    ):
        for name, options in section.items():
            with complaints.at(key, name):
                function = plugins.load(namespace, name)
                bound[namespace].append((name, plugins.bind(function, options, SUPPLIED, base)))
    complaints.raise_if_any()
    intermediate = _signs_intermediates(validators)
    return Policy(
        enforced.key_checks(ca_keys, weak_keys.Allowed(exponents, _allows_dsa(validators))),
        enforced.content_checks(intermediate=intermediate, bans=bans),
        tuple(
            Check(name, function, "csr" in function.wants, _by_request_alone(function))
            for name, function in bound[VALIDATORS]
        ),
        tuple(
            Fixup(name, function, _by_request_alone(function)) for name, function in bound[FIXUPS]
        ),
        intermediate,
        bans,
    )


def _by_request_alone(function: plugins.Bound) -> bool:
    """Whether it is so marked; what sees more than the request cannot be."""
    return function.wants == {"csr"} and is_by_request_alone(function.call.func)


def _signs_intermediates(validators: Mapping[str, Any]) -> bool:
    return validators.get("ca_status", MappingProxyType({})).get("ca_requested") is True


def _allows_dsa(validators: Mapping[str, Any]) -> bool:
    allowed = validators.get("public_key", MappingProxyType({})).get("allowed_keys")
    return isinstance(allowed, dict) and "DSA" in allowed

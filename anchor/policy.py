"""What a registration authority demands of a request, and how it mends one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from anchor import enforced, plugins, validation, weak_keys
from anchor.bans import BanFile
from anchor.complaints import Complaints
from anchor.errors import PluginError
from anchor.validation import SUPPLIED, Check, Context
from anchor.X509.signing_request import X509Csr

VALIDATORS = "anchor.validators"
FIXUPS = "anchor.fixups"


@dataclass(frozen=True)
class Fixup:
    """A fixup under the name by which operators know it."""

    name: str
    function: Callable[[Mapping[str, object]], Any]


@dataclass(frozen=True)
class Policy:
    """The checks and fixups of one registration authority, in the configuration's order.

    Attributes:
        enforced: the checks that are always made.
        configured: the checks that the operator chose.
        fixups: what is mended once the checks have passed.
    """

    enforced: tuple[Check, ...]
    configured: tuple[Check, ...]
    fixups: tuple[Fixup, ...]

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check that a request has to pass."""
        return self.enforced + self.configured

    def approve(self, csr: X509Csr, context: Context) -> X509Csr:
        """The request as it may be certified.

        Raises:
            ValidationFailed: checks refuse it, as it came or as the fixups left it.
            PluginError: a check or a fixup failed in a way that it should not.
        """
        validation.validate(self.checks, csr, context)
        mended = self.fix_up(csr, context)
        if mended is not csr:
            # What has been approved is a value that does not change; another value is asked anew.
            validation.validate(self.checks, mended, context)
        return mended

    def fix_up(self, csr: X509Csr, context: Context) -> X509Csr:
        """The request with every fixup applied.

        Raises:
            PluginError: a fixup raised an error, or returned something else than a request.
        """
        for fixup in self.fixups:
            try:
                mended = fixup.function(context.supply(csr))
            except Exception as error:
                raise PluginError(f"the fixup {fixup.name!r} failed") from error
            if not isinstance(mended, X509Csr):
                raise PluginError(f"the fixup {fixup.name!r} did not return a request")
            if mended.public_key_info != csr.public_key_info:
                raise PluginError(f"the fixup {fixup.name!r} changed the public key")
            csr = mended
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
    return Policy(
        enforced.checks(
            ca_keys,
            intermediate=_signs_intermediates(validators),
            weak=weak_keys.Allowed(exponents, _allows_dsa(validators)),
            bans=bans,
        ),
        tuple(Check(name, function) for name, function in bound[VALIDATORS]),
        tuple(Fixup(name, function) for name, function in bound[FIXUPS]),
    )


def _signs_intermediates(validators: Mapping[str, Any]) -> bool:
    return validators.get("ca_status", MappingProxyType({})).get("ca_requested") is True


def _allows_dsa(validators: Mapping[str, Any]) -> bool:
    allowed = validators.get("public_key", MappingProxyType({})).get("allowed_keys")
    return isinstance(allowed, dict) and "DSA" in allowed

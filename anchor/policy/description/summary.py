"""Descriptions of a policy, for people who are about to request a certificate.

They contain no paths and no secrets, which are for the operator only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from anchor.config import plugins
from anchor.policy.description.shipped import FIXUPS, VALIDATORS, Describer
from anchor.policy.description.third_party import describe_plugin
from anchor.policy.policy import DROP_ATTRIBUTES, Policy

Options = Mapping[str, Any]


@dataclass(frozen=True)
class RuleDescription:
    """The description of a validator or a fixup.

    Attributes:
        name: the plug-in's name in the configuration and in refusals.
        sentences: what it requires or changes.
    """

    name: str
    sentences: tuple[str, ...]


def describe_validators(policy: Policy, options: Options) -> tuple[RuleDescription, ...]:
    """Describe the validators of a policy.

    Args:
        policy: the authority's policy.
        options: the options of each validator, by its name, as in the configuration.
    """
    return tuple(
        _describe(check.name, check.function, options.get(check.name, {}), VALIDATORS)
        for check in policy.configured
    )


def describe_fixups(policy: Policy, options: Options) -> tuple[RuleDescription, ...]:
    """Describe the fixups of a policy; the arguments are those of :func:`describe_validators`."""
    implied = () if policy.keeps_attributes else (DROP_ATTRIBUTES,)
    return tuple(
        _describe(fixup.name, fixup.function, options.get(fixup.name, {}), FIXUPS)
        for fixup in (*implied, *policy.fixups)
    )


def describe_authentications(backends: Iterable[str]) -> str:
    """Describe the credentials for authentication backends, one of which is needed."""
    return " Or: ".join(
        AUTHENTICATION.get(backend, f"A user name and a secret, for “{backend}” to check.")
        for backend in backends
    )


def _describe(
    name: str, function: object, options: Options, describers: Mapping[str, Describer]
) -> RuleDescription:
    if name in describers:
        return RuleDescription(name, tuple(map(printable, describers[name](**options))))
    sentences = describe_plugin(_plugin_of(function), options)
    return RuleDescription(name, tuple(map(printable, sentences)))


def printable(text: str) -> str:
    """The text with escapes for characters that are invisible or change how text is shown."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _plugin_of(function: Any) -> Callable[..., Any]:
    """The plug-in without the options that were bound to it."""
    bound = function.call if isinstance(function, plugins.BoundFunction) else function
    plugin: Callable[..., Any] = bound.func if isinstance(bound, functools.partial) else bound
    return plugin


AUTHENTICATION: Mapping[str, str] = MappingProxyType(
    {
        "static": "A user name and a secret that the operator hands out.",
        "token": "A token that the operator hands out: its id as the user name, and its secret.",
        "ldap": "The user name and the password of an account in the directory (LDAP).",
        "keystone": "A Keystone token as the secret; the user name is ignored.",
        "oidc": "A JSON Web Token (JWT), as bearer token, or as the secret without a user name.",
    }
)

_FOR_A_CA = (
    "The request is for a CA only if the authority is for CAs. That CA then issues leaves only, "
    "and has another subject than its issuers."
)

MANDATORY_CHECKS: Mapping[str, str] = MappingProxyType(
    {
        "proof_of_possession": "The request is signed with its own key.",
        "strong_key": (
            "The key is not weak, and not the key of a CA. It is RSA of 2048 to 8192 bits; EC on "
            "P-256, P-384 or P-521; Ed25519; Ed448; or DSA if a rule lists it."
        ),
        "critical_extensions": (
            "Every critical extension is one that the certificate can contain."
        ),
        "never_a_ca": _FOR_A_CA,
        "an_intermediate": _FOR_A_CA,
        "own_name": _FOR_A_CA,
        "printable_names": "No name is empty, and none contains a control character.",
        "a_name": "The request contains a name.",
        "allowed_names": "If the credential has a list of names, every name is on that list.",
        "named_attributes": (
            "The subject has only common names and the attributes that a rule lists."
        ),
        "name_constraints": "The CA's certificate excludes none of the names.",
        "renewed_names": "A renewal has the names of the old certificate.",
        "not_banned": "The operator has banned neither the requester, nor the key, nor a name.",
    }
)
"""A sentence for each mandatory check."""


def describe_mandatory_checks() -> tuple[str, ...]:
    """Describe the mandatory checks, each rule once."""
    return tuple(dict.fromkeys(MANDATORY_CHECKS.values()))

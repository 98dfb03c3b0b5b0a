"""A policy in plain words, for those who are about to ask for a certificate.

What the operator keeps for themselves, such as paths and secrets, is in none of the words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from anchor.config import plugins
from anchor.policy.description import others
from anchor.policy.description.lists import joined
from anchor.policy.description.shipped import FIXUPS, VALIDATORS, Describer
from anchor.policy.policy import DROP_ATTRIBUTES, Policy

Options = Mapping[str, Any]


@dataclass(frozen=True)
class RuleDescription:
    """What one validator demands or one fixup does.

    Attributes:
        name: the plug-in's name, by which refusals call it.
        sentences: what it means to whoever asks for a certificate.
    """

    name: str
    sentences: tuple[str, ...]


def about_validators(policy: Policy, options: Options) -> tuple[RuleDescription, ...]:
    """What a request must look like.

    Args:
        policy: of the authority.
        options: by the validator's name, as they stand in the configuration.
    """
    return tuple(
        _about(check.name, check.function, options.get(check.name, {}), VALIDATORS)
        for check in policy.configured
    )


def about_fixups(policy: Policy, options: Options) -> tuple[RuleDescription, ...]:
    """What is changed in a request; the arguments are those of :func:`about_validators`."""
    dropping = () if policy.keeps_attributes else (DROP_ATTRIBUTES,)
    return tuple(
        _about(fixup.name, fixup.function, options.get(fixup.name, {}), FIXUPS)
        for fixup in (*dropping, *policy.fixups)
    )


def about_authentication(backend: str) -> str:
    """Who may ask, by the kind of the authentication."""
    return AUTHENTICATION.get(backend, f"A user name and a secret, for “{backend}” to check.")


def _about(
    name: str, function: object, options: Options, known: Mapping[str, Describer]
) -> RuleDescription:
    if name in known:
        return RuleDescription(name, tuple(map(printable, known[name](**options))))
    sentences = others.sentences(_plugin_of(function), options)
    return RuleDescription(name, tuple(map(printable, sentences)))


def printable(text: str) -> str:
    """The text with escapes for what cannot be seen, or what would change how it is seen."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _plugin_of(function: Any) -> Callable[..., Any]:
    """What was loaded, without the options that were bound to it."""
    bound = function.call if isinstance(function, plugins.BoundFunction) else function
    plugin: Callable[..., Any] = bound.func if isinstance(bound, functools.partial) else bound
    return plugin


AUTHENTICATION: Mapping[str, str] = MappingProxyType(
    {
        "static": "A user name and a secret that the operator hands out.",
        "ldap": "The user name and the password of an account in the directory (LDAP).",
        "keystone": "A token of Keystone's as the secret; the user name does not count.",
    }
)

_NOT_FOR_A_CA = "is not for a CA (for one that issues leaves only, if its authority is for CAs)"

ENFORCED: Mapping[str, str] = MappingProxyType(
    {
        "proof_of_possession": "is signed with its own key",
        "strong_key": (
            "has a key that is neither weak nor a CA's (RSA of 2048 to 8192 bits; EC on P-256, "
            "P-384 or P-521; Ed25519; Ed448; DSA where it is listed)"
        ),
        "critical_extensions": "has no critical extension that a certificate would not carry",
        "never_a_ca": _NOT_FOR_A_CA,
        "an_intermediate": _NOT_FOR_A_CA,
        "printable_names": "has no empty name and no control character in one",
        "a_name": "contains a name",
        "named_attributes": (
            "gets no attributes of the subject but a common name and those that are listed"
        ),
        "name_constraints": "contains no name that the CA's own certificate rules out",
        "not_banned": "has nothing to do with what the operator has banned",
    }
)
"""What follows "a request" in a sentence about each rule that nothing switches off."""


def about_enforced() -> str:
    """The rules that nothing switches off, in one sentence."""
    rules = list(dict.fromkeys(ENFORCED.values()))
    return f"Whatever its authority demands, a request {joined(rules, 'and')}."

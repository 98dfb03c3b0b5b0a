"""Advice on names that belong to requesters."""

from __future__ import annotations

from collections.abc import Iterator

from anchor.auth import authenticator
from anchor.config.document import Section
from anchor.config.plugins import shipped_names
from anchor.config_lint.names import CHECKS_OF_NAMES
from anchor.config_lint.review import ConfigUnderReview
from anchor.errors import ConfigProblem
from anchor.policy.policy import VALIDATORS
from anchor.X509.name_templates import NameTemplate
from anchor.X509.pattern_tree import Slot
from anchor.X509.requester_values import CLAIM, GROUP, USERNAME

_REQUESTER_NAMES = "requester_names"


def any_requester(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find policies that give every requester the names of all others.

    An authority with a validator from another distribution is skipped: it may look at the
    requester. So is one without any list of names, about which there is other advice.
    """
    shipped = shipped_names(VALIDATORS)
    for path, section in review.authorities():
        validators = section["validators"]
        depends = "server_group" in validators or _depends_on_requester(section)
        if depends or not validators.keys() <= shipped or not validators.keys() & CHECKS_OF_NAMES:
            continue
        if any(map(_has_several_users, _authentications(review, section))):
            yield ConfigProblem(
                f"{path}.validators",
                "no validator of names looks at the requester, so each requester can get a "
                "certificate for the names of all others: use 'requester_names' or 'server_group'",
            )


def undefined_claim(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find placeholders for claims that no authentication of the authority defines.

    A backend from another distribution may define any claim.
    """
    shipped = shipped_names(authenticator.NAMESPACE)
    for path, section in review.authorities():
        used = _authentications(review, section)
        if any(each["backend"] not in shipped for each in used):
            continue
        defined = {name for each in used for name in each.get("claims") or ()}
        for entry, template in _templates(path, section):
            for placeholder in template.placeholders:
                claim = placeholder.source.removeprefix(CLAIM)
                if placeholder.source.startswith(CLAIM) and claim not in defined:
                    yield ConfigProblem(
                        entry,
                        f"no authentication of this authority defines the claim {claim!r}, so "
                        f"{template.text!r} allows no name: add it to 'claims' of an 'oidc' "
                        "authentication",
                    )


def overlapping_names(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find patterns by which a requester gets names of others whose names begin alike."""
    for path, section in review.authorities():
        for entry, template in _templates(path, section):
            pattern = template.pattern
            for part in (*pattern.labels, *pattern.uri, *pattern.mailbox):
                if isinstance(part, Slot) and "%" in part.before + part.after:
                    kind = "group" if part.source == GROUP else "requester"
                    own, other = (
                        _example(part, "web", "1-a" if "%" in part.after else "a-1"),
                        "web-1" if "%" in part.after else "1-web",
                    )
                    yield ConfigProblem(
                        entry,
                        f"{template.text!r} gives the {kind} 'web' the names of the {kind} "
                        f"{other!r} too, such as {own!r}: use a label without a '%' for the "
                        "placeholder, or values without a hyphen",
                    )


def users_of_any_domain(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find policies with names of Keystone's users, which are unique only in a domain."""
    found: dict[str, None] = {}
    for path, section in review.authorities():
        placeholders = (
            each for _, entry in _templates(path, section) for each in entry.placeholders
        )
        if any(placeholder.source == USERNAME for placeholder in placeholders):
            found |= dict.fromkeys(review.authentications(section))
    for name in found:
        options = review.document.authentication[name]
        if options["backend"] == "keystone" and options.get("user_domains") is None:
            yield ConfigProblem(
                f"authentication.{name}",
                "a user name is unique only in its domain of Keystone, and policies give names to "
                "user names: list the domains whose users are yours in 'user_domains'",
            )


def _example(slot: Slot, value: str, filler: str) -> str:
    return f"{slot.before}{value}{slot.after}".replace("%", filler)


def _depends_on_requester(section: Section) -> bool:
    options = section["validators"].get(_REQUESTER_NAMES, {})
    return "credential_names" in options or any("{" in name for name in options.get("names", ()))


def _templates(path: str, section: Section) -> Iterator[tuple[str, NameTemplate]]:
    """The entries of ``requester_names``, each with its path."""
    names = section["validators"].get(_REQUESTER_NAMES, {}).get("names", ())
    for number, text in enumerate(names):
        yield f"{path}.validators.{_REQUESTER_NAMES}.names.{number}", NameTemplate.parse(text)


def _authentications(review: ConfigUnderReview, section: Section) -> list[Section]:
    """The sections of the authority's authentications."""
    return [review.document.authentication[name] for name in review.authentications(section)]


def _has_several_users(section: Section) -> bool:
    return section["backend"] != "static" or section.get("users_file") is not None

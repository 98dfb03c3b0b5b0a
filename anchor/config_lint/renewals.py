"""Advice on renewals without a secret."""

from __future__ import annotations

from collections.abc import Iterator

from anchor.auth.authenticator import NAMESPACE
from anchor.config.document import Section
from anchor.config.plugins import load_plugin
from anchor.config_lint.review import ConfigUnderReview
from anchor.errors import ConfigProblem


def renewals_without_end(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find authorities that renew for ever the certificates of requesters who may be gone."""
    for path, section in review.authorities():
        settings = review.loaded.authorities[path.partition(".")[2]].renewals.settings
        has_end = settings.max_renewals is not None or settings.max_age is not None
        if not settings.enabled or has_end:
            continue
        unable = [
            name
            for name in review.authentications(section)
            if not _can_look_up(review.document.authentication[name])
        ]
        if unable:
            yield ConfigProblem(
                f"{path}.renewal",
                f"{' and '.join(map(repr, unable))} cannot tell whether a requester is still "
                "there, and a certificate can be renewed without an end, so a requester who has "
                "left gets more certificates until a ban: set 'max_age_hours' or 'max_renewals'",
            )


def _can_look_up(authentication: Section) -> bool:
    """Whether the backend can find a requester without a secret."""
    match authentication["backend"]:
        case "ldap":
            return authentication.get("service_dn") is not None
        case "keystone":
            accounts = ("application_credential_id", "service_user")
            return any(authentication.get(name) is not None for name in accounts)
        case kind:
            return callable(getattr(load_plugin(NAMESPACE, kind), "look_up", None))

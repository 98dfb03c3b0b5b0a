"""Advice on tokens of OpenID Connect issuers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from anchor.config_lint.review import ConfigUnderReview, is_loopback
from anchor.errors import ConfigProblem

# Anyone can get tokens of these issuers, for any audience or for their own.
PUBLIC_ISSUERS = (
    "accounts.google.com",
    "agent.buildkite.com",
    "api.bitbucket.org",
    "app.terraform.io",
    "gitlab.com",
    "login.microsoftonline.com",
    "oauth.circleci.com",
    "oidc.circleci.com",
    "sts.windows.net",
    "token.actions.githubusercontent.com",
    "vstoken.dev.azure.com",
)

# Tokens for these are made for other services.
COMMON_AUDIENCES = (
    "api://AzureADTokenExchange",
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
    "kubernetes",
    "sts.amazonaws.com",
    "vault",
)


def public_issuer(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find issuers that serve everyone, without ``require``."""
    for path, section in review.sections("authentication", "oidc"):
        if _is_public(section["issuer"]) and not _is_limited(section):
            yield ConfigProblem(
                path,
                f"anyone can get a token of {section['issuer']}, and without 'require' every one "
                "of them authenticates: require your organisation, project or tenant",
            )


def any_token(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find other issuers without ``require``."""
    for path, section in review.sections("authentication", "oidc"):
        if not _is_public(section["issuer"]) and not _is_limited(section):
            yield ConfigProblem(
                path,
                "without 'require' everyone with a token of the issuer for this audience "
                "authenticates: say which claims a token must have",
            )


def issuer_without_tls(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find issuers whose URL is http on another machine."""
    for path, section in review.sections("authentication", "oidc"):
        parts = urlsplit(section["issuer"])
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            yield ConfigProblem(
                f"{path}.issuer",
                "an attacker on the network can publish keys for an issuer without TLS: use https",
            )


def common_audience(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find audiences for which tokens are made for other services."""
    for path, section in review.sections("authentication", "oidc"):
        audience = section["audience"]
        for value in [audience] if isinstance(audience, str) else audience:
            if value in COMMON_AUDIENCES or value.rstrip("/") == section["issuer"].rstrip("/"):
                yield ConfigProblem(
                    f"{path}.audience",
                    f"tokens for {value} are made for other services, and each of those could use "
                    "them here: have tokens made for an audience of this service only, such as "
                    "its URL",
                )
                break


def _is_public(issuer: str) -> bool:
    host = urlsplit(issuer).hostname or issuer
    return any(host == public or host.endswith(f".{public}") for public in PUBLIC_ISSUERS)


def _is_limited(section: dict[str, Any]) -> bool:
    """True if a required claim has a value that not every text matches."""
    required = (section.get("require") or {}).values()
    values = (value if isinstance(value, list) else [value] for value in required)
    return any(
        all(not isinstance(each, str) or each.strip("*") for each in value) for value in values
    )

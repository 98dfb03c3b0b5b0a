"""Advice on access to the service, and on secrets in transit."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from anchor.auth import static
from anchor.auth.secret_hashes import SHORTEST_SECRET
from anchor.config.document import Section
from anchor.config.plugins import Signature
from anchor.config_lint.review import ConfigUnderReview, is_loopback
from anchor.errors import ConfigProblem
from anchor.est.paths import RESERVED


def sample_credentials(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find the user and the secret of the sample configuration."""
    for path, user, secret in _static_secrets(review):
        if static.is_sample(user, secret):
            yield ConfigProblem(
                path,
                "the user and the secret are those of the sample, which everyone knows: anyone who "
                "reaches the service gets certificates",
            )


def static_secret(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find a secret that all machines share."""
    for path, user, secret in _static_secrets(review):
        if not static.is_sample(user, secret):
            yield ConfigProblem(
                path,
                "all machines share one secret, so its thief gets the names of all machines, and "
                "a new secret has to reach all machines at once: give each machine a separate "
                "secret in a 'users_file', or use the backend 'token' or 'oidc'",
            )


def short_secret(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find static secrets that are short enough to guess."""
    for path, user, secret in _static_secrets(review):
        if len(secret) < SHORTEST_SECRET and not static.is_sample(user, secret):
            yield ConfigProblem(
                path,
                f"the secret has fewer than {SHORTEST_SECRET} characters and can be guessed: "
                "generate a random one",
            )


def _static_secrets(review: ConfigUnderReview) -> Iterator[tuple[str, str, str]]:
    """The path, the user and the secret of each static authentication."""
    signature = Signature.of(static.StaticAuthentication)
    for path, section in review.sections("authentication", "static"):
        options = {name: section[name] for name in section.keys() & signature.names()}
        values = signature.validate(options, review.document.base)
        for name in ("secret", "secret_file", "secret_env"):
            if values.get(name) is not None:
                yield path, values["user"], values[name].get_secret_value()


def directory_without_tls(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find LDAP connections without TLS, which expose users' secrets."""
    for path, section in review.sections("authentication", "ldap"):
        if not section.get("ssl", True) and not section.get("start_tls", False):
            yield ConfigProblem(
                f"{path}.allow_plaintext",
                "users' secrets go to the directory in the clear, and its answers can be forged: "
                "use 'ssl' or 'start_tls'",
            )


def directory_not_verified(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find LDAP connections that do not verify the server's certificate."""
    for path, section in review.sections("authentication", "ldap"):
        with_tls = section.get("ssl", True) or section.get("start_tls", False)
        if with_tls and not section.get("verify", True):
            yield ConfigProblem(
                f"{path}.verify",
                "the directory's certificate is not verified, so an attacker on the network can "
                "read users' secrets and answer in its place: name its CA in 'ca_file'",
            )


def groups_of_anyone(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find policies that compare groups and accept a group anywhere in the directory."""
    with_groups = {
        name
        for _, section in review.authorities()
        if _compares_groups(section["validators"])
        for name in review.authentications(section)
    }
    for path, section in review.sections("authentication", "ldap"):
        by_first_name = section.get("group_name", "first") == "first"
        uses_groups = path.partition(".")[2] in with_groups
        if uses_groups and by_first_name and section.get("group_base") is None:
            yield ConfigProblem(
                path,
                "a validator compares the names of groups, and without 'group_base' a group "
                "counts wherever in the directory it is: set 'group_base'",
            )


def _compares_groups(validators: Section) -> bool:
    names = validators.get("requester_names", {}).get("names", ())
    return "server_group" in validators or any("{group" in name for name in names)


def keystone_without_tls(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find connections to Keystone without TLS, which expose tokens."""
    for path, section in review.sections("authentication", "keystone"):
        parts = urlsplit(section["url"])
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            yield ConfigProblem(
                f"{path}.url",
                "tokens go to Keystone in the clear, and its answers can be forged: use https",
            )


def served_without_tls(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find plain HTTP on an address that other machines reach."""
    if review.host is not None and not is_loopback(review.host):
        yield ConfigProblem(
            "config.py.server.host",
            f"the service speaks plain HTTP and listens on {review.host}, so secrets cross the "
            "network in the clear: put a proxy with TLS in front, and listen on 127.0.0.1",
        )


def forged_addresses(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find ``trusted_proxies`` that trust the headers of every address."""
    if any(network.prefixlen == 0 for network in review.web.trusted_proxies):
        if header := review.web.client_certificate_header:
            yield ConfigProblem(
                "config.py.web.client_certificate_header",
                f"{header} is trusted from every address, so anyone can renew any certificate, for "
                "any key: list only the proxies in 'trusted_proxies'",
            )
        yield ConfigProblem(
            "config.py.web.trusted_proxies",
            "X-Forwarded-For is trusted from every address, so anyone can claim any address, and "
            "'source_cidrs' and the limits on failures mean nothing: list the proxies only",
        )


def metrics_for_everyone(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find metrics that every address can read."""
    if any(network.prefixlen == 0 for network in review.web.metrics_networks):
        yield ConfigProblem(
            "config.py.web.metrics_networks",
            "everyone can read the metrics: what your authorities are called, how much they sign "
            "and when their CAs expire",
        )


def no_est_label(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find authorities that EST clients cannot reach because of their names."""
    for path, _ in review.authorities():
        name = path.partition(".")[2]
        if name in RESERVED:
            yield ConfigProblem(
                path,
                f"EST clients cannot reach an authority with the name {name!r}, because it is the "
                "name of an EST operation (RFC 7030 section 3.2.2): choose another name",
            )


def unlimited_failures(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find authorities without a limit on failed authentications."""
    for path, section in review.authorities():
        for option in ("max_failures", "max_address_failures"):
            if section.get(option) == 0:
                yield ConfigProblem(
                    f"{path}.{option}", "with 0 there is no limit on guessing users' secrets"
                )

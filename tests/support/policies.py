"""Policies without a service, from the options of validators and fixups."""

from __future__ import annotations

from pathlib import Path

from anchor import errors
from anchor.auth.results import AuthDetails
from anchor.policy.checks import Context
from anchor.policy.policy import load_policy
from anchor.store.bans import NoBans, RequestBans
from anchor.timestamps import utc_now
from anchor.X509.signing_request import X509Csr

NO_CA_KEYS = frozenset()


def make_policy(validators=None, fixups=None, *, exponents=(65537,), ca_keys=NO_CA_KEYS):
    """Load a policy; raise ConfigurationError if an option is wrong."""
    return load_policy(
        validators or {},
        fixups or {},
        frozenset(exponents),
        ca_keys,
        Path("/nonexistent"),
        bans=NoBans(),
    )


def make_context(*groups, request=None):
    return Context(
        auth_result=AuthDetails("alice", groups),
        request=request,
        conf={},
        bans=RequestBans(NoBans(), utc_now()),
    )


def approve(a_policy, pem, *groups, context=None):
    """Return the request that the policy approves; raise what ``require_approved`` raises."""
    return a_policy.evaluate(
        X509Csr.from_pem(pem), context or make_context(*groups)
    ).require_approved()


def refusals(a_policy, pem, *groups, context=None):
    """The reasons to refuse a request, by check."""
    try:
        approve(a_policy, pem, *groups, context=context)
    except errors.ValidationFailed as error:
        return {failure.check: failure.reason for failure in error.failures}
    return {}


def config_errors(*args, **kwargs):
    """The text of the ConfigurationError for a policy; empty if it is valid."""
    try:
        make_policy(*args, **kwargs)
    except errors.ConfigurationError as error:
        return str(error)
    return ""

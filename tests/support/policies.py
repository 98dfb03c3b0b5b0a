"""Policies without a service: a check or a fixup, its options, and what it makes of a request."""

from __future__ import annotations

from pathlib import Path

from anchor import errors
from anchor.auth.results import AuthDetails
from anchor.policy.checks import Context
from anchor.policy.policy import load_policy
from anchor.X509.signing_request import X509Csr

NO_CA_KEYS = frozenset()


def configured(validators=None, fixups=None, *, exponents=(65537,), ca_keys=NO_CA_KEYS):
    """A policy, or a ConfigurationError."""
    return load_policy(
        validators or {}, fixups or {}, frozenset(exponents), ca_keys, Path("/nonexistent")
    )


def context(*groups, request=None):
    return Context(auth_result=AuthDetails("alice", groups), request=request, conf={})


def approve(a_policy, pem, *groups, told=None):
    """What the policy makes of a request; raises what it raises."""
    return a_policy.evaluate(X509Csr.from_pem(pem), told or context(*groups)).require_approved()


def refusals(a_policy, pem, *groups, told=None):
    """The reasons by the checks that refuse a request."""
    try:
        approve(a_policy, pem, *groups, told=told)
    except errors.ValidationFailed as error:
        return {failure.check: failure.reason for failure in error.failures}
    return {}


def complaints(*args, **kwargs):
    """What is wrong with a policy's configuration, as text."""
    try:
        configured(*args, **kwargs)
    except errors.ConfigurationError as error:
        return str(error)
    return ""

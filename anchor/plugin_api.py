"""Everything that a plug-in imports; :doc:`howto/plugins` shows how.

A plug-in that imports only this module keeps working when other modules move.
:doc:`howto/authentication-backends` has the optional methods of an authentication backend, such as
``look_up``, which finds a requester again when a certificate is renewed without a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anchor.auth.results import AuthDetails, CredentialKind, SingleUse
from anchor.config.file_types import (
    FilePath,
    Private,
    PrivateFile,
    Secret,
    SecretEnv,
    SecretFile,
    one_secret,
)
from anchor.config.option_types import (
    AttributeNames,
    Attributes,
    Domain,
    Domains,
    ExtendedUsage,
    ExtendedUsages,
    Extensions,
    Moment,
    Network,
    Networks,
    Pattern,
    Patterns,
    Template,
    Templates,
    Usage,
    Usages,
)
from anchor.errors import (
    BackendUnavailable,
    ConfigurationError,
    NotAuthenticated,
    TooManyAttempts,
)
from anchor.validators.errors import ValidationError, judges_names, refuse_any
from anchor.validators.requester_names import values_of
from anchor.web.request import Request
from anchor.X509.general_names import interpret_names
from anchor.X509.signing_request import X509Csr

if TYPE_CHECKING:
    from anchor.auth.bounded_http import BoundedAdapter

__all__ = [
    "AttributeNames",
    "Attributes",
    "AuthDetails",
    "BackendUnavailable",
    "BoundedAdapter",
    "ConfigurationError",
    "CredentialKind",
    "Domain",
    "Domains",
    "ExtendedUsage",
    "ExtendedUsages",
    "Extensions",
    "FilePath",
    "Moment",
    "Network",
    "Networks",
    "NotAuthenticated",
    "Pattern",
    "Patterns",
    "Private",
    "PrivateFile",
    "Request",
    "Secret",
    "SecretEnv",
    "SecretFile",
    "SingleUse",
    "Template",
    "Templates",
    "TooManyAttempts",
    "Usage",
    "Usages",
    "ValidationError",
    "X509Csr",
    "interpret_names",
    "judges_names",
    "one_secret",
    "refuse_any",
    "values_of",
]


def __getattr__(name: str) -> Any:
    """Import ``BoundedAdapter`` on first use: it needs ``requests``, which is an extra."""
    if name == "BoundedAdapter":
        from anchor.auth.bounded_http import BoundedAdapter  # noqa: PLC0415

        return BoundedAdapter
    raise AttributeError(name)

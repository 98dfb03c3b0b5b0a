"""The interface of authentication backends."""

from __future__ import annotations

from typing import Protocol

from anchor.auth.results import AuthDetails


class Backend(Protocol):
    """The interface of a class that is registered as an authentication backend.

    A backend that never waits for input or output may set the attribute ``waits = False``.  All
    other backends are called by at most ``max_waiting`` requests at once.

    Failures are counted by user name.  If a user has several names, the backend needs a method
    ``principal(user)`` that returns the same text for all of them, or None to count by address only
    until the user is known.  Or its ``authenticate`` takes a third parameter, ``identified``: a
    function to call with the user's canonical name before the secret is checked.  It raises
    TooManyAttempts, which the backend must not catch.

    A backend that can find a user without the secret may have a method ``look_up(recorded)``.  It
    takes the identity of an earlier authentication, and returns the user's identity as it is now,
    or None if the backend cannot tell.  It raises NotAuthenticated if the user may not
    authenticate any more, and BackendUnavailable if it cannot find out.  Renewals without a secret
    call it, with ``authority`` by name if it has this parameter.

    A class may set ``credential`` to the kind of credential that it accepts.  A class of Anchor's
    own lists in ``from_anchor`` the parameters of its constructor that are no options.
    """

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """Return the requester's identity.

        Raises:
            NotAuthenticated: the credentials are wrong.
            BackendUnavailable: the credentials cannot be checked now.
        """

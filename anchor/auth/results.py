"""The identity of an authenticated requester."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, init=False)
class AuthDetails:
    """An authenticated requester.

    Attributes:
        username: the user name in the authentication backend.
        groups: the names of the user's groups or roles.
        user_id: the backend's identifier of the user, if it has one.
        project_id: the project that the credential is scoped to, if any.
    """

    username: str
    groups: tuple[str, ...]
    user_id: str | None
    project_id: str | None

    def __init__(
        self,
        username: str,
        groups: Iterable[str] = (),
        user_id: str | None = None,
        project_id: str | None = None,
    ):
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "groups", tuple(groups))
        object.__setattr__(self, "user_id", user_id)
        object.__setattr__(self, "project_id", project_id)

"""Users of Keystone and their roles, found without a token of theirs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import pydantic

from anchor.auth.results import AuthDetails
from anchor.errors import BackendUnavailable, Forbidden, RequesterGone

try:
    from keystoneauth1 import exceptions
    from keystoneclient.v3.domains import DomainManager
    from keystoneclient.v3.projects import ProjectManager
    from keystoneclient.v3.role_assignments import RoleAssignmentManager
    from keystoneclient.v3.users import UserManager

    from anchor.auth.keystone_connection import is_from_keystone
except ImportError as error:
    raise ImportError(f"{error}; `pip install anchor[keystone]` installs what it needs") from error

LOG = logging.getLogger(__name__)


class _User(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    id: str
    name: Annotated[str, pydantic.Field(min_length=1)]
    domain_id: str
    enabled: bool


class _Project(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    # None for a project that is a domain itself.
    domain_id: str | None
    enabled: bool


class _Domain(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    id: str
    name: str
    enabled: bool


class _Role(pydantic.BaseModel):
    name: Annotated[str, pydantic.Field(min_length=1)]


class _Assignment(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    role: _Role
    scope: dict[str, Any]


_ASSIGNMENTS = pydantic.TypeAdapter(list[_Assignment])

Answer = TypeVar("Answer")


def find_requester(
    client: Any, recorded: AuthDetails, url: str, user_domains: Collection[str] | None = None
) -> AuthDetails:
    """Return the user of an earlier authentication, with the roles that they have now.

    The roles are those in the recorded project.  A user who was authenticated without a project has
    the roles on domains and on the system.

    Args:
        client: the client of the service account.
        recorded: the earlier identity, with the identifier of the user.
        url: the URL of Keystone, for messages.
        user_domains: the names of the domains whose users are accepted; None for all domains.

    Raises:
        RequesterGone: the user, the project or the domain of one is gone or disabled, the user has
            no role left, or users of the domain are not accepted.
        Forbidden: the service account may not ask.
        BackendUnavailable: Keystone gives no usable answer.
    """

    def ask(policy: str, question: Callable[[], Answer]) -> Answer:
        with _errors(url, policy):
            return question()

    user_id, project_id = recorded.user_id, recorded.project_id
    user = ask(
        "identity:get_user",
        lambda: _User.model_validate(UserManager(client).get(user_id).to_dict()),
    )
    if not user.enabled:
        raise RequesterGone("the requester's account is disabled")
    domain_ids = {user.domain_id}
    if project_id is not None:
        project = ask(
            "identity:get_project",
            lambda: _Project.model_validate(ProjectManager(client).get(project_id).to_dict()),
        )
        if not project.enabled:
            raise RequesterGone("the requester's project is disabled")
        if project.domain_id is not None:
            domain_ids.add(project.domain_id)
    domains = ask(
        "identity:get_domain",
        lambda: [
            _Domain.model_validate(DomainManager(client).get(domain_id).to_dict())
            for domain_id in sorted(domain_ids)
        ],
    )
    # Keystone authenticates nobody in a disabled domain, but leaves its users enabled.
    if not all(domain.enabled for domain in domains):
        raise RequesterGone("the domain of the requester or of the project is disabled")
    names = {domain.name for domain in domains if domain.id == user.domain_id}
    if user_domains is not None and names.isdisjoint(user_domains):
        raise RequesterGone("users of the requester's domain are not accepted any more")
    assignments = ask(
        "identity:list_role_assignments",
        lambda: _ASSIGNMENTS.validate_python(
            [
                assignment.to_dict()
                for assignment in RoleAssignmentManager(client).list(
                    user=user_id, project=project_id, effective=True, include_names=True
                )
            ]
        ),
    )
    roles = sorted(
        {
            assignment.role.name
            for assignment in assignments
            if ("project" in assignment.scope) == (project_id is not None)
        }
    )
    # A token without a scope has no roles.
    if not roles and (project_id is not None or recorded.groups):
        raise RequesterGone("the requester has no role any more")
    return AuthDetails(user.name, roles, user.id, project_id)


@contextmanager
def _errors(url: str, policy: str) -> Iterator[None]:
    """Turn the errors of the block into Anchor's.

    Args:
        url: the URL of Keystone.
        policy: the rule of Keystone's policy that allows the question.
    """
    try:
        yield
    except exceptions.HttpError as error:
        if is_from_keystone(error) and error.http_status == HTTPStatus.NOT_FOUND:
            raise RequesterGone() from None
        if is_from_keystone(error) and error.http_status == HTTPStatus.FORBIDDEN:
            LOG.error(
                "%s: the service account lacks the permission %s, so certificates are renewed with "
                "a secret only",
                url,
                policy,
            )
            raise Forbidden(
                "the service may not look up the requester: authenticate with a secret, a token or "
                "a JWT"
            ) from None
        raise _unavailable(url, f"HTTP status {error.http_status}") from None
    except exceptions.ClientException as error:
        raise _unavailable(url, f"{type(error).__name__}: {error}") from None
    except RecursionError:
        raise _unavailable(url, "its JSON is nested too deeply") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        # Without the cause: its text may contain a part of the answer.
        raise _unavailable(url, f"the answer to {policy} cannot be read") from None


def _unavailable(url: str, reason: str) -> BackendUnavailable:
    return BackendUnavailable(f"{url} could not look up a requester: {reason}")

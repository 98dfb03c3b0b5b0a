"""Policy tests: requests with the expected outcome, read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from anchor.auth.results import AuthDetails
from anchor.authorities import load_authorities
from anchor.authority import RegistrationAuthority
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import parse_document
from anchor.config.file_types import FilePath
from anchor.config.plugins import validate_options
from anchor.errors import ConfigurationError
from anchor.policy_tools import explain
from anchor.policy_tools.explain import REFUSED, SIGNED, UNREADABLE, Explanation, Requester
from anchor.policy_tools.sample_csrs import Address, CsrFactory, Description
from anchor.X509.allowed_names import parse_allowed_name


def _one_or_more(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _is_allowed_name(text: str) -> str:
    parse_allowed_name(text)
    return text


_AllowedName = Annotated[str, pydantic.AfterValidator(_is_allowed_name)]


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class RequesterSettings(_Section):
    """The requester, with what an authentication backend knows about them."""

    user: str = "anonymous"
    groups: tuple[str, ...] = ()
    user_id: str | None = None
    project_id: str | None = None
    claims: dict[str, str] = {}
    allowed_names: tuple[_AllowedName, ...] | None = None


class CaseSettings(_Section):
    """The keys of a case."""

    name: Annotated[str, pydantic.Field(min_length=1)]
    authority: str | None = None
    requester: RequesterSettings = RequesterSettings()
    address: Address = ip_address("127.0.0.1")
    csr: Description | None = None
    csr_file: FilePath | None = None
    expect: Literal["signed", "refused", "unreadable"]
    refused_by: Annotated[tuple[str, ...], pydantic.BeforeValidator(_one_or_more)] = ()
    names: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _is_consistent(self) -> CaseSettings:
        if (self.csr is None) == (self.csr_file is None):
            raise ValueError("exactly one of 'csr' and 'csr_file' is needed")
        # Without it, the case would pass if the request is refused for another reason.
        if (self.expect == REFUSED) != bool(self.refused_by):
            raise ValueError("'refused_by' is needed with 'expect': 'refused', and only there")
        if self.names and self.expect != SIGNED:
            raise ValueError("'names' are for 'expect': 'signed'")
        return self


class FileSettings(_Section):
    """The keys of a file of cases."""

    config: FilePath | None = None
    cases: Annotated[tuple[dict[str, Any], ...], pydantic.Field(min_length=1)]


@dataclass(frozen=True)
class Case:
    """A request and its expected outcome.

    Attributes:
        name: the title of the case.
        authority: evaluates the request.
        requester: submits the request.
        csr: the request in PEM or DER.
        expect: the expected outcome.
        refused_by: checks that have to refuse the request; others may refuse it too.
        names: names that the certificate has to contain, for example ``DNS:www.example.com``.
    """

    name: str
    authority: RegistrationAuthority
    requester: Requester
    csr: bytes
    expect: str
    refused_by: tuple[str, ...]
    names: tuple[str, ...]

    def failure(self) -> str | None:
        """How the outcome differs from the expected one; None if it does not."""
        explained = explain.explain(self.authority, self.csr, self.requester)
        if explained.outcome != self.expect:
            return f"should be {self.expect}, but {_describe_outcome(explained)}"
        refusing = {failure.check for failure in explained.failures}
        if any(check not in refusing for check in self.refused_by):
            expected = ", ".join(self.refused_by)
            return f"should be refused by {expected}, but {_describe_outcome(explained)}"
        present = explained.certificate.names if explained.certificate else ()
        missing = [name for name in self.names if name not in present]
        if missing:
            return f"should be for {', '.join(missing)}, but is for {', '.join(present) or 'none'}"
        return None


def _describe_outcome(explained: Explanation) -> str:
    if explained.outcome == SIGNED:
        return "would be signed"
    if explained.outcome in (REFUSED, UNREADABLE):
        return f"is {explained.outcome}: {explain.rejection_reason(explained)}"
    causes = [explain.cause(crash) for crash in explained.crashes]
    return f"{explain.rejection_reason(explained)}: {'; '.join(causes)}".removesuffix(": ")


def load(path: Path, factory: CsrFactory, config: Path | None = None) -> tuple[Case, ...]:
    """The cases in a file.

    Args:
        path: the path of the file.
        factory: builds the requests from their descriptions.
        config: the configuration to test.  By default it is the one that the file names, or the
            ``config.json`` in the same directory.

    Raises:
        ConfigurationError: lists all problems of the file and of the configuration.
    """
    document = parse_document(path)
    base = path.absolute().parent
    file = validate_options(FileSettings, document, base)
    problems = Diagnostics()
    authorities: Mapping[str, RegistrationAuthority] | None = None
    configuration = config or file.config or base / "config.json"
    try:
        authorities = load_authorities(configuration, offline=True, with_bans=False).authorities
    except ConfigurationError as error:
        for problem in error.problems:
            problems.add("config", f"{configuration}: {problem}")
    cases: list[Case] = []
    names: set[str] = set()
    for position, section in enumerate(file.cases):
        with problems.at("cases", str(position)):
            settings = validate_options(CaseSettings, section, base)
            if settings.name in names:
                problems.add(f"cases.{position}.name", "another case has the same name")
            names.add(settings.name)
            case = _build_case(settings, authorities, factory)
            if case is not None:
                cases.append(case)
    problems.raise_if_any()
    return tuple(cases)


def _build_case(
    settings: CaseSettings,
    authorities: Mapping[str, RegistrationAuthority] | None,
    factory: CsrFactory,
) -> Case | None:
    """The case; None if the configuration could not be loaded."""
    problems = Diagnostics()
    csr = b""
    authority: RegistrationAuthority | None = None
    with problems.at():
        csr = _load_csr(settings, factory)
    if authorities is not None:
        with problems.at():
            authority = _authority(settings, authorities)
    problems.raise_if_any()
    if authority is None:
        return None
    requester = settings.requester
    identity = AuthDetails(
        requester.user,
        requester.groups,
        requester.user_id,
        requester.project_id,
        claims=requester.claims,
        allowed_names=requester.allowed_names,
    )
    return Case(
        name=settings.name,
        authority=authority,
        requester=Requester(identity, settings.address),
        csr=csr,
        expect=settings.expect,
        refused_by=settings.refused_by,
        names=settings.names,
    )


def _load_csr(case: CaseSettings, factory: CsrFactory) -> bytes:
    if case.csr_file is not None:
        try:
            return case.csr_file.read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError.about(
                "csr_file", f"{case.csr_file} cannot be read: {reason}"
            ) from None
    assert case.csr is not None
    try:
        return factory.make(case.csr)
    except ValueError as error:
        raise ConfigurationError.about("csr", f"cannot be made: {error}") from None


def _authority(
    case: CaseSettings, authorities: Mapping[str, RegistrationAuthority]
) -> RegistrationAuthority:
    choices = ", ".join(sorted(authorities))
    name = case.authority
    if name is None and len(authorities) > 1:
        raise ConfigurationError.about("", f"missing option 'authority', one of {choices}")
    if name is None:
        [name] = authorities
    if name not in authorities:
        raise ConfigurationError.about(
            "authority", f"there is no registration authority {name!r}, but {choices}"
        )
    problems = Diagnostics()
    authority = authorities[name]
    policy = authority.policy
    steps = [check.name for check in policy.checks] + [fixup.name for fixup in policy.fixups]
    for name in case.refused_by:
        if name not in steps:
            problems.add(
                "refused_by", f"there is no check or fixup {name!r}, but {', '.join(steps)}"
            )
    problems.raise_if_any()
    return authority

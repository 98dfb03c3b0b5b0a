"""The format of a users file: one user a line, each line a JSON object."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pydantic

from anchor.auth.credentials import kind_of
from anchor.auth.principals import counting_key
from anchor.auth.results import AuthDetails, CredentialKind
from anchor.auth.secret_hashes import SecretHash, parse_hash
from anchor.config.plugins import validate_options
from anchor.errors import ConfigProblem, ConfigurationError
from anchor.X509.allowed_names import parse_allowed_name

MAX_BYTES = 4 << 20
"""The size of the largest file: more than 10,000 users."""

MAX_SECRETS = 2
"""How many secrets of a user are in force at once: a new one, and the one before."""

_MAX_TEXT, _MAX_GROUPS, _MAX_NAMES = 256, 256, 1000
_MAX_PROBLEMS = 50
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class User:
    """A user in a file.

    Attributes:
        line: the number of the line.
        identity: what the user gets authenticated as.
        hashes: the hashes of the user's secrets; the newest comes first.
    """

    line: int
    identity: AuthDetails
    hashes: tuple[SecretHash, ...] = field(repr=False)


def parse_users(contents: bytes) -> dict[str, User]:
    """The users in a file, by name.

    Raises:
        ConfigurationError: with the problems; the path of a problem is its line.
    """
    if len(contents) > MAX_BYTES:
        raise ConfigurationError.about("", f"is larger than {MAX_BYTES >> 20} MiB")
    if contents.startswith(_BYTE_ORDER_MARK):
        raise ConfigurationError.about(
            "line 1", "starts with a byte order mark: save the file as UTF-8 without one"
        )
    if not contents.strip():
        # An editor may have truncated it before writing: then nobody is removed.
        raise ConfigurationError.about("", "is empty: a comment makes it a file without users")
    users: dict[str, User] = {}
    by_key: dict[str, User] = {}
    problems: list[ConfigProblem] = []
    for number, line in enumerate(contents.split(b"\n"), 1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            user = parse_line(line, number)
            _require_new(user, by_key)
        except ConfigurationError as error:
            problems += (ConfigProblem(f"line {number}", str(each)) for each in error.problems)
            if len(problems) >= _MAX_PROBLEMS:
                break
        else:
            users[user.identity.username] = user
    if problems:
        raise ConfigurationError(problems)
    return users


def parse_line(line: bytes, number: int = 1) -> User:
    """The user in a line.

    Raises:
        ConfigurationError: with all problems of the line.
    """
    values = validate_options(_UserLine, read_object(line), Path())
    return User(
        line=number,
        identity=AuthDetails(values.user, values.groups, allowed_names=values.names or None),
        hashes=values.secret,
    )


def read_object(line: bytes) -> dict[str, Any]:
    """The JSON object in a line.

    Raises:
        ConfigurationError: the line is no JSON object, or has a key twice.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ConfigurationError.about("", "has a key twice")
        return result

    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=unique)
    except UnicodeDecodeError:
        raise ConfigurationError.about("", "is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError.about(
            "", f"is not JSON: {error.msg} at character {error.pos + 1}"
        ) from None
    except (ValueError, RecursionError):
        raise ConfigurationError.about("", "is not JSON") from None
    if not isinstance(value, dict):
        raise ConfigurationError.about("", 'is not a JSON object such as {"user": "web1", ...}')
    return value


def format_line(values: Mapping[str, Any]) -> bytes:
    """The line for a user, with a line break."""
    # A command line that is not UTF-8 has surrogates; its bytes are refused by read_object().
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def _require_new(user: User, by_key: dict[str, User]) -> None:
    """Refuse two users whose failures would count as those of one."""
    name = user.identity.username
    other = by_key.setdefault(counting_key(name), user)
    if other is user:
        return
    same = other.identity.username == name
    raise ConfigurationError.about(
        "user",
        f"{name!a} is on line {other.line} already"
        if same
        else f"{name!a} differs from {other.identity.username!a} on line {other.line} only in "
        "case, accents or spaces",
    )


def _text(value: str) -> str:
    if not value or len(value) > _MAX_TEXT:
        raise ValueError(f"should have 1 to {_MAX_TEXT} characters")
    if not value.isprintable() or value != value.strip():
        raise ValueError(
            f"{value!a} should have no control characters, and no spaces at its beginning or end"
        )
    return value


def _user_name(value: str) -> str:
    _text(value)
    if ":" in value:
        raise ValueError(f"{value!a} has a colon, which HTTP Basic authentication cannot send")
    if not unicodedata.is_normalized("NFC", value):
        raise ValueError(f"{value!a} should be in Unicode's normalization form C")
    if kind_of(value, "") is not CredentialKind.PASSWORD:
        raise ValueError(f"{value!a} has the form of a token's identifier: choose another name")
    return value


def _hashes(value: Any) -> tuple[SecretHash, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_SECRETS:
        raise ValueError(f"should be a hash, or a list of at most {MAX_SECRETS} hashes")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("should be a hash, which is a string")
    return tuple(map(parse_hash, texts))


def _names(values: tuple[str, ...]) -> tuple[str, ...]:
    # An empty list could be meant as "no names", so it is an error.
    if not 1 <= len(values) <= _MAX_NAMES:
        raise ValueError(f"should have 1 to {_MAX_NAMES} names; without a limit leave 'names' out")
    for value in values:
        parse_allowed_name(value)
    return values


class _UserLine(pydantic.BaseModel):
    """The keys of a line."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    user: Annotated[str, pydantic.AfterValidator(_user_name)]
    secret: Annotated[tuple[SecretHash, ...], pydantic.PlainValidator(_hashes)] = pydantic.Field(
        repr=False
    )
    groups: Annotated[
        tuple[Annotated[str, pydantic.AfterValidator(_text)], ...],
        pydantic.Field(max_length=_MAX_GROUPS),
    ] = ()
    names: Annotated[tuple[str, ...], pydantic.AfterValidator(_names)] = ()

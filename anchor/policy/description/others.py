"""What can be said of a plug-in that is not Anchor's own: its docstring, and its options as JSON.

An option is shown only if its type says that it is nothing to hide: a secret, a path, or a type
that nobody here knows, is not.
"""

from __future__ import annotations

import datetime
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from cryptography.x509 import ObjectIdentifier

from anchor.config import plugins
from anchor.errors import ConfigurationError
from anchor.policy.checks import SUPPLIED
from anchor.X509.name_patterns import DomainSet, NetworkSet, PatternSet

MAX_SHOWN = 400

_PLAIN = (
    *(str, int, float, bool, types.NoneType, datetime.datetime),
    *(IPv4Network, IPv6Network, ObjectIdentifier, DomainSet, NetworkSet, PatternSet),
)
_CONTAINERS = (list, tuple, dict, set, frozenset, Mapping, types.UnionType, typing.Union)
# For plug-ins whose authors did not say that an option is a secret.
_SOUNDS_SECRET = re.compile(r"secret|passw|passphrase|token|credential|pin$", re.IGNORECASE)


def sentences(function: Callable[..., Any], options: Mapping[str, Any]) -> Iterator[str]:
    """What a plug-in's author says of it, and what the operator chose."""
    yield _first_sentence(function) or "A check of this service's own."
    shown = {name: options[name] for name in options if name in _nothing_to_hide(function)}
    if shown:
        text = json.dumps(shown, ensure_ascii=False)
        yield text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _first_sentence(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or ""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) ", paragraph, maxsplit=1)[0][:MAX_SHOWN]


def _nothing_to_hide(function: Callable[..., Any]) -> frozenset[str]:
    """The names of the options that everybody may see."""
    try:
        fields = plugins.Signature.of(function, SUPPLIED).model.model_fields
    except ConfigurationError:
        return frozenset()
    names = {field.alias or name: field.annotation for name, field in fields.items()}
    return frozenset(
        name
        for name, annotation in names.items()
        if not _SOUNDS_SECRET.search(name) and _is_plain(annotation)
    )


def _is_plain(annotation: Any) -> bool:
    if annotation in _PLAIN or annotation is Ellipsis:
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return True
    if origin is typing.Annotated:
        return _is_plain(arguments[0])
    return origin in _CONTAINERS and all(map(_is_plain, arguments))

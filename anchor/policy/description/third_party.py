"""The description of a third-party plug-in: its docstring, and its options as JSON.

An option is shown only if its type cannot hold a secret.  Options that are secrets, paths or of an
unknown type are not shown.
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
from anchor.X509.name_patterns import DomainSet, NetworkSet
from anchor.X509.pattern_set import PatternSet

MAX_SHOWN = 400

_PUBLIC_TYPES = (
    *(str, int, float, bool, types.NoneType, datetime.datetime),
    *(IPv4Network, IPv6Network, ObjectIdentifier, DomainSet, NetworkSet, PatternSet),
)
_CONTAINERS = (list, tuple, dict, set, frozenset, Mapping, types.UnionType, typing.Union)
# For options that are secrets, but have a plain type such as str.
_SECRET_NAME = re.compile(r"secret|passw|passphrase|token|credential|pin$", re.IGNORECASE)


def describe_plugin(function: Callable[..., Any], options: Mapping[str, Any]) -> Iterator[str]:
    """The first sentence of a plug-in's docstring, and its configured public options."""
    yield _first_sentence(function) or "A check that was written for this service."
    shown = {name: options[name] for name in options if name in _public_options(function)}
    if shown:
        text = json.dumps(shown, ensure_ascii=False)
        yield text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _first_sentence(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or ""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) ", paragraph, maxsplit=1)[0][:MAX_SHOWN]


def _public_options(function: Callable[..., Any]) -> frozenset[str]:
    """The names of the options that may be shown to everyone."""
    try:
        fields = plugins.Signature.of(function, SUPPLIED).model.model_fields
    except ConfigurationError:
        return frozenset()
    names = {field.alias or name: field.annotation for name, field in fields.items()}
    return frozenset(
        name
        for name, annotation in names.items()
        if not _SECRET_NAME.search(name) and _is_public(annotation)
    )


def _is_public(annotation: Any) -> bool:
    if annotation in _PUBLIC_TYPES or annotation is Ellipsis:
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return True
    if origin is typing.Annotated:
        return _is_public(arguments[0])
    return origin in _CONTAINERS and all(map(_is_public, arguments))

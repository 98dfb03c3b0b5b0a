"""The JSON Schema of ``config.json``, with which editors complete and check a configuration.

The schema covers names, types, ranges and required options.  Only ``anchor check`` verifies files,
keys and options that depend on each other.  The shipped schema covers the plug-ins of Anchor and
accepts any object as the options of another plug-in; :func:`for_installed_plugins` covers the
installed plug-ins and rejects all other names.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from importlib import metadata, resources
from types import MappingProxyType
from typing import Any

from anchor.auth import authenticator
from anchor.ca import backends
from anchor.config.plugins import load_plugin, shipped_names
from anchor.config_schema import descriptions, models
from anchor.config_schema.document_schema import ANYTHING, PluginSchemas, document_schema
from anchor.config_schema.models import Schema
from anchor.policy import checks, policy

SHIPPED = "config.schema.json"

# The entry point group of each kind of plug-in, and the parameters that are not options.
_KINDS: Mapping[str, tuple[str, frozenset[str]]] = MappingProxyType(
    {
        "authentication": (authenticator.NAMESPACE, frozenset()),
        "signing_ca": (backends.NAMESPACE, backends.SUPPLIED),
        "validators": (policy.VALIDATORS, checks.SUPPLIED),
        "fixups": (policy.FIXUPS, checks.SUPPLIED),
    }
)


def for_shipped_plugins() -> Schema:
    """The schema for the plug-ins of Anchor; requires all extras to be installed."""
    return document_schema(
        PluginSchemas(
            {
                kind: {name: _options_of(kind, name) for name in sorted(shipped_names(namespace))}
                for kind, (namespace, _) in _KINDS.items()
            },
            closed=False,
        )
    )


def for_installed_plugins() -> Schema:
    """The schema for the installed plug-ins only."""
    definitions = json.loads(shipped_text())["$defs"]
    options: dict[str, dict[str, Schema]] = {}
    for kind, (namespace, _) in _KINDS.items():
        # The plug-ins of Anchor are not loaded: the extras that they import may be missing.
        names = sorted(shipped_names(namespace))
        shipped = {name: plugin_options(definitions, f"{kind}.{name}") for name in names}
        installed = {entry.name for entry in metadata.entry_points(group=namespace)}
        others = sorted(installed - shipped.keys())
        options[kind] = shipped | {name: _options_of(kind, name) for name in others}
    return document_schema(PluginSchemas(options, closed=True))


def plugin_options(definitions: Mapping[str, Any], name: str) -> Schema:
    """The schema of a plug-in's options, without the options common to its kind.

    Args:
        definitions: the ``$defs`` of a document schema.
        name: the plug-in's key in ``definitions``, such as ``authentication.static``.
    """
    schema: Schema = dict(definitions[name])
    common = definitions.get(name.partition(".")[0], {}).get("properties", {})
    if "properties" in schema:
        properties = schema["properties"]
        schema["properties"] = {key: properties[key] for key in properties if key not in common}
    if "required" in schema:
        schema["required"] = [key for key in schema["required"] if key not in common]
    return schema


def shipped_text() -> str:
    """The text of the shipped schema."""
    return resources.files("anchor").joinpath(SHIPPED).read_text(encoding="utf-8")


def to_json(schema: Schema) -> str:
    """The schema as the text of a file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _options_of(kind: str, name: str) -> Schema:
    """The schema of a plug-in's options; any object if the plug-in does not declare them."""
    namespace, supplied = _KINDS[kind]
    try:
        plugin = load_plugin(namespace, name)
        if kind in ("authentication", "signing_ca") and not inspect.isclass(plugin):
            return {"description": descriptions.summary(plugin), **ANYTHING}
        from_anchor = frozenset(getattr(plugin, "from_anchor", ()))
        return models.plugin_schema(plugin, supplied | from_anchor)
    except Exception:  # noqa: BLE001  # importing foreign code can raise anything; `anchor check` reports it
        return dict(ANYTHING)

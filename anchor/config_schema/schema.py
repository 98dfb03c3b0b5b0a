"""A JSON Schema of ``config.json``, made from the code that proves it.

Editors complete and check a configuration by it.  It knows names, types, ranges and what has to be
there; how options depend on each other, files and keys, only ``anchor check`` can judge.  The
schema that is shipped covers the plug-ins that are, and takes any object for the options of others;
:func:`for_installed_plugins` knows those that are installed, and refuses names that nobody offers.
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

# The sections of plug-ins: where they are registered, and what their options do not name.
_KINDS: Mapping[str, tuple[str, frozenset[str]]] = MappingProxyType(
    {
        "authentication": (authenticator.NAMESPACE, frozenset()),
        "signing_ca": (backends.NAMESPACE, backends.SUPPLIED),
        "validators": (policy.VALIDATORS, checks.SUPPLIED),
        "fixups": (policy.FIXUPS, checks.SUPPLIED),
    }
)


def for_shipped_plugins() -> Schema:
    """The schema for what Anchor ships; all of the extras have to be installed."""
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
    """The shipped schema with the plug-ins that are installed, and without room for others."""
    shipped = json.loads(shipped_text())["$defs"]
    known: dict[str, dict[str, Schema]] = {}
    for kind, (namespace, _) in _KINDS.items():
        names = sorted(shipped_names(namespace))
        ours = {name: plugin_options(shipped, f"{kind}.{name}") for name in names}
        offered = {each.name for each in metadata.entry_points(group=namespace)}
        # What is shipped may lack its extra here, so it is not loaded; nor need it be.
        known[kind] = ours | {name: _options_of(kind, name) for name in sorted(offered - {*ours})}
    return document_schema(PluginSchemas(known, closed=True))


def plugin_options(definitions: Mapping[str, Any], name: str) -> Schema:
    """The schema of a plug-in's own options, without those that all of its kind have.

    Args:
        definitions: the ``$defs`` of a schema of a whole configuration.
        name: of the plug-in in there, such as ``authentication.static``.
    """
    schema: Schema = dict(definitions[name])
    common = definitions.get(name.partition(".")[0], {}).get("properties", {})
    if "properties" in schema:
        its = schema["properties"]
        schema["properties"] = {key: its[key] for key in its if key not in common}
    if "required" in schema:
        schema["required"] = [key for key in schema["required"] if key not in common]
    return schema


def shipped_text() -> str:
    """The schema as it is shipped."""
    return resources.files("anchor").joinpath(SHIPPED).read_text(encoding="utf-8")


def to_json(schema: Schema) -> str:
    """The schema as a file holds it."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _options_of(kind: str, name: str) -> Schema:
    """The options of a plug-in; any object for one that reads them by itself."""
    namespace, supplied = _KINDS[kind]
    try:
        plugin = load_plugin(namespace, name)
        if kind in ("authentication", "signing_ca") and not inspect.isclass(plugin):
            return {"description": descriptions.summary(plugin), **ANYTHING}
        return models.plugin_schema(plugin, supplied)
    except Exception:  # noqa: BLE001  # annotations can be anything; `anchor check` says what is wrong
        return dict(ANYTHING)

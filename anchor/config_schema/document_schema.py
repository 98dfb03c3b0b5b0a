"""The schema of the whole document, composed from the schemas of the options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from anchor import authorities
from anchor.audit import sinks
from anchor.auth import loading
from anchor.ca.loading import NextSettings
from anchor.ca.settings import CASettings
from anchor.config import document
from anchor.config_schema.models import Schema, model_schema, plugin_schema
from anchor.store import ban_file
from anchor.store.database.settings import DatabaseSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ANYTHING: Schema = {"type": "object"}


@dataclass(frozen=True)
class PluginSchemas:
    """The schemas of plug-ins' options.

    Attributes:
        options: the schemas, by the plug-in's kind and name.
        closed: True to reject plug-ins that are not in ``options``.
    """

    options: Mapping[str, Mapping[str, Schema]]
    closed: bool

    def names(self, kind: str) -> Schema:
        """The schema of a plug-in's name."""
        names = {"enum": list(self.options[kind])}
        return {"type": "string", **(names if self.closed else {"anyOf": [names, {}]})}

    def by_name(self, kind: str) -> Schema:
        """Keywords for an object that maps plug-in names to options."""
        return {
            "properties": {name: _reference(f"{kind}.{name}") for name in self.options[kind]},
            "additionalProperties": False if self.closed else ANYTHING,
        }

    def cases(self, kind: str, section: str, default: str | None = None) -> list[Schema]:
        """Conditional schemas for a section, by the plug-in in its ``backend``."""
        return _cases(section, self.options[kind], "backend", default)


def document_schema(plugins: PluginSchemas) -> Schema:
    """The schema of ``config.json``."""
    definitions = {
        "authentication": _backend_section("authentication", loading.CommonSettings, plugins),
        "signing_ca": _signing_ca(plugins),
        "registration_authority": _authority(plugins),
        "database": model_schema(DatabaseSettings),
        "bans": model_schema(ban_file.BanSettings),
        **_audit(),
    }
    for name, options in plugins.options["authentication"].items():
        common = definitions["authentication"]["properties"]
        definitions[f"authentication.{name}"] = _merged(
            options, common, {"backend": {"const": name}}
        )
    for name, options in plugins.options["signing_ca"].items():
        definitions |= _signing_backend(name, options, definitions["signing_ca"], plugins)
    for kind in ("validators", "fixups"):
        definitions |= {
            f"{kind}.{name}": options for name, options in plugins.options[kind].items()
        }
    return {
        "$schema": DIALECT,
        "title": "Anchor's config.json",
        "type": "object",
        "properties": _sections(plugins, definitions["signing_ca"]),
        "additionalProperties": False,
        "if": {"anyOf": [{"required": [key]} for key in document.SHORT_FORM]},
        "then": {
            "properties": dict.fromkeys(document.LONG_FORM, False),
            "required": [key for key in document.SHORT_FORM if key != "fixups"],
        },
        "else": {"required": list(document.LONG_FORM)},
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def _sections(plugins: PluginSchemas, signing_ca: Schema) -> Schema:
    """The keys of the document, in both forms."""

    def named_sections(kind: str, description: str) -> Schema:
        return {
            "description": description,
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": f"^(?:{document.SECTION_NAME.pattern})$"},
            "additionalProperties": _reference(kind),
        }

    return {
        "$schema": {
            "type": "string",
            "description": "The path or URL of this schema, for editors.",
        },
        "authentication": named_sections(
            "authentication", "Ways to authenticate requesters, by their names."
        ),
        "signing_ca": named_sections("signing_ca", "Signing CAs, by their names."),
        "registration_authority": named_sections(
            "registration_authority",
            "Registration authorities, by their names.",
        ),
        "auth": {
            "description": "Short form: the authentication backend, with its options.",
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            **plugins.by_name("authentication"),
        },
        "ca": {
            "description": "Short form: the CA that signs.",
            "type": "object",
            "properties": _references(signing_ca, "signing_ca"),
            "required": [name for name in signing_ca["required"] if name != "backend"],
            "allOf": plugins.cases("signing_ca", "signing_ca", "anchor"),
        },
        "validators": _reference("registration_authority/properties/validators"),
        "fixups": _reference("registration_authority/properties/fixups"),
        "database": _reference("database"),
        "audit": _reference("audit"),
        "bans": _reference("bans"),
    }


def _backend_section(kind: str, common: type[pydantic.BaseModel], plugins: PluginSchemas) -> Schema:
    """The schema of a section with ``backend`` and the options of that plug-in."""
    schema = model_schema(common)
    backend = {"description": "The name of the backend's plug-in.", **plugins.names(kind)}
    return {
        "type": "object",
        "properties": {"backend": backend, **schema["properties"]},
        "required": ["backend", *schema.get("required", ())],
        "allOf": plugins.cases(kind, kind),
    }


def _signing_ca(plugins: PluginSchemas) -> Schema:
    schema = _backend_section("signing_ca", CASettings, plugins)
    next_schema = model_schema(NextSettings)
    backend = {
        "description": "The signing backend of the next CA. By default that of the present one.",
        **plugins.names("signing_ca"),
    }
    schema["properties"]["next"] |= {
        "type": ["object", "null"],
        "properties": {**next_schema["properties"], "backend": backend},
        "required": next_schema["required"],
    }
    return schema


def _signing_backend(
    name: str, options: Schema, signing_ca: Schema, plugins: PluginSchemas
) -> dict[str, Schema]:
    """The schemas of a section with that backend, and of ``next`` with that backend."""
    common = dict.fromkeys(signing_ca["properties"], True)
    next_common = dict.fromkeys(signing_ca["properties"]["next"]["properties"], True)
    selector = {"backend": {"const": name}}
    section = _merged(options, common, selector)
    section.setdefault("properties", {})["next"] = {
        "allOf": plugins.cases("signing_ca", "next", name)
    }
    # ``next`` may be null, so its schema must not require an object.
    next_options = {key: options[key] for key in options if key != "type"}
    if "properties" in options:
        next_options["properties"] = _references(options, f"signing_ca.{name}")
    return {
        f"signing_ca.{name}": section,
        f"next.{name}": _merged(next_options, next_common, selector),
    }


def _authority(plugins: PluginSchemas) -> Schema:
    schema = model_schema(authorities.AuthoritySettings)
    for kind in ("validators", "fixups"):
        schema["properties"][kind] |= plugins.by_name(kind)
    return schema


def _audit() -> dict[str, Schema]:
    target = {
        "description": "The destination of audit events.",
        "enum": list(sinks.TARGETS),
        "default": sinks.DEFAULT,
    }
    cases = _cases("audit", sinks.TARGETS, "target", sinks.DEFAULT)
    return {
        "audit": {"type": "object", "properties": {"target": target}, "allOf": cases},
        **{
            f"audit.{name}": _merged(plugin_schema(make), {}, {"target": {"const": name}})
            for name, make in sinks.TARGETS.items()
        },
    }


def _cases(section: str, names: Iterable[str], key: str, default: str | None) -> list[Schema]:
    """Conditional schemas for each value of a key; a missing key has the default value."""
    return [
        {
            "if": {
                "properties": {key: {"const": name}},
                **({} if name == default else {"required": [key]}),
            },
            "then": _reference(f"{section}.{name}"),
        }
        for name in names
    ]


def _merged(options: Schema, common: Mapping[str, Any], selector: Schema) -> Schema:
    """A plug-in's options together with the common options and the key that selects it."""
    if "properties" not in options:
        return dict(options)
    return options | {"properties": {**common, **selector, **options["properties"]}}


def _references(schema: Schema, name: str) -> Schema:
    return {option: _reference(f"{name}/properties/{option}") for option in schema["properties"]}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}

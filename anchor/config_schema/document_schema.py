"""The schema of a whole configuration, put together from those of the options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from anchor import authorities
from anchor.audit import sinks
from anchor.auth import authenticator
from anchor.ca.loading import NextSettings
from anchor.ca.settings import CASettings
from anchor.config import document
from anchor.config_schema.models import Schema, model_schema, plugin_schema
from anchor.store import bans

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ANYTHING: Schema = {"type": "object"}


@dataclass(frozen=True)
class PluginSchemas:
    """The plug-ins that are known.

    Attributes:
        options: the schemas of their own options, by kind and name.
        closed: whether there are no others.
    """

    options: Mapping[str, Mapping[str, Schema]]
    closed: bool

    def names(self, kind: str) -> Schema:
        """What such a plug-in may be called."""
        known = {"enum": list(self.options[kind])}
        return {"type": "string", **(known if self.closed else {"anyOf": [known, {}]})}

    def by_name(self, kind: str) -> Schema:
        """An object with options by the plug-in's name."""
        return {
            "properties": {name: _reference(f"{kind}.{name}") for name in self.options[kind]},
            "additionalProperties": False if self.closed else ANYTHING,
        }

    def cases(self, kind: str, section: str, default: str | None = None) -> list[Schema]:
        """What else holds for a section, depending on the plug-in that it names."""
        return _cases(section, self.options[kind], "backend", default)


def document_schema(plugins: PluginSchemas) -> Schema:
    """The schema."""
    definitions = {
        "authentication": _of_backends("authentication", authenticator.CommonSettings, plugins),
        "signing_ca": _signing_ca(plugins),
        "registration_authority": _authority(plugins),
        "bans": model_schema(bans.BanSettings),
        **_audit(),
    }
    for name, own in plugins.options["authentication"].items():
        common = definitions["authentication"]["properties"]
        definitions[f"authentication.{name}"] = _joined(own, common, {"backend": {"const": name}})
    for name, own in plugins.options["signing_ca"].items():
        definitions |= _of_signing_backend(name, own, definitions["signing_ca"], plugins)
    for kind in ("validators", "fixups"):
        definitions |= {f"{kind}.{name}": own for name, own in plugins.options[kind].items()}
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
    """The keys of the file, of both forms."""

    def named(kind: str, description: str) -> Schema:
        return {
            "description": description,
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": f"^(?:{document.SECTION_NAME.pattern})$"},
            "additionalProperties": _reference(kind),
        }

    return {
        "$schema": {"type": "string", "description": "Where this schema is, for editors."},
        "authentication": named("authentication", "Ways to find out who asks, by their names."),
        "signing_ca": named("signing_ca", "CAs that sign, by their names."),
        "registration_authority": named(
            "registration_authority", "Who is asked, what requests must be like, and who signs."
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
        "audit": _reference("audit"),
        "bans": _reference("bans"),
    }


def _of_backends(kind: str, common: type[pydantic.BaseModel], plugins: PluginSchemas) -> Schema:
    """A section that names a plug-in, whose options stand in it too."""
    schema = model_schema(common)
    backend = {"description": "The backend, by the name of its plug-in.", **plugins.names(kind)}
    return {
        "type": "object",
        "properties": {"backend": backend, **schema["properties"]},
        "required": ["backend", *schema.get("required", ())],
        "allOf": plugins.cases(kind, kind),
    }


def _signing_ca(plugins: PluginSchemas) -> Schema:
    schema = _of_backends("signing_ca", CASettings, plugins)
    following = model_schema(NextSettings)
    backend = {
        "description": "The signing backend; the same by default.",
        **plugins.names("signing_ca"),
    }
    schema["properties"]["next"] |= {
        "type": ["object", "null"],
        "properties": {**following["properties"], "backend": backend},
        "required": following["required"],
    }
    return schema


def _of_signing_backend(
    name: str, own: Schema, signing_ca: Schema, plugins: PluginSchemas
) -> dict[str, Schema]:
    """What a backend makes of the section, and of ``next`` in it."""
    common = dict.fromkeys(signing_ca["properties"], True)
    following = dict.fromkeys(signing_ca["properties"]["next"]["properties"], True)
    itself = {"backend": {"const": name}}
    section = _joined(own, common, itself)
    section.setdefault("properties", {})["next"] = {
        "allOf": plugins.cases("signing_ca", "next", name)
    }
    # In the place of null there are no options, so nothing here may say that it is an object.
    referring = {key: own[key] for key in own if key != "type"}
    if "properties" in own:
        referring["properties"] = _references(own, f"signing_ca.{name}")
    return {
        f"signing_ca.{name}": section,
        f"next.{name}": _joined(referring, following, itself),
    }


def _authority(plugins: PluginSchemas) -> Schema:
    schema = model_schema(authorities.AuthoritySettings)
    for kind in ("validators", "fixups"):
        schema["properties"][kind] |= plugins.by_name(kind)
    return schema


def _audit() -> dict[str, Schema]:
    target = {
        "description": "Where events go.",
        "enum": list(sinks.TARGETS),
        "default": sinks.DEFAULT,
    }
    cases = _cases("audit", sinks.TARGETS, "target", sinks.DEFAULT)
    return {
        "audit": {"type": "object", "properties": {"target": target}, "allOf": cases},
        **{
            f"audit.{name}": _joined(plugin_schema(make), {}, {"target": {"const": name}})
            for name, make in sinks.TARGETS.items()
        },
    }


def _cases(section: str, names: Iterable[str], key: str, default: str | None) -> list[Schema]:
    """What else holds, depending on what a key says; where it is missing, it says the default."""
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


def _joined(own: Schema, common: Mapping[str, Any], itself: Schema) -> Schema:
    """A plug-in's own options together with those that stand beside them."""
    if "properties" not in own:
        return dict(own)
    return own | {"properties": {**common, **itself, **own["properties"]}}


def _references(schema: Schema, name: str) -> Schema:
    return {option: _reference(f"{name}/properties/{option}") for option in schema["properties"]}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}

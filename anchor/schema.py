"""A JSON Schema of ``config.json``, made from the code that proves it.

Editors complete and check a configuration by it.  It knows names, types, ranges and what has to be
there; how options depend on each other, files and keys, only ``anchor check`` can judge.  The
schema that is shipped covers the plug-ins that are, and takes any object for the options of others;
:func:`of_installation` knows those that are installed, and refuses names that nobody offers.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata, resources
from types import MappingProxyType
from typing import Any, cast

import pydantic
import pydantic.json_schema
from pydantic_core import CoreSchema, core_schema

from anchor import (
    audit,
    auth,
    bans,
    config_file,
    descriptions,
    plugins,
    policy,
    settings,
    validation,
)
from anchor.errors import ConfigurationError
from anchor.signers import backends
from anchor.signers.configuration import CASettings, NextSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DISTRIBUTION = "anchor"
SHIPPED = "config.schema.json"

Schema = dict[str, Any]

# The sections of plug-ins: where they are registered, and what their options do not name.
_KINDS: Mapping[str, tuple[str, frozenset[str]]] = MappingProxyType(
    {
        "authentication": (auth.NAMESPACE, frozenset()),
        "signing_ca": (backends.NAMESPACE, backends.SUPPLIED),
        "validators": (policy.VALIDATORS, validation.SUPPLIED),
        "fixups": (policy.FIXUPS, validation.SUPPLIED),
    }
)

ANYTHING: Schema = {"type": "object"}


def of_code() -> Schema:
    """The schema for what Anchor ships; all of the extras have to be installed."""
    known = {
        kind: {name: _options_of(kind, name) for name in _offered(namespace)}
        for kind, (namespace, _) in _KINDS.items()
    }
    return _whole(known, closed=False)


def of_installation() -> Schema:
    """The shipped schema with the plug-ins that are installed, and without room for others."""
    shipped = json.loads(shipped_text())["$defs"]
    known: dict[str, dict[str, Schema]] = {}
    for kind, (namespace, _) in _KINDS.items():
        ours = {name: own_options(shipped, f"{kind}.{name}") for name in _offered(namespace)}
        offered = {each.name for each in metadata.entry_points(group=namespace)}
        # What is shipped may lack its extra here, so it is not loaded; nor need it be.
        known[kind] = ours | {name: _options_of(kind, name) for name in sorted(offered - {*ours})}
    return _whole(known, closed=True)


def own_options(definitions: Mapping[str, Any], name: str) -> Schema:
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


def as_text(schema: Schema) -> str:
    """The schema as a file holds it."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def of_model(model: type[pydantic.BaseModel]) -> Schema:
    """The schema of a model's options, each with its description and its default."""
    made = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    # Models inside of options: their names may be those of others, so they are put in place.
    models = made.pop("$defs", {})
    kept = ("type", "properties", "required", "additionalProperties")
    schema: Schema = {key: _in_place(made[key], models) for key in kept if key in made}
    if schema.get("additionalProperties") is True:
        del schema["additionalProperties"]
    for option in schema.setdefault("properties", {}).values():
        if "description" in option:
            option["description"] = descriptions.sentence(option["description"])
    return schema


def _in_place(node: Any, definitions: Mapping[str, Any], depth: int = 0) -> Any:
    if isinstance(node, list):
        return [_in_place(item, definitions, depth) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        # A model that holds itself has no end.
        name = reference.rpartition("/")[2]
        return {} if depth > 8 else _in_place(definitions.get(name, {}), definitions, depth + 1)
    return {key: _in_place(value, definitions, depth) for key, value in node.items()}


class _Generator(pydantic.json_schema.GenerateJsonSchema):
    """Without titles, and with nothing about what JSON cannot say."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> Schema:
        return {}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Nothing: the defaults that it is about are left out."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        made = super().default_schema(schema)
        if made.get("default", ...) is None:
            # Nothing is what the code calls an option that was left out; nobody would write it.
            del made["default"]
        elif "default" not in made and made.get("type") == "array" and _is_empty(schema):
            made["default"] = []
        return made

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        made = super().nullable_schema(schema)
        match made.get("anyOf"):
            case [{"type": str(kind)} as inner, {"type": "null"}] if "enum" not in inner:
                return {**inner, "type": [kind, "null"]}
        return made


def _is_empty(schema: core_schema.WithDefaultSchema) -> bool:
    """Whether a default is an empty collection of a type that JSON does not know."""
    default = schema.get("default")
    try:
        return bool(vars(default) == vars(cast(Any, type(default))()))
    except TypeError:
        return False


def _offered(namespace: str) -> list[str]:
    shipped = metadata.distribution(DISTRIBUTION).entry_points
    return sorted(each.name for each in shipped if each.group == namespace)


def _options_of(kind: str, name: str) -> Schema:
    """The options of a plug-in; any object for one that reads them by itself."""
    namespace, supplied = _KINDS[kind]
    try:
        plugin = plugins.load(namespace, name)
        schema = of_model(plugins.Signature.of(plugin, supplied).model)
    except ConfigurationError:
        # `anchor check` says what is wrong with it.
        return dict(ANYTHING)
    meaning = {"description": descriptions.of_function(plugin)}
    if kind in ("authentication", "signing_ca") and not inspect.isclass(plugin):
        return meaning | ANYTHING
    return meaning | _described(schema, plugin)


def _described(schema: Schema, plugin: Callable[..., Any]) -> Schema:
    meanings = descriptions.of_options(plugin)
    properties = {
        name: {**its, "description": meanings[name]} if name in meanings else its
        for name, its in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _whole(known: Mapping[str, Mapping[str, Schema]], *, closed: bool) -> Schema:
    """The schema of a configuration.

    Args:
        known: the options of plug-ins, by kind and name.
        closed: whether there are no other plug-ins.
    """
    definitions: dict[str, Schema] = {
        "authentication": _of_backends("authentication", auth.CommonSettings, known, closed),
        "signing_ca": _of_backends("signing_ca", CASettings, known, closed),
        "registration_authority": _authority(known, closed),
        "audit": _audit(),
        "bans": of_model(bans.BanSettings),
    }
    following = of_model(NextSettings)
    following["properties"]["backend"] = {
        "description": "The signing backend; the same by default.",
        **_one_of(known["signing_ca"], closed),
    }
    definitions["signing_ca"]["properties"]["next"] |= {
        "type": ["object", "null"],
        **{key: following[key] for key in ("properties", "required")},
    }
    for name, own in known["authentication"].items():
        definitions[f"authentication.{name}"] = _joined(
            name, own, definitions["authentication"]["properties"]
        )
    for name, own in known["signing_ca"].items():
        joined = _joined(name, own, dict.fromkeys(definitions["signing_ca"]["properties"], True))
        joined.setdefault("properties", {})["next"] = {
            "allOf": _cases("next", known["signing_ca"], name)
        }
        definitions[f"signing_ca.{name}"] = joined
        its = {
            option: _reference(f"signing_ca.{name}/properties/{option}")
            for option in own.get("properties", {})
        }
        referring = own | ({"properties": its} if its else {})
        del referring["type"]
        definitions[f"next.{name}"] = _joined(
            name, referring, dict.fromkeys(following["properties"], True)
        )
    for kind in ("validators", "fixups"):
        definitions |= {f"{kind}.{name}": own for name, own in known[kind].items()}
    for name, target in audit.TARGETS.items():
        own = _described(of_model(plugins.Signature.of(target).model), target)
        definitions[f"audit.{name}"] = _joined(name, own, {"target": True}, "target")
    return {
        "$schema": DIALECT,
        "title": "Anchor's config.json",
        "type": "object",
        "properties": _sections(known, definitions, closed),
        "additionalProperties": False,
        "if": {"anyOf": [{"required": [key]} for key in config_file.SHORT]},
        "then": {
            "properties": dict.fromkeys(config_file.LONG, False),
            "required": [key for key in config_file.SHORT if key != "fixups"],
        },
        "else": {"required": list(config_file.LONG)},
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def _sections(
    known: Mapping[str, Mapping[str, Schema]], definitions: Mapping[str, Schema], closed: bool
) -> Schema:
    def named(kind: str, description: str) -> Schema:
        return {
            "description": description,
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": f"^(?:{config_file.NAME.pattern})$"},
            "additionalProperties": _reference(kind),
        }

    signing_ca = definitions["signing_ca"]
    its = {name: _reference(f"signing_ca/properties/{name}") for name in signing_ca["properties"]}
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
            "properties": {
                name: _reference(f"authentication.{name}") for name in known["authentication"]
            },
            "additionalProperties": False if closed else ANYTHING,
        },
        "ca": {
            "description": "Short form: the CA that signs.",
            "type": "object",
            "properties": its,
            "required": [name for name in signing_ca["required"] if name != "backend"],
            "allOf": _cases("signing_ca", known["signing_ca"], "anchor"),
        },
        "validators": _reference("registration_authority/properties/validators"),
        "fixups": _reference("registration_authority/properties/fixups"),
        "audit": _reference("audit"),
        "bans": _reference("bans"),
    }


def _of_backends(
    kind: str,
    common: type[pydantic.BaseModel],
    known: Mapping[str, Mapping[str, Schema]],
    closed: bool,
) -> Schema:
    """A section that names a plug-in, whose options stand in it too."""
    schema = of_model(common)
    backend = {"description": "The plug-in.", **_one_of(known[kind], closed)}
    return {
        "type": "object",
        "properties": {"backend": backend, **schema["properties"]},
        "required": ["backend", *schema.get("required", ())],
        "allOf": _cases(kind, known[kind]),
    }


def _authority(known: Mapping[str, Mapping[str, Schema]], closed: bool) -> Schema:
    schema = of_model(settings.AuthoritySettings)
    for kind in ("validators", "fixups"):
        schema["properties"][kind] |= {
            "properties": {name: _reference(f"{kind}.{name}") for name in known[kind]},
            "additionalProperties": False if closed else ANYTHING,
        }
    return schema


def _audit() -> Schema:
    target = {
        "description": "Where events go.",
        "enum": list(audit.TARGETS),
        "default": audit.DEFAULT,
    }
    cases = _cases("audit", audit.TARGETS, audit.DEFAULT, "target")
    return {"type": "object", "properties": {"target": target}, "allOf": cases}


def _cases(
    kind: str, names: Iterable[str], default: str | None = None, key: str = "backend"
) -> list[Schema]:
    """What else holds for a section, depending on whom it names."""
    return [
        {
            "if": {
                "properties": {key: {"const": name}},
                **({} if name == default else {"required": [key]}),
            },
            "then": _reference(f"{kind}.{name}"),
        }
        for name in names
    ]


def _joined(name: str, own: Schema, common: Schema, key: str = "backend") -> Schema:
    """A plug-in's own options together with those that stand beside them."""
    if "properties" not in own:
        return dict(own)
    return own | {"properties": {**common, key: {"const": name}, **own["properties"]}}


def _one_of(names: Iterable[str], closed: bool) -> Schema:
    known = {"enum": list(names)}
    return {"type": "string", **(known if closed else {"anyOf": [known, {}]})}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}

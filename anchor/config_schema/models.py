"""JSON Schemas of options, from the models and signatures that prove them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import pydantic
import pydantic.json_schema
from pydantic_core import CoreSchema, core_schema

from anchor.config.plugins import Signature
from anchor.config_schema import descriptions

Schema = dict[str, Any]


def model_schema(model: type[pydantic.BaseModel]) -> Schema:
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


def plugin_schema(plugin: Callable[..., Any], supplied: frozenset[str] = frozenset()) -> Schema:
    """The schema of the options that a function or a class takes, as its docstring describes them.

    Args:
        plugin: the function or the class.
        supplied: the names of what is no option.

    Raises:
        ConfigurationError: its signature or its annotations make no options.
    """
    schema = model_schema(Signature.of(plugin, supplied).model)
    meanings = descriptions.option_descriptions(plugin)
    for name, option in schema["properties"].items():
        if name in meanings:
            option["description"] = meanings[name]
    return {"description": descriptions.summary(plugin), **schema}


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
        return _same(default, cast(Any, type(default))())
    except TypeError:
        return False


def _same(one: object, other: object) -> bool:
    """Whether two objects consist of the same things."""
    if type(one) is not type(other) or not hasattr(one, "__dict__"):
        return one == other
    return all(_same(value, vars(other)[name]) for name, value in vars(one).items())

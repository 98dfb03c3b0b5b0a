"""JSON Schemas of options, from the models and signatures that validate them."""

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
    """The schema of a model's options, with descriptions and defaults."""
    generated = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    # Nested models are inlined, because models of two plug-ins may have the same name.
    models = generated.pop("$defs", {})
    kept = ("type", "properties", "required", "additionalProperties")
    schema: Schema = {key: _inlined(generated[key], models) for key in kept if key in generated}
    if schema.get("additionalProperties") is True:
        del schema["additionalProperties"]
    for option in schema.setdefault("properties", {}).values():
        if "description" in option:
            option["description"] = descriptions.sentence(option["description"])
    return schema


def plugin_schema(plugin: Callable[..., Any], supplied: frozenset[str] = frozenset()) -> Schema:
    """The schema of a plug-in's options, with the descriptions in its docstring.

    Args:
        plugin: the function or the class.
        supplied: the names of the parameters that are not options.

    Raises:
        ConfigurationError: the signature or its annotations cannot be options.
    """
    supplied |= frozenset(getattr(plugin, "from_anchor", ()))
    schema = model_schema(Signature.of(plugin, supplied).model)
    by_option = descriptions.option_descriptions(plugin)
    for name, option in schema["properties"].items():
        if name in by_option:
            option["description"] = by_option[name]
    return {"description": descriptions.summary(plugin), **schema}


def _inlined(node: Any, definitions: Mapping[str, Any], depth: int = 0) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions, depth) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        # The depth is limited because a model may contain itself.
        name = reference.rpartition("/")[2]
        return {} if depth > 8 else _inlined(definitions.get(name, {}), definitions, depth + 1)
    return {key: _inlined(value, definitions, depth) for key, value in node.items()}


class _Generator(pydantic.json_schema.GenerateJsonSchema):
    """Generates schemas without titles, and accepts types that JSON does not have."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> Schema:
        return {}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Ignore warnings about defaults that JSON cannot express; they are left out."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        generated = super().default_schema(schema)
        if generated.get("default", ...) is None:
            # None means that the option is missing; nobody writes null as its value.
            del generated["default"]
        elif "default" not in generated and generated.get("type") == "array" and _is_empty(schema):
            generated["default"] = []
        return generated

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        generated = super().nullable_schema(schema)
        match generated.get("anyOf"):
            case [{"type": str(kind)} as inner, {"type": "null"}] if "enum" not in inner:
                return {**inner, "type": [kind, "null"]}
        return generated


def _is_empty(schema: core_schema.WithDefaultSchema) -> bool:
    """True if the default is an empty collection of a type that JSON does not have."""
    default = schema.get("default")
    try:
        return _equal(default, cast(Any, type(default))())
    except TypeError:
        return False


def _equal(left: object, right: object) -> bool:
    """True if two objects have equal attributes; their types may not define equality."""
    if type(left) is not type(right) or not hasattr(left, "__dict__"):
        return left == right
    return all(_equal(value, vars(right)[name]) for name, value in vars(left).items())

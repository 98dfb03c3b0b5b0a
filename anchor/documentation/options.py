"""Definition lists of options, generated from the schema.

A page has them where it says ``.. options:: NAME``, with the name of a definition in the schema,
such as ``validators.common_name`` or ``signing_ca.next``, or ``web`` for that section of
``config.py``.
The body of the directive may have remarks about options: the name of the option, and the remark
indented below it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from anchor.config_schema import descriptions, schema
from anchor.config_schema.models import model_schema
from anchor.web.settings import WebSettings

# Words for readers, where those of JSON Schema are less clear.
_WORDS = {
    "date-time": "time",
    "environment variable": "name of an environment variable",
    "hexadecimal": "hexadecimal string",
    "password": "string",
    "regex": "regular expression",
    "uri": "URL",
}

# Options that are sections themselves.
_INNER = ("signing_ca.next", "registration_authority.renewal", "registration_authority.acme")


@cache
def _shipped() -> dict[str, Any]:
    shipped: dict[str, Any] = json.loads(schema.shipped_text())
    return shipped


def described(name: str) -> dict[str, Any]:
    """The schema of the options with this name."""
    if name == "web":
        return model_schema(WebSettings)
    definitions = _shipped()["$defs"]
    if name in _INNER:
        section, _, option = name.partition(".")
        found: dict[str, Any] = definitions[section]["properties"][option]
        # A section that can be missing may also be null.
        return found["anyOf"][0] if "anyOf" in found else found
    named: dict[str, Any] = (
        schema.plugin_options(definitions, name) if "." in name else definitions[name]
    )
    return named


def lines(name: str, remarks: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """The definition list, in reStructuredText.

    Raises:
        KeyError: there is no such definition, or a remark is about an unknown option.
    """
    remarks = dict(remarks or {})
    described_options = described(name)
    made: list[str] = []
    for option, its in described_options["properties"].items():
        if "const" in its:
            continue
        required = " Required." if option in described_options.get("required", ()) else ""
        default = f" Default: ``{_json(its['default'])}``." if "default" in its else ""
        kind = _capital(_phrase(its))
        # Those of inner sections are phrases.
        description = descriptions.sentence(its["description"])
        made += [f"``{option}``", f"    {_quoted(description)}", ""]
        made += [f"    {line}".rstrip() for line in remarks.pop(option, ())]
        made += ["", f"    *{kind}.*{required}{default}", ""]
    if remarks:
        raise KeyError(f"{name} has no option {', '.join(remarks)}")
    return made


def _phrase(its: Mapping[str, Any]) -> str:
    """The type of an option, in words."""
    if "enum" in its:
        return "one of " + ", ".join(f"{value}" for value in its["enum"])
    if "anyOf" in its:
        choices = [inner for inner in its["anyOf"] if inner != {"type": "null"}]
        known = next((inner for inner in choices if "enum" in inner), None)
        if known and len(choices) > 1:
            return f"{_phrase(known)}, or the name of a plug-in"
        return ", or ".join(map(_phrase, choices))
    kinds = its.get("type", "object")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "array":
        inner = its["items"]
        if "enum" in inner:
            return "list of some of " + ", ".join(f"{value}" for value in inner["enum"])
        word = _word(inner, inner["type"])
        return f"list of {word}{'es' if word.endswith('s') else 's'}{_range(inner)}"
    return f"{_word(its, kind)}{_range(its)}"


def _word(its: Mapping[str, Any], kind: str) -> str:
    word: str = its.get("format", kind)
    return _WORDS.get(word, word)


def _range(its: Mapping[str, Any]) -> str:
    least, most = its.get("minimum"), its.get("maximum")
    if "exclusiveMaximum" in its:
        most = its["exclusiveMaximum"] - 1
    if "exclusiveMinimum" in its:
        return f" above {its['exclusiveMinimum']}, up to {most}"
    if least is not None and most is not None:
        return f" from {least} to {most}"
    return "" if least is None else f" from {least}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"``\1``", text)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def remarks_in(body: Sequence[str]) -> dict[str, list[str]]:
    """The remarks in the body of a directive, by option."""
    remarks: dict[str, list[str]] = {}
    current: list[str] = []
    for line in body:
        if line and not line.startswith(" "):
            current = remarks.setdefault(line.strip().strip("`"), [])
        else:
            current.append(line[4:])
    return remarks

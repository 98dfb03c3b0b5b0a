"""Descriptions of plug-ins and their options, from docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_ENTRY = re.compile(r"(\w+): +(\S.*)")


def option_descriptions(plugin: Callable[..., Any]) -> dict[str, str]:
    """The descriptions below ``Args:``, by the parameter's name."""
    descriptions: dict[str, list[str]] = {}
    in_args = False
    lines: list[str] = []
    for line in (inspect.getdoc(plugin) or "").splitlines():
        if not line.startswith(" ") and line:
            in_args = line.rstrip() == "Args:"
        elif in_args and (entry := _ENTRY.fullmatch(line.strip())) and _indent(line) == 4:
            lines = descriptions.setdefault(entry[1], [])
            lines.append(entry[2])
        elif in_args and line:
            lines.append(line.strip())
    return {name: sentence(" ".join(lines)) for name, lines in descriptions.items()}


def sentence(text: str) -> str:
    """The text on one line, with a capital letter, a full stop and Markdown's single backquotes."""
    text = " ".join(text.split()).replace("``", "`")
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def summary(plugin: Callable[..., Any]) -> str:
    """The first paragraph of the plug-in's docstring."""
    return sentence((inspect.getdoc(plugin) or "").partition("\n\n")[0])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())

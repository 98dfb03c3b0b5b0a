"""Prometheus' text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable

from anchor.metrics.registry import Family, Sample

CONTENT_TYPE = "text/plain; version=0.0.4"


def render(families: Iterable[Family]) -> str:
    """The metrics in the text format."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines.extend(map(_sample_line, family.samples))
    return "\n".join(lines) + "\n"


def _sample_line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sample.labels)
    return f"{sample.name}{{{labels}}} {sample.value:.17g}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

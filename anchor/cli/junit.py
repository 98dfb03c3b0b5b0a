"""Results of policy tests as JUnit XML, for CI systems."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from anchor.cli.terminal import printable


@dataclass(frozen=True)
class Result:
    """The result of a case; ``failure`` says why it failed, ``seconds`` is the duration."""

    file: str
    case: str
    failure: str | None
    seconds: float


def write(path: Path, results: Iterable[Result]) -> None:
    """Write the results, one suite per file; characters that are not valid in XML are escaped."""
    suites: dict[str, list[Result]] = {}
    for result in results:
        suites.setdefault(result.file, []).append(result)
    root = ET.Element("testsuites", _counts([r for suite in suites.values() for r in suite]))
    for file, suite in suites.items():
        element = ET.SubElement(root, "testsuite", {"name": printable(file), **_counts(suite)})
        for result in suite:
            _add(element, result)
    tree = ET.ElementTree(root)
    ET.indent(tree)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _counts(results: list[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(result.failure is not None for result in results)),
        "errors": "0",
        "skipped": "0",
        "time": f"{sum(result.seconds for result in results):.3f}",
    }


def _add(suite: ET.Element, result: Result) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "classname": printable(result.file),
            "name": printable(result.case),
            "time": f"{result.seconds:.3f}",
        },
    )
    if result.failure is not None:
        message = printable(result.failure)
        ET.SubElement(case, "failure", {"message": message}).text = message

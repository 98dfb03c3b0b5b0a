"""Packages import in one direction only and without circles."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# From the lowest layer to the highest, as in doc/source/explanation/architecture.rst.
LAYERS = (
    ("errors", "timestamps"),
    ("logs",),
    ("runtime",),
    ("X509",),
    ("config",),
    ("options",),
    ("jose",),
    ("auth",),
    ("store",),
    ("validators",),
    ("policy",),
    ("ca",),
    ("audit",),
    ("renewal",),
    ("est",),
    ("authority",),
    ("acme",),
    ("authorities",),
    ("metrics",),
    ("web",),
    ("plugin_api",),
    ("controllers",),
    ("app",),
    ("wsgi",),
    ("policy_tools",),
    ("config_lint",),
    ("config_schema",),
    ("documentation",),
    ("client",),
    ("cli",),
    ("__main__", "gunicorn", "uwsgi_master"),
)
RANKS = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
MOST_MODULES = 10


def modules(package: Path) -> dict[str, Path]:
    """Every module below a package by its dotted name."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(package: Path) -> dict[str, set[str]]:
    """The imports of each module from the same package, including those for annotations."""
    paths = modules(package)
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        graph[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names} & paths.keys()
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: relative imports are not used"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    graph[name] |= {inner if inner in paths else str(node.module)} & paths.keys()
    return graph


def layer_of(module: str) -> str:
    """The package or the top-level module that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def upward_imports(graph: dict[str, set[str]]) -> list[str]:
    """Imports of a package by a lower layer or by the same layer."""
    return sorted(
        f"{importer} imports {imported}"
        for importer, found in graph.items()
        for imported in found
        if layer_of(importer) != layer_of(imported) != ""
        and RANKS[layer_of(imported)] >= RANKS[layer_of(importer)]
    )


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other directly or through other modules."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        left = list(graph[start])
        while left:
            module = left.pop()
            if module not in seen:
                seen.add(module)
                left += graph.get(module, ())
        return seen

    return sorted(module for module in graph if module in reachable(module))


@pytest.fixture(scope="module")
def graph():
    return imports(ROOT / "anchor")


def test_every_package_has_a_layer(graph):
    assert {layer_of(module) for module in graph} - {""} == RANKS.keys()


def test_no_import_points_upwards(graph):
    assert upward_imports(graph) == []


def test_there_are_no_circular_imports(graph):
    assert circles(graph) == []


def test_few_modules_are_outside_of_packages():
    # Python gives `__main__` its name and its place.
    beside = {path.stem for path in (ROOT / "anchor").glob("*.py")} - {"__init__", "__main__"}
    assert len(beside) <= MOST_MODULES, beside


def test_packages_have_a_docstring_and_no_code():
    documented = {"anchor", "anchor.logs", "anchor.validators"}
    for name, path in modules(ROOT / "anchor").items():
        if path.name == "__init__.py" and name not in documented:
            [docstring] = ast.parse(path.read_text()).body
            assert isinstance(docstring, ast.Expr), name


def made(tmp_path, **sources):
    """A package with these modules."""
    package = tmp_path / "anchor"
    for name, source in sources.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return imports(package)


@pytest.mark.parametrize(
    "source",
    [
        "from anchor.controllers import sign",
        "from anchor.controllers.sign import answer",
        "import anchor.controllers.sign",
        "def late():\n    from anchor.controllers import sign",
        "if TYPE_CHECKING:\n    from anchor.controllers import sign",
    ],
)
def test_an_upward_import_is_detected_in_every_spelling(tmp_path, source):
    graph = made(
        tmp_path, **{"X509/__init__": "", "X509/pem": source, "controllers/sign": "answer = 1"}
    )

    assert upward_imports(graph) == ["anchor.X509.pem imports anchor.controllers.sign"]


def test_a_circular_import_is_detected(tmp_path):
    graph = made(
        tmp_path,
        **{
            "X509/a": "from anchor.X509 import b",
            "X509/b": "from anchor.X509.c import thing",
            "X509/c": "def late():\n    import anchor.X509.a\nthing = 1",
            "X509/d": "from anchor.X509 import a",
        },
    )

    assert circles(graph) == ["anchor.X509.a", "anchor.X509.b", "anchor.X509.c"]

"""The pipeline is the only way to a signer, and every door goes through it."""

from __future__ import annotations

import ast
from pathlib import Path

import anchor
from tests.support.acme import BASE_URL
from tests.support.doors import DOORS, Visit, configuration, good_csr

PACKAGE = Path(anchor.__file__).parent

# What a door may know of the CA: what was issued.  Pages describe the CA.
SEEN_BY_DOORS = {"anchor.ca.issued"}
SEEN_BY_PAGES = SEEN_BY_DOORS | {"anchor.ca.signing_ca", "anchor.ca.chain", "anchor.ca.expiry"}


def modules(*packages, containing=""):
    for package in packages or ("",):
        for path in sorted((PACKAGE / package).rglob("*.py")):
            text = path.read_text()
            if containing in text:
                yield path.relative_to(PACKAGE.parent).as_posix(), ast.parse(text)


def calls(tree, name):
    """The objects whose method of this name is called."""
    return {
        ast.unparse(node.func.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
    }


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_only_the_pipeline_calls_the_ca_and_only_the_ca_calls_a_signer():
    found = {
        (path, called)
        for path, tree in modules(containing="issue")
        for called in calls(tree, "issue") | {f"getattr({c})" for c in strings(tree, "issue")}
    }

    assert found == {
        ("anchor/controllers/issuance.py", "self._authority"),
        ("anchor/controllers/acme/orders.py", "acme_finalize"),
        ("anchor/acme/finalize.py", "services.authority"),
        ("anchor/authority.py", "self.signing_ca"),
        ("anchor/ca/signing_ca.py", "generation.signer"),
    }


def strings(tree, text):
    """The functions that are called with a text, as in ``getattr(ca, "issue")``."""
    return {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and any(isinstance(each, ast.Constant) and each.value == text for each in node.args)
    }


def test_doors_know_no_signer():
    for path, tree in modules("controllers", "web", "est", "acme", "renewal"):
        seen = {name for name in imports(tree) if name.startswith("anchor.ca.")}
        allowed = SEEN_BY_DOORS if path.startswith("anchor/controllers/") else SEEN_BY_PAGES
        assert all(any(name.startswith(each) for each in allowed) for name in seen), path


def test_every_controller_that_issues_is_a_door_of_the_tests(serve, document, tmp_path):
    """The names of the doors in the code are those that the inventory gets from the tests."""
    service = serve(configuration(document, tmp_path), base_url=BASE_URL)
    old = service.issue(good_csr())
    for door in DOORS:
        assert getattr(Visit(service, good_csr(), old), door)().status_int == 200
    inventory = service.settings.authorities["default"].inventory

    named = {
        node.args[3].value
        for _, tree in modules("controllers")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Issuance"
    }

    with inventory.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT DISTINCT door FROM certificates")
        assert named == set(rows.scalars())

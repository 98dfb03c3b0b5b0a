"""The pages of errors list every status, every error class and every message."""

from __future__ import annotations

import ast
import re

import pytest

from anchor import errors
from anchor.acme.problems import NAMESPACE, ProblemType
from anchor.policy import mandatory_checks
from anchor.web import problems
from anchor.X509 import weak_keys
from tests.docs.test_reference import entry_points
from tests.support.servers.anchor import ROOT

PAGE = (ROOT / "doc/source/reference/errors.rst").read_text()
ACME_PAGE = (ROOT / "doc/source/reference/acme-errors.rst").read_text()

# The literals on the pages, which may contain line breaks.
LITERALS = {" ".join(literal.split()) for literal in re.findall(r"``([^`]+)``", PAGE + ACME_PAGE)}

REFUSALS = {
    kind.__name__
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.RequestError)
} | {"ValidationError", "refuse_any"}

# Calls with a message for an ACME client, and the position of the message.
OF_ACME = {
    "AcmeProblem": 1,
    "ChallengeFailed": 1,
    "NoSuchName": 1,
    "Subproblem": 1,
    "_bad_csr": 0,
    "_ended": 0,
    "malformed": 0,
}

# Packages whose errors no requester sees.
ELSEWHERE = {"anchor/cli", "anchor/client"}


def sections():
    """The text below the headings of each status."""
    parts = re.split(r"^(\d{3}): .*\n=+\n", PAGE, flags=re.MULTILINE)
    found = {}
    for status, text in zip(parts[1::2], parts[2::2], strict=True):
        found[int(status)] = found.get(int(status), "") + text
    return found


def template(node):
    """A message in the code, with … for the parts that vary."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and (start := template(node.left)):
        return f"{start}…"
    if isinstance(node, ast.JoinedStr):
        text = "".join(
            part.value if isinstance(part, ast.Constant) else "…" for part in node.values
        )
        # Another call has the words.
        return text if text.strip("…: ") else None
    return None


def spoken(node, module):
    """The message for a requester in this node; None if there is none."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[first, *_] as given):
            if name in OF_ACME and len(given) > OF_ACME[name]:
                return template(given[OF_ACME[name]])
            return template(first) if name in REFUSALS else None
        case ast.Yield(value=value) if module in ("standards.py", "dns.py"):
            return template(value)
        case ast.Return(value=value) if module == "pem.py":
            return template(value)
    return None


def sentences():
    """The messages in the code, with their locations."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", found)
        for path in sorted((ROOT / "anchor").rglob("*.py"))
        if str(path.relative_to(ROOT).parent) not in ELSEWHERE
        for node in ast.walk(ast.parse(path.read_text()))
        if (found := spoken(node, path.name))
    ]


def test_every_message_of_a_refusal_is_on_the_page():
    found = sentences()

    assert len(found) > 100
    assert [] == [(place, sentence) for place, sentence in found if sentence not in LITERALS]


@pytest.mark.parametrize(
    "error",
    [
        errors.NotAuthenticated(),
        errors.TooManyAttempts(1),
        errors.WrongMethod(("…",)),
    ],
)
def test_messages_in_error_classes_are_on_the_page(error):
    assert str(error) in LITERALS


@pytest.mark.parametrize("kind", list(problems.STATUSES))
def test_every_error_is_in_the_section_of_its_status(kind):
    assert f"``{kind.__name__}``" in sections()[problems.STATUSES[kind]] or kind in (
        errors.RequestError,  # one of the others, or a plug-in's
    )


def test_every_status_has_a_section_and_every_section_a_status():
    assert {int(status) for status in problems.STATUSES.values()} == set(sections())


def test_every_kind_of_request_error_is_on_the_page():
    abstract = {"RequestError", "ValidationError", "refuse_any"}

    assert {name for name in REFUSALS - abstract if f"``{name}``" not in PAGE} == set()


def test_every_check_and_every_fixup_is_on_the_page():
    rules = [
        *mandatory_checks.key_checks(frozenset(), weak_keys.Allowed()),
        *mandatory_checks.content_checks(intermediate=True),
        *mandatory_checks.content_checks(intermediate=False),
        *mandatory_checks.result_checks(),
    ]
    names = [check.name for check in rules]
    names += [*entry_points("anchor.validators"), *entry_points("anchor.fixups")]

    text = sections()[400]
    assert [name for name in names if f"``{name}``" not in text] == []


def test_every_type_of_acme_has_a_section():
    titles = re.findall(r"^(\w+)\n=+$", ACME_PAGE, flags=re.MULTILINE)

    assert {kind.urn.removeprefix(NAMESPACE) for kind in ProblemType} <= set(titles)

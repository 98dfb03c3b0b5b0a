"""The paths of EST name an authority and an operation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.errors import UnknownPath
from anchor.est.paths import RESERVED, Operation, label_path, parse_path

NO_OPERATIONS = ("", "CACERTS", "cacerts ", "fullcmc", "serverkeygen", "index", "__class__", "..")


@pytest.mark.parametrize("operation", Operation)
def test_a_path_without_a_label_is_of_the_authority_default(operation):
    assert ("default", operation) == parse_path([operation])


@pytest.mark.parametrize("label", ["default", "web", "_web", "index", "est", ".well-known"])
def test_a_label_is_the_name_of_an_authority(label):
    assert (label, Operation.ENROLL) == parse_path([label, "simpleenroll"])


@pytest.mark.parametrize("label", sorted(RESERVED))
@pytest.mark.parametrize("operation", Operation)
def test_a_label_is_never_the_name_of_an_operation(label, operation):
    with pytest.raises(UnknownPath, match="cannot be"):
        parse_path([label, operation])


def test_only_an_authority_with_another_name_than_an_operation_has_a_path():
    assert label_path("web") == ".well-known/est/web"
    assert {label_path(name) for name in RESERVED} == {None}


@pytest.mark.parametrize("operation", NO_OPERATIONS)
def test_other_operations_are_unknown_and_the_text_lists_those_there_are(operation):
    for segments in ([operation], ["web", operation]):
        with pytest.raises(UnknownPath, match="cacerts, csrattrs, simpleenroll, simplereenroll"):
            parse_path(segments)


@given(st.lists(st.text() | st.sampled_from(sorted(RESERVED)), max_size=4))
def test_any_path_is_known_or_unknown(segments):
    try:
        label, operation = parse_path(segments)
    except UnknownPath:
        return
    assert segments[-1] == operation
    assert segments[:-1] in ([], [label])

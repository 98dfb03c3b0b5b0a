"""Whatever a client sends, it gets no 5xx, and what is accepted is what was signed."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import jwt
from tests.support.acme import URL, Client, make_binding, make_key, signed
from tests.support.acme_drafts import PROBLEM, lazy_world, world
from tests.support.properties import examples

__all__ = ["lazy_world", "world"]

KEY, NEW = make_key(), make_key()
# A world is made once, and a request of one example does not change the answer to that of another.
SHARED = [HealthCheck.function_scoped_fixture]

TEXTS = st.text(max_size=30) | st.sampled_from(
    ["", "\0", "\ud800", "ES256", "none", "HS256", URL, f"{URL}/new-account", "deactivated", "é"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def encode(value):
    return json.dumps(value).encode("utf-8", "surrogatepass")


def assert_answered(answer):
    """A success, or a problem document for an error of the client."""
    assert answer.status_int < 500, (answer.status, answer.text)
    assert answer.headers["Replay-Nonce"]
    if answer.status_int >= 400:
        assert answer.content_type == PROBLEM
        assert answer.json["status"] == answer.status_int


@st.composite
def mutations(draw):
    """A function that changes some bytes."""
    kind = draw(st.sampled_from(["replace", "insert", "delete", "repeat", "truncate"]))
    where, length = draw(st.floats(0, 1)), draw(st.integers(1, 8))
    new = draw(st.binary(min_size=1, max_size=8))

    def mutate(octets):
        start = int(where * (len(octets) - 1))
        head, cut, tail = octets[:start], octets[start : start + length], octets[start + length :]
        return {
            "replace": head + new + tail,
            "insert": head + new + cut + tail,
            "delete": head + tail,
            "repeat": head + cut + cut + tail,
            "truncate": head,
        }[kind]

    return mutate


@settings(max_examples=examples(100), deadline=None, suppress_health_check=SHARED)
@given(mutation=mutations())
def test_a_body_with_other_bytes_is_refused_unless_it_means_the_same(world, mutation):
    draft = world.draft()
    body = draft.body.encode()
    mutated = mutation(body)

    answer = world.send(draft, mutated)

    assert_answered(answer)
    if answer.status_int == 200:
        before, after = json.loads(body), json.loads(mutated)
        assert (before["protected"], before["payload"]) == (after["protected"], after["payload"])


@settings(max_examples=examples(100), deadline=None, suppress_health_check=SHARED)
@given(part=st.sampled_from(["protected", "payload", "signature"]), mutation=mutations())
def test_a_part_with_other_bytes_is_refused(world, part, mutation):
    draft = world.draft()
    members = draft.sign()
    octets = jwt.unb64(members[part]) or b"{}"
    changed = mutation(octets)
    draft.members[part] = jwt.b64(changed)

    answer = world.send(draft)

    assert_answered(answer)
    # An empty payload stays empty; any other change is one.
    assert (answer.status_int == 200) == (changed == jwt.unb64(members[part]))


MEANINGFUL = ("alg", "kid", "jwk", "url", "nonce", "crit", "b64")
HEADER = st.dictionaries(
    st.sampled_from([*MEANINGFUL, "typ", "jku", "x5c"]) | TEXTS,
    JSON,
    min_size=1,
)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=SHARED)
@given(changes=HEADER)
def test_a_signed_header_of_another_meaning_is_refused(world, changes):
    draft = world.draft()
    same = all(
        name in draft.header and draft.header[name] == changes[name]
        for name in changes
        if name in MEANINGFUL
    )
    draft.raw_header = encode(draft.header | changes)

    answer = world.send(draft)

    assert_answered(answer)
    # NaN and some texts, anywhere, are no JSON.
    assert answer.status_int != 200 or same


@settings(max_examples=examples(60), deadline=None, suppress_health_check=SHARED)
@given(members=st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d"]), JSON))
def test_any_key_in_a_header_is_read_or_refused(world, members):
    draft = world.new_account(KEY)
    draft.raw_header = encode(draft.header | {"jwk": jwt.public(KEY, None) | members})

    answer = world.send(draft)

    assert_answered(answer)
    if answer.status_int < 400:
        kept = {name: members[name] for name in members if name in ("kty", "crv", "x", "y")}
        assert kept.items() <= jwt.public(KEY, None).items()


ACCOUNT = st.dictionaries(
    st.sampled_from(
        [
            "contact",
            "termsOfServiceAgreed",
            "onlyReturnExisting",
            "externalAccountBinding",
            "status",
            "orders",
        ]
    )
    | TEXTS,
    JSON | st.lists(TEXTS.map(lambda text: f"mailto:{text}@example.com"), max_size=3),
)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=SHARED)
@given(payload=ACCOUNT)
def test_any_request_for_an_account_is_answered(world, payload):
    draft = world.new_account(make_key())
    draft.payload = encode(payload)

    answer = world.send(draft)

    assert_answered(answer)
    if answer.status_int == 201:
        assert payload.get("externalAccountBinding") is None
        assert "externalAccountBinding" not in answer.json


@settings(max_examples=examples(100), deadline=None, suppress_health_check=SHARED)
@given(payload=ACCOUNT)
def test_any_change_of_an_account_is_answered(world, payload):
    client = Client(world.service.http)
    client.register()
    draft = world.draft(client.account, kid=client.account)
    draft.key, draft.payload = client.key, encode(payload)

    answer = world.send(draft)

    assert_answered(answer)
    if answer.status_int == 200:
        ended = payload.get("status") == "deactivated"
        assert answer.json["status"] == ("deactivated" if ended else "valid")


@settings(max_examples=examples(60), deadline=None, suppress_health_check=SHARED)
@given(
    part=st.sampled_from(["protected", "payload", "signature"]),
    mutation=mutations(),
    changes=st.dictionaries(st.sampled_from(["protected", "payload", "signature", "header"]), JSON),
)
def test_any_binding_is_refused_if_it_is_not_that_of_a_token(world, part, mutation, changes):
    key = make_key()
    binding = make_binding(key, "tk_aaaaaaaaaaaaaaaa", "A" * 43)
    binding[part] = jwt.b64(mutation(jwt.unb64(binding[part])))
    draft = world.new_account(key)
    draft.payload = encode({"externalAccountBinding": binding | changes})

    answer = world.send(draft)

    assert_answered(answer)
    assert 400 <= answer.status_int


@settings(max_examples=examples(60), deadline=None, suppress_health_check=SHARED)
@given(
    part=st.sampled_from(["protected", "payload", "signature"]),
    mutation=mutations(),
    changes=st.dictionaries(st.sampled_from(["protected", "payload", "signature", "header"]), JSON),
)
def test_any_changed_statement_of_a_new_key_is_refused(world, part, mutation, changes):
    client = world.client
    url = f"{URL}/key-change"
    statement = {"account": client.account, "oldKey": client.key.as_dict(private=False)}
    inner = json.loads(signed(NEW, url, statement))
    octets = jwt.unb64(inner[part])
    changed = mutation(octets)
    if changed == octets and not changes:
        return
    inner[part] = jwt.b64(changed)
    draft = world.draft(url)
    draft.payload = encode(inner | changes)

    answer = world.send(draft)

    assert_answered(answer)
    assert 400 <= answer.status_int

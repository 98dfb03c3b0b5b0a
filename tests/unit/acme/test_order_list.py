"""The list of an account's orders, in pages (RFC 8555 section 7.1.2.1)."""

from __future__ import annotations

import re

import pytest

from anchor.acme import order_list
from tests.support.acme_orders import (
    add_client,
    assert_problem,
    finalize,
    new_order,
)


def next_page(answer):
    links = dict(
        reversed(re.fullmatch(r'<(.*)>;rel="(.*)"', link).groups())
        for link in answer.headers.getall("Link")
    )
    return links.get("next")


def test_an_account_without_orders_has_an_empty_list(client):
    answer = client.post(f"{client.account}/orders", None, status=200)

    assert answer.json == {"orders": []}
    assert next_page(answer) is None


def test_the_list_has_the_orders_that_are_not_invalid(client, acme, clock):
    ended = new_order(client, "a.example.com")
    clock.advance(hours=23)
    client.nonces.clear()
    deactivated = new_order(client, "b.example.com")
    client.post(deactivated.json["authorizations"][0], {"status": "deactivated"})
    ready, valid = (new_order(client, f"{name}.example.com") for name in "cd")
    finalize(client, valid.json)
    new_order(add_client(acme), "c.example.com")
    clock.advance(hours=1, seconds=1)
    client.nonces.clear()

    orders = client.post(f"{client.account}/orders", None).json["orders"]

    assert sorted(orders) == sorted(each.headers["Location"] for each in (ready, valid))
    assert ended.headers["Location"] not in orders


@pytest.mark.parametrize(("number", "pages"), [(3, 1), (4, 2), (6, 2), (7, 3)])
def test_a_long_list_has_pages_with_each_order_once(client, monkeypatch, number, pages):
    monkeypatch.setattr(order_list, "PAGE", 3)
    expected = [new_order(client, f"{n}.example.com").headers["Location"] for n in range(number)]

    orders, url, count = [], f"{client.account}/orders", 0
    while url is not None:
        answer = client.post(url, None, status=200)
        orders += answer.json["orders"]
        url, count = next_page(answer), count + 1

    assert sorted(orders) == sorted(expected)
    assert len(set(orders)) == number
    assert count == pages


@pytest.mark.parametrize("cursor", ["x", "1", "-", "1-", "-a", "1-A", "1-a-b", "9" * 16 + "-a"])
def test_another_page_does_not_exist(client, cursor):
    answer = client.post(f"{client.account}/orders/{cursor}", None)

    assert_problem(answer, "malformed", 404, "no such list")


@pytest.mark.parametrize("more", ["", "/1-a"])
def test_the_list_of_another_account_does_not_exist(acme, client, more):
    other = add_client(acme)

    answer = other.post(f"{client.account}/orders{more}", None)

    assert_problem(answer, "malformed", 404, "no such list")

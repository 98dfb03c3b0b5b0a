"""Responses without a body have the status that RFC 8555 says, though Pecan prefers 204."""

from __future__ import annotations

from tests.support.acme import BASE_URL, acme_configuration


def test_a_new_nonce_has_200_for_head_and_204_for_get(serve, document):
    acme = serve(acme_configuration(document), base_url=BASE_URL)
    head = acme.http.head("/acme/default/new-nonce")
    get = acme.http.get("/acme/default/new-nonce")
    assert (head.status_int, get.status_int) == (200, 204)
    assert head.headers["Replay-Nonce"] != get.headers["Replay-Nonce"]
    assert head.headers["Cache-Control"] == get.headers["Cache-Control"] == "no-store"

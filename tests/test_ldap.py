"""Authentication by LDAP, against a real OpenLDAP."""

from __future__ import annotations

import pytest

from anchor import auth
from anchor.auth.results import AuthDetails
from anchor.errors import NotAuthenticated
from tests.servers.slapd import SUFFIX

PEOPLE = f"ou=people,{SUFFIX}"
NOVA = AuthDetails("alice", ("Nova", "Odd, +ends", "Swift"))
BY_DN = {"service_dn": None, "service_secret": None, "user_dn": f"uid={{user}},{PEOPLE}"}


@pytest.fixture
def authenticate(slapd, tmp_path):
    """Asks a backend with changed options for an identity."""

    def ask(user, secret, **changes):
        authenticator = auth.configure("corp", slapd.options(**changes), tmp_path)
        return authenticator.authenticate("default", user, secret)

    return ask


@pytest.mark.parametrize("way", [{}, BY_DN], ids=["service account", "DN template"])
def test_a_user_has_the_name_and_the_groups_that_stand_in_the_directory(authenticate, way):
    assert authenticate("alice", "alice-secret", **way) == NOVA
    assert authenticate("ALICE", "alice-secret", **way) == NOVA


@pytest.mark.parametrize("way", [{}, BY_DN], ids=["service account", "DN template"])
def test_start_tls(slapd, authenticate, way):
    way = way | {"ssl": False, "start_tls": True, "port": slapd.port}
    assert authenticate("alice", "alice-secret", **way) == NOVA


def test_plain_text_when_it_is_asked_for(slapd, authenticate):
    way = {"ssl": False, "allow_plaintext": True, "port": slapd.port}
    assert authenticate("alice", "alice-secret", **way) == NOVA


@pytest.mark.parametrize("way", [{}, BY_DN], ids=["service account", "DN template"])
@pytest.mark.parametrize(
    "user",
    [
        "nobody",
        "alic*",
        "*",
        "*)(uid=*",
        "alice)(uid=*",
        "alice,ou=people",
        "alice+cn=Alice",
        "alice\0",
        "alice\n",
        "alice\r\nbob",
        " alice",
        "alice ",
        "alice@other.domain",
        "EXAMPLE\\alice",
        "\\61lice",
        "",
        "a" * 300,
        "alice\u200b",
        "\udcff",
        f"alice,{PEOPLE}",
    ],
    ids=lambda user: ascii(user)[:20],
)
def test_a_hostile_name_is_nobodys(authenticate, way, user):
    with pytest.raises(NotAuthenticated):
        authenticate(user, "alice-secret", **way)


@pytest.mark.parametrize("way", [{}, BY_DN], ids=["service account", "DN template"])
def test_a_name_full_of_separators_is_one_name(authenticate, way):
    identity = authenticate("odd,name+x=y", "odd-secret", **way)

    assert AuthDetails("odd,name+x=y", ("Nova",)) == identity

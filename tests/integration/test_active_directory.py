"""Authentication by Active Directory: a real Samba domain controller with LDAPS."""

from __future__ import annotations

import ldap3
import pytest

from anchor.auth import principals
from anchor.auth.loading import load_authenticator
from anchor.auth.results import AuthDetails
from anchor.errors import BackendUnavailable, NotAuthenticated
from tests.support.pki import make_csr, shared_key
from tests.support.refused_renewals import refused_renewal
from tests.support.renewal import renew
from tests.support.servers.samba import BASE, DOMAIN


@pytest.fixture
def authenticate(samba, tmp_path):
    """Authenticates with changed options of the backend."""

    def ask(user, secret, **changes):
        authenticator = load_authenticator("ad", samba.options(**changes), tmp_path)
        return authenticator.authenticate("default", user, secret)

    return ask


def test_host_base_and_domain_are_enough(authenticate):
    identity = authenticate("alice", "Al1ce-Passw0rd!")

    assert AuthDetails("alice", ("Elsewhere", "Nova")) == identity


def test_the_name_is_the_directorys(authenticate):
    assert authenticate("ALICE", "Al1ce-Passw0rd!").username == "alice"


def test_groups_of_groups_when_they_are_asked_for(authenticate):
    identity = authenticate("alice", "Al1ce-Passw0rd!", nested_groups=True)

    assert identity.groups == ("Elsewhere", "Everyone here", "Nova", "Operators")


def test_only_groups_below_a_base_count(authenticate):
    base = {"group_base": f"ou=groups, {BASE.lower()}"}

    assert authenticate("alice", "Al1ce-Passw0rd!", **base).groups == ("Nova",)
    nested = authenticate("alice", "Al1ce-Passw0rd!", nested_groups=True, **base)
    assert nested.groups == ("Everyone here", "Nova", "Operators")


def test_a_user_without_memberof_has_no_groups(authenticate):
    assert AuthDetails("bob") == authenticate("bob", "B0b-Passw0rd!")


@pytest.mark.parametrize(
    ("user", "secret"),
    [
        ("alice", "wrong"),
        ("nobody", "Al1ce-Passw0rd!"),
        ("mallory", "Mall0ry-Passw0rd!"),
        ("eve", "Ev3-Passw0rd!"),
        ("someone", "Tr3nt-Passw0rd!"),
        ("alice@ad.example.com", "Al1ce-Passw0rd!"),
        ("alice@other.example.com", "Al1ce-Passw0rd!"),
        ("AD\\alice", "Al1ce-Passw0rd!"),
        ("alice ", "Al1ce-Passw0rd!"),
        ("alice\0", "Al1ce-Passw0rd!"),
        ("*", "Al1ce-Passw0rd!"),
        ("alice", ""),
        ("alice", "\0"),
        ("alice", "Al1ce-Passw0rd!\0"),
        ("Guest", "\0"),
    ],
    ids=ascii,
)
def test_wrong_credentials_are_refused_in_the_same_way(authenticate, user, secret):
    """Wrong passwords, unknown, disabled and expired users, and names that could belong to another
    user.
    """
    with pytest.raises(NotAuthenticated) as refused:
        authenticate(user, secret)

    assert str(refused.value) == "the credentials were not accepted"


def test_a_sam_account_name_without_a_matching_upn_binds(authenticate):
    assert authenticate("trent", "Tr3nt-Passw0rd!").username == "trent"


def test_without_tls_active_directory_does_not_take_secrets(authenticate):
    with pytest.raises(BackendUnavailable, match="strongerAuthRequired"):
        authenticate("alice", "Al1ce-Passw0rd!", ssl=False, allow_plaintext=True)


def test_start_tls(authenticate):
    identity = authenticate("alice", "Al1ce-Passw0rd!", ssl=False, start_tls=True)

    assert identity.username == "alice"


def test_a_service_account_can_look_for_users_by_their_mail_or_anything(authenticate):
    options = {
        "domain": None,
        "service_dn": "bob@ad.example.com",
        "service_secret": "B0b-Passw0rd!",
        "name_attribute": "sAMAccountName",
        "filter": "(userPrincipalName={user})",
    }

    identity = authenticate("someone@ad.example.com", "Tr3nt-Passw0rd!", **options)

    assert AuthDetails("trent") == identity


SERVICE_ACCOUNT = {
    "domain": None,
    "service_dn": f"bob@{DOMAIN}",
    "service_secret": "B0b-Passw0rd!",
    "name_attribute": "sAMAccountName",
    "filter": "(&(objectCategory=person)(sAMAccountName={user}))",
    "nested_groups": True,
    "group_base": f"OU=Groups,{BASE}",
}


@pytest.fixture
def renewing(samba, serve, document):
    """A service that asks the domain with a service account, for names of Operators."""
    document["authentication"]["static"] = {
        name: value for name, value in samba.options(**SERVICE_ACCOUNT).items() if value is not None
    }
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"server_group": {"group_prefixes": {"Operators": "op"}}}
    return serve(document)


def test_a_renewal_needs_a_user_who_could_still_log_in(samba, renewing):
    nova, csr = f"CN=Nova,OU=Groups,{BASE}", make_csr("op-1.example.com")
    # 100 ns since 1601: a day in 2001.
    past = str(126_227_808_000_000_000)
    with samba.administration() as connection:

        def change(dn, attribute, value, operation=ldap3.MODIFY_REPLACE):
            connection.modify(dn, {attribute: [(operation, [value])]})

        def begin(user):
            dn = samba.add_user(connection, user, "R3news-Passw0rd!")
            # Members of Nova are in Operators, because Nova is.
            change(nova, "member", dn, ldap3.MODIFY_ADD)
            return dn, renewing.issue(csr, user=user, secret="R3news-Passw0rd!")

        dn, certificate = begin("renews")
        assert renew(renewing, certificate, shared_key(), csr).status_int == 200

        change(dn, "userAccountControl", "514")
        assert "disabled or expired" in refused_renewal(renewing, certificate, csr)
        change(dn, "userAccountControl", "512")
        change(dn, "accountExpires", past)
        assert "disabled or expired" in refused_renewal(renewing, certificate, csr)
        change(dn, "accountExpires", "0")
        assert renew(renewing, certificate, shared_key(), csr).status_int == 200

        change(nova, "member", dn, ldap3.MODIFY_DELETE)
        assert "server_group" in refused_renewal(renewing, certificate, csr, status=400)
        change(nova, "member", dn, ldap3.MODIFY_ADD)

        change(dn, "sAMAccountName", "renamed")
        assert "not known any more" in refused_renewal(renewing, certificate, csr)
        connection.delete(dn)
        assert "not known any more" in refused_renewal(renewing, certificate, csr)


@pytest.mark.parametrize("lookup", ["domain", "DN template"])
def test_all_spellings_that_the_domain_accepts_count_together(samba, authenticate, lookup):
    changes = {}
    if lookup == "DN template":
        changes = {"domain": None, "user_dn": f"CN={{user}},CN=Users,{BASE}"}
        changes |= {"name_attribute": "sAMAccountName"}
    taken = []
    for name in SPELLINGS:
        try:
            taken.append((name, authenticate(name, "Al1ce-Passw0rd!", **changes)))
        except NotAuthenticated:
            continue

    assert {"alice", "ALICE"} <= {name for name, _ in taken}
    assert {principals.counting_key("alice")} == {
        principals.counting_key(name) for name, _ in taken
    }


SPELLINGS = [
    *(
        "alice",
        "ALICE",
        "aLiCe",
        "alic\u00e9",
        "alice\u0301",
        "\u00e0lice",
        "al\u0131ce",
        "al\u0130ce",
    ),
    *("\uff41lice", "\uff21\uff2c\uff29\uff23\uff25", "\u24d0lice", "al\u2170ce", "\U0001d4d0lice"),
    *(
        "alice\u00a0",
        "al\u3000ice",
        "al\u00adice",
        "al\u200bice",
        "alice\ufe0f",
        "al\u01d0ce",
        "AL\u00cdCE",
    ),
]

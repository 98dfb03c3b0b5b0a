"""Uses of tokens are counted exactly, and taken with the certificate or not at all."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from anchor.auth.results import SingleUse
from anchor.errors import NotAuthenticated, RequesterGone, StorageError
from anchor.store.acme_records import AccountStatus
from anchor.store.database import tokens as tokens_module
from anchor.store.database import used_credentials
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.certificates import Inventory, Selection
from anchor.store.database.statements import Transaction
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now
from tests.support.acme import add_account
from tests.support.database import make_database, make_record
from tests.support.properties import examples
from tests.support.tokens import HOUR, make_token

SECOND = datetime.timedelta(seconds=1)
NOW = utc_now().replace(microsecond=0)


@pytest.fixture
def database(tmp_path):
    made = make_database(tmp_path)
    yield made
    made.close()


@pytest.fixture
def tokens(database):
    return Tokens(database)


@pytest.fixture
def inventory(database):
    return Inventory(database)


def store(inventory, token_id=None, *, single_use=None, at=NOW, **values):
    """Store a certificate that costs a use; return its record."""
    record, names = make_record("web1.example.com", **values)
    issuance = dataclasses.replace(record.issuance, token_id=token_id, issued_at=at)
    record = dataclasses.replace(record, issuance=issuance)
    inventory.add(record, names, single_use=single_use)
    return record


def used(tokens, token_id):
    return tokens.find(token_id).used


def test_a_certificate_takes_a_use_and_the_last_one_is_the_last(inventory, tokens):
    token = make_token(uses=2, names=("web1.example.com",))
    tokens.add(token)

    first, second = store(inventory, token.id), store(inventory, token.id)
    with pytest.raises(NotAuthenticated, match="used up, revoked or expired meanwhile"):
        store(inventory, token.id)

    assert tokens.find(token.id) == dataclasses.replace(token, used=2)
    listed = list(inventory.select(Selection(token_id=token.id)))
    assert {each.fingerprint for each in listed} == {first.fingerprint, second.fingerprint}
    assert inventory.count(Selection()) == 2


@pytest.mark.parametrize("why", ["revoked", "unknown", "expired", "used up"])
def test_a_renewal_needs_the_token_but_takes_no_use(inventory, tokens, why):
    """The look-up was before: the token may have been revoked or pruned meanwhile."""
    token = make_token(created=NOW - 9 * HOUR, expires=NOW - HOUR, used=int(why == "used up"))
    if why != "unknown":
        tokens.add(token)
    if why == "revoked":
        tokens.revoke(token.id)
    record, names = make_record("web1.example.com")
    issuance = dataclasses.replace(record.issuance, token_id=token.id, renewed_from="ab" * 32)
    record = dataclasses.replace(record, issuance=issuance)

    if why in ("revoked", "unknown"):
        with pytest.raises(RequesterGone, match="the token of the first certificate was revoked"):
            inventory.add(record, names)
        assert inventory.count(Selection()) == 0
    else:
        inventory.add(record, names)
        assert used(tokens, token.id) == token.used


@pytest.mark.parametrize("why", ["revoked", "expired", "unknown"])
def test_a_token_that_ended_meanwhile_gets_no_certificate(inventory, tokens, why):
    token = make_token(created=NOW, expires=NOW + HOUR)
    if why != "unknown":
        tokens.add(token)
    if why == "revoked":
        tokens.revoke(token.id)

    with pytest.raises(NotAuthenticated):
        store(inventory, token.id, at=NOW + HOUR if why == "expired" else NOW)

    assert inventory.count(Selection()) == 0


def test_a_certificate_that_cannot_be_stored_takes_no_use(inventory, tokens):
    token = make_token(uses=5)
    tokens.add(token)
    single = SingleUse("ab" * 32, NOW + HOUR)
    first = store(inventory, token.id)

    with pytest.raises(StorageError):
        store(inventory, token.id, single_use=single, fingerprint=first.fingerprint)

    assert used(tokens, token.id) == 1
    store(inventory, single_use=single)


def test_a_use_that_is_given_back_can_be_taken_again(inventory, tokens):
    token = make_token()
    tokens.add(token)
    single = SingleUse("ab" * 32, NOW + HOUR)

    for _ in range(3):
        store(inventory, token.id, single_use=single)
        inventory.give_back(token.id, single, NOW)

    assert used(tokens, token.id) == 0


def test_no_more_is_given_back_than_was_taken(inventory, tokens):
    token = make_token()
    tokens.add(token)

    inventory.give_back(token.id, None, NOW)
    inventory.give_back("tk_" + "a" * 16, SingleUse("cd" * 32, NOW), NOW)

    assert used(tokens, token.id) == 0


@pytest.mark.parametrize("uses", [1, 5])
def test_threads_that_race_take_exactly_the_uses(inventory, tokens, uses):
    token = make_token(uses=uses)
    tokens.add(token)

    def attempt(_number):
        try:
            return store(inventory, token.id).fingerprint
        except NotAuthenticated:
            return None

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = [each for each in pool.map(attempt, range(48)) if each]

    assert len(got) == uses == used(tokens, token.id)
    assert {each.fingerprint for each in inventory.select(Selection())} == set(got)


def test_an_imported_certificate_takes_no_use(inventory, tokens):
    token = make_token()
    tokens.add(token)
    record, names = make_record("a.example.com")
    issuance = dataclasses.replace(record.issuance, token_id=token.id)

    inventory.add_all([(dataclasses.replace(record, issuance=issuance), names)])

    assert used(tokens, token.id) == 0


def test_how_the_requester_was_authenticated_is_stored(inventory):
    record, names = make_record("a.example.com")
    issuance = dataclasses.replace(
        record.issuance,
        authentication="issuer",
        credential="jwt",
        claims={"project": "ü\0\udcff", "ref": "main"},
    )
    record = dataclasses.replace(record, issuance=issuance)

    inventory.add(record, names)

    assert inventory.find(record.fingerprint) == record


class Uses(RuleBasedStateMachine):
    """Whatever happens to a token, the uses that were taken are those of the certificates."""

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.database = make_database(Path(self.directory.name))
        self.inventory, self.tokens = Inventory(self.database), Tokens(self.database)
        self.token = make_token(uses=3, created=NOW, expires=NOW + 10 * SECOND)
        self.tokens.add(self.token)
        self.issued, self.returned, self.at, self.is_revoked = 0, 0, NOW, False

    @rule()
    def issue(self):
        usable = not self.is_revoked and self.at < self.token.expires
        may = usable and self.issued - self.returned < self.token.uses
        try:
            store(self.inventory, self.token.id, at=self.at)
        except NotAuthenticated:
            assert not may
        else:
            assert may
            self.issued += 1

    @rule()
    def give_back(self):
        if self.issued > self.returned:
            self.inventory.give_back(self.token.id, None, self.at)
            self.returned += 1

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds):
        self.at += seconds * SECOND

    @rule()
    def revoke(self):
        assert self.tokens.revoke(self.token.id) is not self.is_revoked
        self.is_revoked = True

    @invariant()
    def the_count_is_right(self):
        assert used(self.tokens, self.token.id) == self.issued - self.returned
        assert self.inventory.count(Selection(token_id=self.token.id)) == self.issued

    def teardown(self):
        self.database.close()
        self.directory.cleanup()


TestUses = Uses.TestCase
TestUses.settings = settings(max_examples=examples(25), stateful_step_count=12, deadline=None)


# Tokens as a list.


def test_all_tokens_are_listed_once_in_the_order_of_their_creation(tokens, monkeypatch):
    monkeypatch.setattr(tokens_module, "_PAGE", 3)
    made = [make_token(created=NOW + number // 4 * SECOND) for number in range(11)]
    for token in made:
        tokens.add(token)

    listed = list(tokens.select())

    assert listed == sorted(made, key=lambda token: (token.created, token.id))


def test_only_usable_tokens_are_selected(tokens):
    usable, never = make_token(uses=2, used=1), make_token(expires=None)
    revoked = make_token()
    for token in (
        *(usable, never, revoked, make_token(used=1)),
        make_token(created=NOW - 2 * HOUR, expires=NOW),
    ):
        tokens.add(token)
    tokens.revoke(revoked.id)

    assert {token.id for token in tokens.select(usable_at=NOW)} == {usable.id, never.id}
    assert len(list(tokens.select())) == 5


def test_a_token_is_revoked_once(tokens):
    token = make_token()
    tokens.add(token)

    assert tokens.revoke(token.id)
    when = tokens.find(token.id).revoked
    assert not tokens.revoke(token.id)
    assert not tokens.revoke("tk_" + "a" * 16)
    assert tokens.find(token.id).revoked == when


def test_pruning_keeps_tokens_that_may_be_used_or_ended_lately(tokens):
    kept = [make_token(), make_token(expires=None), make_token(created=NOW - HOUR, expires=NOW)]
    gone = make_token(created=NOW - 9 * HOUR, expires=NOW - 3 * HOUR)
    revoked = make_token(expires=None)
    for token in (*kept, gone, revoked):
        tokens.add(token)
    earlier = Tokens(tokens.database, lambda: NOW - 3 * HOUR)
    assert earlier.revoke(revoked.id)

    assert tokens.count_ended(NOW - 2 * HOUR) == 2
    assert tokens.prune(NOW - 2 * HOUR) == 2
    assert {token.id for token in tokens.select()} == {token.id for token in kept}


@pytest.mark.parametrize("ending", ["expired", "revoked"])
def test_pruning_keeps_an_ended_token_until_its_last_certificate_has_ended(
    tokens, inventory, ending
):
    """A renewal has the token of the first certificate, and is refused without it."""
    token = make_token(created=NOW - 9 * HOUR, expires=NOW - 8 * HOUR)
    tokens.add(token)
    if ending == "revoked":
        Tokens(tokens.database, lambda: NOW - 9 * HOUR).revoke(token.id)
    else:
        store(inventory, token.id, at=NOW - 9 * HOUR, not_after=NOW - 7 * HOUR)
    renewed, names = make_record("web1.example.com", not_after=NOW)
    issuance = dataclasses.replace(renewed.issuance, token_id=token.id, renewed_from="ab" * 32)
    inventory.add_all([(dataclasses.replace(renewed, issuance=issuance), names)])
    store(inventory, not_after=NOW + HOUR)

    for before in (NOW - HOUR, NOW):
        assert tokens.count_ended(before) == tokens.prune(before) == 0
    assert tokens.count_ended(NOW + SECOND) == tokens.prune(NOW + SECOND) == 1


def test_pruning_keeps_the_token_of_a_valid_account(tokens):
    """An account is authenticated by its token, which may have expired."""
    token = make_token(created=NOW - 9 * HOUR, expires=NOW - 8 * HOUR)
    tokens.add(token)
    # The account was made when the token was good.
    account = add_account(tokens.database, token_id=token.id, created=NOW - 9 * HOUR)

    assert tokens.count_ended(NOW) == tokens.prune(NOW) == 0
    tokens.revoke(token.id)
    assert AcmeAccounts(tokens.database).find(account.id).status is AccountStatus.REVOKED
    assert tokens.count_ended(NOW + SECOND) == tokens.prune(NOW + SECOND) == 1


@pytest.mark.parametrize("ending", ["revoked", "expired"])
def test_the_secret_of_a_token_that_has_ended_for_good_is_deleted(tokens, ending):
    expires = {"revoked": None, "expired": NOW - SECOND}[ending]
    values = {"created": NOW - HOUR, "mac_key": bytes(32)}
    ended = make_token(expires=expires, **values)
    kept = [make_token(expires=None, used=1, **values), make_token(expires=NOW + HOUR, **values)]
    for token in (ended, *kept):
        tokens.add(token)

    if ending == "revoked":
        tokens.revoke(ended.id)
    # It expired too lately to be deleted.
    assert tokens.prune(NOW - HOUR) == 0

    assert tokens.find(ended.id).mac_key is None
    assert [tokens.find(token.id).mac_key for token in kept] == [bytes(32)] * 2


def test_pruning_finds_the_certificates_of_a_token_by_an_index(tokens):
    query = tokens_module.delete(tokens_module.TOKENS).where(tokens_module._ended_before(NOW))
    with tokens.database.read() as connection:
        text = str(query.compile(connection.engine, compile_kwargs={"literal_binds": True}))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()

    assert "certificates_token_id" in str(plan)
    assert "acme_accounts_token_id" in str(plan)


# Credentials for one certificate.


def take(database, key, expires, now):
    with database.transaction() as transaction:
        return used_credentials.take(transaction, SingleUse(key, expires), now)


def test_a_credential_is_taken_once_until_it_has_long_expired(database):
    key, end = "ab" * 32, NOW + HOUR

    assert take(database, key, end, NOW)
    for later in (NOW, end, end + 599 * SECOND):
        assert not take(database, key, end, later)
    assert take(database, "cd" * 32, end, NOW)


def test_expired_credentials_are_deleted_in_batches_by_one_transaction_of_sixteen(database):
    def rows():
        with database.read() as connection:
            query = "SELECT count(*) FROM used_credentials"
            return connection.exec_driver_sql(query).scalar()

    for number in range(250):
        take(database, f"{number:064x}", NOW, NOW)
    later = NOW + HOUR

    counts = []
    for number in range(3 * 16):
        assert take(database, f"{number + 1024:064x}", later + HOUR, later)
        counts.append(rows())

    assert counts[::16] == [151, 67, 33]
    assert counts[1:16] == list(range(152, 167))


def test_a_single_use_is_refused_with_the_certificate(inventory):
    single = SingleUse("ab" * 32, NOW + HOUR)
    store(inventory, single_use=single)

    with pytest.raises(NotAuthenticated, match="valid for one certificate"):
        store(inventory, single_use=single)

    assert inventory.count(Selection()) == 1


def test_a_credential_that_was_used_takes_no_use_of_a_token(inventory, tokens, database):
    single = SingleUse("ab" * 32, NOW + HOUR)
    token = make_token()
    tokens.add(token)
    assert take(database, single.key, single.expires, NOW)

    with pytest.raises(NotAuthenticated):
        store(inventory, token.id, single_use=single)

    assert used(tokens, token.id) == 0


def test_a_certificate_without_a_token_costs_no_further_statement(inventory, monkeypatch):
    executed = []
    execute = Transaction.execute

    def counted(self, statement, values):
        executed.append(statement)
        return execute(self, statement, values)

    monkeypatch.setattr(Transaction, "execute", counted)
    store(inventory)

    assert len(executed) == 1

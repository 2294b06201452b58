"""The ledger's rules, without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bots.domain.ledger import (
    FLOORS,
    Account,
    AccountKind,
    Book,
    Command,
    Conflict,
    InvariantBroken,
    Outcome,
    Post,
    Refusal,
    Result,
    Transfer,
    Void,
    check_batch,
    decide,
    expire,
)
from bots.domain.ledger_journal import GENESIS, Entry, EntryType, canonical, chained
from bots.domain.money import LARGEST, Money
from bridge.domain.ulids import ulid

NOW = 1_000


def account(id_: str, **fields: Any) -> Account:
    made = Account(id_, AccountKind.PERSON, f"@{id_}:x", "EUR", 0, None, False, False, 0, 0, 0, 0, 0, 0)
    return replace(made, **fields)


def book(**fields: dict[str, Any]) -> Book:
    """Alice has 10.00, Bob nothing, Carol yen, the provider no floor; ``fields`` change them."""
    people = [
        account("alice", credits=1000),
        account("bob"),
        account("carol", currency="JPY", credits=1000),
        account("provider", kind=AccountKind.PROVIDER, floor=None),
    ]
    return Book(GENESIS, {each.id: replace(each, **fields.get(each.id, {})) for each in people})


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def pay(id_: str = "t", minor: int = 100, debit: str = "alice", credit: str = "bob", **rest: Any) -> Transfer:
    return Transfer(id_, debit, credit, rest.pop("money", eur(minor)), "payment", **rest)


def take(ledger: Book, *chain: Command, now: int = NOW) -> tuple[Outcome, ...]:
    outcome = decide(ledger, chain, now)
    assert not isinstance(outcome, Conflict), outcome
    return outcome


def refusals(ledger: Book, *chain: Command, now: int = NOW) -> list[Refusal | None]:
    return [outcome.refusal for outcome in take(ledger, *chain, now=now)]


def nets(ledger: Book) -> dict[str, int]:
    return {id_: each.net for id_, each in ledger.accounts.items()}


# --- transfers


def test_a_transfer_debits_one_account_and_credits_the_other() -> None:
    ledger = book()
    assert take(ledger, pay(minor=250)) == (Outcome("t", Result.CREATED, None, 1),)
    alice, bob = ledger.accounts["alice"], ledger.accounts["bob"]
    assert (alice.balance, bob.balance) == (eur(750), eur(250))
    assert (alice.debits, alice.credits, bob.debits, bob.credits) == (250, 1000, 0, 250)
    (entry,) = ledger.entries
    assert (entry.debit_posting, entry.credit_posting, entry.debit_after, entry.credit_after) == (1, 1, 750, 250)
    assert entry.hash == chained(GENESIS.hash, entry)
    assert (ledger.head.seq, ledger.head.hash) == (1, entry.hash)


@pytest.mark.parametrize(
    ("transfer", "fields", "refusal"),
    [
        (pay(minor=1000), {}, None),
        (pay(minor=1001), {}, Refusal.EXCEEDS_BALANCE),
        (pay(minor=1050), {"alice": {"floor": -50}}, None),
        (pay(minor=1051), {"alice": {"floor": -50}}, Refusal.EXCEEDS_BALANCE),
        (pay(minor=501), {"alice": {"floor": 500}}, Refusal.EXCEEDS_BALANCE),
        (pay(minor=901), {"alice": {"pending_debits": 100}}, Refusal.EXCEEDS_BALANCE),
        (pay(minor=1001), {"alice": {"pending_credits": 100}}, Refusal.EXCEEDS_BALANCE),
        (pay(minor=10**12, debit="provider"), {}, None),
        (pay(minor=100), {"bob": {"ceiling": 100}}, None),
        (pay(minor=101), {"bob": {"ceiling": 100}}, Refusal.EXCEEDS_CEILING),
        (pay(minor=61), {"bob": {"ceiling": 100, "pending_credits": 40}}, Refusal.EXCEEDS_CEILING),
        (pay(minor=0), {}, Refusal.NOT_POSITIVE),
        (pay(minor=-5), {}, Refusal.NOT_POSITIVE),
        (pay(credit="alice"), {}, Refusal.SAME_ACCOUNT),
        (pay(credit="nobody"), {}, Refusal.ACCOUNT_UNKNOWN),
        (pay(debit="nobody"), {}, Refusal.ACCOUNT_UNKNOWN),
        (pay(), {"alice": {"closed": True}}, Refusal.ACCOUNT_CLOSED),
        (pay(), {"bob": {"closed": True}}, Refusal.ACCOUNT_CLOSED),
        (pay(), {"alice": {"frozen": True}}, Refusal.ACCOUNT_FROZEN),
        (pay(), {"bob": {"frozen": True}}, Refusal.ACCOUNT_FROZEN),
        (pay(credit="carol"), {}, Refusal.CURRENCY_MISMATCH),
        (pay(debit="carol"), {}, Refusal.CURRENCY_MISMATCH),
        (pay(money=Money(5, "JPY")), {}, Refusal.CURRENCY_MISMATCH),
        (pay(pending=True, expires_at=NOW), {}, Refusal.PENDING_EXPIRED),
        (pay(reverses="unheard of"), {}, Refusal.ORIGINAL_UNKNOWN),
        (pay(debit="provider"), {"bob": {"credits": LARGEST - 50, "debits": LARGEST - 50}}, Refusal.OVERFLOW),
        (pay(debit="provider"), {"provider": {"debits": LARGEST - 50, "credits": LARGEST}}, Refusal.OVERFLOW),
    ],
)
def test_transfers_are_refused(transfer: Transfer, fields: dict[str, Any], refusal: Refusal | None) -> None:
    ledger = book(**fields)
    before = dict(ledger.accounts)
    assert refusals(ledger, transfer) == [refusal]
    if refusal is not None:
        assert ledger.accounts == before
        assert [(entry.type, entry.refusal, entry.id) for entry in ledger.entries] == [("refusal", refusal, "t")]


@pytest.mark.parametrize(
    "make",
    [
        lambda: pay(""),
        lambda: pay("x" * 256),
        lambda: pay("nul\0"),
        lambda: pay("\ud800"),
        lambda: pay(debit=""),
        lambda: pay(reference="r" * 256),
        lambda: Transfer("t", "alice", "bob", eur(1), ""),
        lambda: pay(expires_at=5),
        lambda: pay(pending=True, expires_at=-5),
        lambda: pay(pending=True, reverses="x"),
        lambda: pay(memo=b"m" * 5000),
        lambda: Post("", "p"),
        lambda: Post("p", "x" * 256),
        lambda: Void("v", ""),
    ],
)
def test_commands_that_no_journal_could_hold(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


def test_every_kind_of_account_has_a_floor_or_none() -> None:
    assert set(FLOORS) == set(AccountKind)
    assert {kind for kind, floor in FLOORS.items() if floor is None} == {
        AccountKind.PROVIDER,
        AccountKind.SUSPENSE,
        AccountKind.EXCHANGE,
    }


# --- pending


def test_a_pending_transfer_counts_at_once_on_both_sides() -> None:
    ledger = book(bob={"ceiling": 700})
    assert refusals(ledger, pay("h", 600, pending=True)) == [None]
    assert nets(ledger)["alice"] == 1000
    assert ledger.accounts["alice"].available == eur(400)
    assert refusals(ledger, pay("more", 401)) == [Refusal.EXCEEDS_BALANCE]
    assert refusals(ledger, pay("in", 101, debit="provider")) == [Refusal.EXCEEDS_CEILING]
    assert refusals(ledger, pay("fits", 100)) == [None]


@pytest.mark.parametrize(("amount", "moved"), [(None, 600), (eur(600), 600), (eur(1), 1)])
def test_a_post_moves_all_or_a_part_and_releases_the_rest(amount: Money | None, moved: int) -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True))
    assert refusals(ledger, Post("p", "h", amount)) == [None]
    assert nets(ledger)["alice"] == 1000 - moved
    assert nets(ledger)["bob"] == moved
    assert ledger.accounts["alice"].pending_debits == ledger.accounts["bob"].pending_credits == 0
    assert ledger.pendings == {}
    entry = ledger.entries[-1]
    assert (entry.subject, entry.amount, entry.debit, entry.credit) == ("h", moved, "alice", "bob")


def test_a_void_releases_it() -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True))
    assert refusals(ledger, Void("v", "h")) == [None]
    assert ledger.accounts["alice"].available == eur(1000)
    assert ledger.accounts["alice"].postings == 0


def test_it_is_resolved_once() -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True))
    take(ledger, Post("p", "h", eur(10)))
    assert refusals(ledger, Post("p2", "h", eur(10))) == [Refusal.PENDING_RESOLVED]
    assert refusals(ledger, Void("v", "h")) == [Refusal.PENDING_RESOLVED]
    assert refusals(ledger, Post("p3", "nothing")) == [Refusal.PENDING_UNKNOWN]
    assert refusals(ledger, Void("v2", "p")) == [Refusal.PENDING_UNKNOWN]


@pytest.mark.parametrize(
    ("amount", "refusal"),
    [
        (eur(601), Refusal.EXCEEDS_PENDING),
        (eur(0), Refusal.NOT_POSITIVE),
        (eur(-1), Refusal.NOT_POSITIVE),
        (Money(1, "JPY"), Refusal.CURRENCY_MISMATCH),
    ],
)
def test_posts_are_refused(amount: Money, refusal: Refusal) -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True))
    assert refusals(ledger, Post("p", "h", amount)) == [refusal]
    assert ledger.accounts["alice"].pending_debits == 600


def test_when_its_time_is_over_it_is_not_posted_any_more() -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True, expires_at=NOW + 10))
    with pytest.raises(InvariantBroken):
        expire(ledger, ledger.pendings["h"], NOW + 9)
    assert refusals(ledger, Post("p", "h"), now=NOW + 10) == [Refusal.PENDING_EXPIRED]
    assert expire(ledger, ledger.pendings["h"], NOW + 10).subject == "h"
    assert ledger.accounts["alice"].pending_debits == 0
    assert refusals(ledger, Void("v", "h"), now=NOW + 11) == [Refusal.PENDING_EXPIRED]


def test_a_void_may_come_before_the_expiry_that_is_due() -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True, expires_at=NOW + 10))
    assert refusals(ledger, Void("v", "h"), now=NOW + 99) == [None]


def test_what_is_pending_is_resolved_though_the_account_is_frozen() -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True))
    take(ledger, pay("h2", 100, pending=True))
    for id_ in ("alice", "bob"):
        ledger.accounts[id_] = replace(ledger.accounts[id_], frozen=True)
    assert refusals(ledger, Post("p", "h")) == [None]
    assert refusals(ledger, Void("v", "h2")) == [None]


# --- ids


def test_an_id_has_three_outcomes() -> None:
    ledger = book()
    assert take(ledger, pay("a", 100)) == (Outcome("a", Result.CREATED, None, 1),)
    assert take(ledger, pay("a", 100)) == (Outcome("a", Result.EXISTS, None, 1),)
    assert take(ledger, pay("b", 5000)) == (Outcome("b", Result.REFUSED, Refusal.EXCEEDS_BALANCE, 2),)
    take(ledger, pay("rain", 10_000, debit="provider", credit="alice"))
    assert take(ledger, pay("b", 5000)) == (Outcome("b", Result.REFUSED, Refusal.EXCEEDS_BALANCE, 2),)
    assert take(ledger, pay("c", 5000))[0].done
    assert len(ledger.entries) == 4


@pytest.mark.parametrize(
    "other",
    [
        pay("t", 101),
        pay("t", debit="bob", credit="alice"),
        pay("t", money=Money(100, "JPY")),
        replace(pay("t"), kind="tip"),
        pay("t", reference="other"),
        pay("t", memo=b"other"),
        pay("t", pending=True),
        pay("t", reverses="x"),
        Post("t", "x"),
        Void("t", "x"),
    ],
)
@pytest.mark.parametrize("refused", [False, True])
def test_the_same_id_with_other_content_is_a_conflict(other: Command, refused: bool) -> None:
    ledger = book(alice={"credits": 0}) if refused else book()
    take(ledger, pay("t"))
    before = list(ledger.entries)
    assert decide(ledger, [other], NOW) == Conflict("t", "used with other content")
    assert ledger.entries == before


def test_post_and_void_of_other_content_conflict() -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True))
    take(ledger, Post("p", "h", eur(5)))
    assert isinstance(decide(ledger, [Post("p", "h")], NOW), Conflict)
    assert isinstance(decide(ledger, [Void("p", "h")], NOW), Conflict)
    assert take(ledger, Post("p", "h", eur(5)))[0].result is Result.EXISTS


# --- chains


def test_a_chain_is_done_or_refused_as_one() -> None:
    ledger = book()
    chain = [pay("a", 600), pay("b", 300, debit="bob", credit="alice"), pay("c", 701)]
    assert refusals(ledger, *chain) == [Refusal.LINKED_FAILED, Refusal.LINKED_FAILED, Refusal.EXCEEDS_BALANCE]
    assert nets(ledger)["alice"] == 1000
    assert {entry.type for entry in ledger.entries} == {"refusal"}
    assert {entry.chain for entry in ledger.entries} == {1}
    # All are burned, also one by one.
    assert refusals(ledger, chain[0]) == [Refusal.LINKED_FAILED]
    assert refusals(ledger, *[replace(each, id=f"{each.id}2") for each in chain[:2]]) == [None, None]
    assert [entry.chain for entry in ledger.entries] == [1, 1, 1, 4, 4]


def test_a_chain_may_use_what_it_made() -> None:
    ledger = book()
    assert refusals(ledger, pay("h", 600, pending=True), Post("p", "h", eur(500)), pay("f", 20, "bob", "alice")) == [
        None,
        None,
        None,
    ]
    assert nets(ledger)["bob"] == 480


def test_a_chain_that_fails_leaves_what_was_pending() -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True))
    assert refusals(ledger, Post("p", "h"), pay("x", 9999)) == [Refusal.LINKED_FAILED, Refusal.EXCEEDS_BALANCE]
    assert ledger.accounts["alice"].pending_debits == 600
    assert refusals(ledger, Post("p2", "h")) == [None]


def test_a_chain_has_each_id_once_and_none_of_another_chain() -> None:
    ledger = book()
    assert decide(ledger, [pay("a"), pay("a")], NOW) == Conflict("a", "twice in one chain")
    take(ledger, pay("a"))
    assert decide(ledger, [pay("a"), pay("b")], NOW) == Conflict("a", "used in another chain")
    assert decide(ledger, [pay("b"), pay("a")], NOW) == Conflict("a", "used in another chain")
    assert len(ledger.entries) == 1
    for length in (0, 101):
        with pytest.raises(ValueError, match="1 to 100"):
            decide(ledger, [pay(f"c{number}") for number in range(length)], NOW)


# --- reversals


def back(id_: str, minor: int, reverses: str = "t", debit: str = "bob", credit: str = "alice") -> Transfer:
    return pay(id_, minor, debit, credit, reverses=reverses)


def test_a_reversal_takes_back_no_more_than_was_moved() -> None:
    ledger = book()
    take(ledger, pay("t", 100), pay("gift", 500))
    assert refusals(ledger, back("r1", 60)) == [None]
    assert refusals(ledger, back("r2", 41)) == [Refusal.EXCEEDS_ORIGINAL]
    assert refusals(ledger, back("r3", 40)) == [None]
    assert refusals(ledger, back("r4", 1)) == [Refusal.ALREADY_REVERSED]
    assert nets(ledger)["alice"] == 500
    assert refusals(ledger, back("r5", 1, debit="alice", credit="bob", reverses="gift")) == [Refusal.ORIGINAL_MISMATCH]
    assert refusals(ledger, pay("r6", 1, "provider", "alice", reverses="gift")) == [Refusal.ORIGINAL_MISMATCH]
    assert refusals(ledger, back("r7", 1, reverses="r2")) == [Refusal.ORIGINAL_UNKNOWN]


@pytest.mark.parametrize("name", ["h", "p"])
def test_what_was_posted_is_reversed_by_either_name(name: str) -> None:
    ledger = book()
    take(ledger, pay("h", 600, pending=True))
    assert refusals(ledger, back("early", 1, reverses="h")) == [Refusal.ORIGINAL_UNKNOWN]
    take(ledger, Post("p", "h", eur(400)))
    assert refusals(ledger, back("r1", 300, reverses=name)) == [None]
    assert refusals(ledger, back("r2", 101, reverses="h")) == [Refusal.EXCEEDS_ORIGINAL]
    assert refusals(ledger, back("r3", 100, reverses="p")) == [None]
    assert ledger.entries[-1].reverses == "h"


def test_what_was_voided_cannot_be_reversed() -> None:
    ledger = book()
    take(ledger, pay("gift", 500))
    take(ledger, pay("h", 400, pending=True))
    take(ledger, Void("v", "h"))
    assert refusals(ledger, back("r", 1, reverses="h")) == [Refusal.ORIGINAL_UNKNOWN]
    assert refusals(ledger, back("r2", 1, reverses="v")) == [Refusal.ORIGINAL_UNKNOWN]


def test_a_failed_chain_gives_a_reversal_back() -> None:
    ledger = book()
    take(ledger, pay("t", 100))
    refusals(ledger, back("r1", 100), pay("x", 9999))
    assert refusals(ledger, back("r2", 100)) == [None]


# --- the journal


def test_the_time_of_the_journal_never_goes_back() -> None:
    ledger = book()
    take(ledger, pay("a"), now=500)
    take(ledger, pay("b"), now=100)
    assert [entry.at for entry in ledger.entries] == [500, 500]


def test_the_hash_covers_every_field() -> None:
    ledger = book()
    take(ledger, pay("a", memo=b"sealed", reference="r"))
    (entry,) = ledger.entries
    assert entry.memo == b"sealed"
    for name in Entry._fields:
        value = getattr(entry, name)
        other: dict[str, Any] = {name: {int: 7, str: "other", bytes: b"other", type(None): "other"}[type(value)]}
        covered = canonical(entry._replace(**other)) != canonical(entry)
        assert covered is (name not in {"memo", "hash"}), name


def test_texts_cannot_be_moved_between_fields() -> None:
    one = Entry(1, 1, "transfer", 1, id='a","b', kind="c")
    other = Entry(1, 1, "transfer", 1, id="a", subject="b", kind="c")
    assert canonical(one) != canonical(other)


# --- the assertions of the production code


def copied(ledger: Book) -> Book:
    return Book(ledger.head, dict(ledger.accounts))


def spoil(ledger: Book, id_: str, **fields: Any) -> None:
    ledger.accounts[id_] = replace(ledger.accounts[id_], **fields)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ledger: spoil(ledger, "bob", credits=99), "differ"),
        (lambda ledger: spoil(ledger, "bob", pending_credits=5), "differ"),
        (lambda ledger: spoil(ledger, "alice", pending_debits=-5), "less than nothing"),
        (lambda ledger: spoil(ledger, "alice", debits=1100, credits=2000, floor=950), "below its floor"),
        (lambda ledger: spoil(ledger, "alice", credits=900), "became less"),
        (lambda ledger: spoil(ledger, "bob", postings=2), "postings"),
        (lambda ledger: spoil(ledger, "carol", currency="EUR"), "changed its currency"),
        (lambda ledger: ledger.entries.pop(), "head"),
        (lambda ledger: setattr(ledger, "head", ledger.head._replace(at=-1)), "head"),
    ],
)
def test_a_batch_that_breaks_an_invariant_is_not_kept(change: Any, words: str) -> None:
    ledger = book()
    before = copied(ledger)
    take(ledger, pay("t", 100))
    check_batch(before, ledger)
    change(ledger)
    with pytest.raises(InvariantBroken, match=words):
        check_batch(before, ledger)


def test_types_of_entries_are_those_that_sql_names() -> None:
    assert {each.value for each in EntryType} == {
        *("opened", "changed", "transfer", "pending", "post", "void", "expire", "refusal")
    }


# --- ids of accounts


def test_ulids_sort_by_time() -> None:
    entropy = bytes(range(10))
    assert ulid(0, bytes(10)) == "0" * 26
    assert ulid(2**48 - 1, b"\xff" * 10) == "7" + "Z" * 25
    assert ulid(1_469_918_176_385, entropy).startswith("01ARYZ6S41")  # of the specification
    assert sorted(ulid(moment, entropy) for moment in (3, 1, 2)) == [ulid(moment, entropy) for moment in (1, 2, 3)]
    for moment, random in ((-1, entropy), (2**48, entropy), (1, entropy[:9])):
        with pytest.raises(ValueError, match="48 bits"):
            ulid(moment, random)

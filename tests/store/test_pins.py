"""PINs on both databases: what is stored, what counts, what locks; also for attempts at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Connection, select, update

from appservice.database import Database
from appservice.events import InternalEvent
from bots.framework.clock import ManualClock
from bots.pages import LinkInvalid, Links
from bots.payments import pins as pins_module
from bots.payments.pin_rules import PinRefused
from bots.payments.pins import PinOutcome, Pins, PinsBusy, PinState, telling
from bots.store.page_tables import pins as table
from tests.support.pages import ALICE, BOB, KEY, QUICK, Log

PIN = "274913"
MINUTE = 60_000


class Vault:
    """PINs with everything around them."""

    def __init__(self, database: Database, key: str = KEY, hasher: PasswordHasher = QUICK) -> None:
        self.database = database
        self.clock = ManualClock()
        self.log = Log()
        self.events: list[InternalEvent] = []
        self.pins = Pins(
            database,
            Links(key),
            self.log.append,
            self.clock,
            raise_events=self.raise_events,
            pickle_key=key,
            url=lambda path: f"https://pay.example.org{path}",
            tell=telling("bot:wallet"),
            hasher=hasher,
        )

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        self.events += await self.database.write(lambda connection: list(work(connection)))

    async def row(self, person: str = ALICE) -> Any:
        return await self.database.read(
            lambda connection: connection.execute(select(table).where(table.c.person == person)).one_or_none()
        )

    async def miss(self, times: int) -> PinOutcome:
        """Enter a wrong PIN; what came of the last."""
        for _ in range(times):
            outcome = await self.pins.verify(ALICE, "000000")
        return outcome

    @property
    def told(self) -> list[str]:
        return [event.content["data"]["data"]["change"] for event in self.events]


@pytest.fixture
async def vault(database: Database) -> Vault:
    made = Vault(database)
    await made.pins.set(ALICE, PIN)
    return made


async def test_a_pin_is_set_and_verified(vault: Vault) -> None:
    assert await vault.pins.has(ALICE) and not await vault.pins.has(BOB)
    assert (await vault.pins.verify(ALICE, PIN)).ok
    assert (await vault.pins.verify(ALICE, " ٢٧٤-٩١٣ ")).ok  # as an Arabic keyboard writes it
    assert await vault.pins.verify(ALICE, "274914") == PinOutcome(PinState.WRONG, left=4)
    assert await vault.pins.verify(BOB, PIN) == PinOutcome(PinState.NOT_SET)
    assert vault.told == ["set"]
    await vault.pins.set(ALICE, "830264")
    assert (await vault.pins.verify(ALICE, "830264")).ok
    assert not (await vault.pins.verify(ALICE, PIN)).ok
    assert vault.told == ["set", "changed"]
    assert vault.log.outcomes == ["set", "ok", "ok", "wrong", "not_set", "changed", "ok", "wrong"]


async def test_what_is_stored_is_of_no_use_without_the_key_or_at_another_person(vault: Vault) -> None:
    row = await vault.row()
    assert row.hash.startswith("$argon2id$")
    assert PIN not in str(row)
    with pytest.raises(Exception, match="not match"):
        QUICK.verify(row.hash, PIN)
    await vault.pins.set(BOB, "830264")

    def swap(connection: Connection) -> None:
        connection.execute(update(table).where(table.c.person == BOB).values(hash=row.hash))

    await vault.database.write(swap)
    assert (await vault.pins.verify(BOB, PIN)).state is PinState.WRONG
    assert (await Vault(vault.database, "another key").pins.verify(ALICE, PIN)).state is PinState.WRONG


async def test_five_wrong_ones_lock_for_longer_each_time(vault: Vault) -> None:
    for minutes in (15, 30, 60, 120):
        assert await vault.miss(4) == PinOutcome(PinState.WRONG, left=1)
        until = vault.clock.now_ms() + minutes * MINUTE
        assert await vault.miss(1) == PinOutcome(PinState.LOCKED, until=until)
        vault.clock.set(until - 1)
        # Not even the right one, and what is tried meanwhile counts for nothing.
        assert await vault.pins.verify(ALICE, PIN) == PinOutcome(PinState.LOCKED, until=until)
        vault.clock.set(until)
    for _ in range(10):
        outcome = await vault.miss(5)
        vault.clock.set(outcome.until)
    last = await vault.miss(5)
    assert last.until - vault.clock.now_ms() == 24 * 60 * MINUTE
    vault.clock.set(last.until)
    assert (await vault.pins.verify(ALICE, PIN)).ok
    assert (await vault.miss(5)).until == vault.clock.now_ms() + 15 * MINUTE
    assert vault.told.count("locked") == 16


async def test_the_right_one_takes_away_what_was_counted(vault: Vault) -> None:
    for _ in range(3):
        await vault.miss(4)
        assert (await vault.pins.verify(ALICE, PIN)).ok  # the fifth
    row = await vault.row()
    assert (row.failures, row.locks, row.locked_until) == (0, 0, None)


async def test_a_lock_survives_a_restart_and_a_new_pin_ends_it(vault: Vault) -> None:
    locked = await vault.miss(5)
    again = Vault(vault.database)
    assert await again.pins.verify(ALICE, PIN) == PinOutcome(PinState.LOCKED, until=locked.until)
    await again.pins.set(ALICE, "830264")
    assert (await again.pins.verify(ALICE, "830264")).ok


async def test_attempts_at_the_same_time_are_no_more_than_one_after_the_other(vault: Vault) -> None:
    outcomes = await asyncio.gather(*(vault.pins.verify(ALICE, f"{guess:06}") for guess in range(20)))
    states = [outcome.state for outcome in outcomes]
    assert states.count(PinState.WRONG) == 4 and states.count(PinState.LOCKED) == 16
    assert sorted(outcome.left for outcome in outcomes if outcome.state is PinState.WRONG) == [1, 2, 3, 4]
    assert (await vault.row()).locks == 1


async def test_an_attempt_counts_before_it_is_looked_at(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    verify = vault.pins._right

    def looking(hashed: str, secret: bytes) -> bool:
        seen.append((hashed, secret))
        raise MemoryError  # the process dies

    monkeypatch.setattr(vault.pins, "_right", looking)
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(MemoryError):
            await vault.pins.verify(ALICE, PIN)
        assert 5 - (await vault.row()).failures == left
    monkeypatch.setattr(vault.pins, "_right", verify)
    assert (await vault.pins.verify(ALICE, PIN)).state is PinState.LOCKED
    assert len(seen) == 5


async def test_nobody_without_a_pin_is_answered_faster(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    work: list[str] = []
    real = vault.pins._right

    def counted(hashed: str, secret: bytes) -> bool:
        work.append(hashed[:40])
        return real(hashed, secret)

    monkeypatch.setattr(vault.pins, "_right", counted)
    await vault.pins.verify(ALICE, "000000")
    await vault.pins.verify(BOB, "000000")
    assert len(work) == 2
    assert work[0].rpartition("$")[0] == work[1].rpartition("$")[0]  # the same algorithm and cost


async def test_a_hash_with_other_parameters_is_made_anew_at_the_next_right_pin(vault: Vault) -> None:
    stronger = Vault(vault.database, hasher=PasswordHasher(time_cost=2, memory_cost=128, parallelism=1))
    before = (await vault.row()).hash
    assert not (await stronger.pins.verify(ALICE, "000000")).ok
    assert (await vault.row()).hash == before
    assert (await stronger.pins.verify(ALICE, PIN)).ok
    after = (await vault.row()).hash
    assert "m=64,t=1" in before and "m=128,t=2" in after
    assert (await stronger.pins.verify(ALICE, PIN)).ok
    assert (await vault.row()).hash == after


async def test_a_pin_that_changes_meanwhile_is_not_the_old_one(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, changed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    real = vault.pins._right

    def slow(hashed: str, secret: bytes) -> bool:
        loop.call_soon_threadsafe(looked.set)
        asyncio.run_coroutine_threadsafe(changed.wait(), loop).result(10)
        return real(hashed, secret)

    monkeypatch.setattr(vault.pins, "_right", slow)
    attempt = asyncio.create_task(vault.pins.verify(ALICE, PIN))
    await looked.wait()
    await vault.pins.set(ALICE, "830264")
    changed.set()
    assert not (await attempt).ok


async def test_no_more_hashes_at_a_time_than_there_is_room_for(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    full, free = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    running = most = 0

    def slow(hashed: str, secret: bytes) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == pins_module.HASHES:
            loop.call_soon_threadsafe(full.set)
        asyncio.run_coroutine_threadsafe(free.wait(), loop).result(10)
        running -= 1
        return True

    monkeypatch.setattr(vault.pins, "_right", slow)
    monkeypatch.setattr(pins_module, "WAITING", 4)
    attempts = [asyncio.create_task(vault.pins.verify(BOB, PIN)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(PinsBusy):
        await vault.pins.verify(ALICE, "000000")
    await asyncio.wait_for(full.wait(), 10)
    free.set()
    await asyncio.gather(*attempts)
    assert most == pins_module.HASHES
    assert (await vault.row()).failures == 0  # who was sent away has lost no attempt


async def test_what_belongs_into_the_commit_undoes_it(vault: Vault) -> None:
    def refuse(connection: Connection) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await vault.pins.set(ALICE, "830264", refuse)
    assert (await vault.pins.verify(ALICE, PIN)).ok
    assert vault.told == ["set"]


async def test_a_forgotten_pin_is_taken_away(vault: Vault) -> None:
    await vault.miss(5)
    assert await vault.pins.forget(ALICE, "operator")
    assert not await vault.pins.forget(ALICE, "operator")
    assert not await vault.pins.has(ALICE)
    assert vault.told == ["set", "locked", "forgotten"]
    assert vault.log.entries[-2:] == [
        ("operator", "pin.forget", ALICE, "done", {}),
        ("operator", "pin.forget", ALICE, "none", {}),
    ]


async def test_the_log_of_decisions_and_the_events_hold_no_pin(vault: Vault) -> None:
    await vault.miss(5)
    await vault.pins.set(ALICE, "830264")
    assert all(word not in str(vault.log.entries) + str(vault.events) for word in (PIN, "830264", "000000"))
    assert {event.consumer for event in vault.events} == {"bot:wallet"}
    assert len({event.key for event in vault.events}) == 3


@pytest.mark.parametrize("pin", ["12345", "1" * 13, "12345a", "111111", "123456", "", "١٢٣٤٥٦"])
async def test_a_pin_that_cannot_be_changes_nothing(vault: Vault, pin: str) -> None:
    with pytest.raises(PinRefused):
        await vault.pins.set(ALICE, pin)
    assert (await vault.pins.verify(ALICE, PIN)).ok


async def test_links_to_the_pages_replace_older_ones(vault: Vault) -> None:
    urls = [await vault.pins.set_link(ALICE) for _ in range(2)]
    urls += [await vault.pins.approval_link("P1", ALICE, 60), await vault.pins.approval_link("P2", ALICE, 60)]
    urls.append(await vault.pins.confirm_link("unfreeze", ALICE))
    links, now = Links(KEY), vault.clock.now_ms()

    def alive(connection: Connection) -> list[str]:
        found = []
        for url in urls:
            purpose, token = url.split("/")[-2:]
            assert url.startswith(f"https://pay.example.org/pages/{purpose}/")
            try:
                found.append(links.peek(connection, token, purpose, now).subject)
            except LinkInvalid as error:
                found.append(str(error))
        return found

    assert await vault.database.read(alive) == ["the link is expired", "", "P1", "P2", "unfreeze"]

"""Which consumers an event has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from appservice.consumer import EXPIRED, Dispatch
from appservice.events import Event
from bridge.timers.feature import REASONS
from tests.store.harness import ALICE, BOT, OTHER, FakeConsumer

STEWARD = "@_rialto:localhost"


class Wanting(FakeConsumer):
    """Wants everything but what a test names."""

    refuses: str = ""

    def wants(self, event: Event) -> bool:
        return event.type != self.refuses


def event(sender: str = ALICE, kind: str = "m.room.message", **changes: Any) -> Event:
    """An event."""
    return Event("$a", "!r:localhost", sender, kind, {}, 0, **changes)


def dispatch() -> tuple[Dispatch, Wanting, Wanting, Wanting]:
    """One everywhere, two bots."""
    made = Dispatch([BOT, OTHER, STEWARD])
    bridge, bot, other = Wanting("bridge:x", ""), Wanting("b", BOT), Wanting("a", OTHER)
    made.add_bot(bot)
    made.add_bot(other)
    made.add_everywhere(bridge)
    return made, bridge, bot, other


def test_those_everywhere_first_then_the_bots_of_the_room_by_name() -> None:
    made, bridge, bot, other = dispatch()
    assert made.consumers(event(), {BOT, OTHER, STEWARD}) == [bridge, other, bot]
    assert made.consumers(event(), [OTHER, BOT]) == [bridge, other, bot]
    assert made.consumers(event(), [BOT]) == [bridge, bot]
    assert made.consumers(event(), []) == [bridge]
    assert made.consumers(event(), ["@nobody:localhost", STEWARD]) == [bridge]


def test_bots_hear_neither_themselves_nor_each_other_nor_the_steward() -> None:
    made, bridge, _, _ = dispatch()
    for sender in (BOT, OTHER, STEWARD):
        assert made.consumers(event(sender), [BOT, OTHER]) == [bridge]


def test_bots_hear_that_a_message_has_had_its_time() -> None:
    made, bridge, bot, other = dispatch()
    assert set(REASONS.values()) == EXPIRED
    for sender in (BOT, STEWARD):
        for reason in EXPIRED:
            expired = replace(event(sender, "m.room.redaction"), content={"reason": reason})
            assert made.consumers(expired, [BOT, OTHER]) == [bridge, other, bot]
        for content in ({}, {"reason": "slow mode"}):
            assert made.consumers(replace(event(sender, "m.room.redaction"), content=content), [BOT]) == [bridge]
    spoof = replace(event(BOT), content={"reason": "retention"})
    assert made.consumers(spoof, [BOT, OTHER]) == [bridge]


def test_a_bot_hears_of_its_own_arrival_alone() -> None:
    made, bridge, bot, other = dispatch()
    assert made.consumers(event(BOT, "m.room.member", state_key=BOT), [BOT, OTHER]) == [bridge, bot]
    assert made.consumers(event(OTHER, "m.room.member", state_key=OTHER), [BOT, OTHER]) == [bridge, other]
    assert made.consumers(event(BOT, "m.room.member", state_key=ALICE), [BOT, OTHER]) == [bridge]
    assert made.consumers(event(BOT, "m.room.topic", state_key=BOT), [BOT, OTHER]) == [bridge]


def test_who_does_not_want_an_event_is_not_handed_it() -> None:
    made, bridge, bot, other = dispatch()
    other.refuses = bridge.refuses = "m.room.message"
    assert made.consumers(event(), [BOT, OTHER]) == [bot]


def test_all_and_service_users() -> None:
    made, bridge, bot, other = dispatch()
    assert made.all() == [bridge, bot, other]
    assert made.service_users == {BOT, OTHER, STEWARD}

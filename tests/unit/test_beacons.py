"""Live positions: what a plugin hears of them, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.events import Event
from bots.framework import Beacon, Context, Dialog, Place, Plugin, beacon, command, dialog, location
from bots.framework.testing import Person, World
from bots.framework.testing.homeserver import Room

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MS = int(AT.timestamp() * 1000)


class Guide(Plugin):
    """Says where people are."""

    scopes: ClassVar[frozenset[str]] = frozenset({"location.read"})

    @command("tour", help="Choose a tour")
    async def tour(self, ctx: Context) -> None:
        ctx.start(self.choosing)

    @dialog
    async def choosing(self, d: Dialog) -> None:
        await d.say(f"{await d.choose('Which?', ['Old town', 'Harbour'])} it is.")

    @location
    async def here(self, ctx: Context, place: Place) -> None:
        ctx.say(f"at {place.latitude}")

    @beacon
    async def moved(self, ctx: Context, beacon: Beacon) -> None:
        ctx.say(f"{ctx.sender} {beacon.live} {beacon.place} {beacon.accuracy}")


class Deaf(Plugin):
    """Hears no positions."""

    @command("x", help="Nothing")
    async def x(self, ctx: Context) -> None: ...

    @command("tour", help="Choose a tour")
    async def tour(self, ctx: Context) -> None:
        ctx.start(self.choosing)

    @dialog
    async def choosing(self, d: Dialog) -> None:
        await d.choose("Which?", ["Old town", "Harbour"])


def position(uri: str = "geo:52.5,13.4;u=12", *, stable: bool = False) -> dict[str, Any]:
    """The content of a place on the way."""
    place = "m.location" if stable else "org.matrix.msc3488.location"
    at = "m.ts" if stable else "org.matrix.msc3488.ts"
    return {"m.relates_to": {"rel_type": "m.reference", "event_id": "$began"}, place: {"uri": uri}, at: MS}


async def heard(person: Person, room: Room | None = None) -> list[str]:
    """Everything that was said since."""
    return [each.body for each in await person.hears_all(room)]


@pytest.mark.parametrize("name", ["m.beacon", "org.matrix.msc3489.beacon", "org.matrix.msc3672.beacon"])
async def test_a_place_on_the_way_is_heard_under_every_name(name: str) -> None:
    async with World(Guide) as world:
        alice = world.user("alice")
        room = await world.direct(alice)
        await world.send(room, alice.user_id, name, position(stable=name == "m.beacon"))
        assert await heard(alice) == ["@alice:world True 52.5, 13.4 12.0"]
        world.check()


async def test_it_disturbs_no_conversation_and_neither_does_a_place() -> None:
    """A question that is open stays so, whatever place comes meanwhile."""
    async with World(Guide) as world:
        alice = world.user("alice")
        await alice.says("tour")
        await alice.hears()
        room = await world.direct(alice)
        await world.send(room, alice.user_id, "org.matrix.msc3672.beacon", position())
        assert len(await heard(alice)) == 1
        await alice.shares_place(1.5, 2)
        assert await heard(alice) == ["at 1.5"]
        await alice.picks(2)
        assert await heard(alice) == ["Harbour it is."]
        world.check()


async def test_who_does_not_hear_them_says_nothing() -> None:
    async with World(Deaf) as world:
        alice = world.user("alice")
        room = await world.direct(alice)
        await world.send(room, alice.user_id, "org.matrix.msc3672.beacon", position())
        assert await heard(alice) == []
        await alice.says("tour")
        await alice.hears()
        await alice.shares_place(1.5, 2)
        assert len(await heard(alice)) == 1, "a place is no answer, and nobody else wants it: they are told"
        world.check()


def event(name: str, content: dict[str, Any], state_key: str | None = None, at: int = MS + 5_000) -> Event:
    """An event of alice's."""
    return Event("$e", "!r:world", "@alice:world", name, content, at, state_key)


def test_beginning_and_end() -> None:
    info = "org.matrix.msc3672.beacon_info"
    content = {
        "live": True,
        "timeout": 60_000,
        "org.matrix.msc3488.ts": MS,
        "org.matrix.msc3488.asset": {"type": "m.self"},
    }
    began = Beacon.of(event(info, content, "@alice:world"))
    assert began == Beacon(True, None, AT, until=AT + timedelta(minutes=1))
    ended = Beacon.of(event(info, {**content, "live": False}, "@alice:world"))
    assert ended == Beacon(False, None, AT)
    assert Beacon.of(event(info, content, "@bob:world")) is None, "nobody shares for somebody else"
    pin = {**content, "org.matrix.msc3488.asset": {"type": "m.pin"}}
    assert Beacon.of(event(info, pin, "@alice:world")) is None
    longest = Beacon.of(event(info, {**content, "timeout": 10**30}, "@alice:world"))
    assert longest is not None
    assert longest.until == AT + timedelta(days=31)


@pytest.mark.parametrize(
    "content",
    [
        {},
        position("geo:91,0"),
        position("geo:nan,0"),
        position("geo:1"),
        position("52.5,13.4"),
        {"m.location": {"uri": 7}},
        {"m.location": "geo:1,2"},
        {"m.location": None},
    ],
)
def test_no_place(content: dict[str, Any]) -> None:
    assert Beacon.of(event("m.beacon", content)) is None


def test_a_time_that_cannot_be_is_the_servers() -> None:
    for wrong in (True, "soon", -1, 10**20, None, 1.5):
        found = Beacon.of(event("m.beacon", {**position(), "org.matrix.msc3488.ts": wrong}))
        assert found is not None
        assert found.at == AT + timedelta(seconds=5), wrong
    found = Beacon.of(event("m.beacon", {"m.location": {"uri": "geo:1,2"}}, at=-3))
    assert found is not None
    assert found.at == datetime(1970, 1, 1, tzinfo=UTC)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["uri", "type", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["m.location", "org.matrix.msc3488.location", "m.ts", "org.matrix.msc3488.ts", "live", "timeout",
                        "m.asset"])  # fmt: skip


@given(st.sampled_from(["m.beacon", "m.beacon_info"]), st.dictionaries(KEYS, JSON, max_size=5), st.integers())
def test_whatever_comes_is_read_or_passed_over(name: str, content: dict[str, Any], at: int) -> None:
    found = Beacon.of(event(name, content, "@alice:world", at))
    assert found is None or found.at.tzinfo is not None

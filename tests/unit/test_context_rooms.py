"""Rooms that a handler makes."""

from __future__ import annotations

from bots.framework import Context, Plugin, command, joined
from bots.framework.testing import World


class Looking(Plugin):
    """Says who is there."""

    @command("who", help="Who is there?")
    async def who(self, ctx: Context, room: str = "") -> None:
        there = room or None
        ctx.say(f"all {' '.join(await ctx.humans(room_id=there))}")
        ctx.say(f"joined {' '.join(await ctx.humans(joined=True, room_id=there))}")
        members = await ctx.members(there)
        ctx.say(f"members {' '.join(f'{who}={how}' for who, how in members.items())}")
        members.clear()
        assert await ctx.members(there), "what a handler gets is its own"


async def test_who_is_in_a_room_and_who_is_only_invited() -> None:
    world = World(Looking)
    alice = world.user("alice")
    team = await world.room("team", alice)
    team.members |= {"@bob:world": "invite", "@eve:world": "leave"}
    expected = [
        "all @alice:world @bob:world",
        "joined @alice:world",
        "members @alice:world=join @looking:world=join @bob:world=invite",
    ]
    await alice.says("!who", room=team)
    assert [each.body for each in await alice.hears_all(team)] == expected
    await alice.says(f"who {team.room_id}")
    assert [each.body for each in await alice.hears_all()] == expected, "from elsewhere"
    await alice.says("who")
    assert (await alice.hears()).body == "all @alice:world"
    world.check()
    await world.stop()


class Greeter(Plugin):
    """Says hello, once."""

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say hello."""
        ctx.say("hello")


async def test_a_bot_that_is_alone_greets_who_comes_first() -> None:
    """In a room of its own making nobody hears it before, and the room may not be encrypted yet."""
    async with World(Greeter) as world:
        alice, bob = world.user("alice"), world.user("bob")
        room = await world.room("its own")
        await world.settle()
        assert not any("hello" in line for line in world.transcript(room))
        await alice.joins(room)
        assert (await alice.hears(room)).body == "hello"
        await bob.joins(room)
        await alice.joins(room)  # another name, say
        await alice.hears_nothing(room)


class Host(Plugin):
    """Opens rooms."""

    failed = False

    @command("open", help="Open a room")
    async def open(self, ctx: Context, purpose: str = "") -> None:
        room_id = await ctx.create_room("Staff", ["@bob:world"], purpose=purpose)
        if not Host.failed:
            Host.failed = True
            raise RuntimeError("after the room was made")
        ctx.say("Welcome.", room_id=room_id)


async def test_a_room_is_made_once_for_its_purpose() -> None:
    Host.failed = False
    world = World(Host)
    alice, bob = world.user("alice"), world.user("bob")
    await alice.says("open")
    rooms = [room for room in world.homeserver.rooms.values() if room.members.get(bob.user_id) == "invite"]
    assert len(rooms) == 1, "the retry found the room of the first attempt"
    assert rooms[0].timeline[-1].body == "Welcome."
    await alice.says("open cases")
    await alice.says("open cases")
    rooms = [room for room in world.homeserver.rooms.values() if room.members.get(bob.user_id) == "invite"]
    assert len(rooms) == 2

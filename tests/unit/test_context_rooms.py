"""Rooms that a handler makes."""

from __future__ import annotations

from bots.framework import Context, Plugin, command
from bots.framework.testing import World


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

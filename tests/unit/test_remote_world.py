"""A plugin outside does what it does inside: the same people say the same things to both, and hear the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from bots.domain.money import Money
from bots.framework import Context, Dialog, Plugin, command, dialog, edited, media, member, message, reaction, redacted
from bots.framework.bot import BotUser
from bots.framework.consumer import PluginConsumer
from bots.framework.discovery import Found
from bots.framework.remote import RemoteConsumer, RemoteGateway, Server
from bots.framework.services import Services
from bots.framework.testing import World
from bots.framework.testing.world import BOT_SERVER
from tests.store.harness import until

TOKEN = "a token of the instance, for tests only"
SCOPES = frozenset({"state", "schedules", "media", "payments.charge", "location.read", "rooms.create", "people.read"})


class Everything(Plugin):
    """A bit of all that the framework has."""

    name = "everything"
    scopes = SCOPES

    @command("order", help="Order")
    async def order(self, ctx: Context) -> None:
        """A dialog with payment."""
        ctx.start(self.ordering)

    @dialog(remind=timedelta(hours=1), timeout=timedelta(hours=3))
    async def ordering(self, d: Dialog) -> None:
        """Choices, free words, several, a payment, the time, chance."""
        drink = await d.choose("Which?", {"Tea": 2, "Coffee": 3})
        extras = await d.choose_many("With?", ["Milk", "Sugar", "Honey"], maximum=2)
        words = await d.ask("Anything else?", default="no")
        await d.now()
        await d.random()
        if await d.pay(Money(drink * 100, "EUR"), to="kitchen", memo="drink"):
            await d.say(f"{drink} {', '.join(extras)} {words} for {d.person}")

    @command("lunch", help="Vote")
    async def lunch(self, ctx: Context) -> None:
        """A vote of a group."""
        ctx.start(self.voting, people=("*",))

    @dialog
    async def voting(self, d: Dialog) -> None:
        """Until the time is over."""
        votes = await d.vote("Where?", ["Here", "There"], until=timedelta(minutes=10))
        await d.say(", ".join(f"{who}: {' '.join(what)}" for who, what in sorted(votes.items())))

    @command("secret", help="For operators", permission="operator")
    async def secret(self, ctx: Context) -> None:
        """Not for everybody."""
        ctx.say("the secret")

    @command("invite", help="Ask to a chat")
    async def ask(self, ctx: Context) -> None:
        """A chat with the sender, with state, typing and a profile."""
        room = await ctx.direct()
        again = [await ctx.create_room("Kitchen", [ctx.sender], purpose="kitchen") for _ in range(2)]
        ctx.say(f"{len(set(again))} kitchen", room_id=again[0])
        await ctx.typing()
        await ctx.read()
        ctx.say(f"{await ctx.humans(joined=True, room_id=again[0])} {sorted((await ctx.members(room)).items())}")
        ctx.say(f"{len(await ctx.humans())} {await ctx.encrypted()} {await ctx.display_name()}", room_id=room)
        ctx.member_state.set("seen", [1, 2.5, "é", None, {"a": 2**60}])
        ctx.member_state.add("count", 2)
        ctx.member_state.add("count", 3)
        seen, count = await ctx.member_state.get("seen"), await ctx.member_state.count("count")
        ctx.say(f"{seen} {count} {await ctx.member_state.keys()} {[each.key for each in await ctx.schedules.list()]}")

    @media
    async def media(self, ctx: Context) -> None:
        """The same file."""
        await ctx.send_media(await ctx.download(), ctx.content)

    @reaction
    async def reacted(self, ctx: Context, key: str, event_id: str) -> None:
        """Which."""
        ctx.say(f"{key} to {event_id}", reply=True)

    @edited
    async def edited(self, ctx: Context, event_id: str) -> None:
        """What."""
        ctx.edit(ctx.answer_to(event_id), {"msgtype": "m.notice", "body": f"now {ctx.text}"})

    @redacted
    async def redacted(self, ctx: Context, event_id: str) -> None:
        """With it goes the answer."""
        ctx.redact(ctx.answer_to(event_id))

    @member
    async def member(self, ctx: Context, user_id: str, membership: str) -> None:
        """Who."""
        ctx.say(f"{user_id} {membership}")

    @message(regex=r"(?P<number>\d+)")
    async def number(self, ctx: Context, number: str) -> None:
        """A number."""
        ctx.say(f"number {number}")


class RemoteWorld(World):
    """A world whose bot is served over a socket."""

    async def _add(self, name: str, make: Any, services: Services) -> None:
        bot = BotUser(f"@{name}:{BOT_SERVER}", name)
        consumer = RemoteConsumer(
            name,
            name,
            bot,
            services,
            bots_in=lambda room: [bot.user_id] if self._in(room, bot.user_id) else [],
            grants=["payments.charge", "location.read", "rooms.create"],
            pause=0.01,
        )
        gateway = RemoteGateway()
        gateway.add(consumer, TOKEN)
        app = web.Application()
        app.add_routes(gateway.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found = Found(name, cast(type[Plugin], make), "folder", Path(__file__), __name__, "a test")
        server = Server(found, f"ws://127.0.0.1:{runner.addresses[0][1]}/plugins/v1", TOKEN, backoff=0.01)
        task = asyncio.create_task(server.run())
        await until(lambda: consumer.connected or task.done(), "the plugin connects")

        async def close() -> None:
            server.stop()
            await task
            await gateway.stop()
            await runner.cleanup()

        self.closing = close
        self._consumers.append(cast(PluginConsumer, consumer))
        self._dispatch.add_bot(consumer)

    def _in(self, room_id: str, user_id: str) -> bool:
        room = self.homeserver.rooms.get(room_id)
        return room is not None and room.members.get(user_id) == "join"

    async def _stop(self) -> None:
        await self.closing()
        await super()._stop()


@asynccontextmanager
async def world_of(kind: type[World]) -> AsyncIterator[World]:
    """One world, to its end."""
    world = kind(Everything)
    try:
        yield world
    finally:
        await world.stop()


async def ordering(world: World) -> None:
    """A dialog, with back, help, no answers, reminders and a payment."""
    alice = world.user("alice")
    for words in ("order", "help", "nonsense", "coffee", "back", "2", "1", "done", "more sugar"):
        await alice.says(words)
    world.clock.advance(minutes=70)
    await world.settle()
    await world.payments.succeed()
    await alice.says("order")
    world.clock.advance(hours=1, minutes=5)
    await world.settle()
    world.clock.advance(hours=3, minutes=1)  # the plugin's clock goes on while it works
    await world.settle()
    await alice.says("order")
    await alice.says("cancel")
    await alice.says("thirteen")
    await alice.says("13")


async def voting(world: World) -> None:
    """A group votes until the time is over."""
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("group", alice, bob)
    await alice.says("!lunch", room=room)
    await alice.votes("Here", room=room)
    await bob.votes("There", room=room)
    world.clock.advance(minutes=11)
    await world.settle()


async def whatever(world: World) -> None:
    """Everything else."""
    alice = world.user("alice")
    await alice.says("secret")
    await alice.says("invite")
    await alice.says("language de")
    await alice.says("help")
    await alice.says("zone Berlin")
    said = await alice.says("42")
    await alice.edits(said, "43")
    await alice.reacts("👍", said)
    await alice.redacts(said)
    await alice.sends_photo()
    bob = world.user("bob")
    room = await world.room("group", alice, bob)
    await bob.leaves(room)


def seen(world: World) -> list[Any]:
    """Everything that lies in the rooms, but for what chance has made."""
    found = []
    for room in world.homeserver.rooms.values():
        for event in room.timeline:
            content = {key: value for key, value in event.content.items() if key not in {"file", "url", "info"}}
            found.append((room.room_id, event.sender, event.type, _plain(content), event.redacted))
    return found


def _plain(value: Any) -> Any:
    """Without ids of dialogs: they are made of chance."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key != "prompt"}
    return [_plain(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("story", [ordering, voting, whatever])
async def test_same_inside_and_outside(story: Callable[[World], Awaitable[None]]) -> None:
    """Every event in every room is the same."""
    async with world_of(World) as inside:
        await story(inside)
        inside.check()
        expected = seen(inside)
    async with world_of(RemoteWorld) as outside:
        await story(outside)
        assert seen(outside) == expected
    assert len([each for each in expected if each[1].startswith("@everything")]) >= 3

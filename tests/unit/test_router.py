"""Which plugin and which handler an event goes to: addresses, commands, filters, dialogs, permissions, limits."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from bots.framework import (
    Context,
    Dialog,
    Place,
    Plugin,
    RateLimit,
    Rest,
    command,
    dialog,
    joined,
    location,
    media,
    member,
    message,
    middleware,
    reaction,
)
from bots.framework.bot import BotUser
from bots.framework.consumer import HandlerLeft, PluginConsumer
from bots.framework.testing import Message, Person, World
from bots.framework.testing.homeserver import Room


class Kiosk(Plugin):
    """Says which handler heard what."""

    @command("buy", help="Buy something", aliases=("get",))
    async def buy(self, ctx: Context, what: Rest = "") -> None:
        ctx.say(f"buy {what}")

    @command("buy later", help="Buy it later")
    async def buy_later(self, ctx: Context, hours: int) -> None:
        ctx.say(f"later {hours}")

    @command("close", help="Close the shop", permission="admin")
    async def close(self, ctx: Context) -> None:
        ctx.say("closed")

    @command("secret", help="Works and is not listed", hidden=True)
    async def secret(self, ctx: Context) -> None:
        ctx.say("psst")

    @message(text="Grüß dich")
    async def hello(self, ctx: Context) -> None:
        ctx.say("hello yourself")

    @message(regex=r"order (?P<number>\d+)")
    async def order(self, ctx: Context, number: str) -> None:
        ctx.say(f"order number {number}")

    @message(reply=True)
    async def replied(self, ctx: Context) -> None:
        ctx.say("a reply to me")

    @message(thread=True)
    async def threaded(self, ctx: Context) -> None:
        ctx.say("in a thread")

    @media(kinds=["image"])
    async def picture(self, ctx: Context) -> None:
        ctx.say("a picture")

    @location
    async def here(self, ctx: Context, place: Place) -> None:
        ctx.say(f"at {place.latitude}")

    @reaction(keys=["👍"])
    async def liked(self, ctx: Context, key: str, event_id: str) -> None:
        ctx.say(f"{key} to {event_id}")

    @member
    async def somebody(self, ctx: Context, user_id: str, membership: str) -> None:
        ctx.say(f"{user_id} {membership}")


async def heard(person: Person, room: Room | None = None) -> list[str]:
    """Everything that was said since."""
    return [each.body for each in await person.hears_all(room)]


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("buy milk", ["buy milk"]),
        ("GET milk", ["buy milk"]),
        ("!buy  milk", ["buy milk"]),
        ("buy later 3", ["later 3"]),
        ("buy later", None),
        ("buy latex gloves", ["buy latex gloves"]),
        ("GRUSS DICH", ["hello yourself"]),
        ("my order 17 please", ["order number 17"]),
        ("secret", ["psst"]),
    ],
)
async def test_texts_in_a_chat_of_two(text: str, answers: list[str] | None) -> None:
    world = World(Kiosk)
    alice = world.user("alice")
    await alice.says(text)
    said = await heard(alice)
    if answers is None:
        assert len(said) == 1
        assert "hours" in said[0]
        assert "Usage: buy later" in said[0]
    else:
        assert said == answers
    world.check()
    await world.stop()


async def test_what_a_group_says_to_itself_is_not_answered() -> None:
    world = World(Kiosk)
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("group", alice, bob)
    for text in ("buy milk", "help", "what?", "!!!", "!important", "! buy", "!notacommandatall at all"):
        await alice.says(text, room=room)
        await alice.hears_nothing(room) if text != "! buy" else await alice.hears(room)
    for text in ("!buy milk", "kiosk: buy milk", "@kiosk buy milk", "KIOSK, buy milk"):
        await alice.says(text, room=room)
        assert await heard(alice, room) == ["buy milk"], text
    mention = {"m.mentions": {"user_ids": [world.bot]}}
    await alice.says("buy milk", room=room, content=mention)
    assert await heard(alice, room) == ["buy milk"]
    await alice.says("!buyy milk", room=room)
    assert "Did you mean “!buy”" in (await alice.hears(room)).body
    world.check()


async def test_structured_commands() -> None:
    """MSC4391."""
    world = World(Kiosk)
    alice = world.user("alice")
    for key in ("m.bot.command", "org.matrix.msc4391.command"):
        await alice.says("whatever", content={key: {"command": "buy later", "arguments": {"hours": 5}}})
        assert await heard(alice) == ["later 5"]
    await alice.says("buy milk", content={"m.bot.command": {"command": ["buy"]}})
    assert await heard(alice) == ["buy milk"]
    await alice.says("x", content={"m.bot.command": {"command": "nonsense", "arguments": 3}})
    assert "nonsense" in (await alice.hears()).body
    world.check()


async def test_other_things_than_text() -> None:
    world = World(Kiosk)
    alice = world.user("alice")
    await alice.sends_photo(b"x")
    await alice.sends_file(b"x", "a.txt")
    await alice.shares_place(52.5, 13.4)
    assert await heard(alice) == ["a picture", "at 52.5"]
    await alice.says("buy tea")
    tea = await alice.hears()
    await alice.reacts("👍", tea)
    await alice.reacts("👎", tea)
    assert await heard(alice) == [f"👍 to {tea.event_id}"]
    await alice.says("thanks", reply_to=tea)
    assert await heard(alice) == ["a reply to me"]
    threaded = await alice.says("thanks", thread=tea)
    answer = await alice.hears()
    assert answer.body == "in a thread"
    assert answer.content["m.relates_to"]["rel_type"] == "m.thread"
    assert answer.content["m.relates_to"]["event_id"] == tea.event_id
    assert threaded.event_id
    world.check()


async def test_permissions_and_what_they_hide() -> None:
    world = World(Kiosk, permissions={"roles": {"admin": ["@root:world"]}})
    alice, root = world.user("alice"), world.user("root")
    await root.says("close")
    assert await heard(root) == ["closed"]
    await alice.says("close")
    assert "may not" in (await alice.hears()).body
    await alice.says("closer")
    assert "close”" not in (await alice.hears()).body, "what may not be used is not suggested"
    await root.says("closer")
    assert "Did you mean “close”" in (await root.hears()).body
    await alice.says("help")
    text = (await alice.hears()).body
    assert "buy later" in text
    assert "close" not in text
    assert "secret" not in text
    await root.says("help")
    assert "close" in (await root.hears()).body
    await alice.says("help buy")
    assert "Also: get" in (await alice.hears()).body
    world.check()


class Limited(Plugin):
    """May be asked once a minute; fails at first."""

    tries: ClassVar[list[str]] = []

    @command("ask", help="Ask", limit=RateLimit(1, 60))
    async def ask(self, ctx: Context) -> None:
        self.tries.append(ctx.sender)
        if len(self.tries) == 1:
            raise RuntimeError("not yet")
        ctx.say("answer")


async def test_a_rate_limit_counts_an_event_once_however_often_it_is_tried() -> None:
    Limited.tries = []
    world = World(Limited)
    alice, bob = world.user("alice"), world.user("bob")
    await alice.says("ask")
    assert await heard(alice) == ["answer"], "the second attempt at one event is not a second time"
    await alice.says("ask")
    assert "too often" in (await alice.hears()).body
    await alice.says("ask")
    await alice.hears_nothing()
    await bob.says("ask")
    assert await heard(bob) == ["answer"]
    world.clock.advance(seconds=61)
    await alice.says("ask")
    assert await heard(alice) == ["answer"]


class Guarded(Plugin):
    """Its middleware sees everything."""

    @middleware
    async def outer(self, ctx: Context, call_next: Any) -> None:
        ctx.say("before")
        if "stop" not in ctx.text:
            await call_next()
        ctx.say("after")

    @middleware
    async def inner(self, ctx: Context, call_next: Any) -> None:
        ctx.say("inside")
        await call_next()

    @message
    async def any_text(self, ctx: Context) -> None:
        ctx.say("handler")


async def test_middleware_wraps_handlers_in_order() -> None:
    world = World(Guarded)
    alice = world.user("alice")
    await alice.says("hi")
    assert await heard(alice) == ["before", "inside", "handler", "after"]
    await alice.says("stop")
    assert await heard(alice) == ["before", "after"]
    world.check()


class Leaves(Plugin):
    """Ends in ways that handlers do not end."""

    @command("exit", help="x")
    async def exit(self, ctx: Context) -> None:
        sys.exit(3)

    @command("cancel it", help="x")
    async def cancel_it(self, ctx: Context) -> None:
        task = asyncio.create_task(asyncio.sleep(10))
        task.cancel()
        await task

    @command("talk", help="x")
    async def talk(self, ctx: Context) -> None:
        ctx.start(self.conversation)

    @dialog
    async def conversation(self, d: Dialog) -> None:
        word = await d.ask("Word?")
        if word == "exit":
            sys.exit(3)
        try:
            await d.ask("Another?")
        except BaseException:  # noqa: BLE001 - what a careless plugin does
            pass
        finally:
            await d.say("never said while the question is open")


@pytest.mark.parametrize("what", ["exit", "cancel it"])
async def test_a_handler_that_exits_or_cancels_itself_fails_like_any_other(what: str) -> None:
    world = World(Leaves, attempts=2)
    alice = world.user("alice")
    await alice.says(what)
    assert "something went wrong" in (await alice.hears()).body
    assert all(isinstance(failure, HandlerLeft) for failure in world.failures)
    await alice.says("talk")
    assert (await alice.hears()).body == "Word?", "the room goes on"
    await world.stop()


async def test_a_dialog_stays_left_whatever_its_function_catches() -> None:
    world = World(Leaves, attempts=1)
    alice = world.user("alice")
    await alice.says("talk")
    await alice.says("tea")
    assert (await heard(alice)) == ["Word?", "Another?"]
    world.check()
    await alice.says("milk")
    assert await heard(alice) == ["never said while the question is open"]
    await alice.says("talk")
    await alice.says("exit")
    assert "something went wrong" in (await heard(alice))[-1]
    await world.stop()


# Two plugins on one bot.


class Shop(Plugin):
    """The first."""

    @command("shop", help="Shop")
    async def shop(self, ctx: Context) -> None:
        ctx.start(self.order)

    @command("survey", help="Ask everybody")
    async def survey(self, ctx: Context) -> None:
        ctx.start(self.everybody, people=["*"])

    @dialog
    async def order(self, d: Dialog) -> None:
        what = await d.choose("Shop: which?", ["Tea", "Milk"])
        paid = await d.step("pay", self.pay, what)
        await d.say(f"Shop: {paid}")

    @dialog
    async def everybody(self, d: Dialog) -> None:
        votes = await d.vote("Shop: lunch?", ["Soup", "Pizza"], until=timedelta(hours=1), poll=False)
        await d.say(f"Shop: {sorted(votes)}")

    async def pay(self, what: str) -> str:
        return f"paid {what}"

    @message(regex="shout")
    async def shout(self, ctx: Context) -> None:
        ctx.say("SHOP")


class Desk(Plugin):
    """The second."""

    @command("desk", help="Ask the desk")
    async def desk(self, ctx: Context) -> None:
        ctx.start(self.ticket)

    @dialog
    async def ticket(self, d: Dialog) -> None:
        words = await d.ask("Desk: what happened?")
        await d.step("file", self.file, words)
        await d.say(f"Desk: noted {words}")

    async def file(self, words: str) -> None:
        """Outside."""

    @message
    async def rest(self, ctx: Context) -> None:
        if ctx.text == "help":
            ctx.decline()
        else:
            ctx.say(f"desk hears {ctx.text}")


class TwoWorld(World):
    """Both plugins on one bot."""

    async def _add(self, name: str, make: Any, services: Any) -> None:
        if not self._consumers:
            await super()._add(name, make, services)
            return
        bot: BotUser = self._consumers[0].bot
        consumer = type(self._consumers[0])(name, make(), bot, services, self.failures, "")  # type: ignore[call-arg, arg-type]
        bot.consumers.append(consumer)
        bot.rebuild()
        self._consumers.append(consumer)
        self._dispatch.add_bot(consumer)


def two(**options: Any) -> TwoWorld:
    """A world with both."""
    return TwoWorld(Shop, Desk, **options)


async def only(world: World, *people: Person) -> Room:
    """A room with one bot."""
    room = Room("!two:world", {person.user_id: "join" for person in people})
    await world._ensure()
    world.homeserver.rooms[room.room_id] = room
    await world.change_member(room, world.bot, "join")
    return room


async def test_of_two_dialogs_the_newest_is_answered_and_a_reply_goes_where_it_points() -> None:
    world = two()
    alice = world.user("alice")
    room = await only(world, alice)
    await alice.says("shop", room=room)
    first = await alice.hears(room)
    await alice.says("!desk", room=room)
    assert (await alice.hears(room)).body == "Desk: what happened?"
    await alice.says("1", room=room)
    assert await heard(alice, room) == ["Desk: noted 1"]
    await alice.says("!desk", room=room)
    desk = await alice.hears(room)
    await alice.says("Tea", room=room, reply_to=first)
    assert await heard(alice, room) == ["Shop: paid Tea"]
    await alice.says("!shop", room=room)
    await alice.hears(room)
    await alice.says("it broke", room=room, reply_to=desk)
    assert await heard(alice, room) == ["Desk: noted it broke"]
    world.check()
    await world.stop()


async def test_help_and_commands_of_both_and_conflicts_are_errors() -> None:
    world = two()
    alice = world.user("alice")
    room = await only(world, alice)
    await alice.says("help", room=room)
    text = (await alice.hears(room)).body
    assert "shop" in text
    assert "desk" in text
    await alice.says("please shout", room=room)
    assert await heard(alice, room) == ["SHOP"]
    await alice.says("hello", room=room)
    assert await heard(alice, room) == ["desk hears hello"]
    world.check()


@pytest.mark.parametrize("commits", range(1, 13))
async def test_two_plugins_and_a_kill_at_any_commit(commits: int) -> None:
    """Each event is answered by one of them, once, though what is open changes as it works."""

    async def play(world: World) -> list[str]:
        alice = world.user("alice")
        room = await only(world, alice)
        for text in ("shop", "1", "!desk", "it broke", "hello", "!shop", "!desk", "2", "Milk"):
            await alice.says(text, room=room)
        return world.transcript(room)

    calm = two()
    expected = await play(calm)
    world = two(attempts=20)
    await only(world, world.user("alice"))
    world.kill_after(commits)
    assert await play(world) == expected
    world.check()
    await calm.stop()
    await world.stop()


async def test_a_plugin_that_is_switched_off_is_not_there() -> None:
    world = two()
    alice = world.user("alice")
    room = await only(world, alice)
    shop = world._consumers[0]
    assert isinstance(shop, PluginConsumer)
    shop._enabled = lambda _room, _server: False
    await alice.says("help", room=room)
    text = (await alice.hears(room)).body
    assert "desk" in text
    assert "shop" not in text
    await alice.says("please shout", room=room)
    assert await heard(alice, room) == ["desk hears please shout"]
    world.check()


async def test_what_a_dialog_overhears_in_a_group() -> None:
    world = World(Shop)
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("group", alice, bob)
    await alice.says("!survey", room=room)
    await alice.hears_all(room)
    for text in ("help", "cancel", "back", "I will shout later", "see you"):
        await bob.says(text, room=room)
        expected = ["SHOP"] if "shout" in text else []
        assert await heard(alice, room) == expected, "people talk to each other, and other handlers hear them"
    await bob.says("soup", room=room)
    assert await heard(alice, room) == ["Your vote is counted."]
    await bob.says("!cancel", room=room)
    assert await heard(alice, room) == ["Cancelled."]
    world.check()


# Dialogs that something else than a text begins.


class Greeter(Plugin):
    """Begins dialogs wherever it can."""

    done: ClassVar[list[str]] = []

    @joined
    async def came(self, ctx: Context) -> None:
        ctx.say("I am here.")
        ctx.plugin_state.add("came")
        ctx.start(self.onboard, "joined", people=["*"])

    @command("both", help="Two at once")
    async def both(self, ctx: Context) -> None:
        ctx.say("Two things.")
        ctx.plugin_state.add("both")
        ctx.start(self.onboard, "first")
        ctx.start(self.onboard, "second")

    @dialog
    async def onboard(self, d: Dialog, why: str) -> None:
        await d.step("look", self.look, why)
        await d.do("note", self.note, why)
        await d.step("look again", self.look, why)
        await d.do("note again", self.note, why)
        await d.ask(f"{why}?")

    async def look(self, why: str, idempotency_key: str = "") -> None:
        Greeter.done.append(idempotency_key)

    async def note(self, ctx: Context, why: str) -> None:
        ctx.say(f"noted {why}")
        ctx.plugin_state.add(f"noted {why}")
        ctx.later(ctx.now() + timedelta(days=1), "nothing", why)


@pytest.mark.parametrize("commits", range(1, 16))
async def test_dialogs_begin_once_whatever_begins_them(commits: int) -> None:
    async def play(world: World) -> tuple[list[str], dict[str, int], int]:
        alice = world.user("alice")
        room = await world.direct(alice)
        await alice.says("!both", room=room)
        state = world._services().store.open("greeter", world._unit()).plugin  # type: ignore[attr-defined]
        counts = {key: await state.count(key) for key in await state.keys()}
        planned = await world._scheduler.of(world._consumers[0].name, world._unit(), "").list()  # type: ignore[attr-defined]
        return world.transcript(room), counts, sum(each.kind == "rialto.timer" for each in planned)

    calm = Looking(Greeter)
    expected = await play(calm)
    world = Looking(Greeter, attempts=20)
    await world._ensure()
    world.kill_after(commits)
    assert await play(world) == expected
    assert expected[1] == {
        "came": 1,
        "both": 1,
        **{f"noted {why}": 2 for why in ("joined", "first", "second")},
    }
    assert expected[2] == 6
    world.check()
    await calm.stop()
    await world.stop()


class Looking(World):
    """A world whose state can be looked at."""

    def _services(self) -> Any:
        return self._consumers[0].services

    def _unit(self) -> Any:
        from appservice.unit import UnitOfWork

        return UnitOfWork("$look", self._consumers[0].name, self.bot)


def test_message_is_what_people_see() -> None:
    assert Message("$1", "!r", "@a:b", "m.room.message", {"body": 3}).body == ""


class Patient(Plugin):
    """Reminds, and has pages."""

    @command("pick", help="Pick")
    async def pick(self, ctx: Context) -> None:
        ctx.start(self.picking)

    @dialog(remind=timedelta(hours=1))
    async def picking(self, d: Dialog) -> None:
        chosen = await d.choose("Which?", [f"Thing {number}" for number in range(1, 8)], page_size=4)
        await d.say(f"Picked {chosen}")


async def test_an_answer_to_an_earlier_showing_of_the_open_question_counts() -> None:
    world = World(Patient)
    alice = world.user("alice")
    await alice.says("pick")
    first = await alice.hears()
    world.clock.advance(hours=1, minutes=1)
    assert (await alice.hears()).body == first.body, "reminded"
    await world.restart()
    await alice.reacts("2️⃣", first)
    assert await heard(alice) == ["Picked Thing 2"]
    await alice.says("pick")
    first = await alice.hears()
    await alice.says("more")
    second = await alice.hears()
    assert "Thing 5" in second.body
    await alice.reacts("1️⃣", first)
    assert await heard(alice) == ["Picked Thing 1"], "options keep their numbers over the pages"
    world.check()
    await world.stop()


class Hearted(Plugin):
    """Hears hearts, and thumbs as a client without variation selectors sends them."""

    @reaction(keys=["\u2764\ufe0f", "👍"])
    async def loved(self, ctx: Context, key: str, event_id: str) -> None:
        ctx.say(f"loved {key!a}")


@pytest.mark.parametrize("key", ["\u2764", "\u2764\ufe0f", "👍", "👍\ufe0f", "👍🏽"])
async def test_variation_selectors_and_skin_tones_make_no_other_reaction(key: str) -> None:
    world = World(Hearted)
    alice = world.user("alice")
    said = await alice.says("help")
    await heard(alice)
    for other in ("👎", "\U0001f9e1", "\ufe0f", "🏽"):
        await alice.reacts(other, said)
    assert await heard(alice) == []
    await alice.reacts(key, said)
    assert await heard(alice) == [f"loved {key!a}"], "the handler is told what was sent"
    world.check()
    await world.stop()

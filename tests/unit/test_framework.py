"""The plugin framework: which handler hears what, and what a handler may do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest

from appservice.events import Event
from appservice.media import Media, Upload
from appservice.sealing import Sealer
from appservice.unit import UNSENT, UnitOfWork, transaction_id
from bots.echo import Echo
from bots.framework import Context, Plugin, Rest, command, edited, joined, media, message, redacted
from bots.framework.bot import BotUser
from bots.framework.clock import ManualClock
from bots.framework.consumer import PluginConsumer
from bots.framework.i18n import Catalogues, English
from bots.framework.incoming import Incoming
from bots.framework.people import People
from bots.framework.permissions import Permissions
from bots.framework.schedules import Scheduler
from bots.framework.services import Services
from bots.framework.state import Store
from bots.framework.table import HandlerTable
from bots.framework.testing.homeserver import WorldHomeserver
from bots.framework.testing.memory import MemoryDatabase
from bots.store import tables

BOT = "@shop_bot:localhost"
ROOM = "!room:localhost"
ALICE = "@alice:localhost"
KEY = "a pickle key for tests"


class FakeRooms:
    """A room with so many people."""

    def __init__(self, humans: int = 1, encrypted: bool = False) -> None:
        self.people = [f"@human{number}:localhost" for number in range(humans)]
        self.encrypted = encrypted

    async def humans(self, _room_id: str) -> list[str]:
        return self.people

    async def is_encrypted(self, _room_id: str) -> bool:
        return self.encrypted

    async def members(self, _room_id: str) -> dict[str, str]:
        return dict.fromkeys([*self.people, BOT], "join")

    async def display_name(self, _room_id: str, _user_id: str) -> str | None:
        return None

    async def sender_of(self, _room_id: str, event_id: str, _user_id: str) -> str | None:
        return {"$hidden": None, "$bobs": "@bob:localhost"}.get(event_id, ALICE)


class FakeMedia:
    """Remembers what was stored."""

    def __init__(self) -> None:
        self.uploads: list[tuple[str, bytes, str, bool]] = []

    async def download(self, user_id: str, content: Mapping[str, Any]) -> bytes:
        return f"{user_id} {content['url']}".encode()

    async def upload(self, user_id: str, data: bytes, mimetype: str, *, encrypted: bool) -> Upload:
        self.uploads.append((user_id, data, mimetype, encrypted))
        return Upload({"file": {"url": "mxc://x/y"}} if encrypted else {"url": "mxc://x/y"})


class Shop(Plugin):
    """Remembers what it was handed."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    @command("buy", help="Buy something.", aliases=("get", "order"))
    async def buy(self, ctx: Context, rest: Rest = "") -> None:
        """A command."""
        self.heard.append(("buy", rest))

    @message
    async def text(self, ctx: Context) -> None:
        """Any other text."""
        self.heard.append(("text", ctx.rest, ctx.addressed))

    @media
    async def file(self, ctx: Context) -> None:
        """A file."""
        self.heard.append(("media", ctx.text))

    @edited
    async def changed(self, ctx: Context, event_id: str) -> None:
        """An edit."""
        self.heard.append(("edited", event_id, ctx.text))

    @redacted
    async def gone(self, ctx: Context, event_id: str) -> None:
        """A redaction."""
        self.heard.append(("redacted", event_id))

    @joined
    async def came(self, ctx: Context) -> None:
        """Its own arrival."""
        self.heard.append(("joined",))


class CommandsOnly(Plugin):
    """Has no handler for other text."""

    @command("buy", help="Buy something.")
    async def buy(self, ctx: Context, rest: Rest = "") -> None:
        """A command."""
        ctx.say("bought")


def services(rooms: FakeRooms, store: FakeMedia | None = None) -> Services:
    """What consumers are made with, on an empty database in memory."""
    database, clock = MemoryDatabase(), ManualClock()
    for table_metadata in {table.metadata for table in (tables.dialogs, tables.people)}:
        with database._engine.begin() as connection:
            table_metadata.create_all(connection)

    async def raise_events(_work: Any) -> None:
        raise AssertionError("nothing is due here")

    scheduler = Scheduler(database, raise_events, Sealer(KEY, "schedules"), clock, list)
    return Services(
        database=database,
        rooms=rooms,
        media=cast(Media, store or FakeMedia()),
        homeserver=WorldHomeserver(),
        sealer=Sealer(KEY, "dialogs"),
        clock=clock,
        people=People(database, clock, scheduler),
        catalogues=Catalogues("en"),
        permissions=Permissions.model_validate({}),
        scheduler=scheduler,
        store=Store(database, Sealer(KEY, "state"), clock.now_ms),
        server_name="localhost",
    )


def consumer(
    plugin: Plugin, humans: int = 1, *, encrypted: bool = False, store: FakeMedia | None = None
) -> PluginConsumer:
    """A bot called "Corner Shop"."""
    bot = BotUser(BOT, "Corner Shop")
    made = PluginConsumer("bot", plugin, bot, services(FakeRooms(humans, encrypted), store))
    bot.consumers.append(made)
    bot.rebuild()
    return made


def event(content: Mapping[str, Any] | str, kind: str = "m.room.message", **changes: Any) -> Event:
    """A text, or anything."""
    body = {"msgtype": "m.text", "body": content} if isinstance(content, str) else content
    return Event("$cause", ROOM, ALICE, kind, body, 1, **changes)


async def hear(plugin: Plugin, what: Event, humans: int = 1) -> UnitOfWork:
    """Hand an event to a plugin as the engine does."""
    bot = consumer(plugin, humans)
    unit = UnitOfWork(what.event_id, bot.name, bot.user_id)
    if bot.wants(what):
        await bot.handle(what, unit)
    return unit


def bodies(unit: UnitOfWork) -> list[str]:
    """What it said."""
    return [json.loads(each.content)["body"] for each in unit.messages]


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("buy milk", ("buy", "milk")),
        ("BUY  two  eggs ", ("buy", "two  eggs")),
        ("get milk", ("buy", "milk")),
        ("order", ("buy", "")),
        ("!buy milk", ("buy", "milk")),
        ("  buy milk", ("buy", "milk")),
        ("buy\nmilk\nand eggs", ("buy", "milk\nand eggs")),
        ("buying milk", ("text", "buying milk", True)),
        ("please buy milk", ("text", "please buy milk", True)),
        ("hello", ("text", "hello", True)),
        ("!", ("text", "!", True)),
    ],
)
async def test_a_text_in_a_chat_with_one_person(text: str, heard: tuple[Any, ...]) -> None:
    shop = Shop()
    await hear(shop, event(text))
    assert shop.heard == [heard]


@pytest.mark.parametrize(
    ("content", "heard"),
    [
        ("buy milk", ("text", "buy milk", False)),
        ("!buy milk", ("buy", "milk")),
        ("Corner Shop: buy milk", ("buy", "milk")),
        ("corner shop, buy milk", ("buy", "milk")),
        ("shop_bot buy milk", ("buy", "milk")),
        ("@shop_bot:localhost: buy milk", ("buy", "milk")),
        ("@shop_bot buy milk", ("buy", "milk")),
        ("shop_bots buy milk", ("text", "shop_bots buy milk", False)),
        ("Corner Shop", ("text", "help", True)),
        (
            {"msgtype": "m.text", "body": "buy milk", "m.mentions": {"user_ids": [ALICE, BOT]}},
            ("buy", "milk"),
        ),
        (
            {"msgtype": "m.text", "body": "buy milk", "m.mentions": {"user_ids": [ALICE]}},
            ("text", "buy milk", False),
        ),
        ({"msgtype": "m.text", "body": "buy milk", "m.mentions": {"user_ids": BOT}}, ("text", "buy milk", False)),
        ({"msgtype": "m.text", "body": "buy milk", "m.mentions": [BOT]}, ("text", "buy milk", False)),
    ],
)
async def test_among_several_people_a_command_must_be_addressed(content: Any, heard: tuple[Any, ...]) -> None:
    shop = Shop()
    await hear(shop, event(content), humans=2)
    assert shop.heard == [heard]


async def test_a_plugin_of_commands_alone_says_what_it_does_not_know_when_it_is_meant() -> None:
    plugin = CommandsOnly()
    assert bodies(await hear(plugin, event("buy"))) == ["bought"]
    assert bodies(await hear(plugin, event("buys"))) == [
        "I do not know “buys”. Did you mean “buy”? Type “help” to see what I can do."
    ]
    assert bodies(await hear(plugin, event("xyz" * 100)))[0].startswith("I do not know “xyzxyz")
    assert len(bodies(await hear(plugin, event("xyz" * 1_000)))[0]) < 120
    assert bodies(await hear(plugin, event("hello"), humans=2)) == []


@pytest.mark.parametrize(
    "content",
    [
        {"msgtype": "m.notice", "body": "buy milk"},
        {"msgtype": "m.text"},
        {"msgtype": "m.text", "body": "  \n "},
        {"msgtype": "m.text", "body": 3},
        {"msgtype": "m.location", "body": "here"},
        {"msgtype": ["m.text"], "body": "buy"},
        {"body": "buy milk"},
        {},
    ],
)
async def test_what_is_never_answered(content: dict[str, Any]) -> None:
    """Notices above all: two bots would talk for ever."""
    shop = Shop()
    try:
        unit = await hear(shop, event(content))
    except TypeError:
        pytest.fail("odd content must not raise")
    assert shop.heard == []
    assert unit.empty


@pytest.mark.parametrize("msgtype", ["m.image", "m.file", "m.audio", "m.video"])
async def test_media(msgtype: str) -> None:
    shop = Shop()
    await hear(shop, event({"msgtype": msgtype, "body": "a.png"}))
    assert shop.heard == [("media", "a.png")]


async def test_an_edit_is_an_edit_and_no_new_text() -> None:
    shop = Shop()
    edit = {
        "msgtype": "m.text",
        "body": "* buy eggs",
        "m.new_content": {"msgtype": "m.text", "body": "buy eggs"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": "$original"},
    }
    await hear(shop, event(edit))
    assert shop.heard == [("edited", "$original", "buy eggs")]
    for broken in (
        {"m.new_content": "x"},
        {"m.relates_to": {"rel_type": "m.replace"}},
        {"m.relates_to": {"rel_type": "m.replace", "event_id": "$bobs"}},
        {"m.relates_to": {"rel_type": "m.replace", "event_id": "$hidden"}},
    ):
        shop = Shop()
        await hear(shop, event({**edit, **broken}))
        assert shop.heard == []


async def test_a_redaction() -> None:
    shop = Shop()
    await hear(shop, event({}, "m.room.redaction", redacts="$gone"))
    await hear(shop, event({}, "m.room.redaction"))
    assert shop.heard == [("redacted", "$gone")]


@pytest.mark.parametrize(
    ("state_key", "membership", "before", "heard"),
    [
        (BOT, "join", None, True),
        (BOT, "join", "invite", True),
        (BOT, "join", "join", False),
        (BOT, "leave", "join", False),
        (BOT, "invite", None, False),
        (ALICE, "join", None, False),
    ],
)
async def test_its_own_arrival(state_key: str, membership: str, before: str | None, heard: bool) -> None:
    shop = Shop()
    unsigned = {"prev_content": {"membership": before}} if before else {}
    arrival = event({"membership": membership}, "m.room.member", state_key=state_key, unsigned=unsigned)
    await hear(shop, arrival)
    assert shop.heard == ([("joined",)] if heard else [])


async def test_other_types_are_not_wanted() -> None:
    bot = consumer(Shop())
    for kind in ("m.room.topic", "m.sticker", "m.room.name", "x"):
        assert not bot.wants(event({}, kind))
    assert bot.wants(event({"algorithm": "x"}, "m.room.encrypted"))
    assert bot.name == f"bot:{BOT}"


@pytest.mark.parametrize(
    ("body", "reply", "text"),
    [
        ("> <@bob:x> buy\n> two lines\n\nbuy milk", True, "buy milk"),
        ("> <@bob:x> buy\n\nbuy milk", False, "> <@bob:x> buy\n\nbuy milk"),
        ("buy milk", True, "buy milk"),
        ("> only a quotation\n", True, "> only a quotation\n"),
        ("buy\n> not at the start", True, "buy\n> not at the start"),
    ],
)
def test_the_fallback_of_a_reply_is_no_text(body: str, reply: bool, text: str) -> None:
    content: dict[str, Any] = {"body": body}
    if reply:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": "$x"}}
    incoming = Incoming.of(event({"msgtype": "m.text", **content}))
    assert incoming is not None
    assert incoming.text == text


def context(unit: UnitOfWork, rooms: FakeRooms | None = None, store: FakeMedia | None = None) -> Context:
    """A context of the event $cause."""
    return Context(
        event("x"), unit, BOT, services(rooms or FakeRooms(), store), English(), instance="bot", consumer="bot:" + BOT
    )


async def test_what_a_context_can_do() -> None:
    unit = UnitOfWork("$cause", "bot:" + BOT, BOT)
    ctx = context(unit)
    reference = ctx.say("plain", html="<b>nice</b>")
    ctx.say("elsewhere", room_id="!other:localhost")
    ctx.edit(reference, {"msgtype": "m.notice", "body": "new"})
    ctx.react("👍")
    ctx.redact("$x", reason="r")
    contents = [json.loads(each.content) for each in unit.messages]
    assert contents[0] == {
        "m.mentions": {},
        "msgtype": "m.notice",
        "body": "plain",
        "format": "org.matrix.custom.html",
        "formatted_body": "<b>nice</b>",
    }
    assert [each.room_id for each in unit.messages] == [ROOM, "!other:localhost", ROOM, ROOM, ROOM]
    assert contents[2]["m.relates_to"] == {"rel_type": "m.replace", "event_id": reference}
    assert contents[3]["m.relates_to"]["event_id"] == "$cause"
    assert unit.messages[4].target == "$x"
    assert (ctx.sender, ctx.room_id) == (ALICE, ROOM)
    assert reference == UNSENT + transaction_id("$cause", "bot:" + BOT, 0) == ctx.answer_to("$cause")
    assert ctx.answer_to("$cause", 1) != reference


@pytest.mark.parametrize("encrypted", [False, True])
async def test_media_are_stored_as_the_room_is(encrypted: bool) -> None:
    store, unit = FakeMedia(), UnitOfWork("$cause", "x", BOT)
    ctx = context(unit, FakeRooms(encrypted=encrypted), store)
    like = {
        "msgtype": "m.image",
        "body": "a.png",
        "filename": "b.png",
        "info": {"mimetype": "image/png", "w": 3, "thumbnail_url": "mxc://x/z", "thumbnail_info": {}},
        "url": "mxc://x/old",
    }
    await ctx.send_media(b"data", like)
    sent = json.loads(unit.messages[0].content)
    assert store.uploads == [(BOT, b"data", "image/png", encrypted)]
    assert ("file" in sent, "url" in sent) == (encrypted, not encrypted)
    assert (sent["body"], sent["filename"], sent["info"]) == ("a.png", "b.png", {"mimetype": "image/png", "w": 3})
    await ctx.send_media(b"data", {"info": [], "body": 3})
    assert store.uploads[-1][2] == "application/octet-stream"
    assert json.loads(unit.messages[1].content)["body"] == "file"


async def test_a_last_word_is_a_reply_and_a_notice() -> None:
    bot = consumer(Shop())
    for method in ("gave_up", "unreadable"):
        unit = UnitOfWork("$cause", "x", BOT)
        arguments = (event("x"), unit) if method == "gave_up" else (event("x"), unit, "reason")
        await getattr(bot, method)(*arguments)
        said = json.loads(unit.messages[0].content)
        assert said["msgtype"] == "m.notice"
        assert said["m.relates_to"] == {"m.in_reply_to": {"event_id": "$cause"}}
    unit = UnitOfWork("$cause", "x", BOT)
    await bot.gave_up(event({"membership": "join"}, "m.room.member", state_key=BOT), unit)
    assert unit.empty


def test_handlers_of_a_derived_plugin_replace_those_of_its_base() -> None:
    class Derived(Shop):
        """Has a command more, and one less."""

        @command("buy", help="Buy better.")
        async def buy(self, ctx: Context, rest: Rest = "") -> None:
            """Better."""

        @command("sell", help="Sell.")
        async def sell(self, ctx: Context, rest: Rest = "") -> None:
            """More."""

    derived = Derived()
    assert [entry.name for entry in HandlerTable(derived, "x").commands] == ["buy", "sell"]
    assert HandlerTable(derived, "x").commands[0].help == "Buy better."
    table = HandlerTable(Shop(), "x")
    assert [(entry.name, entry.aliases) for entry in table.commands] == [("buy", ("get", "order"))]
    assert set(table.by_kind) == {"message", "media", "edited", "redacted", "joined"}


async def test_the_echo_bot() -> None:
    echo = Echo()
    assert bodies(await hear(echo, event("hello"), humans=5)) == ["hello"]
    unit = await hear(echo, event({}, "m.room.redaction", redacts="$said"))
    assert unit.messages[0].target == UNSENT + transaction_id("$said", f"bot:{BOT}", 0)
    edit = {
        "msgtype": "m.text",
        "body": "* new",
        "m.new_content": {"msgtype": "m.text", "body": "new"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": "$said"},
    }
    unit = await hear(echo, event(edit))
    said = json.loads(unit.messages[0].content)
    assert said["m.relates_to"]["event_id"] == UNSENT + transaction_id("$said", f"bot:{BOT}", 0)
    assert said["m.new_content"]["body"] == "new"
    unit = await hear(echo, event({"msgtype": "m.image", "body": "a.png", "url": "mxc://x/z"}))
    assert json.loads(unit.messages[0].content)["url"] == "mxc://x/y"

"""A plugin for the tests of plugins that are served from outside: a bit of everything that a handler may do."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel

from bots.framework import Context, Dialog, Key, Plugin, Setup, command, dialog, message, timer

ORDERS = Key("orders", int, 0)
NAMES = Key("names", list[str], [])


class Settings(BaseModel):
    """``effects`` is a file that steps write into; as long as ``hold`` is there, they stand still."""

    effects: str = ""
    hold: str = ""


class Served(Plugin):
    """Answers, remembers, and takes orders."""

    name = "served"
    summary = "For tests."
    Settings = Settings
    scopes = frozenset({"state", "schedules", "media"})

    def __init__(self, setup: Setup) -> None:
        self.settings: Settings = setup.settings

    @command("hello", help="Say hello")
    async def hello(self, ctx: Context) -> None:
        """With an edit and a reaction, and a count."""
        ctx.user_state.add("hellos")
        await ctx.user_state.update(NAMES, lambda names: [*names, ctx.sender])
        reference = ctx.say(f"Hello {await ctx.display_name()}, number {await ctx.user_state.count('hellos')}")
        ctx.edit(reference, {"msgtype": "m.notice", "body": "Hello again"})
        ctx.react("👋")

    @command("keep", help="Remember a word")
    async def keep(self, ctx: Context, word: str) -> None:
        """Compare and set, and what was before."""
        before = await ctx.state.get("word", as_=str)
        ctx.state.compare_and_set("word", before, word, as_=str | None)
        ctx.say(f"{before} -> {word}; {', '.join(await ctx.state.keys())}")

    @command("order", help="Order something")
    async def order(self, ctx: Context) -> None:
        """A dialog."""
        ctx.start(self.ordering)

    @dialog
    async def ordering(self, d: Dialog) -> None:
        """Questions, a step outside, an effect inside, a word."""
        drink = await d.choose("What would you like?", ["Tea", "Coffee"])
        count = await d.ask("How many?", parse=int)
        await d.say(f"{count} {drink}, let me see.")
        ticket = await d.step("book", self.book, drink, count)
        total = await d.do("count", self.counted, count)
        if await d.confirm("Is that right?"):
            await d.say(f"{ticket}, {total} so far.")

    async def book(self, drink: str, count: int, idempotency_key: str) -> str:
        """Outside: a line in a file."""
        if self.settings.effects:
            with Path(self.settings.effects).open("a", encoding="utf-8") as file:
                file.write(f"{idempotency_key} {drink} {count}\n")
        while self.settings.hold and Path(self.settings.hold).exists():
            await asyncio.sleep(0.005)
        return f"Ticket for {count} {drink}"

    async def counted(self, ctx: Context, count: int) -> int:
        """Inside: committed with the record that it ran."""
        before = await ctx.plugin_state.get(ORDERS)
        ctx.plugin_state.compare_and_set(ORDERS, before, before + count)
        return before + count

    @command("later", help="Ring in a moment")
    async def later(self, ctx: Context) -> None:
        """A timer that is due at once."""
        ctx.later(ctx.now(), "ring", {"from": "later"})

    @timer("ring")
    async def ring(self, ctx: Context, data: dict[str, str]) -> None:
        """The timer."""
        ctx.say(f"Ring, from {data['from']}")

    @command("picture", help="Fetch and send a file")
    async def picture(self, ctx: Context, address: str) -> None:
        """A file there and back."""
        data = await ctx.download({"url": address})
        await ctx.send_file(bytes(reversed(data)), "back.bin")

    @command("elsewhere", help="Write into another room")
    async def elsewhere(self, ctx: Context, room: str) -> None:
        """Refused where the bot is not."""
        ctx.say("psst", room_id=room)

    @command("break", help="Fail")
    async def fail(self, ctx: Context) -> None:
        """Fails."""
        raise RuntimeError("broken")

    @message
    async def echo(self, ctx: Context) -> None:
        """The same words."""
        ctx.say(f"re: {ctx.text}")

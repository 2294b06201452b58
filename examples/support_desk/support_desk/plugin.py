"""The support desk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, Field, SecretStr, ValidationError

from bots.framework import (
    Context,
    Dialog,
    Key,
    Plugin,
    Said,
    Setup,
    UserID,
    WebhookCall,
    command,
    dialog,
    edited,
    joined,
    media,
    message,
    redacted,
    timer,
    webhook,
)
from bots.framework.content import in_thread
from bots.framework.i18n import WORDS, fold

from .book import Book
from .cases import Case, Form, News, relayed, stays_inside

ROOM: Final = Key("staff", str)
"""The staff room that an alias in the settings led to."""
MOST: Final = 20
"""Messages of one intake."""
SHOWN: Final = 30
"""Cases of one list."""


class Settings(BaseModel):
    """What an operator can set."""

    room: str = Field(
        pattern="^[!#]", description="The staff room, by its id or alias. Encrypt it, and invite the bot."
    )
    topics: list[str] = Field(["An order", "A payment", "Something else"], min_length=2, max_length=20)
    secret: SecretStr = Field(min_length=16, description="Signs the calls of the webhooks “case” and “news”.")
    keep_days: int = Field(90, ge=1, le=3650, description="How long a closed case is kept.")


class SupportDesk(Plugin):
    """Takes people's questions in their own chats, and lets staff answer them from one room, in a thread each."""

    name = "support-desk"
    summary = "Answers your questions."
    Settings = Settings
    scopes = frozenset({"state", "schedules", "media", "webhooks", "rooms.create"})

    def __init__(self, setup: Setup) -> None:
        self._settings: Settings = setup.settings

    def _book(self, ctx: Context) -> Book:
        return Book(ctx, timedelta(days=self._settings.keep_days))

    async def _staff(self, ctx: Context) -> str:
        """The id of the staff room; "" while its alias leads nowhere."""
        if self._settings.room.startswith("!"):
            return self._settings.room
        known = await ctx.plugin_state.get(ROOM)
        if known is None and (known := await ctx.room_named(self._settings.room)):
            ctx.plugin_state.set(ROOM, known)
        return known or ""

    async def _reachable(self, ctx: Context) -> bool:
        """Whether the bot is in the staff room: it may not have been invited yet."""
        return ctx.user_id in await ctx.services.rooms.members(await self._staff(ctx))

    # What is said

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say what to do."""
        if ctx.room_id == await self._staff(ctx):
            if not await ctx.encrypted():
                ctx.say("This room is not encrypted, and what people write here is theirs: please turn encryption on.")
            ctx.say("Each case is a thread here. What you write in it goes to the person, without your name; “//” "
                    "before it keeps it among you. !cases, !assign, !close")  # fmt: skip
        else:
            ctx.say(ctx.t("Hello! Write what it is about, and somebody will answer you here."))

    @message
    async def text(self, ctx: Context) -> None:
        """A text, of a person or of the staff."""
        await self._hear(ctx)

    @media
    async def file(self, ctx: Context) -> None:
        """A file, too."""
        await self._hear(ctx)

    async def _hear(self, ctx: Context) -> None:
        if ctx.room_id == await self._staff(ctx):
            await self._from_staff(ctx)
        elif len(await ctx.humans()) == 1:
            await self._from_person(ctx)
        elif ctx.addressed:
            ctx.say(ctx.t("Others read along here. Please write to me in a chat of our own."))

    async def _from_person(self, ctx: Context) -> None:
        book = self._book(ctx)
        case = await book.of_chat(ctx.room_id)
        if not await self._reachable(ctx):
            ctx.say(ctx.t("Nobody can read you here at the moment. Please try again later."))
        elif case is None:
            ctx.start(self.intake, Said(ctx.text, dict(ctx.content), ctx.event.event_id, ctx.sender))
        else:
            book.unchanged(case)
            await self._to_staff(ctx, case, ctx.content, ctx.event.event_id)

    async def _from_staff(self, ctx: Context) -> None:
        book = self._book(ctx)
        case = await book.of_message(ctx.thread) or await book.of_message(ctx.reply_to)
        if ctx.text.startswith("!") or (case is None and ctx.addressed):
            ctx.decline()
        if case is None or stays_inside(ctx.text):
            return
        if case.state == "closed" or not case.room:
            ctx.say(f"#{case.number} is closed." if case.room else f"There is no chat: write to {case.contact}.")
            return
        book.unchanged(case)
        staff = await ctx.humans()
        copy = relayed(ctx.content, staff, ctx.t("a colleague"))
        await self._send(ctx, copy, case.room, ctx.event.event_id)
        ctx.react("📨")

    async def _to_staff(self, ctx: Context, case: Case, content: Mapping[str, Any], event_id: str) -> None:
        """Send a message of the person into the thread of their case."""
        book, staff = self._book(ctx), await self._staff(ctx)
        await self._send(ctx, in_thread(relayed(content), book.root(case)), staff, event_id)
        await book.sent(case, f"copy:{event_id}")

    async def _send(self, ctx: Context, copy: Mapping[str, Any], room: str, event_id: str) -> None:
        """Send the copy of a message. Its key is the message's id: whatever happens, there is one copy."""
        if "file" in copy and not await ctx.services.rooms.is_encrypted(room):
            # The key of an encrypted file must not stand in a room that is not: it is stored anew, in the clear.
            await ctx.send_media(await ctx.download(copy), copy, room_id=room, key=f"copy:{event_id}")
        else:
            ctx.send(copy, room_id=room, key=f"copy:{event_id}")
        self._book(ctx).went(event_id, room)

    # Edits and redactions

    @edited
    async def changed(self, ctx: Context, event_id: str) -> None:
        """The copy of an edited message is edited; a note that it becomes goes away."""
        room = await self._book(ctx).copy_of(event_id)
        if room is None:
            return
        reference = ctx.reference(f"copy:{event_id}")
        from_staff = ctx.room_id == await self._staff(ctx)
        if from_staff and stays_inside(ctx.text):
            ctx.redact(reference, room_id=room)
        else:
            hidden = await ctx.humans() if from_staff else []
            ctx.edit(reference, relayed(ctx.content, hidden, ctx.t("a colleague")), room_id=room)

    @redacted
    async def gone(self, ctx: Context, event_id: str) -> None:
        """The copy of a redacted message goes with it."""
        room = await self._book(ctx).copy_of(event_id)
        if room is not None:
            ctx.redact(ctx.reference(f"copy:{event_id}"), room_id=room)

    # Intake

    @command("new", help="Ask something")
    async def new(self, ctx: Context) -> None:
        """Begin a new case."""
        if ctx.room_id == await self._staff(ctx) or len(await ctx.humans()) != 1:
            ctx.say(ctx.t("Please write to me in a chat of our own."))
        elif await self._book(ctx).of_chat(ctx.room_id) is not None:
            ctx.say(ctx.t("You have a case already: just write. “close” ends it."))
        elif not await self._reachable(ctx):
            ctx.say(ctx.t("Nobody can read you here at the moment. Please try again later."))
        else:
            ctx.start(self.intake, None)

    @dialog(timeout=timedelta(hours=12))
    async def intake(self, d: Dialog, first: Said | None) -> None:
        """Topic, then words and files until “done”."""
        topic = await d.choose(d.t("What is it about?"), self._settings.topics)
        parts = [] if first is None else [first]
        question = d.t("Please describe it. Pictures and files are welcome, too.")
        if first is not None:
            question = d.t("Is there more to say, or a picture? Write “done” when that is all.")
        while len(parts) < MOST:
            said = await d.ask(question, parse=Said)
            if parts and fold(said.text) in _done(d):
                break
            parts.append(said)
            question = d.t("Thank you. Go on, or write “done” when that is all.")
        number = await d.do("open", self._open, topic, parts)
        await d.say(d.t("Thank you! This is case #{number}. Somebody will answer you here.", number=number))

    async def _open(self, ctx: Context, topic: str, parts: list[Said]) -> int:
        case = await self._book(ctx).open(topic, room=ctx.room_id, name=(await ctx.display_name())[:80])
        await self._announce(ctx, case)
        for said in parts:
            await self._to_staff(ctx, case, said.content, said.event_id)
        return case.number

    async def _announce(self, ctx: Context, case: Case) -> None:
        ctx.send({"msgtype": "m.text", "body": case.card()}, room_id=await self._staff(ctx), key=case.key)

    # What staff can do

    @command("cases", help="List the open cases")
    async def cases(self, ctx: Context) -> None:
        """Every case that is open."""
        if ctx.room_id != await self._staff(ctx):
            ctx.say(ctx.t("That is for the staff."))
            return
        found = await self._book(ctx).all_open()
        lines = [case.card() for case in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"… and {len(found) - SHOWN} more")
        ctx.say("\n".join(lines) or "There is no open case.")

    @command("assign", help="Take a case, or give it to somebody")
    async def assign(self, ctx: Context, who: UserID | None = None, *, case: int | None = None) -> None:
        """Take the case of this thread, or give it to somebody; case=7 names one elsewhere."""
        found = await self._meant(ctx, case)
        if found is None:
            return
        assignee = str(who or ctx.sender)
        if assignee not in await ctx.humans():
            ctx.say(f"{assignee} is not in this room.")
            return
        await self._change(ctx, found, found.model_copy(update={"assignee": await ctx.display_name(assignee)}))

    @command("close", help="Close a case")
    async def close(self, ctx: Context, case: int | None = None) -> None:
        """Close the case of this thread or chat, or the one of a number."""
        if ctx.room_id == await self._staff(ctx):
            found = await self._meant(ctx, case)
            if found is None:
                return
            if found.room:
                text = ctx.t("Case #{number} is closed. Write again whenever you like.", number=found.number)
                ctx.say(text, room_id=found.room, notice=False)
        else:
            found = await self._book(ctx).of_chat(ctx.room_id)
            if found is None:
                ctx.say(ctx.t("You have no open case."))
                return
            ctx.say(ctx.t("Case #{number} is closed. Write again whenever you like.", number=found.number))
        await self._change(ctx, found, found.model_copy(update={"state": "closed"}))

    async def _meant(self, ctx: Context, number: int | None) -> Case | None:
        """The open case that staff mean, or None when that was told."""
        if ctx.room_id != await self._staff(ctx):
            ctx.say(ctx.t("That is for the staff."))
            return None
        book = self._book(ctx)
        found = await book.get(number) or await book.of_message(ctx.thread) or await book.of_message(ctx.reply_to)
        if found is None or (number is not None and found.number != number):
            ctx.say("Which case? Write it in its thread, or name its number.")
            return None
        if found.state == "closed":
            ctx.say(f"#{found.number} is closed.")
            return None
        return found

    async def _change(self, ctx: Context, before: Case, after: Case) -> None:
        book, staff = self._book(ctx), await self._staff(ctx)
        book.change(before, after)
        ctx.edit(book.root(before), {"msgtype": "m.text", "body": after.card()}, room_id=staff)
        news = "Closed." if after.state == "closed" else f"For {after.assignee}."
        ctx.send(in_thread({"msgtype": "m.notice", "body": news}, book.root(before)), room_id=staff)

    @timer("bind")
    async def bind(self, ctx: Context, number: int) -> None:
        """Keep what must outlive a week."""
        await self._book(ctx).bind(number)

    # From outside

    @webhook("case", secret="secret")
    async def from_website(self, ctx: Context, call: WebhookCall) -> None:
        """The form on the website opens a case; whoever gives a Matrix user id is answered in a chat."""
        staff = await self._staff(ctx)
        try:
            form = Form.model_validate(call.json)
        except ValidationError as error:
            ctx.say(f"A form of the website came that I cannot read ({error.error_count()} fields).", room_id=staff)
            return
        book, room = self._book(ctx), ""
        if form.user and ctx.services.chats is not None:
            room = await ctx.direct(form.user)
        case = await book.of_chat(room) if room else None
        if case is None:
            case = await book.open(form.topic, room=room, name=form.name, contact=form.contact)
            await self._announce(ctx, case)
        ctx.send(in_thread({"msgtype": "m.text", "body": form.text}, book.root(case)), room_id=staff)
        if room:
            text = ctx.t("You wrote to us on our website: case #{number}. Somebody will answer you here.",
                         number=case.number)  # fmt: skip
            ctx.say(text, room_id=room, notice=False)

    @webhook("news", secret="secret")
    async def from_service(self, ctx: Context, call: WebhookCall) -> None:
        """Another service tells the staff something, and the person if it says so: a parcel was sent."""
        staff = await self._staff(ctx)
        try:
            news = News.model_validate(call.json)
        except ValidationError as error:
            ctx.say(f"News came that I cannot read ({error.error_count()} fields).", room_id=staff)
            return
        book = self._book(ctx)
        case = await book.get(news.case)
        content: dict[str, Any] = {"msgtype": "m.text", "body": news.text}
        ctx.send(in_thread(content, book.root(case)) if case else content, room_id=staff)
        if case is not None and case.room and news.person:
            ctx.send(content, room_id=case.room)


def _done(d: Dialog) -> set[str]:
    """The words for “done”, in English and in the person's language."""
    listed = {WORDS["done"], d.t(WORDS["done"])}
    return {fold(word) for each in listed for word in each.partition(":")[2].split(",")}

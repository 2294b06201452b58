"""Chats: listed, made, called something, pinned in, archived, left, deleted."""

from __future__ import annotations

from typing import Final

from bots.framework import Attachment, Context, Dialog, Option, Rest, UserID, command, dialog
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.area import LISTED, PEOPLES, SHARED, SHOWN, Area
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.store.chats import Chat

MOST_LISTED: Final = 50


class ChatAreas(Area):
    """What is done with chats as a whole."""

    # Listed

    @command("chats", help=_("List your chats with their numbers"), aliases=("my chats",))
    async def chats(self, ctx: Context) -> None:
        """Your groups, channels and direct chats. “chat 2” opens the menu of number 2, “rename #2 Tea” names it."""
        if not await self.aside(ctx):
            return
        found = (await self.chats_of(ctx.sender, PEOPLES))[:MOST_LISTED]
        if not found:
            ctx.say(ctx.t("You are in no chat of mine yet. “new group” and “new channel” make one."))
            return
        ctx.user_state.set(LISTED, [chat.id for chat in found])
        ctx.user_state.set(SHOWN, "chats")
        titles = await self.titles(ctx.sender, found)
        lines = [self._line(ctx, chat, titles[chat.room_id]) for chat in found]
        hint = ctx.t("Type a number to manage that chat, or put it behind a command: timer #1 1 day.")
        ctx.say("\n".join([ctx.t("Your chats:"), words.numbered(lines), hint]))

    def _line(self, ctx: Context, chat: Chat, title: str) -> str:
        marks = [ctx.t(words.KINDS[chat.kind])]
        if chat.public:
            marks.append(ctx.t("public"))
        if chat.archived_at is not None:
            marks.append(ctx.t("archived"))
        return f"{title} – {', '.join(marks)}"

    # Made

    @command("new group", help=_("Make a group: new group Tea with @bob @carol"), aliases=("create group",))
    async def new_group(self, ctx: Context, name_and_people: Rest = "") -> None:
        """Make an encrypted group of people: “new group Tea with @bob @carol”. I ask for what you leave out."""
        name, people = words.name_and_people(name_and_people, ctx.env(), self._user_id)
        ctx.start(self.make, Kind.GROUP, name, people)

    @command("new channel", help=_("Make a channel: few write, many read"), aliases=("create channel",))
    async def new_channel(self, ctx: Context, name_and_people: Rest = "") -> None:
        """Make a channel, private or public: “new channel News”. I ask for what you leave out."""
        name, people = words.name_and_people(name_and_people, ctx.env(), self._user_id)
        ctx.start(self.make, Kind.CHANNEL, name, people)

    @command("new chat", help=_("Begin a direct chat with somebody: new chat @bob"))
    async def new_chat(self, ctx: Context, whom: Rest = "") -> None:
        """An encrypted chat of the two of you."""
        person = words.person(whom, ctx.env()) if whom.strip() else None
        ctx.start(self.make_direct, person)

    @dialog
    async def make(self, d: Dialog, kind: Kind, name: str, people: tuple[UserID, ...]) -> None:
        """Ask for what is missing, make it, and say how to go on."""
        asked = not name
        if not name:
            name = await d.ask(d.t("What is it to be called?"), validate=words.check_name)
        public, alias = False, ""
        if kind is Kind.CHANNEL:
            public = await self._ask_public(d)
            if public:
                alias = await self._ask_alias(d)
        if asked and not people:
            question = d.t("Whom shall I invite? Write their ids, such as @bob:example.org, or “nobody”.")
            people = await d.ask(question, parse=words.people_or_nobody)
        chat: Chat = await self.try_step(d, "create", self._create, d.person, kind, name, public, alias, people, d.id)
        await d.say(_made(d, chat))

    @staticmethod
    async def _ask_public(d: Dialog) -> bool:
        private = Option("private", d.t("Private"), d.t("by invitation; encrypted"))
        public = Option("public", d.t("Public"), d.t("everybody may read it; not encrypted"))
        return (await d.choose(d.t("Who may read it?"), [private, public])).value == "public"

    @staticmethod
    async def _ask_alias(d: Dialog) -> str:
        question = d.t("Which address is it to have? Small letters and digits, such as “news”; or “none”.")
        return await d.ask(question, parse=words.alias_or_none)

    async def _create(
        self, person: str, kind: Kind, name: str, public: bool, alias: str, people: tuple[str, ...], key: str
    ) -> Chat:
        return await self._messenger.chats.create(
            Actor.person(person), kind, name=name, public=public, alias=alias, members=people, key=key
        )

    @dialog
    async def make_direct(self, d: Dialog, person: UserID | None) -> None:
        """Begin a chat of two."""
        if person is None:
            person = await self.whom(d)
        chat: Chat = await self.try_step(
            d, "create", self._create, d.person, Kind.DIRECT, "", False, "", (person,), d.id
        )
        said = d.t("The chat with {person} is ready. Accept its invitation, or go there:", person=person)
        await d.say(f"{said} {words.room_link(chat.room_id)}")

    # What it is called

    @command("rename", help=_("Give a chat another name: rename Tea time"))
    async def rename(self, ctx: Context, name: Rest = "") -> None:
        """Give the chat another name. “rename #2 Tea time” is for number 2 of your chats."""
        await self.begin(ctx, self.rename_chat, name)

    @dialog
    async def rename_chat(self, d: Dialog, chat: str, name: str = "") -> None:
        """Another name."""
        found = await self.which(d, chat)
        if not name:
            name = await d.ask(d.t("What is “{chat}” to be called?", chat=found.title), validate=words.check_name)
        await self.on(d, "rename", self._messenger.chats.rename, found, name)
        await d.say(d.t("“{chat}” is called “{name}” now.", chat=found.title, name=words.one_line(name)))

    @command("describe", help=_("Say what a chat is about: describe All about tea"), aliases=("topic",))
    async def describe(self, ctx: Context, what: Rest = "") -> None:
        """Set the topic of the chat; “describe none” takes it away."""
        await self.begin(ctx, self.describe_chat, what)

    @dialog
    async def describe_chat(self, d: Dialog, chat: str, text: str = "") -> None:
        """Another topic."""
        found = await self.which(d, chat)
        if not text:
            text = await d.ask(d.t("What is “{chat}” about? “none” takes the description away.", chat=found.title))
        text = "" if words.same(text, "none") else text
        await self.on(d, "describe", self._messenger.chats.describe, found, text)
        await d.say(d.t("Done: “{chat}” has another description.", chat=found.title))

    @command("picture", help=_("Give a chat a picture"), aliases=("avatar",))
    async def picture(self, ctx: Context, which: Rest = "") -> None:
        """I ask you for the picture. Everybody who may see the chat sees it: it is not encrypted."""
        await self.begin(ctx, self.picture_chat, which)

    @dialog
    async def picture_chat(self, d: Dialog, chat: str, rest: str = "") -> None:
        """Another picture."""
        found = await self.which(d, chat)
        sent = await d.ask(
            d.t("Send me the picture for “{chat}”. It is not encrypted.", chat=found.title), parse=Attachment
        )
        url = await d.do("upload", _upload, dict(sent.content))
        if not url:
            await d.end(d.t("That is no picture that I can use: send a JPEG, PNG or WebP of up to 10 MB."))
        await self.on(d, "avatar", self._messenger.chats.set_avatar, found, url)
        await d.say(d.t("Done: “{chat}” has a new picture.", chat=found.title))

    # Pins

    @command("pin", help=_("Pin a message: reply to it with pin, or give its link"))
    async def pin(self, ctx: Context, link: Rest = "") -> None:
        """Reply to the message, or write its link: “pin https://matrix.to/#/…”."""
        await self._pin(ctx, link, True)

    @command("unpin", help=_("Pin a message no longer"))
    async def unpin(self, ctx: Context, link: Rest = "") -> None:
        """Reply to the message, or write its link."""
        await self._pin(ctx, link, False)

    async def _pin(self, ctx: Context, text: str, pinned: bool) -> None:
        where = self.message_of(ctx, text)
        if where is None:
            ctx.say(ctx.t("Which message? Reply to it, or write its link: clients call that “share” or “copy link”."))
            return
        actor, chats = Actor.person(ctx.sender), self._messenger.chats
        chat = await chats.get(actor, where.room_id)
        await (chats.pin if pinned else chats.unpin)(actor, chat, where.event_id)
        ctx.say(ctx.t("Pinned.") if pinned else ctx.t("Not pinned any more."))

    # The end

    @command("archive", help=_("Close a chat: it stays to be read, nobody writes any more"))
    async def archive(self, ctx: Context, which: Rest = "") -> None:
        """Everything stays to be read, nobody writes any more. “unarchive” opens it again."""
        await self.begin(ctx, self.archive_chat, which)

    @dialog
    async def archive_chat(self, d: Dialog, chat: str, rest: str = "") -> None:
        """Nobody writes any more."""
        found = await self.which(d, chat, SHARED)
        await self.on(d, "archive", self._messenger.chats.archive, found)
        await d.say(
            d.t("“{chat}” is archived: nobody writes there any more. “unarchive” opens it again.", chat=found.title)
        )

    @command("unarchive", help=_("Open a chat that was archived"))
    async def unarchive(self, ctx: Context, which: Rest = "") -> None:
        """People write again."""
        await self.begin(ctx, self.unarchive_chat, which)

    @dialog
    async def unarchive_chat(self, d: Dialog, chat: str, rest: str = "") -> None:
        """People write again."""
        found = await self.which(d, chat, SHARED)
        await self.on(d, "unarchive", self._messenger.chats.unarchive, found)
        await d.say(d.t("“{chat}” is open again.", chat=found.title))

    @command("leave", help=_("Leave a chat"))
    async def leave(self, ctx: Context, which: Rest = "") -> None:
        """Leave the chat. The last owner hands it over first, or deletes it."""
        await self.begin(ctx, self.leave_chat, which)

    @dialog
    async def leave_chat(self, d: Dialog, chat: str, rest: str = "") -> None:
        """Go."""
        found = await self.which(d, chat)
        if not await d.confirm(d.t("Leave “{chat}”?", chat=found.title)):
            await d.end(d.t("You stay."))
        await self.on(d, "leave", self._leave, found)
        await d.say(d.t("You have left “{chat}”.", chat=found.title))

    async def _leave(self, actor: Actor, chat: Chat) -> None:
        await self._messenger.chats.leave(actor.user_id, chat)

    @command("delete chat", help=_("Delete a chat for everybody"))
    async def delete(self, ctx: Context, which: Rest = "") -> None:
        """Delete the chat for everybody. There is no way back; I ask for its name first."""
        await self.begin(ctx, self.delete_chat, which)

    @dialog
    async def delete_chat(self, d: Dialog, chat: str, rest: str = "") -> None:
        """Gone for everybody: whoever does it by mistake would not write its name."""
        found = await self.which(d, chat)
        question = d.t(
            "“{chat}” is deleted for everybody, and cannot be brought back. To go on, write its name.", chat=found.title
        )
        said = await d.ask(question)
        if not words.same(said.strip().strip("“”\"'„«»"), found.title):
            await d.end(d.t("That is another name. Nothing was deleted."))
        await self.on(d, "delete", self._messenger.chats.delete, found)
        await d.say(d.t("“{chat}” is deleted.", chat=found.title))

    @command("upgrade", help=_("Move a chat into a new room of the current version"))
    async def upgrade(self, ctx: Context, which: Rest = "") -> None:
        """For old rooms: members are invited into the new one; what was said stays in the old one."""
        await self.begin(ctx, self.upgrade_chat, which)

    @dialog
    async def upgrade_chat(self, d: Dialog, chat: str, rest: str = "") -> None:
        """A new room in its place."""
        found = await self.which(d, chat, SHARED)
        question = d.t(
            "Move “{chat}” into a new room? Members are invited there; the old room is closed.", chat=found.title
        )
        if not await d.confirm(question):
            await d.end(d.t("Everything stays as it is."))
        new: Chat = await self.on(d, "upgrade", self._messenger.chats.upgrade, found)
        await d.say(f"{d.t('“{chat}” has moved:', chat=found.title)} {words.room_link(new.room_id)}")


def _made(d: Dialog, chat: Chat) -> str:
    name, link = words.one_line(chat.name), words.room_link(chat.room_id)
    if chat.kind is Kind.GROUP:
        said = d.t("“{chat}” is ready, an encrypted group. Accept its invitation, or go there:", chat=name)
    elif chat.public:
        said = d.t("“{chat}” is ready, a public channel. It is not encrypted: everybody may read it.", chat=name)
        if chat.alias:
            said += " " + d.t("Its address is {alias}.", alias=chat.alias)
        said += " " + d.t("Accept its invitation, or go there:")
    else:
        said = d.t("“{chat}” is ready, a private, encrypted channel. Accept its invitation, or go there:", chat=name)
    how = d.t("“invite link” makes a link for others, “chats” shows all your chats.")
    return f"{said} {link}\n{how}"


async def _upload(ctx: Context, content: dict[str, object]) -> str:
    """The picture, as a plain upload: what a chat looks like is never encrypted."""
    data = await ctx.download(content)
    if not 0 < len(data) <= MOST_PICTURE:
        return ""
    kind = _kind_of(data)
    if not kind:
        return ""
    stored = await ctx.services.media.upload(ctx.user_id, data, kind, encrypted=False)
    return str(stored.content.get("url", ""))


MOST_PICTURE: Final = 10 * 1024 * 1024


def _kind_of(data: bytes) -> str:
    """The type of a picture by its first bytes: what the sender says of it proves nothing."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return ""

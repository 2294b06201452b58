"""What the areas of the hub share: which chat is meant, what a service does about it, and what is said when it refuses.

A command begins a dialog, which asks for what was not said: the chat first. In a chat that the hub is in it is that
chat; elsewhere “#2” says which, by the number of the list that ``chats`` shows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NoReturn, TypeVar

from sqlalchemy import Connection

from appservice.homeserver import HomeserverError
from bots.framework import Context, Dialog, InvalidValue, Key, Option, Plugin, UserID, own_chat
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.refusals import why
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.domain.roles import Role
from bridge.errors import BridgeError, Refused
from bridge.messenger import Messenger
from bridge.store import chats as store
from bridge.store.chats import Chat

T = TypeVar("T")

LISTED: Final = Key("listed", list[str], default=[], secret=True)
"""The chats of a person by the numbers that they were shown last."""
SHOWN: Final = Key("shown", str, default="services")
"""The list that a bare number chooses from: ``services`` or ``chats``, whichever was shown last."""
PEOPLES: Final = frozenset({Kind.DIRECT, Kind.GROUP, Kind.CHANNEL})
"""Chats among people. What somebody has with a bot is the bot's to manage."""
SHARED: Final = frozenset({Kind.GROUP, Kind.CHANNEL})
EVERY: Final = frozenset(Kind)
MOST_OFFERED: Final = 200
"""Chats that somebody chooses among."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A chat that is meant, as a dialog records it."""

    id: str
    room_id: str
    kind: Kind
    title: str
    public: bool = False
    encrypted: bool = True
    role: str = ""
    """The person's; empty when it was not asked for."""


class Area(Plugin):
    """What every area has."""

    _messenger: Messenger
    _user_id: str

    # Which chat

    def here(self, room_id: str) -> Chat | None:
        """The chat that the hub is in as one among several; None for its own chat with somebody."""
        found = self._messenger.registry.get(room_id)
        return None if found is None or found.kind is Kind.SERVICE else found

    async def begin(self, ctx: Context, dialog: Callable[..., Any], text: str, *args: Any) -> None:
        """Begin a dialog ``(d, chat, rest, *args)`` about the chat that a text names, or about the one at hand."""
        chat, rest = await self.named(ctx, text)
        ctx.start(dialog, chat, rest, *args)

    async def named(self, ctx: Context, text: str) -> tuple[str, str]:
        """The id of the chat that a text names first, or of the one at hand ("": to be asked), and the rest.

        Raises:
            InvalidValue: it names a chat that is none of the person's.
        """
        reference, rest = words.chat_reference(text)
        if reference:
            found = await self.referred(ctx, reference)
            if found is None:
                raise InvalidValue(
                    "hub.no_chat",
                    _("You have no chat #{given}. “chats” shows yours with their numbers."),
                    clear=True,
                    given=words.one_line(reference, 40),
                )
            return found.id, rest
        chat = self.here(ctx.room_id)
        return (chat.id if chat is not None else ""), rest

    async def referred(self, ctx: Context, reference: str) -> Chat | None:
        """The chat of the person that a number, an address, an id or a name stands for."""
        chats = await self.chats_of(ctx.sender, EVERY)
        if reference.isdecimal() and len(reference) <= 4:
            listed = await ctx.user_state.get(LISTED) or [chat.id for chat in chats]
            number = int(reference)
            wanted = listed[number - 1] if 0 < number <= len(listed) else ""
            return next((chat for chat in chats if chat.id == wanted), None)
        wanted = reference.removeprefix("#")
        for chat in chats:
            if wanted in {chat.id, chat.room_id} or chat.alias == f"#{wanted}":
                return chat
        local = [chat for chat in chats if chat.alias and chat.alias[1:].partition(":")[0] == wanted]
        by_name = [chat for chat in chats if words.same(chat.name, wanted)]
        found = local or by_name
        return found[0] if len(found) == 1 else None

    async def chats_of(self, person: str, kinds: frozenset[Kind]) -> list[Chat]:
        """The chats of these kinds that somebody is in, the newest first."""
        return [chat for chat in await self._messenger.chats.list_for(person) if chat.kind in kinds]

    async def which(self, d: Dialog, chat: str, kinds: frozenset[Kind] = PEOPLES, *, role: bool = False) -> Chosen:
        """The chat that a dialog is about: the one it began with, or the one that is chosen now.

        Args:
            kinds: which chats it can be about.
            role: whether the person's role there is wanted.
        """
        if not chat:
            offered: list[Chosen] = await d.look("chats", self._offered, d.person, kinds)
            if not offered:
                await d.end(d.t("You have no chat for that yet. “new group” makes one."))
            if len(offered) == 1:
                chat = offered[0].id
            else:
                options = [Option(each.id, each.title, d.t(words.KINDS[each.kind])) for each in offered]
                chat = (await d.choose(d.t("Which chat?"), options)).value
        found: Chosen = await self.try_step(d, "chat", self._chosen, d.person, chat, role)
        if found.kind not in kinds:
            await d.end(d.t("That is not possible in a chat of this kind ({kind}).", kind=d.t(words.KINDS[found.kind])))
        return found

    @staticmethod
    async def whom(d: Dialog) -> UserID:
        """Somebody, who was not named."""
        return await d.ask(d.t(words.NOBODY), parse=words.person)

    async def _offered(self, person: str, kinds: frozenset[Kind]) -> list[Chosen]:
        found = (await self.chats_of(person, kinds))[:MOST_OFFERED]
        titles = await self.titles(person, found)
        return [_recorded(chat, titles[chat.room_id], None) for chat in found]

    async def _chosen(self, person: str, chat_id: str, role: bool) -> Chosen:
        chat = await self._messenger.chats.get(Actor.person(person), chat_id)
        has = await self._messenger.permissions.role(person, chat) if role else None
        return _recorded(chat, (await self.titles(person, [chat]))[chat.room_id], has)

    async def titles(self, person: str, chats: Sequence[Chat]) -> dict[str, str]:
        """What a person knows chats by, by room: their names, of a direct chat the other one."""
        nameless = [chat.room_id for chat in chats if not chat.name and chat.kind is Kind.DIRECT]

        def others(connection: Connection) -> dict[str, str]:
            found = {}
            for room_id in nameless:
                for member in store.members(connection, room_id, memberships=store.IN, limit=5):
                    if member.user_id not in {person, self._messenger.ground.steward}:
                        found[room_id] = member.display_name or member.user_id
            return found

        known = await self._messenger.ground.database.read(others) if nameless else {}
        return {
            chat.room_id: words.one_line(
                chat.name or known.get(chat.room_id) or chat.alias or _service_of(chat) or chat.room_id
            )
            for chat in chats
        }

    def message_of(self, ctx: Context, text: str) -> words.Message | None:
        """The message that is meant: by a link in the text, or the one that is replied to."""
        found, _rest = words.message_link(text)
        if found is not None:
            return found
        return words.Message(ctx.room_id, ctx.reply_to) if ctx.reply_to and self.here(ctx.room_id) is not None else None

    # What services do

    async def try_step(self, d: Dialog, name: str, function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """A step of a dialog; when it is refused the dialog ends with the reason."""
        try:
            return await d.step(name, self._careful, function, *args, raises=(BridgeError,))
        except BridgeError as refused:
            await self.refuse(d, refused)

    async def on(
        self, d: Dialog, name: str, operation: Callable[..., Awaitable[T]], chosen: Chosen, /, *args: Any, **kwargs: Any
    ) -> T:
        """Have a service do something in a chat for the person: ``operation(actor, chat, …)``."""

        async def work() -> T:
            actor = Actor.person(d.person)
            chat = await self._messenger.chats.get(actor, chosen.id)
            return await operation(actor, chat, *args, **kwargs)

        return await self.try_step(d, name, work)

    async def refuse(self, d: Dialog, refused: BridgeError) -> NoReturn:
        """End a dialog with the reason."""
        await d.end(self.reason(d, refused))

    @staticmethod
    def reason(d: Dialog, refused: BridgeError) -> str:
        """The reason in the person's language."""
        return why(refused, _Words(d))

    @staticmethod
    async def _careful(function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """A homeserver that refuses is said so; one that is away is asked again later."""
        try:
            return await function(*args)
        except HomeserverError as error:
            if error.temporary:
                raise
            raise Refused("homeserver_refused", "The homeserver refuses that.", errcode=error.errcode) from error

    # Where it is said

    async def aside(self, ctx: Context) -> bool:
        """Whether the person can be answered here, because nobody else reads; else they are told where to ask."""
        if self.here(ctx.room_id) is None and len(await ctx.humans()) <= 1:
            return True
        room_id = await own_chat.own_chat(ctx, ctx.sender)
        text = ctx.t("That is between you and me. Please ask me in our own chat:")
        ctx.say(f"{text} {words.room_link(room_id)}", reply=True)
        return False


class _Words:
    """A dialog's texts, as a translator."""

    def __init__(self, d: Dialog) -> None:
        self._d = d
        self.language = ""

    def t(self, text: str, /, **values: Any) -> str:
        """A text."""
        return self._d.t(text, **values)

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        """A text for ``count`` things."""
        return self._d.n(one, many, count, **values)


def _recorded(chat: Chat, title: str, role: Role | None) -> Chosen:
    word = "" if role is None else role.word
    return Chosen(chat.id, chat.room_id, chat.kind, title, chat.public, chat.encrypted, word)


def _service_of(chat: Chat) -> str:
    """Whose service chat it is."""
    return chat.created_by if chat.kind is Kind.SERVICE and chat.created_by.startswith("@") else ""


def lengths(d: Dialog, *seconds: int) -> dict[str, int]:
    """Lengths of time to choose from, in the person's language."""
    return {d.t("{length}", length=timedelta(seconds=each)): each for each in seconds}


def at_least(role: str, least: Role) -> bool:
    """Whether a role's word is this role or a higher one."""
    found = Role.of(role)
    return found is not None and found >= least


def options_of(pairs: Sequence[tuple[str, str]]) -> list[Option]:
    """Options by value and label."""
    return [Option(value, label) for value, label in pairs]

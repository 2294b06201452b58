"""What a handler may do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from appservice import json
from appservice.events import Event, InternalEvent
from appservice.homeserver import HomeserverError, path
from appservice.unit import UNSENT, UnitOfWork, transaction_id
from bots.framework import content as contents
from bots.framework.arguments import ParseEnv
from bots.framework.dialogs import codec
from bots.framework.i18n import Translator
from bots.framework.incoming import Incoming
from bots.framework.recurrence import CatchUp
from bots.framework.schedules import Schedules
from bots.framework.services import Services
from bots.framework.state import State, States

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

T = TypeVar("T")

TYPING_MS = 30_000
TIMER_FIRED = "rialto.timer"
DIALOG_STARTS = "rialto.dialog.start"


@dataclass(frozen=True, slots=True)
class Start:
    """A dialog that is to begin."""

    dialog: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    people: tuple[str, ...] = ()


class Context:
    """One event, and the effects of answering it. Effects happen when the handler has returned, all or none."""

    def __init__(
        self,
        event: Event,
        unit: UnitOfWork,
        user_id: str,
        services: Services,
        translator: Translator,
        *,
        instance: str = "",
        consumer: str = "",
        zone: str = "UTC",
        incoming: Incoming | None = None,
    ) -> None:
        self.event = event
        """The event at hand: its id, its sender, when it was sent."""
        self.unit = unit
        self.user_id = user_id
        """The bot's."""
        self.services = services
        self.translator = translator
        """Texts in the person's language."""
        self.instance = instance
        """The name of the plugin instance."""
        self.consumer = consumer
        self.zone = zone
        """The person's time zone (IANA)."""
        self.incoming = incoming
        self.content: Mapping[str, Any] = event.content if incoming is None else incoming.content
        """The content at hand; of an edit the new content."""
        self.addressed = True
        """Whether a text is meant for this bot: everything is in a chat with one person."""
        self.rest = self.text
        """The text without the bot's name or the command prefix before it."""
        self.unmatched = ""
        """What an open question would say to a text that it does not understand."""
        self.answerer = event.sender
        self.starts: list[Start] = []
        self.begun = 0
        """Dialogs that have begun in answer to the event."""
        self.touched: set[str] = set()
        """Dialogs that the unit changes: what the database says of them is old."""
        self.declined = False
        """Whether the handler has found that the message is not for it."""

    # What happened

    @property
    def sender(self) -> str:
        """The user id of the person."""
        return self.event.sender

    @property
    def room_id(self) -> str:
        """The room of the event."""
        return self.event.room_id

    @property
    def text(self) -> str:
        """The plain body, without the quotation that old clients put before a reply."""
        return "" if self.incoming is None else self.incoming.text

    @property
    def reply_to(self) -> str:
        """The event id of the message that this one replies to; empty when it is no reply."""
        return "" if self.incoming is None else self.incoming.reply_to

    @property
    def thread(self) -> str:
        """The event id of the root of the thread that this message is in; empty outside of threads."""
        return "" if self.incoming is None else self.incoming.thread

    def now_ms(self) -> int:
        """The time in milliseconds."""
        return self.services.clock.now_ms()

    def now(self) -> datetime:
        """The time in the person's time zone. In a dialog use ``await d.now()``."""
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC).astimezone(ZoneInfo(self.zone))

    @property
    def due(self) -> datetime | None:
        """Of a schedule's firing: when it was due, in the person's time zone. It comes later after downtime."""
        due = self.event.content.get("due") if self.event.internal else None
        return datetime.fromtimestamp(due / 1000, UTC).astimezone(ZoneInfo(self.zone)) if isinstance(due, int) else None

    @property
    def late(self) -> timedelta:
        """How long after it was due a schedule fires; nothing for whatever else."""
        return timedelta() if self.due is None else max(timedelta(), self.now() - self.due)

    def env(self, content: Mapping[str, Any] | None = None) -> ParseEnv:
        """What arguments and answers are read with."""
        return ParseEnv(
            now=self.now(),
            zone=ZoneInfo(self.zone),
            server_name=self.services.server_name,
            default_currency=self.services.default_currency,
            translator=self.translator,
            content=self.content if content is None else content,
        )

    def t(self, text: str, /, **values: Any) -> str:
        """A text of the plugin in the person's language."""
        return self.translator.t(text, **values)

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        """A text for ``count`` things in the person's language."""
        return self.translator.n(one, many, count, **values)

    async def encrypted(self) -> bool:
        """Whether the room is encrypted."""
        return await self.services.rooms.is_encrypted(self.room_id)

    async def humans(self, *, joined: bool = False, room_id: str | None = None) -> list[str]:
        """The people in the room, joined or invited; no bots of this service.

        Args:
            joined: only those who are in it by now.
            room_id: another room that the bot is in.
        """
        humans = await self.services.rooms.humans(room_id or self.room_id)
        if not joined:
            return list(humans)
        members = await self.members(room_id)
        return [user_id for user_id in humans if members.get(user_id) == "join"]

    async def members(self, room_id: str | None = None) -> dict[str, str]:
        """Who is in the room, bots too: ``join`` or ``invite`` by user id.

        Args:
            room_id: another room that the bot is in.
        """
        return dict(await self.services.rooms.members(room_id or self.room_id))

    async def display_name(self, user_id: str | None = None) -> str:
        """The name that a member shows in the room, or the first part of their user id."""
        who = user_id or self.sender
        return await self.services.rooms.display_name(self.room_id, who) or who[1:].partition(":")[0]

    # Messages

    def say(
        self,
        text: str,
        *,
        html: str | None = None,
        room_id: str | None = None,
        reply: bool = False,
        notice: bool = True,
    ) -> str:
        """Send a notice; a reference that stands for its event id.

        Args:
            text: complete in itself.
            html: makes it nicer where it is shown; sanitised.
            room_id: of another room that the bot is in.
            reply: as a reply to the message at hand.
            notice: False makes it a message that rings: clients are silent about notices (specification, push rule
                ``.m.rule.suppress_notices``).
        """
        content = contents.text(text, notice=notice)
        if html is not None:
            content = {**content, "format": "org.matrix.custom.html", "formatted_body": contents.sanitise(html)}
        if reply and self.event.event_id.startswith("$"):
            content = contents.reply_to(content, self.event.event_id)
        return self.send(content, room_id=room_id)

    def markdown(self, source: str, *, room_id: str | None = None, reply: bool = False) -> str:
        """Send Markdown, as sanitised HTML with a plain body. Put people's words into it by ``safe()``."""
        content = contents.markdown(source, translator=self.translator)
        if reply and self.event.event_id.startswith("$"):
            content = contents.reply_to(content, self.event.event_id)
        return self.send(content, room_id=room_id)

    def send(
        self,
        content: Mapping[str, Any],
        *,
        room_id: str | None = None,
        event_type: str = "m.room.message",
        key: str | None = None,
    ) -> str:
        """Send an event, in the thread of the message at hand; a reference that stands for its event id.

        It mentions nobody but those in its own ``m.mentions``: names and @room in the body, which people may have
        written, count for clients only where that is missing (specification, "User and room mentions").
        """
        whole: Mapping[str, Any] = {"m.mentions": {}, **content}
        here = room_id is None or room_id == self.room_id
        if here and self.incoming is not None and self.incoming.thread and "m.relates_to" not in whole:
            whole = contents.in_thread(whole, self.incoming.thread, self.event.event_id)
        return self.unit.send(room_id or self.room_id, whole, event_type=event_type, key=key)

    def edit(self, reference: str, content: Mapping[str, Any], *, room_id: str | None = None) -> str:
        """Replace a message of the bot's own."""
        replaced = contents.replacement({"m.mentions": {}, **content}, reference)
        return self.unit.send(room_id or self.room_id, replaced)

    def redact(self, event_id: str, *, reason: str | None = None, room_id: str | None = None) -> str:
        """Redact an event; needs the power to, but for the bot's own."""
        return self.unit.redact(room_id or self.room_id, event_id, reason=reason)

    def react(
        self, reaction: str, event_id: str | None = None, *, room_id: str | None = None, key: str | None = None
    ) -> str:
        """React to an event, the one at hand unless another is named."""
        return self.unit.react(room_id or self.room_id, event_id or self.event.event_id, reaction, key=key)

    def poll(self, question: str, answers: Sequence[str], *, max_selections: int = 1) -> str:
        """Start a poll; its reference."""
        asked = contents.poll(question, answers, max_selections=max_selections)
        return self.send(contents.poll_start(asked), event_type=contents.POLL_START)

    def location(self, latitude: float, longitude: float, description: str = "") -> str:
        """Send a place."""
        point = contents.GeoPoint(latitude, longitude)
        return self.send(contents.location(point, description, translator=self.translator))

    def answer_to(self, event_id: str, ordinal: int = 0) -> str:
        """The reference of the bot's own ``ordinal``-th message in answer to an earlier event."""
        return UNSENT + transaction_id(event_id, self.consumer, ordinal)

    def reference(self, key: str) -> str:
        """The reference of the message that the bot sends, has sent or will send with this ``key``."""
        return UNSENT + transaction_id(key, self.consumer, 0)

    async def event_ids(self, references: Iterable[str]) -> dict[str, str]:
        """The event ids of the bot's own messages by their references, of those that are sent.

        References are known for as long as ``engine.retention`` (a week): keep event ids for what lasts longer.

        Raises:
            DatabaseError: they cannot be read now.
        """
        txn_ids = {reference.removeprefix(UNSENT): reference for reference in references}
        found = await self.services.dialog_storage.event_ids(txn_ids) if txn_ids else {}
        return {txn_ids[txn_id]: event_id for txn_id, event_id in found.items() if event_id}

    def discard(self) -> None:
        """Forget everything that was to be sent and stored."""
        self.unit.cleared()
        self.starts.clear()
        if "states" in self.__dict__:
            self.states.discard()
        if "schedules" in self.__dict__:
            self.schedules.discard()

    # Rooms

    def set_state(self, event_type: str, content: Mapping[str, Any], state_key: str = "", *, room_id: str = "") -> str:
        """Set a state event. State is never encrypted: nothing private belongs into it."""
        return self.unit.set_state(room_id or self.room_id, event_type, content, state_key=state_key)

    def invite(self, user_id: str, *, room_id: str = "") -> str:
        """Invite somebody."""
        return self.set_state("m.room.member", {"membership": "invite"}, user_id, room_id=room_id)

    async def direct(self, person: str | None = None) -> str:
        """The encrypted direct chat of a person and the bot, made when there is none; its room id."""
        if self.services.chats is None:
            raise RuntimeError("this service makes no rooms")
        return await self.services.chats.direct(person or self.sender, self.user_id, "")

    async def create_room(
        self, name: str, people: Iterable[str] = (), *, purpose: str = "", topic: str = "", encrypted: bool = True
    ) -> str:
        """A room of the bot's with these people invited; its room id. Needs the scope ``rooms.create``.

        It is made at once, and once: asked for again, by a retry or for the same ``purpose``, it is the same room.

        Args:
            name: what people see.
            people: the user ids of those who are invited.
            purpose: what the room is for; the event at hand and the name unless told.
            topic: one line about it.
            encrypted: whether it is.
        """
        if self.services.chats is None:
            raise RuntimeError("this service makes no rooms")
        why = "\0".join((self.consumer, purpose) if purpose else (self.consumer, self.event.event_id, name))
        return await self.services.chats.group(why, self.user_id, name, people, topic=topic, encrypted=encrypted)

    async def room_named(self, alias: str) -> str | None:
        """The room that an alias leads to (specification, "Room aliases"), None when it leads nowhere.

        Raises:
            HomeserverError: that is unknown now; the handler is run again.
        """
        url = path("/_matrix/client/v3/directory/room", alias)
        try:
            answer = await self.services.homeserver.request("GET", url, user_id=self.user_id)
        except HomeserverError as error:
            if error.temporary:
                raise
            return None
        room_id = answer.get("room_id") if isinstance(answer, dict) else None
        return room_id if isinstance(room_id, str) else None

    async def profile(self, user_id: str) -> Mapping[str, Any]:
        """What the homeserver tells of a person: displayname, avatar_url; empty when it does not."""
        try:
            answer = await self.services.homeserver.request(
                "GET", path("/_matrix/client/v3/profile", user_id), user_id=self.user_id
            )
        except HomeserverError as error:
            if error.temporary:
                raise
            return {}
        return answer if isinstance(answer, dict) else {}

    # At once, and of no consequence when lost

    async def typing(self, on: bool = True) -> None:
        """Show that the bot is writing, or is not any more."""
        url = path("/_matrix/client/v3/rooms", self.room_id, "typing", self.user_id)
        body = {"typing": on, "timeout": TYPING_MS} if on else {"typing": False}
        await self._at_once("PUT", url, body)

    async def read(self) -> None:
        """Show that the bot has read the message at hand."""
        url = path("/_matrix/client/v3/rooms", self.room_id, "receipt", "m.read", self.event.event_id)
        await self._at_once("POST", url, {})

    async def _at_once(self, method: str, url: str, body: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(5):
                await self.services.homeserver.request(method, url, user_id=self.user_id, body=body)
        except (HomeserverError, TimeoutError) as error:
            log.debug("a notice was not taken: %s", type(error).__name__)

    # Files

    async def download(self, content: Mapping[str, Any] | None = None) -> bytes:
        """The bytes of a message's media, decrypted: of the message at hand unless another content is given."""
        return await self.services.media.download(self.user_id, content or self.content)

    async def send_image(self, data: bytes, name: str, *, caption: str = "", room_id: str | None = None) -> str:
        """Send a picture with thumbnail and blurhash; encrypted in an encrypted room."""
        stored = await self.services.media.upload_image(self.user_id, data, encrypted=await self._encrypted_in(room_id))
        return self.send(contents.image(stored, name, caption=caption), room_id=room_id)

    async def send_file(
        self,
        data: bytes,
        name: str,
        mimetype: str = "application/octet-stream",
        *,
        caption: str = "",
        room_id: str | None = None,
    ) -> str:
        """Send a file; encrypted in an encrypted room."""
        stored = await self.services.media.upload_file(
            self.user_id, data, mimetype, encrypted=await self._encrypted_in(room_id)
        )
        return self.send(contents.file(stored, name, caption=caption), room_id=room_id)

    async def send_voice(self, data: bytes, *, room_id: str | None = None) -> str:
        """Send a voice note."""
        stored = await self.services.media.upload_audio(self.user_id, data, encrypted=await self._encrypted_in(room_id))
        return self.send(contents.voice(stored, translator=self.translator), room_id=room_id)

    async def send_media(
        self, data: bytes, like: Mapping[str, Any], *, room_id: str | None = None, key: str | None = None
    ) -> str:
        """Send media with body, type and info of ``like``; encrypted in an encrypted room."""
        info = like.get("info")
        info = (
            {key: value for key, value in info.items() if not key.startswith("thumbnail")}
            if isinstance(info, dict)
            else {}
        )
        mimetype = info.get("mimetype")
        upload = await self.services.media.upload(
            self.user_id,
            data,
            mimetype if isinstance(mimetype, str) else "application/octet-stream",
            encrypted=await self._encrypted_in(room_id),
        )
        content: dict[str, Any] = {
            "msgtype": like.get("msgtype", "m.file"),
            "body": body if isinstance(body := like.get("body"), str) else "file",
            "info": info,
            **upload.content,
        }
        if isinstance(like.get("filename"), str):
            content["filename"] = like["filename"]
        return self.send(content, room_id=room_id, key=key)

    async def _encrypted_in(self, room_id: str | None) -> bool:
        return await self.services.rooms.is_encrypted(room_id or self.room_id)

    def decline(self) -> None:
        """Say nothing to a message: it is answered as if no handler had heard it, with help or the nearest command."""
        self.declined = True

    # What stays

    @cached_property
    def states(self) -> States:
        """What the plugin keeps, by scope."""
        return self.services.store.open(self.instance, self.unit)

    @property
    def state(self) -> State:
        """What the plugin keeps for this room."""
        return self.states.room(self.room_id)

    @property
    def user_state(self) -> State:
        """What the plugin keeps for this person."""
        return self.states.user(self.sender)

    @property
    def member_state(self) -> State:
        """What the plugin keeps for this person in this room."""
        return self.states.member(self.room_id, self.sender)

    @property
    def plugin_state(self) -> State:
        """What the plugin keeps for itself."""
        return self.states.plugin

    @cached_property
    def schedules(self) -> Schedules:
        """What is to happen later; :meth:`later` and :meth:`regularly` have a handler of the plugin called."""
        return self.services.scheduler.of(self.consumer, self.unit, self.room_id, self.sender)

    def later(
        self, when: datetime, name: str, data: Any = None, *, key: str | None = None, catch_up: CatchUp = "once"
    ) -> str:
        """Have the ``@timer(name)`` handler called with ``data``, in this room's order; the schedule's key.

        Args:
            when: aware, or by the person's wall clock.
            name: of the timer's handler.
            data: plain JSON.
            key: one with the same key is replaced; ``ctx.schedules.cancel(key)`` takes it back.
            catch_up: what to do when the service did not run then: ``once`` late, or ``skip`` it.
        """
        call = {"name": name, "data": data}
        return self.schedules.at(when, TIMER_FIRED, call, key=key, zone=self.zone, catch_up=catch_up)

    def regularly(
        self,
        rule: str | timedelta,
        name: str,
        data: Any = None,
        *,
        key: str | None = None,
        zone: str | None = None,
        catch_up: CatchUp = "once",
    ) -> str:
        """Have the ``@timer(name)`` handler called again and again: by a cron line in the person's time zone, or at an
        interval; the schedule's key.

        Args:
            rule: a cron line, or the interval.
            name: of the timer's handler.
            data: plain JSON.
            key: one with the same key is replaced; ``ctx.schedules.cancel(key)`` takes it back.
            zone: of a cron line: this time zone (IANA), wherever the person is.
            catch_up: what to do about times at which the service did not run: ``once`` for all, ``skip``, or ``all``.
        """
        call = {"name": name, "data": data}
        if isinstance(rule, timedelta):
            return self.schedules.every(rule, TIMER_FIRED, call, key=key, catch_up=catch_up)
        return self.schedules.cron(rule, TIMER_FIRED, call, key=key, zone=zone, catch_up=catch_up)

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Read from the plugin's own tables: ``work`` gets a SQLAlchemy connection and only reads.

        What the handler at hand writes by :meth:`store` is not there before its commit.
        """
        return await self.services.database.read(work)

    def store(self, operation: Callable[[Connection], object]) -> None:
        """Write to the database together with the other effects."""
        self.unit.store(operation)

    # Dialogs

    def start(self, dialog: Callable[..., Any], *args: Any, people: Sequence[str] = (), **kwargs: Any) -> None:
        """Begin a dialog of the plugin when this handler has returned.

        Args:
            dialog: the method, as ``self.order``; its arguments follow.
            people: who may answer beside the person at hand; ``*`` is everybody in the room.
        """
        who = tuple(dict.fromkeys([self.sender, *people])) if people else ()
        self.starts.append(Start(dialog, args, kwargs, who))

    async def running(self, dialog: Callable[..., Any], *, person: str | None = None) -> bool:
        """Whether a dialog of the plugin is under way in this room: with anybody, or one that ``person`` may answer."""
        name = getattr(dialog, "__name__", "")
        rows = await self.services.dialog_storage.active(self.consumer, self.room_id, person)
        return any(row.name == name for row in rows)

    def hand_over(self) -> None:
        """Have the dialogs that wait for their beginning begun by events of their own.

        What is collected is about to be committed while one of them runs: a crash after it must not lose the others.
        """
        for start in self.starts:
            self.begun += 1
            cause = f"{self.unit.cause}\0{self.consumer}\0{self.begun}"
            content = {
                "name": getattr(start.dialog, "__name__", ""),
                "people": list(start.people),
                "arguments": json.loads(codec.dumps([list(start.args), dict(start.kwargs)])),
            }
            key = f"dialog:{sha256(cause.encode()).hexdigest()[:40]}"
            self.unit.emit(InternalEvent(key, self.consumer, self.room_id, DIALOG_STARTS, content, self.sender))
        self.starts.clear()

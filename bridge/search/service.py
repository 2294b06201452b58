"""Full-text search in what the server may read: unencrypted chats, and one's own chats with services, with leave.

What is end-to-end encrypted between people is not searched here: their own apps do that. A chat with a service is
encrypted too, but the service reads it. When its person gives leave, what is said there is kept sealed, and found by
terms that are the chat's own: the database holds no word of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from bridge.actor import Actor
from bridge.audit import Audit
from bridge.domain import pages
from bridge.domain.kinds import Kind as ChatKind
from bridge.domain.pages import Page
from bridge.domain.roles import Role
from bridge.domain.search import Kind, Lookup, Question, Scope, lookup, time_of
from bridge.domain.words import excerpt
from bridge.errors import NotAllowed, Refused, TooMany
from bridge.permissions import Permissions
from bridge.search.index import Index
from bridge.store import chats as chat_store
from bridge.store import delivery as numbers
from bridge.store import search as store
from bridge.store.chats import Chat
from bridge.store.search import Document, Slow

USUAL: Final = 20
ROUNDS: Final = 5
"""How often more is looked for when what was found is not for the eyes of who asks."""
FORGET_AT_ONCE: Final = 500
_WORDS: Final = {
    "question_too_long": "Look for fewer words.",
    "question_without_words": "There is no word in it that could be looked for.",
    "question_ends_before_it_begins": "The time ends before it begins.",
}


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found.

    Attributes:
        at: ms, by the sender's homeserver.
        seq: its number in the chat, if it has one.
        text: a part of it, around what was looked for; '' for what is hidden.
        marks: where in ``text`` the words stand.
    """

    chat_id: str
    room_id: str
    event_id: str
    sender: str
    at: int
    kind: Kind
    seq: int | None
    text: str
    marks: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class _View:
    """Where somebody looks. ``since``: by chat, from when on (ms) they may see; others: all of it."""

    scope: Scope
    since: dict[str, int]


class SearchService:
    """Asks the index, and says what may be in it."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        permissions: Permissions,
        audit: Audit,
        index: Index,
        *,
        enabled: bool = True,
        services: bool = True,
    ) -> None:
        """
        Args:
            enabled: whether anything is searched.
            services: whether people may give leave to search their chats with services.
        """
        self._database = database
        self._clock = clock
        self._permissions = permissions
        self._audit = audit
        self._index = index
        self._enabled = enabled
        self._services = enabled and services
        self._leave: dict[str, str] = {}
        self.rooms: set[str] = set()
        """Rooms of which something may be found, those that were replaced too."""

    async def start(self) -> None:
        """Load what events need."""
        self._leave = await self._database.read(store.leave_of)
        self.rooms = await self._database.read(store.rooms)

    def searched(self, chat: Chat) -> bool:
        """Whether messages of a chat are kept to be found."""
        if not self._enabled:
            return False
        return not chat.encrypted or (self._services and chat.id in self._leave)

    # Leave

    def allowed(self, chat: Chat) -> bool:
        """Whether a chat with a service is searched."""
        return self._services and chat.id in self._leave

    async def allow(self, user_id: str, chat: Chat) -> None:
        """Have what is said in one's chat with a service from now on be found by oneself.

        Raises:
            NotFound: they are not in it.
            Refused: ``not_searchable``: it is no chat with a service, or this is switched off.
        """
        await self._permissions.require(Actor.person(user_id), chat, Role.READER)
        if not self._services or chat.kind is not ChatKind.SERVICE or not chat.encrypted:
            raise _not_searchable()
        if self._leave.get(chat.id, user_id) != user_id:
            raise NotAllowed("not_yours", "This is somebody else's chat with the service.")
        now = self._clock.now_ms()

        def put(connection: Connection) -> None:
            store.give_leave(connection, chat.id, user_id, now)
            self._audit.append(
                connection, at=now, actor=user_id, action="search.allow", subject=f"chat:{chat.id}", outcome="done"
            )

        await self._database.write(put)
        self._leave[chat.id] = user_id

    async def disallow(self, user_id: str, chat: Chat) -> None:
        """Stop that, and forget what was kept.

        Raises:
            NotFound: they are not in it.
        """
        if self._leave.get(chat.id) != user_id:
            await self._permissions.require(Actor.person(user_id), chat, Role.OWNER)
        now = self._clock.now_ms()
        # From here on nothing new is kept: what is under way looks again in its commit.
        self._leave.pop(chat.id, None)

        def put(connection: Connection) -> None:
            store.take_leave(connection, chat.id)
            while store.remove_chat(connection, chat.id, FORGET_AT_ONCE) == FORGET_AT_ONCE:
                pass
            self._audit.append(
                connection, at=now, actor=user_id, action="search.disallow", subject=f"chat:{chat.id}", outcome="done"
            )

        await self._database.write(put)

    # Questions

    async def search(
        self,
        actor: Actor,
        text: str,
        *,
        chat: Chat | None = None,
        sender: str | None = None,
        since: int | None = None,
        until: int | None = None,
        kind: Kind | None = None,
        after: str | None = None,
        limit: int = USUAL,
    ) -> Page[Hit]:
        """Messages that have all words of ``text``, the newest first.

        Args:
            text: words; empty for all messages that the rest describes.
            chat: only there; everywhere where ``actor`` may look, without it.
            since, until: ms, both included.
            after: the cursor of the page before.

        Raises:
            NotFound: the chat is not for the eyes of who asks.
            Refused: ``not_searchable``, ``search_off``, ``bad_cursor``, or the question makes no sense.
            TooMany: ``search_slow``: the question took too long.
        """
        try:
            question = Question.of(text, sender=sender or "", kind=kind, since=since, until=until)
        except ValueError as error:
            raise Refused(str(error), _WORDS[str(error)]) from None
        try:
            before = None if after is None else int(pages.key_of(after, int)[0])
        except pages.BadCursor as error:
            raise Refused("bad_cursor", "The cursor is not one of this list.") from error
        if not self._enabled:
            raise Refused("search_off", "Search is switched off.")
        view = await self._view(actor, chat)
        what = lookup(self._index.terms, question, view.scope)
        if what is None:
            return Page(())
        return await self._page(what, view, question, before, pages.bounded(limit))

    async def _page(self, what: Lookup, view: _View, question: Question, before: int | None, limit: int) -> Page[Hit]:
        def read(connection: Connection) -> tuple[list[Document], dict[str, tuple[str, int]], int | None]:
            found: list[Document] = []
            place, more = before, True
            for _ in range(ROUNDS):
                ids = store.search(
                    connection,
                    what,
                    since=question.since,
                    until=question.until,
                    before=place,
                    limit=limit + 1 - len(found),
                )
                more = len(ids) == limit + 1 - len(found)
                loaded = store.load(connection, ids)
                alive = store.alive(connection, {each.chat_id for each in loaded})
                found += [each for each in loaded if each.chat_id in alive and self._visible(each, view)]
                place = ids[-1] if ids else place
                if not more or len(found) > limit:
                    break
            known = numbers.numbers(connection, [each.event_id for each in found[:limit]])
            if len(found) > limit:
                return found[:limit], known, found[limit - 1].id
            return found, known, place if more else None

        try:
            documents, known, following = await self._database.read(read)
        except Slow as error:
            raise TooMany("search_slow", "This took too long. Look for rarer words, or in one chat.") from error
        words = frozenset(question.words)
        hits = [self._hit(document, words, known) for document in documents]
        return Page(hits, None if following is None else pages.cursor(following))

    def _visible(self, document: Document, view: _View) -> bool:
        # Terms are short digests: that the chat is one of these is looked up once more.
        if document.chat_id not in view.scope.open | view.scope.sealed and view.scope.workspace is None:
            return False
        return time_of(document.id) >= view.since.get(document.chat_id, 0)

    def _hit(self, document: Document, words: frozenset[str], known: dict[str, tuple[str, int]]) -> Hit:
        text, marks = excerpt(self._index.text(document), words)
        number = known.get(document.event_id)
        return Hit(
            chat_id=document.chat_id,
            room_id=document.room_id,
            event_id=document.event_id,
            sender=document.sender,
            at=time_of(document.id),
            kind=Kind(document.kind),
            seq=None if number is None else number[1],
            text=text,
            marks=marks,
        )

    async def _view(self, actor: Actor, chat: Chat | None) -> _View:
        """Where ``actor`` may look.

        Raises:
            NotFound, Refused: not there.
        """
        if chat is not None:
            return await self._in_chat(actor, chat)
        if actor.user_id:
            user_id = actor.user_id
            places = await self._database.read(lambda connection: store.places_of(connection, user_id))
            opened = frozenset(place.chat_id for place in places if not place.encrypted)
            sealed = frozenset(
                place.chat_id for place in places if place.encrypted and self._leave.get(place.chat_id) == user_id
            )
            return _View(
                Scope(opened, sealed if self._services else frozenset()),
                {place.chat_id: place.since for place in places if not place.public},
            )
        if actor.product:
            return _View(Scope(workspace=actor.product), {})
        raise Refused("chat_missing", "Say in which chat.")

    async def _in_chat(self, actor: Actor, chat: Chat) -> _View:
        since: dict[str, int] = {}
        if not actor.user_id:
            await self._permissions.require(actor, chat, Role.READER)
        elif not (chat.public and not chat.encrypted):
            user_id = actor.user_id
            member = await self._database.read(lambda connection: chat_store.member(connection, chat.room_id, user_id))
            if member is None or member.membership != "join":
                await self._permissions.require(actor, chat, Role.READER)
                since[chat.id] = self._clock.now_ms()
            else:
                since[chat.id] = member.since
        if not chat.encrypted:
            return _View(Scope(open=frozenset({chat.id})), since)
        if chat.kind is not ChatKind.SERVICE or not self._services or not actor.user_id:
            raise _not_searchable()
        if self._leave.get(chat.id) != actor.user_id:
            raise Refused("search_off", "Search is off in this chat. Turn it on first.")
        return _View(Scope(sealed=frozenset({chat.id})), since)


def _not_searchable() -> Refused:
    return Refused(
        "not_searchable",
        "What is said here is end-to-end encrypted: the server cannot read it, only your own app can search it.",
    )

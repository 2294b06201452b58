"""Search in what the server may read: public channels, and one's own chats with services, with one's leave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Final

from bots.framework import Context, Dialog, InvalidValue, ParseEnv, Rest, command, dialog
from bots.framework.arguments import ArgumentError, date_, user
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.area import Area
from bridge.actor import Actor
from bridge.domain.kinds import Kind as ChatKind
from bridge.domain.search import Kind
from bridge.store.chats import Chat

PAGE: Final = 10
KIND_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "image": "picture|pictures|image|images|photo|photos",
        "video": "video|videos",
        "audio": "audio|voice",
        "file": "file|files",
        "link": "link|links",
        "poll": "poll|polls",
        "location": "place|places|location|locations",
    }
)
VOCABULARIES = (KIND_WORDS,)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks for. ``since`` and ``until`` in ms, ``kind`` a word of :class:`bridge.domain.search.Kind`."""

    text: str
    sender: str = ""
    since: int | None = None
    until: int | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A part of what was found, as a dialog records it: time, sender, chat, text, link."""

    hits: tuple[tuple[int, str, str, str, str], ...]
    next: str | None


class Search(Area):
    """Looks for messages."""

    @command("search", help=_("Look for messages: search tea from @bob since 1 may"), aliases=("find",))
    async def search(self, ctx: Context, what: Rest = "") -> None:
        """Words, and behind them “from @bob”, “since 1 may”, “until 3 may”, or “pictures”, “files”, “links”. I find
        what the server may read: public channels, and what you said to services when “searchable on” allows it. Private
        chats are end-to-end encrypted: only your own app can search them."""
        chat, rest = await self.named(ctx, what)
        if not chat and not await self.aside(ctx):
            return
        if not rest:
            raise InvalidValue("hub.search", _("For what? Write “search” and some words."), clear=True)
        ctx.start(self.find, chat, wanted(rest, ctx.env()))

    @dialog
    async def find(self, d: Dialog, chat: str, want: Wanted) -> None:
        """Page after page."""
        after: str | None = None
        while True:
            found: Found = await self.try_step(d, "search", self._find, d.person, chat, want, after)
            if not found.hits:
                await d.end(d.t("Nothing more is found.") if after else d.t("Nothing is found."))
            text = "\n".join(_line(d, each) for each in found.hits)
            if found.next is None:
                await d.end(text)
            await d.say(text)
            if not await d.confirm(d.t("Show more?")):
                return
            after = found.next

    async def _find(self, person: str, chat_id: str, want: Wanted, after: str | None) -> Found:
        actor = Actor.person(person)
        chat = await self._messenger.chats.get(actor, chat_id) if chat_id else None
        page = await self._messenger.search.search(
            actor,
            want.text,
            chat=chat,
            sender=want.sender or None,
            since=want.since,
            until=want.until,
            kind=Kind(want.kind) if want.kind else None,
            after=after,
            limit=PAGE,
        )
        hits = []
        for hit in page.items:
            known = self._messenger.registry.get(hit.room_id)
            name = words.one_line(known.name, 40) if known is not None and known.name else ""
            hits.append(
                (hit.at, hit.sender, name, words.one_line(hit.text, 200), words.room_link(hit.room_id, hit.event_id))
            )
        return Found(tuple(hits), page.next)

    @command("searchable on", help=_("Let me find what you say to services, from now on"))
    async def search_on(self, ctx: Context) -> None:
        """Only you find it. It is kept sealed, and forgotten when you say “searchable off”."""
        if await self.aside(ctx):
            count = await self._for_services(ctx.sender, True)
            ctx.say(
                ctx.n(
                    "From now on you find what is said in {count} chat with a service.",
                    "From now on you find what is said in {count} chats with services.",
                    count,
                )
            )

    @command("searchable off", help=_("Find nothing of what you say to services, and forget it"))
    async def search_off(self, ctx: Context) -> None:
        """What was kept to be found is forgotten at once."""
        if await self.aside(ctx):
            await self._for_services(ctx.sender, False)
            ctx.say(ctx.t("What you say to services is not kept to be found any more."))

    async def _for_services(self, person: str, on: bool) -> int:
        service = self._messenger.search
        chats = [chat for chat in await self._messenger.chats.list_for(person) if self._is_service(chat)]
        for chat in chats:
            await (service.allow(person, chat) if on else service.disallow(person, chat))
        return len(chats)

    @staticmethod
    def _is_service(chat: Chat) -> bool:
        return chat.kind is ChatKind.SERVICE and chat.encrypted


def _line(d: Dialog, hit: tuple[int, str, str, str, str]) -> str:
    at, sender, name, text, link = hit
    when = datetime.fromtimestamp(at / 1000, UTC)
    head = d.t("{time}, {person}:", time=when, person=sender)
    if name:
        head = d.t("{time}, {person} in “{chat}”:", time=when, person=sender, chat=name)
    return f"• {head} {text}\n  {link}"


def wanted(text: str, env: ParseEnv) -> Wanted:
    """“tea from @bob since 1 may pictures”: the words, and what narrows them, wherever it stands.

    A word that narrows nothing (“from here”) is a word to look for.

    Raises:
        InvalidValue: what was written cannot be read.
    """
    found, kept = Wanted(""), []
    parts = text.split()
    plain, kinds = env.vocabulary(words.PLAIN), env.vocabulary(KIND_WORDS)
    at = 0
    while at < len(parts):
        name = plain.get(parts[at].lower())
        taken = _narrowed(found, name, parts[at + 1 :], env) if name in {"from", "since", "until"} else None
        if taken is not None:
            found, count = taken
            at += 1 + count
        elif len(parts) > 1 and at == len(parts) - 1 and (kind := kinds.get(parts[at].lower())) is not None:
            found = replace(found, kind=kind)
            at += 1
        else:
            kept.append(parts[at])
            at += 1
    return replace(found, text=" ".join(kept))


def _narrowed(found: Wanted, name: str, rest: list[str], env: ParseEnv) -> tuple[Wanted, int] | None:
    """What the words behind “from”, “since” or “until” say, and how many of them."""
    if not rest:
        return None
    if name == "from":
        if not rest[0].startswith("@"):
            return None
        with suppress(InvalidValue, ArgumentError):
            return replace(found, sender=str(user(rest[0].rstrip(",;"), env))), 1
        return None
    for count in range(min(len(rest), 4), 0, -1):
        with suppress(InvalidValue):
            day = _past(" ".join(rest[:count]), env)
            if name == "since":
                return replace(found, since=_ms(day, time.min, env)), count
            return replace(found, until=_ms(day, time.max, env)), count
    return None


def _past(text: str, env: ParseEnv) -> date:
    """A day that was: one without a year, or a weekday, is the last one and not the next.

    Raises:
        InvalidValue: it is no day.
    """
    day, today = date_(text, env), env.now.astimezone(env.zone).date()
    if day <= today or re.search(r"\d{4}", text):
        return day
    if not any(char.isdecimal() for char in text):
        return day - timedelta(days=7)
    return day - timedelta(days=366 if (day - timedelta(days=365)).day != day.day else 365)


def _ms(day: date, at: time, env: ParseEnv) -> int:
    return int(datetime.combine(day, at, tzinfo=env.zone).timestamp() * 1000)

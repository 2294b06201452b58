"""How a plugin's handlers are marked: the decorators, and what they say of a handler.

A decorator only writes down a :class:`Mark`; :class:`bots.framework.table.HandlerTable` reads them once, when the
plugin is loaded, and refuses what cannot work.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar, overload

from bots.framework.limits import RateLimit

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
MARK: Final = "__rialto_handler__"

Kind = Literal[
    "command",
    "message",
    "media",
    "location",
    "beacon",
    "reaction",
    "joined",
    "member",
    "edited",
    "redacted",
    "webhook",
    "schedule",
    "timer",
    "payment",
    "funding",
    "notice",
    "dialog",
    "middleware",
]
MediaKind = Literal["image", "file", "audio", "video"]
CatchUp = Literal["skip", "once", "all"]


@dataclass(frozen=True, slots=True)
class Filter:
    """What a message must be for a handler to hear it. Everything that is said must hold."""

    text: str | None = None
    """The whole text, case- and accent-insensitive."""
    regex: re.Pattern[str] | None = None
    """Found in the text; the named groups become keyword arguments of the handler."""
    reply: bool | None = None
    """Whether it is a reply to a message of the bot's own."""
    thread: bool | None = None
    """Whether it is in a thread."""
    addressed: bool | None = None
    """Whether it is meant for the bot: everything in a chat with one person, a prefix or a mention in a group."""
    kinds: Collection[str] = ()
    """Of media: image, file, audio, video. Empty: all."""
    keys: Collection[str] = ()
    """Of reactions: which, whatever their variation selectors and skin tones. Empty: all."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a decorator says of a handler."""

    kind: Kind
    name: str = ""
    help: str = ""
    aliases: tuple[str, ...] = ()
    hidden: bool = False
    permission: str | None = None
    limit: RateLimit | None = None
    filter: Filter = Filter()
    rule: Any = None
    """Of a schedule: a timedelta, an aware datetime, or a cron line."""
    zone: str = ""
    catch_up: CatchUp = "once"
    secret: str = ""
    """Of a webhook: the setting that holds its secret."""
    scheme: str = "rialto"
    version: str = ""
    timeout: timedelta | None = None
    remind: timedelta | None = None


def _mark(mark: Mark) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        setattr(function, MARK, mark)
        return function

    return decorate


def mark_of(member: Any) -> Mark | None:
    """The mark of a function, if it has one."""
    return getattr(member, MARK, None)


def command(
    name: str,
    *,
    help: str,
    aliases: tuple[str, ...] = (),
    permission: str | None = None,
    limit: RateLimit | None = None,
    hidden: bool = False,
) -> Callable[[F], F]:
    """A handler ``(self, ctx, …)`` for texts that begin with ``name``; the arguments are parsed by its annotations.

    Args:
        name: one word, or several: ``order cancel`` is a subcommand of ``order``.
        help: one line for the list of commands. The docstring of the handler is its help page.
        aliases: other names.
        permission: what the sender must be allowed (config: ``permissions``); nobody else sees the command in help.
        limit: how often one person may use it.
        hidden: it works, and is not listed.
    """
    return _mark(Mark("command", name, help, aliases, hidden=hidden, permission=permission, limit=limit))


@overload
def message(function: F, /) -> F: ...


@overload
def message(
    *,
    text: str | None = None,
    regex: str | re.Pattern[str] | None = None,
    reply: bool | None = None,
    thread: bool | None = None,
    addressed: bool | None = None,
    permission: str | None = None,
    limit: RateLimit | None = None,
) -> Callable[[F], F]: ...


def message(
    function: Any = None,
    /,
    *,
    text: str | None = None,
    regex: str | re.Pattern[str] | None = None,
    reply: bool | None = None,
    thread: bool | None = None,
    addressed: bool | None = None,
    permission: str | None = None,
    limit: RateLimit | None = None,
) -> Any:
    """A handler ``(self, ctx)`` for text that is no command and no answer; the first whose filter fits hears it.

    Args:
        text: the whole text must be this, whatever the case and the accents.
        regex: must be found in the text; its named groups come as keyword arguments.
        reply: whether it must be a reply to a message of the bot's own.
        thread: whether it must be in a thread.
        addressed: whether it must be meant for the bot.
        permission: what the sender must be allowed (config: ``permissions``).
        limit: how often one person is heard.
    """
    pattern = re.compile(regex, re.IGNORECASE) if isinstance(regex, str) else regex
    found = Filter(text=text, regex=pattern, reply=reply, thread=thread, addressed=addressed)
    decorate = _mark(Mark("message", permission=permission, limit=limit, filter=found))
    return decorate if function is None else decorate(function)


@overload
def media(function: F, /) -> F: ...


@overload
def media(
    *, kinds: Collection[MediaKind] = (), permission: str | None = None, limit: RateLimit | None = None
) -> Callable[[F], F]: ...


def media(
    function: Any = None,
    /,
    *,
    kinds: Collection[MediaKind] = (),
    permission: str | None = None,
    limit: RateLimit | None = None,
) -> Any:
    """A handler ``(self, ctx)`` for images, files, audio, video; ``ctx.download()`` gets the bytes.

    Args:
        kinds: which of them; all unless told.
        permission: what the sender must be allowed.
        limit: how often one person may send them.
    """
    decorate = _mark(Mark("media", permission=permission, limit=limit, filter=Filter(kinds=frozenset(kinds))))
    return decorate if function is None else decorate(function)


@overload
def location(function: F, /) -> F: ...


@overload
def location(*, permission: str | None = None, limit: RateLimit | None = None) -> Callable[[F], F]: ...


def location(function: Any = None, /, *, permission: str | None = None, limit: RateLimit | None = None) -> Any:
    """A handler ``(self, ctx, place: Place)`` for a shared location.

    Args:
        permission: what the sender must be allowed.
        limit: how often one person may share one.
    """
    decorate = _mark(Mark("location", permission=permission, limit=limit))
    return decorate if function is None else decorate(function)


def beacon(function: F) -> F:
    """A handler ``(self, ctx, beacon: Beacon)`` for who shares where they are live (MSC3489, MSC3672): each place, the
    beginning and the end. It hears them whatever conversation is under way; needs the scope ``location.read``."""
    return _mark(Mark("beacon"))(function)


@overload
def reaction(function: F, /) -> F: ...


@overload
def reaction(
    *, keys: Collection[str] = (), permission: str | None = None, limit: RateLimit | None = None
) -> Callable[[F], F]: ...


def reaction(
    function: Any = None,
    /,
    *,
    keys: Collection[str] = (),
    permission: str | None = None,
    limit: RateLimit | None = None,
) -> Any:
    """A handler ``(self, ctx, key: str, event_id: str)`` for a reaction to the event ``event_id``.

    Args:
        keys: which reactions; all unless told. Variation selectors, which clients add and leave out, and skin tones
            make no difference; ``key`` is what was sent.
        permission: what the sender must be allowed.
        limit: how often one person may react.
    """
    decorate = _mark(Mark("reaction", permission=permission, limit=limit, filter=Filter(keys=frozenset(keys))))
    return decorate if function is None else decorate(function)


def joined(function: F) -> F:
    """A handler ``(self, ctx)`` for the bot's own arrival in a room."""
    return _mark(Mark("joined"))(function)


def member(function: F) -> F:
    """A handler ``(self, ctx, user_id: str, membership: str)`` for people who come and go."""
    return _mark(Mark("member"))(function)


def edited(function: F) -> F:
    """A handler ``(self, ctx, event_id: str)`` for an edit of a message; ``ctx.content`` is the new content."""
    return _mark(Mark("edited"))(function)


def redacted(function: F) -> F:
    """A handler ``(self, ctx, event_id: str)`` for the redaction of ``event_id``."""
    return _mark(Mark("redacted"))(function)


def webhook(name: str, *, secret: str, scheme: Literal["rialto", "github", "bearer"] = "rialto") -> Callable[[F], F]:
    """A handler ``(self, ctx, call: WebhookCall)`` for ``POST /hooks/{bot}/{name}``.

    Args:
        name: the last part of the path.
        secret: the name of the setting (a SecretStr) that signs the calls.
        scheme: how they are signed: ``X-Rialto-Signature``, GitHub's header, or a bearer token.
    """
    return _mark(Mark("webhook", name, secret=secret, scheme=scheme))


def every(interval: timedelta, *, catch_up: CatchUp = "once") -> Callable[[F], F]:
    """A handler ``(self, ctx)`` that runs again and again; it belongs to no room."""
    return _mark(Mark("schedule", rule=interval, catch_up=catch_up))


def at(moment: datetime, *, catch_up: CatchUp = "once") -> Callable[[F], F]:
    """A handler ``(self, ctx)`` that runs once, at an aware moment."""
    return _mark(Mark("schedule", rule=moment, catch_up=catch_up))


def cron(line: str, *, zone: str = "UTC", catch_up: CatchUp = "once") -> Callable[[F], F]:
    """A handler ``(self, ctx)`` that runs by a cron line (minute hour day month weekday) in a time zone."""
    return _mark(Mark("schedule", rule=line, zone=zone, catch_up=catch_up))


def timer(name: str) -> Callable[[F], F]:
    """A handler ``(self, ctx, data)`` for what ``ctx.schedules`` was told to do later under ``name``."""
    return _mark(Mark("timer", name))


def payment_changed(function: F) -> F:
    """A handler ``(self, ctx, change: PaymentChange)`` for payments that the plugin has asked for: each change once.

    ``ctx.sender`` is the person. It belongs to no room, so say where: ``ctx.say(…, room_id=await ctx.direct())``.
    """
    return _mark(Mark("payment"))(function)


def funding_changed(function: F) -> F:
    """A handler ``(self, ctx, change: FundingChange)`` of the wallet, for top-ups and cash-outs: each change once."""
    return _mark(Mark("funding"))(function)


def noticed(function: F) -> F:
    """A handler ``(self, ctx, notice: Notice)`` of the hub, for what the messenger has to tell people: each once."""
    return _mark(Mark("notice"))(function)


@overload
def dialog(function: F, /) -> F: ...


@overload
def dialog(
    *, version: str = "", timeout: timedelta | None = None, remind: timedelta | None = None
) -> Callable[[F], F]: ...


def dialog(
    function: Any = None, /, *, version: str = "", timeout: timedelta | None = None, remind: timedelta | None = None
) -> Any:
    """A conversation ``(self, d: Dialog, …)``; begun by ``ctx.start(self.name, …)``.

    Args:
        version: another one than a waiting conversation began with restarts it politely.
        timeout: without an answer for so long it ends with a word (a day, unless said).
        remind: without an answer for so long the question is asked again, once.
    """
    decorate = _mark(Mark("dialog", version=version, timeout=timeout, remind=remind))
    return decorate if function is None else decorate(function)


def middleware(function: F) -> F:
    """``(self, ctx, call_next)`` around every handler of the plugin; the handler runs in ``await call_next()``."""
    return _mark(Mark("middleware"))(function)


def named(mark: Mark, function_name: str) -> Mark:
    """The mark with the name of its function where it has none of its own."""
    return mark if mark.name else replace(mark, name=function_name)

"""Plugins and how their handlers are marked."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bots.framework.context import Context

F = TypeVar("F", bound=Callable[..., Awaitable[None]])
_MARK = "__rialto_handler__"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a decorator says of a handler."""

    kind: str
    name: str = ""
    help: str = ""
    aliases: tuple[str, ...] = ()


def _mark(mark: Mark) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        setattr(function, _MARK, mark)
        return function

    return decorate


def command(name: str, *, help: str, aliases: tuple[str, ...] = ()) -> Callable[[F], F]:
    """A handler ``(self, ctx, rest: str)`` for messages that begin with ``name`` (any case)."""
    return _mark(Mark("command", name, help, aliases))


def message(function: F) -> F:
    """A handler ``(self, ctx)`` for text that is no command."""
    return _mark(Mark("message"))(function)


def media(function: F) -> F:
    """A handler ``(self, ctx)`` for images, files, audio and video."""
    return _mark(Mark("media"))(function)


def edited(function: F) -> F:
    """A handler ``(self, ctx, event_id: str)`` for an edit of a message; ``ctx.content`` is the new content."""
    return _mark(Mark("edited"))(function)


def redacted(function: F) -> F:
    """A handler ``(self, ctx, event_id: str)`` for the redaction of ``event_id``."""
    return _mark(Mark("redacted"))(function)


def joined(function: F) -> F:
    """A handler ``(self, ctx)`` for the bot's own arrival in a room."""
    return _mark(Mark("joined"))(function)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a plugin."""

    name: str
    help: str
    handler: Callable[[Context, str], Awaitable[None]]


class Plugin:
    """One bot's behaviour. What it needs arrives in its constructor."""

    summary: str = ""
    """One line that tells people what the bot is for."""

    def handlers(self) -> dict[str, list[Callable[..., Awaitable[None]]]]:
        """The handlers of each kind, in the order of their definition."""
        found: dict[str, list[Callable[..., Awaitable[None]]]] = {}
        for mark, handler in self._marked():
            found.setdefault(mark.kind, []).append(handler)
        return found

    def commands(self) -> dict[str, Command]:
        """Commands by each name they go by, the first one first."""
        found: dict[str, Command] = {}
        for mark, handler in self._marked():
            if mark.kind == "command":
                for name in (mark.name, *mark.aliases):
                    found[name] = Command(mark.name, mark.help, handler)
        return found

    def _marked(self) -> list[tuple[Mark, Callable[..., Awaitable[None]]]]:
        names = [name for cls in reversed(type(self).__mro__) for name in vars(cls)]
        found: list[tuple[Mark, Callable[..., Awaitable[None]]]] = []
        for name in dict.fromkeys(names):
            member: Any = inspect.getattr_static(type(self), name)
            mark = getattr(member, _MARK, None)
            if mark is not None:
                found.append((mark, getattr(self, name)))
        return found

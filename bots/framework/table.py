"""What a plugin's class says of its handlers, read once when it is loaded and refused when it cannot work."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from appservice.errors import RialtoError
from bots.framework.arguments import Signature, SignatureError
from bots.framework.commands import CommandEntry
from bots.framework.handlers import Mark, mark_of, named
from bots.framework.limits import RateLimiter
from bots.framework.plugin import Plugin

# How many arguments each kind of handler is called with behind self.
_TAKES = {
    "message": 1,
    "media": 1,
    "location": 2,
    "beacon": 2,
    "reaction": 3,
    "joined": 1,
    "member": 3,
    "edited": 2,
    "redacted": 2,
    "webhook": 2,
    "schedule": 1,
    "timer": 2,
    "payment": 2,
    "funding": 2,
    "notice": 2,
    "middleware": 2,
}


class DefinitionError(RialtoError):
    """A handler that can never be called as it is written. ``human`` names the plugin, the function, file and line."""

    code = "plugin_definition"


@dataclass(frozen=True, slots=True)
class Handler:
    """One marked method of one plugin object."""

    mark: Mark
    function: Callable[..., Awaitable[Any]]
    where: str
    """``Class.function (file:line)``."""
    limiter: RateLimiter | None = None


@dataclass(frozen=True, slots=True)
class DialogHandler:
    """One dialog of one plugin object."""

    name: str
    version: str
    function: Callable[..., Awaitable[Any]]
    where: str
    timeout: timedelta | None = None
    remind: timedelta | None = None
    signature: inspect.Signature | None = None

    def takes(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether it can be called with these arguments, behind its ``d``."""
        if self.signature is None:
            return True
        try:
            self.signature.bind(None, *args, **kwargs)
        except TypeError:
            return False
        return True


@dataclass(slots=True)
class HandlerTable:
    """The handlers of one plugin object, by kind, in the order of their definition.

    Raises:
        DefinitionError: one of them can never be called.
    """

    plugin: Plugin
    owner: str
    commands: list[CommandEntry] = field(default_factory=list)
    limiters: dict[str, RateLimiter] = field(default_factory=dict)
    dialogs: dict[str, DialogHandler] = field(default_factory=dict)
    by_kind: dict[str, list[Handler]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for function_name in _names(type(self.plugin)):
            function = inspect.getattr_static(type(self.plugin), function_name)
            mark = mark_of(function)
            if mark is not None:
                self._add(named(mark, function_name), function_name, function)

    def of(self, kind: str) -> list[Handler]:
        """The handlers of a kind."""
        return self.by_kind.get(kind, [])

    @property
    def members(self) -> bool:
        """Whether it hears of people who come and go: who comes to a bot that was alone is greeted."""
        return bool(self.of("member") or self.of("joined"))

    def timer(self, name: str) -> Handler | None:
        """The handler of a timer."""
        return next((handler for handler in self.of("timer") if handler.mark.name == name), None)

    def webhook(self, name: str) -> Handler | None:
        """The handler of a webhook."""
        return next((handler for handler in self.of("webhook") if handler.mark.name == name), None)

    def schedule(self, name: str) -> Handler | None:
        """The handler of a schedule of the plugin's own, by its function's name."""
        return next((handler for handler in self.of("schedule") if handler.mark.name == name), None)

    def _add(self, mark: Mark, function_name: str, function: Any) -> None:
        cls = type(self.plugin)
        where = place_of(function, cls)
        if not inspect.iscoroutinefunction(function):
            raise DefinitionError(f"{where} needs to be a method written with “async def”", plugin=self.owner)
        bound = getattr(self.plugin, function_name)
        if mark.kind == "command":
            self._add_command(mark, function, bound, where)
        elif mark.kind == "dialog":
            _check_count(function, 1, where, self.owner, exact=False, what="self, d: Dialog, …")
            self.dialogs[function_name] = DialogHandler(
                function_name, mark.version, bound, where, mark.timeout, mark.remind, inspect.signature(bound)
            )
        else:
            takes = _TAKES[mark.kind]
            groups = mark.filter.regex.groupindex if mark.filter.regex is not None else {}
            _check_count(function, takes, where, self.owner, exact=not groups)
            limiter = RateLimiter(mark.limit) if mark.limit else None
            self.by_kind.setdefault(mark.kind, []).append(Handler(mark, bound, where, limiter))

    def _add_command(self, mark: Mark, function: Any, bound: Any, where: str) -> None:
        try:
            signature = Signature.of(function, type(self.plugin))
        except SignatureError as error:
            raise DefinitionError(error.human, plugin=self.owner) from None
        entry = CommandEntry(
            name=mark.name,
            help=mark.help,
            signature=signature,
            handler=bound,
            owner=self.owner,
            aliases=mark.aliases,
            hidden=mark.hidden,
            permission=mark.permission,
        )
        self.commands.append(entry)
        if mark.limit is not None:
            self.limiters[mark.name] = RateLimiter(mark.limit)


def place_of(function: Any, cls: type) -> str:
    """``Class.function (file:line)`` for messages to plugin authors."""
    code = inspect.unwrap(function).__code__ if hasattr(inspect.unwrap(function), "__code__") else None
    at = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
    return f"{cls.__name__}.{getattr(function, '__name__', '?')}{at}"


def _names(cls: type) -> list[str]:
    return list(dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base)))


def _check_count(function: Any, takes: int, where: str, owner: str, *, exact: bool, what: str = "") -> None:
    """Whether ``function(self, …)`` can be called with so many arguments."""
    signature = inspect.signature(function)
    arguments: list[object] = [None] * (takes + 1)
    try:
        if exact:
            signature.bind(*arguments)
        else:
            signature.bind_partial(*arguments)
    except TypeError:
        wanted = what or ", ".join(["self", "ctx", *("…",) * (takes - 1)])
        raise DefinitionError(
            f"{where} takes ({', '.join(signature.parameters)}); it is called with ({wanted})", plugin=owner
        ) from None

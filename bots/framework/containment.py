"""Keeps a broken plugin from hurting others: counts what goes wrong, pauses it, and names who holds everything up."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, Literal, Protocol, TypeAlias

from appservice.database import DatabaseError
from appservice.events import Event
from appservice.homeserver import HomeserverError
from appservice.metrics import Metrics
from appservice.processor import PASSING, TRY_LATER, Parked, Wait
from appservice.unit import TooManyEffects, UnitOfWork
from bots.framework.bot import BotUser
from bots.framework.breaker import Breaker, BreakerSettings, State
from bots.framework.context import Context
from bots.framework.incoming import Incoming
from bots.framework.problems import Sources

log = logging.getLogger(__name__)

REPORT: Final = "rialto.report"
"""The internal event that has a bot tell operators something: ``{"text": …}``."""
PROMPTED: Final = 10
"""Messages for each of people's that are no flood, however many people there are."""
BLOCKED_S: Final = 5.0
"""A handler that keeps the event loop for so long is named."""

NO_FAULT: Final[tuple[type[BaseException], ...]] = (Wait, Parked, DatabaseError, *TRY_LATER)
"""What the engine tries again later: the homeserver, the keys or the database are away."""

FailureKind: TypeAlias = Literal["error", "timeout", "flood", "blocked"]
Report = Callable[[str, str, int], None]
"""Tells operators: of which instance, what, and how grave it is (a level of logging)."""


class Inner(Protocol):
    """The consumer of a plugin, inside the process or outside."""

    instance: str
    bot: BotUser

    @property
    def name(self) -> str:
        """Stable across restarts."""

    @property
    def user_id(self) -> str:
        """The bot's."""

    def enabled_in(self, room_id: str, person: str) -> bool:
        """Whether it answers this person in this room."""

    def wants(self, event: Event) -> bool:
        """What it wants."""

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Work an event."""

    async def means(self, event: Event, incoming: Incoming) -> bool:
        """Whether a message is said to it."""

    async def context(self, event: Event, unit: UnitOfWork, incoming: Incoming | None = None) -> Context:
        """To speak to people with."""

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """A message could not be decrypted."""

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """An event is given up."""

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """A receipt, a typing notice."""


class PluginFlood(TooManyEffects):
    """A plugin sends more than it may within a minute."""

    code = "plugin_flood"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may do.

    Attributes:
        timeout: seconds of one handler.
        effects: messages in answer to one event.
        effects_per_minute: messages within a minute.
    """

    timeout: float
    effects: int = 200
    effects_per_minute: int = 3000
    breaker: BreakerSettings = field(default_factory=BreakerSettings)


class Contained:
    """A plugin's consumer, contained. It has its name and its user."""

    def __init__(
        self,
        inner: Inner,
        limits: Limits,
        metrics: Metrics,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
        joined: Callable[[BotUser, str], None] = lambda _bot, _room: None,
    ) -> None:
        """
        Args:
            report: called when the instance is paused, and when it is well again.
            joined: told when the bot has come into a room.
            clock: seconds, monotonic.
        """
        self.inner = inner
        self.limits = limits
        self.breaker = Breaker(limits.breaker)
        self._metrics = metrics
        self._report = report
        self._clock = clock
        self._joined = joined
        self._told: set[str] = set()
        self._seconds: deque[list[int]] = deque()
        """Of the last minute: the second, messages sent in it, events of people answered in it."""
        self._last = ""

    @property
    def instance(self) -> str:
        """The name of the plugin instance."""
        return self.inner.instance

    @property
    def name(self) -> str:
        """Stable across restarts."""
        return self.inner.name

    @property
    def user_id(self) -> str:
        """The bot's."""
        return self.inner.user_id

    def wants(self, event: Event) -> bool:
        """What the plugin wants."""
        return self.inner.wants(event)

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Hand an event to the plugin, unless it is paused.

        Events of our own (timers, outcomes of payments) reach it also then: they would be lost, and the engine bounds
        how often they are tried.
        """
        if event.internal and event.type == REPORT:
            unit.send(event.room_id, {"msgtype": "m.notice", "body": str(event.content.get("text")), "m.mentions": {}})
            return
        if event.membership == "join" and event.state_key == self.user_id:
            self._joined(self.inner.bot, event.room_id)
        if not event.internal and not self.breaker.admits(self._clock()):
            await self._refuse(event, unit)
            return
        unit.limit = self.limits.effects
        limit = asyncio.timeout(self.limits.timeout)
        try:
            async with limit:
                await self.inner.handle(event, unit)
            self._count(unit, prompted=not event.internal)
        except NO_FAULT as error:
            if isinstance(error, HomeserverError) and error.status not in PASSING:
                self._failed(event, "error", error)  # the homeserver works, and refuses what the plugin wants
            else:
                self.breaker.passed()
            raise
        except TooManyEffects as error:
            self._failed(event, "flood", error, at_once=isinstance(error, PluginFlood))
            raise
        except Exception as error:
            self._failed(event, "timeout" if limit.expired() else "error", error)
            raise
        except asyncio.CancelledError:
            self.breaker.passed()
            raise
        if unit.empty and not unit.added:
            self.breaker.passed()  # nothing for this plugin: it says nothing of how it is
        elif self.breaker.succeeded(event.event_id, self._clock()):
            self._well()

    def blocked(self) -> None:
        """The plugin has kept the event loop."""
        self._note(self._last or "blocked", "blocked", "it keeps the event loop, and with it everything, to itself")

    def _count(self, unit: UnitOfWork, *, prompted: bool) -> None:
        """Messages of the last minute, measured by what people have sent. Raises PluginFlood."""
        if unit.added > self.limits.effects:  # the plugin has caught the error
            raise TooManyEffects(f"a handler sends {self.limits.effects} messages at most in answer to one event")
        if not unit.added:
            return
        second = int(self._clock())
        while self._seconds and self._seconds[0][0] <= second - 60:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
        sent = sum(each[1] for each in self._seconds) + unit.added
        answered = sum(each[2] for each in self._seconds) + prompted
        if sent > max(self.limits.effects_per_minute, PROMPTED * answered):
            raise PluginFlood(
                f"a plugin sends {self.limits.effects_per_minute} messages a minute at most, "
                f"or {PROMPTED} for each that people send"
            )
        self._seconds[-1][1] += unit.added
        self._seconds[-1][2] += prompted

    def _failed(self, event: Event, kind: FailureKind, error: BaseException, *, at_once: bool = False) -> None:
        self._last = event.event_id
        self._note(event.event_id, kind, type(error).__name__, at_once=at_once)

    def _note(self, event_id: str, kind: FailureKind, what: str, *, at_once: bool = False) -> None:
        self._metrics.plugin_failures.labels(self.instance, kind).inc()
        now = self._clock()
        if not self.breaker.failed(event_id, now, at_once=at_once):
            return
        seconds = round(self.breaker.until - now)
        self._told.clear()
        self._metrics.plugin_pauses.labels(self.instance).inc()
        self._metrics.plugin_paused.labels(self.instance).set(1)
        text = f"It fails again and again (last: {kind}, {what}) and is paused for {seconds} s."
        self._report(self.instance, text, logging.ERROR)

    def _well(self) -> None:
        self._metrics.plugin_paused.labels(self.instance).set(0)
        self._told.clear()
        self._report(self.instance, "It works again.", logging.INFO)

    async def _refuse(self, event: Event, unit: UnitOfWork) -> None:
        """Say once in a room that the plugin is paused, to who means it."""
        if event.type == "m.room.member" or event.room_id in self._told:
            return
        if not self.inner.enabled_in(event.room_id, event.sender):
            return
        incoming = Incoming.of(event)
        if incoming is None or incoming.kind == "edit":
            return
        if not await self.inner.means(event, incoming):
            return
        ctx = await self.inner.context(event, unit, incoming)
        ctx.say(ctx.t("I have a problem right now and cannot answer. Please try again in a few minutes."), reply=True)
        unit.after_commit(lambda: self._told.add(event.room_id))

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """Tell the sender that a message could not be decrypted."""
        await self.inner.unreadable(event, unit, reason)

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """Tell the sender that something went wrong."""
        await self.inner.gave_up(event, unit)

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """A receipt, a typing notice."""
        await self.inner.ephemeral(event)

    @property
    def paused(self) -> bool:
        """Whether the plugin is paused."""
        return self.breaker.state is not State.CLOSED


class Watchdog:
    """A thread that notices when the event loop stands still, and names the code that keeps it."""

    def __init__(
        self, sources: Callable[[], Sources], blocked: Callable[[str], None], *, limit: float = BLOCKED_S
    ) -> None:
        """
        Args:
            sources: which files belong to which plugin.
            blocked: called in the event loop, when it runs again, with the instance that kept it.
            limit: seconds.
        """
        self._sources = sources
        self._blocked = blocked
        self._limit = limit
        self._beat = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running event loop."""
        loop = asyncio.get_running_loop()
        self._tick(loop)
        self._thread = threading.Thread(
            target=self._watch, args=(loop, threading.get_ident()), name="watchdog", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat = time.monotonic()
        self._timer = loop.call_later(self._limit / 10, self._tick, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop, ident: int) -> None:
        told = 0.0
        while not self._stop.wait(self._limit / 10):
            beat = self._beat
            if time.monotonic() - beat < self._limit or beat == told:
                continue
            told = beat
            frame = sys._current_frames().get(ident)
            if frame is not None:
                self._tell(loop, frame)

    def _tell(self, loop: asyncio.AbstractEventLoop, frame: FrameType) -> None:
        sources = self._sources()
        plugin, file, line = "", frame.f_code.co_filename, frame.f_lineno
        instance = ""
        here: FrameType | None = frame
        while here is not None:
            owner = sources.plugin_of(here.f_code.co_filename)
            if owner is not None and not plugin:
                plugin, file, line = owner, here.f_code.co_filename, here.f_lineno
            if here.f_code is Contained.handle.__code__:
                instance = here.f_locals["self"].instance
                break
            here = here.f_back
        log.error(
            "the event loop has stood still for %g s: plugin %s keeps it at %s:%d",
            self._limit,
            instance or plugin or "(none)",
            file,
            line,
            extra={"plugin": instance or plugin, "file": file, "line": line},
        )
        if instance:
            loop.call_soon_threadsafe(self._blocked, instance)

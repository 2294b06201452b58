"""When a plugin is paused, and when it may go on: the state machine of a circuit breaker. Pure.

Events are counted, not attempts: one message that a plugin fails on again and again is one failure. So that somebody
who finds such a message cannot switch a plugin off for all others, it also takes half of the plugin's events to fail.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

REMEMBERED: Final = 2_000


class State(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    """All is well."""
    OPEN = "open"
    """Paused."""
    HALF_OPEN = "half-open"
    """One event is tried."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """Times are seconds.

    Attributes:
        failures: failed events within ``window`` that open it, when they are half of all.
        pause: of the first opening; doubled each time it opens again without having been well, up to ``pause_max``.
    """

    failures: int = 5
    window: float = 60
    pause: float = 30
    pause_max: float = 900


class Breaker:
    """One plugin instance's. Times are seconds of a monotonic clock."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._events: deque[tuple[float, str, bool]] = deque(maxlen=REMEMBERED)
        self._failed: set[str] = set()
        self._pause = settings.pause
        self._until = 0.0
        self.state = State.CLOSED

    @property
    def until(self) -> float:
        """When the pause ends."""
        return self._until

    def admits(self, now: float) -> bool:
        """Whether an event may be handed to the plugin; after a pause a single one, whose outcome decides."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN and now >= self._until:
            self.state = State.HALF_OPEN
            return True
        return False

    def succeeded(self, event_id: str, now: float) -> bool:
        """The plugin has answered an event; whether that closed the breaker."""
        if self.state is State.HALF_OPEN:
            self._events.clear()
            self._failed.clear()
            self._pause = self._settings.pause
            self.state = State.CLOSED
            return True
        if self.state is State.CLOSED:
            self._note(event_id, now, failed=False)
        return False

    def passed(self) -> None:
        """An event came to nothing, neither good nor bad: the next one is tried instead."""
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN

    def failed(self, event_id: str, now: float, *, at_once: bool = False) -> bool:
        """The plugin has failed on an event; whether that opened the breaker.

        Args:
            at_once: it opens whatever was before.
        """
        if self.state is State.OPEN:
            return False
        if self.state is State.HALF_OPEN:
            self._open(now)
            return True
        self._note(event_id, now, failed=True)
        failures = len(self._failed)
        if at_once or (failures >= self._settings.failures and 2 * failures >= len(self._events)):
            self._open(now)
            return True
        return False

    def _open(self, now: float) -> None:
        self.state = State.OPEN
        self._until = now + self._pause
        self._pause = min(self._pause * 2, self._settings.pause_max)
        self._events.clear()
        self._failed.clear()

    def _note(self, event_id: str, now: float, *, failed: bool) -> None:
        while self._events and (self._events[0][0] < now - self._settings.window or len(self._events) == REMEMBERED):
            _, old, bad = self._events.popleft()
            if bad:
                self._failed.discard(old)
        if event_id in self._failed:
            return
        self._events.append((now, event_id, failed))
        if failed:
            self._failed.add(event_id)

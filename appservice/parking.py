"""Events set aside until the key they were encrypted with comes."""

from __future__ import annotations

from collections import defaultdict

from appservice.inbox import InboxItem, now_ms
from appservice.metrics import Metrics


class Parking:
    """Parked events by the Megolm session they wait for. They are in the inbox too: this is where to look only."""

    def __init__(self, give_up_after: float, metrics: Metrics) -> None:
        """
        Args:
            give_up_after: seconds after which the sender is told that an event cannot be read.
        """
        self._give_up_ms = int(give_up_after * 1000)
        self._metrics = metrics
        self._items: dict[str, list[InboxItem]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(len(items) for items in self._items.values())

    def add(self, item: InboxItem) -> None:
        """Set an event aside. ``item.session_id`` says for which session."""
        item.payload = None  # it may stay long: the inbox has it
        self._items[item.session_id or ""].append(item)
        self._metrics.crypto_parked.set(len(self))

    def release(self, session_id: str) -> list[InboxItem]:
        """The events that waited for a session, in order."""
        items = self._items.pop(session_id, [])
        self._metrics.crypto_parked.set(len(self))
        return sorted(items, key=lambda item: item.seq)

    def overdue(self) -> list[InboxItem]:
        """Events that have waited too long and whose sender was not told yet; they leave the parking."""
        return self._take(now_ms() - self._give_up_ms, told=False)

    def expired(self, before: int) -> list[InboxItem]:
        """Events received before ``before`` (ms) whose sender was told; they leave the parking."""
        return self._take(before, told=True)

    def _take(self, before: int, *, told: bool) -> list[InboxItem]:
        late = [
            item
            for items in self._items.values()
            for item in items
            if item.received_at <= before and told == any(name.endswith(TOLD) for name in item.done_by)
        ]
        for item in late:
            waiting = self._items[item.session_id or ""]
            waiting.remove(item)
            if not waiting:
                del self._items[item.session_id or ""]
        self._metrics.crypto_parked.set(len(self))
        return late

    def items(self) -> list[InboxItem]:
        """All that is parked."""
        return [item for items in self._items.values() for item in items]


TOLD = "!unreadable"
"""Behind a consumer's name in ``done_by``: it has said that it cannot read the event."""

"""Parked events: by session, in order, told once."""

from __future__ import annotations

import pytest

from appservice import parking as module
from appservice.inbox import InboxItem
from appservice.metrics import Metrics
from appservice.parking import TOLD, Parking


def item(seq: int, session_id: str = "S", received_at: int = 1_000_000) -> InboxItem:
    """An event that waits for a session."""
    made = InboxItem(0, seq, "!room:localhost", f"$e{seq}", b"{}", received_at)
    made.session_id = session_id
    return made


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of this test's own."""
    return Metrics()


@pytest.fixture
def parking(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> Parking:
    """A parking that gives up after ten seconds; it is second 1,005."""
    monkeypatch.setattr(module, "now_ms", lambda: 1_005_000)
    return Parking(10, metrics)


def test_a_session_releases_its_events_in_order_and_no_others(parking: Parking, metrics: Metrics) -> None:
    for each in (item(3), item(1), item(2, "T"), item(2)):
        parking.add(each)
    assert len(parking) == 4
    assert metrics.crypto_parked._value.get() == 4
    assert [each.seq for each in parking.release("S")] == [1, 2, 3]
    assert parking.release("S") == []
    assert parking.release("unknown") == []
    assert [each.session_id for each in parking.items()] == ["T"]
    assert metrics.crypto_parked._value.get() == 1


def test_a_parked_event_keeps_no_payload(parking: Parking) -> None:
    one = item(1)
    parking.add(one)
    assert one.payload is None


def test_overdue_gives_what_waited_too_long_once(parking: Parking, monkeypatch: pytest.MonkeyPatch) -> None:
    parking.add(item(1, received_at=1_000_000))
    parking.add(item(2, received_at=1_003_000))
    parking.add(item(3, "T", received_at=1_000_000))
    assert parking.overdue() == []
    monkeypatch.setattr(module, "now_ms", lambda: 1_010_000)
    assert [each.seq for each in parking.overdue()] == [1, 3]
    assert parking.overdue() == []
    assert len(parking) == 1
    assert parking.release("T") == []


def test_who_was_told_is_not_overdue_again_and_still_released(parking: Parking) -> None:
    one = item(1, received_at=0)
    one.done_by = frozenset({"bot:@bot:localhost" + TOLD})
    parking.add(one)
    assert parking.overdue() == []
    assert parking.release("S") == [one]


def test_events_without_a_session_wait_too(parking: Parking) -> None:
    one = item(1)
    one.session_id = None
    parking.add(one)
    assert parking.items() == [one]
    assert len(parking) == 1

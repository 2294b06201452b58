"""The time, as something that is handed in: see :mod:`appservice.clock`."""

from __future__ import annotations

from appservice.clock import EPOCH, Clock, ManualClock, SystemClock, from_ms, to_ms

__all__ = ["EPOCH", "Clock", "ManualClock", "SystemClock", "from_ms", "to_ms"]

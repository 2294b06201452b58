"""Tables of what comes from and goes to providers."""

from __future__ import annotations

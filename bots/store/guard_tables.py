"""Tables of limits and the audit log."""

from __future__ import annotations

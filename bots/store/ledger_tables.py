"""The ledger's tables."""

from __future__ import annotations

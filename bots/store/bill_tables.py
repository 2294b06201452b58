"""The bills' tables."""

from __future__ import annotations

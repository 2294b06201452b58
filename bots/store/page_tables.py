"""Tables of pages: links, PINs."""

from __future__ import annotations

"""How the process uses memory, beyond what Python decides by itself."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""Parameters of mallopt(3), from glibc's malloc.h."""
ARENAS: Final = 2
"""By default every thread gets an arena of its own, and keeps in it what it once needed: megabytes for each thread of a
database. The event loop has the first, all of these threads share the second.
"""
APART: Final = 64 * 1024
"""Bytes from which on a block goes back to the system when it is freed. By default it grows with the largest block."""
LOOSE: Final = 128 * 1024
"""Unused bytes at the end of the heap that are kept."""


def bound() -> None:
    """Keep the allocator of C from holding what is not in use. Does nothing where it is not glibc's."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((M_ARENA_MAX, ARENAS), (M_MMAP_THRESHOLD, APART), (M_TRIM_THRESHOLD, LOOSE)):
            mallopt(parameter, value)


def settle() -> None:
    """After the start: what is there stays for good, and is not looked through again for what could be freed."""
    gc.collect()
    gc.freeze()

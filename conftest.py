"""Fixtures of every test, the examples' too."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

# The workers of a run, and the processes that tests start, would each compile everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long an example takes says more about what else the machine does.
settings.register_profile("rialto", deadline=None)
settings.load_profile("rialto")

LONG_LIVED = frozenset({"e2e", "chaos"})
"""Folders whose servers and clients live longer than a test."""


@pytest.fixture(autouse=True)
async def nothing_goes_on(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """What a test leaves running ends with it.

    All tests share one event loop: the tasks of worlds and engines that nobody stops would make every later test
    slower, and in the end too slow.
    """
    if LONG_LIVED.intersection(request.path.parts):
        yield
        return
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=5)

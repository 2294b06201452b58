"""A prompt with line editing that messages can arrive above."""

from __future__ import annotations

import asyncio
import contextlib
import readline
import sys
import termios
import threading
from collections.abc import AsyncIterator, Iterator

CLEAR_LINE = "\r\x1b[2K"


class Prompt:
    """Reads lines from the terminal with readline, in a thread of its own, because readline blocks."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._waiting = False
        self._ask = threading.Semaphore(0)

    async def lines(self) -> AsyncIterator[str]:
        """What is typed, line by line, until Ctrl-D. The terminal is as before afterwards, also after Ctrl-C."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | None] = asyncio.Queue()

        def read() -> None:
            line: str | None = ""
            while line is not None:
                self._ask.acquire()
                self._waiting = True
                try:
                    line = input(self._text)
                except (EOFError, OSError, ValueError):
                    line = None
                self._waiting = False
                loop.call_soon_threadsafe(queue.put_nowait, line)

        before = termios.tcgetattr(sys.stdin)
        threading.Thread(target=read, name="prompt", daemon=True).start()  # ends with the process, Enter or not
        try:
            while True:
                self._ask.release()
                line = await queue.get()
                if line is None:
                    sys.stdout.write("\n")
                    return
                yield line
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Print above the prompt: it is wiped away, and comes back with what was typed so far."""
        if self._waiting:
            sys.stdout.write(CLEAR_LINE)
            sys.stdout.flush()
        try:
            yield
        finally:
            if self._waiting:
                sys.stdout.write(self._text + readline.get_line_buffer())
                sys.stdout.flush()

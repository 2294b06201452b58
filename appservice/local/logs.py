"""Reading several growing log files at once, each line with the name of its process in front."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from appservice.local.process import tail

POLL = 0.25


def last_lines(files: Mapping[str, Sequence[Path]], lines: int) -> Iterator[str]:
    """The last ``lines`` lines of each file that is there."""
    for name, paths in files.items():
        for path in paths:
            for line in tail(path, lines).splitlines() if lines > 0 else ():
                yield prefixed(name, line)


def prefixed(name: str, line: str) -> str:
    """``rialto     | …``."""
    return f"{name:<10} | {line}"


class Growing:
    """A log file that is appended to, rotated away or emptied: hands out each whole line once."""

    def __init__(self, path: Path, *, from_end: bool) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0
        self._rest = b""
        if from_end and path.exists():
            found = path.stat()
            self._inode, self._offset = found.st_ino, found.st_size

    def lines(self) -> list[str]:
        """The whole lines written since the last call."""
        try:
            with self._path.open("rb") as file:
                found = self._path.stat()
                if found.st_ino != self._inode or found.st_size < self._offset:
                    self._inode, self._offset, self._rest = found.st_ino, 0, b""
                file.seek(self._offset)
                fresh = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(fresh)
        *whole, self._rest = (self._rest + fresh).split(b"\n")
        return [line.decode("utf-8", errors="replace") for line in whole]


def follow(files: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    """Every line that is written from now on; never ends by itself."""
    growing = [(name, Growing(path, from_end=True)) for name, paths in files.items() for path in paths]
    while True:
        for name, file in growing:
            for line in file.lines():
                yield prefixed(name, line)
        time.sleep(POLL)

"""What a handler has changed and not committed yet: whoever reads in the same handler finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

from bots.commerce.hand import Reader
from bots.framework import Context

__all__ = ["Pending"]

T = TypeVar("T")


class Pending:
    """Of one fleet: trips, drivers and offers by kind and id, as handlers at hand have left them.

    Two changes of one row in one handler are two compare-and-set writes, the second on what the first has made.
    """

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Context, dict[tuple[str, str], Any]] = WeakKeyDictionary()

    def put(self, ctx: Context, kind: str, id: str, value: Any, write: Callable[[Connection], object]) -> None:
        """A row is written in the commit, and is so for the rest of the handler."""
        found = self._here(ctx)
        if not found:
            ctx.unit.after_commit(found.clear)
        found[kind, id] = value
        ctx.store(write)

    def get(self, reader: Reader, kind: str, id: str) -> Any | None:
        """What the handler at hand has made of a row; None: nothing."""
        return self._here(reader).get((kind, id)) if isinstance(reader, Context) else None

    def made(self, reader: Reader, kind: str) -> list[Any]:
        """What the handler at hand has made of rows of a kind, new ones too."""
        here = self._here(reader) if isinstance(reader, Context) else {}
        return [value for (of, _), value in here.items() if of == kind]

    def over(self, reader: Reader, kind: str, found: list[T], key: Callable[[T], str]) -> list[T]:
        """What was read, with what the handler at hand has made of it."""
        here = self._here(reader) if isinstance(reader, Context) else {}
        return [here.get((kind, key(each)), each) for each in found] if here else found

    def _here(self, ctx: Context) -> dict[tuple[str, str], Any]:
        found = self._of.setdefault(ctx, {})
        if found and not ctx.unit.operations:  # the handler has thrown away what it was going to do
            found.clear()
        return found

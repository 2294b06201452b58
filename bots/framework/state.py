"""What plugins remember: typed values by key, in a scope, written together with the other effects of a handler.

Bounds: a key has :data:`MAX_KEY` characters, a value :data:`MAX_VALUE` bytes of JSON, a scope :data:`MAX_KEYS` keys at
most; who needs more wants tables of its own (:mod:`bots.framework.plugin_tables`). Values lie sealed in the database,
counters do not: a counter is a number and says nothing of what people wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Generic, Literal, TypeVar, overload

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError
from sqlalchemy import Connection

from appservice import json
from appservice.database import Database
from appservice.errors import RialtoError
from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from bots.store import state as sql
from bots.store.state import Place, Stored

T = TypeVar("T")

MAX_KEY: Final = 255
MAX_VALUE: Final = 64 * 1024
MAX_KEYS: Final = 10_000
PURGE_AT_ONCE: Final = 1_000
_COUNTER_MAX: Final = 2**63 - 1
_NOT_PRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class StateError(RialtoError):
    """A value cannot be kept, or what is kept does not fit. Names plugin, kind of scope and key, never the value."""

    code = "state_invalid"


class StateConflict(StateError):
    """Somebody else has changed the value meanwhile. Nothing of the unit happens, and the handler is run again."""

    code = "state_conflict"


class Key(Generic[T]):
    """A typed value: what it is called, what it may be, and what it is as long as nobody has set it.

    ``Key("orders", int, default=0)``; without a default an absent value reads as None. It has a ``name``.
    """

    __slots__ = ("_default", "adapter", "name", "secret", "ttl")

    @overload
    def __init__(
        self: Key[T], name: str, type: type[T], default: T, *, secret: bool = ..., ttl: timedelta | None = ...
    ) -> None: ...

    @overload
    def __init__(
        self: Key[T | None],
        name: str,
        type: type[T],
        default: None = None,
        *,
        secret: bool = ...,
        ttl: timedelta | None = ...,
    ) -> None: ...

    def __init__(
        self, name: str, type: Any, default: Any = None, *, secret: bool = False, ttl: timedelta | None = None
    ) -> None:
        """
        Args:
            name: what it is called within its scope.
            type: anything pydantic can check: a type, a model, ``list[str]``.
            default: what it reads as while nobody has set it; each reader gets a copy.
            secret: it never lies readable in the database, whatever is done with it: no counter is made of it.
            ttl: forgotten so long after it was set last.

        Raises:
            StateError: the name cannot be a key, or the type cannot be checked.
        """
        self.name = _checked(name)
        self.adapter: TypeAdapter[Any] = _adapter(type)
        self.secret = secret
        self.ttl = _positive(ttl)
        self._default = default

    @property
    def default(self) -> T:
        """A fresh copy."""
        copied: T = deepcopy(self._default)
        return copied

    def __repr__(self) -> str:
        return f"Key({self.name!r})"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose a value is: the plugin's, a room's, a person's, or a person's in one room."""

    kind: Literal["plugin", "room", "user", "member"]
    room_id: str = ""
    user_id: str = ""

    @classmethod
    def plugin(cls) -> Scope:
        """One for the whole plugin instance."""
        return cls("plugin")

    @classmethod
    def room(cls, room_id: str) -> Scope:
        """One for each room."""
        return cls("room", room_id=_identifier(room_id))

    @classmethod
    def user(cls, user_id: str) -> Scope:
        """One for each person, in whichever room."""
        return cls("user", user_id=_identifier(user_id))

    @classmethod
    def member(cls, room_id: str, user_id: str) -> Scope:
        """One for each person in each room."""
        return cls("member", _identifier(room_id), _identifier(user_id))

    @property
    def text(self) -> str:
        """As the table has it."""
        ids = " ".join(each for each in (self.room_id, self.user_id) if each)
        return f"{self.kind}:{ids}" if ids else ""


@dataclass(slots=True)
class _Pending:
    """What the unit has done to a value so far: it is ``data`` (None: absent) if ``known``, and ``delta`` more."""

    known: bool = False
    data: bytes | None = None
    delta: int = 0


class Store:
    """The plugins' values. One for the service."""

    def __init__(self, database: Database, sealer: Sealer, clock_ms: Callable[[], int]) -> None:
        """
        Args:
            sealer: with the purpose ``state``.
            clock_ms: milliseconds since the epoch.
        """
        self.database = database
        self.sealer = sealer
        self.clock_ms = clock_ms

    def open(self, plugin: str, unit: UnitOfWork) -> States:
        """The values of a plugin instance, for the handler whose effects ``unit`` collects; one for each unit."""
        return States(self, plugin, unit)

    async def purge(self, now: int) -> int:
        """Forget what has expired at ``now`` (ms); how many values. For a janitor: until then it only reads as absent.

        Raises:
            DatabaseError: some may be left.
        """
        total = 0
        while True:
            removed = await self.database.write(lambda connection: sql.purge(connection, now, PURGE_AT_ONCE))
            total += removed
            if removed < PURGE_AT_ONCE:
                return total


class States:
    """The values of one plugin instance within one unit of work, by scope."""

    def __init__(self, store: Store, plugin: str, unit: UnitOfWork) -> None:
        self.store = store
        self.name = plugin
        self.unit = unit
        self._pending: dict[Place, _Pending] = {}

    @property
    def plugin(self) -> State:
        """The values of the plugin instance."""
        return State(self, Scope.plugin())

    def room(self, room_id: str) -> State:
        """The values of a room."""
        return State(self, Scope.room(room_id))

    def user(self, user_id: str) -> State:
        """The values of a person."""
        return State(self, Scope.user(user_id))

    def member(self, room_id: str, user_id: str) -> State:
        """The values of a person in a room."""
        return State(self, Scope.member(room_id, user_id))

    def pending(self, place: Place) -> _Pending | None:
        """What the unit has done there."""
        return self._pending.get(place)

    def pending_in(self, scope: str) -> dict[str, _Pending]:
        """What the unit has done in a scope, by key."""
        return {place.key: done for place, done in self._pending.items() if place.scope == scope}

    def effect(self, place: Place, done: _Pending, operation: Callable[[Connection], None]) -> None:
        """Have ``operation`` run in the commit, and read ``done`` until then."""
        self._pending[place] = done
        self.unit.store(operation)
        # From the commit on the database says it: also after a checkpoint, while the unit goes on.
        self.unit.after_commit(self._pending.clear)

    def discard(self) -> None:
        """The unit was emptied: what it was going to do is not going to happen."""
        self._pending.clear()


class State:
    """The values of one scope. Reads see what this handler has written; writes happen in the commit, or not at all."""

    def __init__(self, states: States, scope: Scope) -> None:
        self.scope = scope
        self._states = states
        self._store = states.store

    @overload
    async def get(self, key: Key[T]) -> T: ...

    @overload
    async def get(self, key: str, default: T, *, as_: type[T]) -> T: ...

    @overload
    async def get(self, key: str, default: None = None, *, as_: type[T]) -> T | None: ...

    @overload
    async def get(self, key: str, default: Any = None) -> Any: ...

    async def get(self, key: Key[Any] | str, default: Any = None, *, as_: Any = Any) -> Any:
        """The value, or the default when there is none.

        Args:
            key: a :class:`Key`, or its name alone.
            default: for a plain key: what an absent value reads as.
            as_: for a plain key: the type that the value must fit.

        Raises:
            StateError: what is stored does not fit the type.
            DatabaseError: it cannot be read now.
        """
        wanted = _key(key, as_, default)
        data = await self._data(wanted)
        return wanted.default if data is None else self._value(wanted, data)

    def set(self, key: Key[T] | str, value: T, *, as_: Any = Any, ttl: timedelta | None = None) -> None:
        """Set the value.

        Args:
            key: a :class:`Key`, or its name alone.
            value: the whole new value.
            as_: for a plain key: the type of the value; without one it must be plain JSON.
            ttl: forget it so long after; the key's own unless told.

        Raises:
            StateError: it does not fit the type, or is too large.
        """
        wanted = _key(key, as_)
        place, data = self._place(wanted), self._written(wanted, value)
        stored = self._stored(place, data, wanted, ttl)
        self._states.effect(place, _Pending(True, data), lambda connection: self._put(connection, place, stored))

    def delete(self, key: Key[Any] | str) -> None:
        """Forget the value."""
        place = self._place(_key(key))
        self._states.effect(place, _Pending(True), lambda connection: sql.remove(connection, place))

    async def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with ``prefix`` and have a value, in order."""
        plugin, scope, now = self._states.name, self.scope.text, self._store.clock_ms()
        found = await self._store.database.read(
            lambda connection: sql.keys(connection, plugin, scope, prefix, now, MAX_KEYS)
        )
        names = set(found)
        for name, done in self._states.pending_in(scope).items():
            if name.startswith(prefix):
                (names.discard if done.known and done.data is None else names.add)(name)
        return sorted(names)

    def add(self, key: Key[int] | str, amount: int = 1, *, ttl: timedelta | None = None) -> None:
        """Count: what others add at the same time is not lost. A counter begins at 0.

        Args:
            key: a :class:`Key`, or its name alone.
            amount: less than 0 counts down.
            ttl: forget the counter so long after its first addition; the key's own unless told.

        Raises:
            StateError: a secret is no counter; the amount has more than 63 bits.
        """
        wanted = _key(key)
        place = self._place(wanted)
        if isinstance(amount, bool) or not isinstance(amount, int) or abs(amount) > _COUNTER_MAX:
            raise self._error(wanted.name, "is counted in whole numbers of 63 bits")
        if wanted.secret:
            raise self._error(wanted.name, "is secret, and counters are not sealed: set it instead")
        expires_at = self._expiry(wanted, ttl)

        def operation(connection: Connection) -> None:
            old = self._locked(connection, place)
            count = self._count(place, self._opened(place, old)) + amount
            if abs(count) > _COUNTER_MAX:
                raise self._error(place.key, "has counted as far as 63 bits go")
            kept = expires_at if old is None else old.expires_at
            self._put(connection, place, Stored(str(count).encode(), False, kept))

        done = self._states.pending(place)
        if done is None or not done.known:
            pending = _Pending(delta=(done.delta if done else 0) + amount)
        else:
            pending = _Pending(True, str(self._count(place, done.data) + amount).encode())
        self._states.effect(place, pending, operation)

    async def count(self, key: Key[int] | str) -> int:
        """How far a counter has come; 0 when nobody has counted.

        Raises:
            StateError: it is no counter.
        """
        wanted = _key(key)
        return self._count(self._place(wanted), await self._data(wanted))

    def compare_and_set(
        self, key: Key[T] | str, expected: T, value: T, *, as_: Any = Any, ttl: timedelta | None = None
    ) -> None:
        """Set the value if it is ``expected`` at the commit; an absent value is what it reads as.

        Otherwise nothing of the unit happens (:class:`StateConflict`), and the engine runs the handler again.

        Raises:
            StateError: one of the values does not fit the type.
        """
        wanted = _key(key, as_)
        absent = self._written(wanted, wanted.default) if wanted.default is not None else b"null"
        want = b"null" if expected is None and wanted.default is None else self._written(wanted, expected)

        def same(stored: bytes | None) -> bool:
            if stored is None:
                return absent == want
            return self._written(wanted, self._value(wanted, stored)) == want

        self._guarded(wanted, same, value, ttl)

    async def update(self, key: Key[T] | str, change: Callable[[T], T], default: Any = None, *, as_: Any = Any) -> None:
        """Set the value to what ``change`` makes of it, if nobody else changes it before the commit.

        Raises:
            StateError: the new value does not fit the type.
            DatabaseError: it cannot be read now.
        """
        wanted = _key(key, as_, default)
        before = await self._data(wanted)
        value = change(wanted.default if before is None else self._value(wanted, before))
        # Compared as it is written: a type that has grown since reads the same bytes as another value.
        self._guarded(wanted, lambda stored: stored == before, value, None)

    def _guarded(self, key: Key[Any], same: Callable[[bytes | None], bool], value: Any, ttl: timedelta | None) -> None:
        place, data = self._place(key), self._written(key, value)
        stored = self._stored(place, data, key, ttl)

        def operation(connection: Connection) -> None:
            row = self._locked(connection, place)
            if not same(self._opened(place, row)):
                where = self._where(place.key)
                raise StateConflict(f"{where} was changed by somebody else", **self._fields(place.key))
            self._put(connection, place, stored)

        self._states.effect(place, _Pending(True, data), operation)

    async def _data(self, key: Key[Any]) -> bytes | None:
        """The value as JSON, with what the unit has done to it."""
        place = self._place(key)
        done = self._states.pending(place)
        if done is not None and done.known:
            return done.data
        now = self._store.clock_ms()
        row = await self._store.database.read(lambda connection: sql.read(connection, place, now))
        data = self._opened(place, row)
        if done is not None:
            return str(self._count(place, data) + done.delta).encode()
        return data

    def _put(self, connection: Connection, place: Place, stored: Stored) -> None:
        self._room_for(connection, place)
        sql.write(connection, place, stored, self._store.clock_ms())

    def _locked(self, connection: Connection, place: Place) -> Stored | None:
        self._room_for(connection, place)
        return sql.lock(connection, place, self._store.clock_ms())

    def _room_for(self, connection: Connection, place: Place) -> None:
        if sql.exists(connection, place):
            return
        now = self._store.clock_ms()
        if sql.count(connection, place.plugin, place.scope, now, MAX_KEYS) >= MAX_KEYS:
            raise self._error(place.key, f"is one too many: a scope holds {MAX_KEYS} keys")

    def _stored(self, place: Place, data: bytes, key: Key[Any], ttl: timedelta | None) -> Stored:
        return Stored(self._store.sealer.seal(data, _context(place)), True, self._expiry(key, ttl))

    def _expiry(self, key: Key[Any], ttl: timedelta | None) -> int | None:
        ttl = _positive(ttl) or key.ttl
        return None if ttl is None else self._store.clock_ms() + ttl // timedelta(milliseconds=1)

    def _opened(self, place: Place, row: Stored | None) -> bytes | None:
        if row is None:
            return None
        return self._store.sealer.open(row.value, _context(place)) if row.sealed else row.value

    def _count(self, place: Place, data: bytes | None) -> int:
        count = 0 if data is None else json.loads(data)
        if not isinstance(count, int) or isinstance(count, bool):
            raise self._error(place.key, "is no counter")
        return count

    def _value(self, key: Key[Any], data: bytes) -> Any:
        try:
            return key.adapter.validate_json(data)
        except ValidationError as error:
            # Nothing but the kinds of the errors: their places and words may quote what people wrote.
            kinds = ", ".join(sorted({each["type"] for each in error.errors(include_input=False, include_url=False)}))
            raise self._error(key.name, f"holds a value that does not fit its type any more ({kinds})") from None

    def _written(self, key: Key[Any], value: Any) -> bytes:
        try:
            data = key.adapter.dump_json(key.adapter.validate_python(value, strict=True), warnings="error")
            again = key.adapter.validate_json(data)
        except (ValidationError, PydanticSerializationError, ValueError, RecursionError):
            raise self._error(key.name, f"cannot hold this {type(value).__name__}: it does not fit its type") from None
        if key.adapter is _ANY and again != value:
            raise self._error(key.name, f"cannot hold this {type(value).__name__}: say its type, or give plain JSON")
        if len(data) > MAX_VALUE:
            raise self._error(key.name, f"cannot hold {len(data)} bytes: {MAX_VALUE} are the most")
        return data

    def _place(self, key: Key[Any]) -> Place:
        return Place(self._states.name, self.scope.text, key.name)

    def _where(self, key: str) -> str:
        return f"plugin {self._states.name}: the {self.scope.kind} state {key!r}"

    def _fields(self, key: str) -> dict[str, str]:
        return {"plugin": self._states.name, "scope": self.scope.kind, "key": key}

    def _error(self, key: str, words: str) -> StateError:
        return StateError(f"{self._where(key)} {words}", **self._fields(key))


def _key(key: Key[Any] | str, type: Any = Any, default: Any = None) -> Key[Any]:
    return key if isinstance(key, Key) else Key(key, type, default)


def _checked(name: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_KEY or _NOT_PRINTABLE.search(name):
        raise StateError(f"a state key is a printable text of 1 to {MAX_KEY} characters", key=repr(name)[:60])
    return name


def _identifier(value: str) -> str:
    if not value or len(value) > MAX_KEY or not value.isprintable() or " " in value:
        raise StateError("a scope is made of Matrix identifiers")
    return value


def _positive(ttl: timedelta | None) -> timedelta | None:
    if ttl is not None and not timedelta(milliseconds=1) <= ttl <= timedelta(days=36_600):
        raise StateError(f"a value is kept for between a millisecond and a hundred years, not {ttl}")
    return ttl


def _context(place: Place) -> str:
    return f"{place.plugin}\0{place.scope}\0{place.key}"


_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)


def _adapter(type: Any) -> TypeAdapter[Any]:
    if type is Any:
        return _ANY
    try:
        try:
            return _cached(type)
        except TypeError:  # annotations with lists in them cannot be looked up
            return TypeAdapter(type)
    except PydanticUserError as error:
        raise StateError(f"a state key cannot be of the type {type!r}: {error.message.splitlines()[0]}") from None


@lru_cache(maxsize=512)
def _cached(type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type)

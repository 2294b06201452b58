"""What dialogs remember: every value comes back as it was, or is refused with a word at once."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field, SecretStr

from bots.domain.money import Money
from bots.framework.arguments.places import Place
from bots.framework.dialogs import Attachment, Said, Unrecordable, codec
from bots.framework.dialogs.errors import Changed

VIENNA = ZoneInfo("Europe/Vienna")


class Size(Enum):
    SMALL = "Small"
    LARGE = "Large"
    HUGE = "Large"  # an alias


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"


class Rights(Flag):
    READ = 1
    WRITE = 2


class Name(str):
    """A text of its own kind, which shows itself differently."""

    def __str__(self) -> str:
        return f"<{super().__str__()}>"


class Count(int):
    pass


class Point(NamedTuple):
    x: int
    y: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    items: tuple[str, ...]
    total: Money
    at: datetime
    note: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    size: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.items))


class Guest(BaseModel):
    name: str
    born: date
    size: Size = Size.SMALL


class Aliased(BaseModel):
    table: int = Field(alias="tableNumber")


class Hidden(BaseModel):
    password: SecretStr


class Site(BaseModel):
    url: AnyUrl


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
HASHABLE = st.none() | st.integers() | st.text() | st.binary() | st.decimals(allow_nan=False) | st.uuids()
VALUES = st.recursive(
    JSON
    | HASHABLE
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.sampled_from([*Size, *Level, *Word]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(HASHABLE, max_size=4)
        | st.frozensets(HASHABLE, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4)
    ),
    max_leaves=10,
)


def same(value: Any) -> None:
    """It comes back as it was, and of the same kind."""
    back = codec.loads(codec.dumps(value))
    assert back == value
    assert type(back) is type(value)


@given(VALUES)
def test_plain_values_come_back(value: Any) -> None:
    same(value)


@pytest.mark.parametrize(
    "value",
    [
        {"$": "decimal", "v": "1"},
        [{"$": "object", "t": "os:system", "v": "x"}],
        {1: "a", (1, 2): {"$": None}},
        2**64,
        -(2**70),
        "\ud800 alone",
        b"\x00\xff",
        Size.HUGE,
        Level.LOW,
        Word.YES,
        Rights.READ | Rights.WRITE,
        Rights(0),
        Name("Ada"),
        Count(7),
        Point(1, Decimal("2.50")),
        Order(("tea",), Money(350, "EUR"), datetime(2026, 3, 29, 1, 30, tzinfo=VIENNA), extra={"a": {1, 2}}),
        Guest(name="Ada", born=date(1815, 12, 10), size=Size.LARGE),
        Aliased(tableNumber=4),
        Site(url=AnyUrl("https://example.org/")),
        Money(350, "EUR"),
        Place(52.5, 13.4, "home"),
        Said("hi", {"body": "hi"}, "$1", "@alice:localhost"),
        Attachment({"body": "a.png", "file": {"v": "v2"}}),
        OrderedDict([("b", 1), ("a", 2)]),
        Counter({"tea": 2}),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=VIENNA),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        time(9, 30, tzinfo=VIENNA),
        UUID(int=5),
        math.inf,
        -0.0,
    ],
    ids=repr,
)
def test_what_plugins_are_made_of_comes_back(value: Any) -> None:
    same(value)


def test_a_moment_keeps_its_zone_and_fold() -> None:
    moment = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=VIENNA)
    back = codec.loads(codec.dumps(moment))
    assert (back.tzinfo, back.utcoffset(), back.fold) == (VIENNA, moment.utcoffset(), 1)
    assert math.isnan(codec.loads(codec.dumps(math.nan)))


def test_what_cannot_be_found_again_is_refused_at_once() -> None:
    @dataclass
    class Local:
        x: int = 1

    refused: list[Any] = [
        Local(),
        lambda: 1,
        Path("/tmp"),
        deque([1]),
        object(),
        [defaultdict(list)],
        {"a": {"b": (1, open)}},
        Hidden(password=SecretStr("hunter2")),
        range(3),
        1j,
    ]
    for value in refused:
        with pytest.raises(Unrecordable) as caught:
            codec.dumps(value)
        assert "hunter2" not in str(caught.value)


def test_what_is_nested_too_deeply_or_in_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unrecordable):
        codec.dumps(endless)
    deep: Any = "bottom"
    for _ in range(60):
        deep = [deep]
    same(deep)


@pytest.mark.parametrize(
    "written",
    [
        b'{"$":"object","t":"tests.unit.test_dialog_values:Gone","v":{}}',
        b'{"$":"object","t":"no.such.module:Thing","v":{}}',
        b'{"$":"object","t":"tests.unit.test_dialog_values:Size","v":"TINY"}',
        b'{"$":"object","t":"tests.unit.test_dialog_values:Order","v":{"flavour":"mint"}}',
        b'{"$":"object","t":"tests.unit.test_dialog_values:Guest","v":{"name":"Ada"}}',
        b'{"$":"no such tag","v":1}',
        b'{"$":"datetime","v":["yesterday",null]}',
    ],
)
def test_a_journal_of_a_changed_plugin_says_so(written: bytes) -> None:
    with pytest.raises(Changed):
        codec.loads(written)

"""SQL of the search for products: an index of words that is our own, the same on SQLite and PostgreSQL.

Why not what the databases bring: PostgreSQL's ``pg_trgm`` is an extension, which many who rent a database may not
install; the trigrams of SQLite's FTS5 find a misspelt word only where three letters in a row are right, and neither
knows that ``Müller`` and ``Mueller`` are one, or cuts Chinese. Both rank by reading every match, and half of a
catalogue matches “with”.

Here a word of a catalogue is a number (a hash of bot and word), and a row says: this word, this product, this rank.
Rows lie in the order of rank, so the best of a common word are read from the front and the rest is left alone. Several
words: the rarest leads, its best :data:`LOOKED_AT` products are looked up among those of the others. That bound keeps
every question quick; what lies beyond it has all the words only deep in a description. A misspelt word is found by the
spellings that it shares with words of the catalogue (:mod:`bots.domain.searching`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    TextClause,
    bindparam,
    delete,
    insert,
    literal,
    select,
    text,
    union_all,
)

from appservice import json
from appservice.database import insert_ignore
from bots.domain.catalogue import Product
from bots.domain.merchants import MerchantState
from bots.domain.searching import ALTERNATIVES_MAX, Found, closeness, score, spellings, wanted
from bots.store import documents
from bots.store.catalogue_tables import (
    catalogue_postings,
    catalogue_products,
    catalogue_spellings,
    catalogue_words,
    merchants,
)

LOOKED_AT: Final = 2_000
"""Products of the rarest word that are looked at, its best."""
CANDIDATES: Final = 120
"""Products that are ranked in full: the most that a search finds."""
ENOUGH: Final = 5
"""So many products that have the words as they were written: nobody meant anything else."""
RARE: Final = 20
"""A word that so few products have may be misspelt."""
TOGETHER: Final = 2
"""Words of a search of which some are enough."""
SPELLINGS_MAX: Final = 200
"""Words that share a spelling with a misspelt one, and are compared with it."""
ROWS_AT_ONCE: Final = 200
SHAPES: Final = 512
"""Statements that are kept."""

Meanings = dict[str, float]
"""What a word that somebody wrote may mean, and how close that is."""


def number_of(bot: str, word: str) -> int:
    """The number of a word of a bot's catalogue: 64 bits, signed as columns are."""
    digest = blake2b(f"{bot}\0{word}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


class Indexer:
    """Collects what changes for the products of one merchant, and writes it in few statements."""

    def __init__(self, connection: Connection, bot: str, merchant: int) -> None:
        self._connection = connection
        self._bot = bot
        self._merchant = merchant
        self._gone: dict[int, list[int]] = {}
        self._new: list[dict[str, int]] = []
        self._words: dict[int, str] = {}

    def change(self, product: int, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        """A product was found by some words with their ranks, and is by others now."""
        for word, rank in before.items():
            if after.get(word) != rank:
                self._gone.setdefault(product, []).append(number_of(self._bot, word))
        for word, rank in after.items():
            if before.get(word) != rank:
                number = number_of(self._bot, word)
                self._words[number] = word
                self._new.append({"word": number, "product": product, "merchant": self._merchant, "rank": rank})

    def write(self) -> None:
        """Write all of it."""
        table = catalogue_postings.c
        for product, words in self._gone.items():
            for first in range(0, len(words), ROWS_AT_ONCE):
                part = words[first : first + ROWS_AT_ONCE]
                self._connection.execute(
                    delete(catalogue_postings).where(table.product == product, table.word.in_(part))
                )
        if self._new:
            self._connection.execute(insert(catalogue_postings), self._new)
        self._learn()

    def _learn(self) -> None:
        """The words that no product had before can be misspelt from now on."""
        numbers = sorted(self._words)
        known: set[int] = set()
        for first in range(0, len(numbers), ROWS_AT_ONCE):
            query = select(catalogue_words.c.word).where(
                catalogue_words.c.word.in_(numbers[first : first + ROWS_AT_ONCE])
            )
            known.update(self._connection.execute(query).scalars())
        new = {number: word for number, word in self._words.items() if number not in known}
        if not new:
            return
        rows = [{"word": number, "text": word} for number, word in sorted(new.items())]
        self._connection.execute(insert_ignore(self._connection, catalogue_words, "word"), rows)
        # In order: two that learn the same words at once do not wait for each other for ever.
        spelt = sorted((number_of(self._bot, each), number) for number, word in new.items() for each in spellings(word))
        if spelt:
            ignoring = insert_ignore(self._connection, catalogue_spellings, "spelling", "word")
            self._connection.execute(ignoring, [{"spelling": one, "word": word} for one, word in spelt])


@dataclass(frozen=True, slots=True)
class Hit:
    """A product that was found."""

    merchant_id: str
    product: Product
    score: float


def search(
    connection: Connection,
    bot: str,
    text: str,
    *,
    merchant_id: str = "",
    language: str = "",
    hidden: bool = False,
    skip: int = 0,
    limit: int = 10,
) -> list[Hit]:
    """The products that answer a search best, at most :data:`CANDIDATES` in all.

    Args:
        merchant_id: only theirs; otherwise those of everybody who can be ordered from.
        language: what is in it comes first.
        hidden: what is not sold at the moment too.
        skip: so many of the best are left out.
    """
    asked = [dict.fromkeys(forms, 1.0) for forms in wanted(text)]
    if not asked:
        return []
    merchant = None
    if merchant_id:
        merchant = connection.execute(select(merchants.c.number).where(merchants.c.id == merchant_id)).scalar()
        if merchant is None:
            return []
    index = _Index(connection, bot, merchant, hidden=hidden)
    counts = index.counts(asked) if len(asked) > 1 else [1]
    found = index.having_all(asked, counts)
    if len(found) < ENOUGH:
        # Nobody misspells a word so that it comes to be a common one.
        near = _meant(
            connection, bot, [meanings if count < RARE else {} for meanings, count in zip(asked, counts, strict=True)]
        )
        if any(near):
            asked = [meanings | more for meanings, more in zip(asked, near, strict=True)]
            counts = index.counts(asked) if len(asked) > 1 else [1]
            found |= index.having_all(asked, counts)
        if not found and len(asked) > 1:
            found = index.having_any(asked, counts)
    scored = sorted((-score(each, asked, language), number) for number, each in found.items())
    return _loaded(connection, scored[skip:CANDIDATES][:limit])


def sellers(connection: Connection, bot: str, text: str) -> set[str]:
    """The ids of the merchants who sell the best of what answers a search."""
    return {hit.merchant_id for hit in search(connection, bot, text, limit=CANDIDATES)}


class _Index:
    """Reads the rows of words, for one search."""

    def __init__(self, connection: Connection, bot: str, merchant: int | None, *, hidden: bool) -> None:
        self._connection = connection
        self._bot = bot
        self._merchant = merchant
        self._hidden = hidden

    def counts(self, asked: Sequence[Meanings]) -> list[int]:
        """How many rows the meanings of each word have; not beyond what is looked at."""
        words = [self._numbers(meanings) for meanings in asked]
        statement = _counting(tuple(map(len, words)), self._merchant is not None)
        return [int(count) for count in self._connection.execute(statement, self._values(words)).one()]

    def having_all(self, asked: Sequence[Meanings], counts: Sequence[int]) -> dict[int, Found]:
        """The best products that have a meaning of every word, by number. ``counts``: of their rows."""
        if not all(counts):
            return {}
        words = [self._numbers(meanings) for meanings in asked]
        ordered = [each for _, each in sorted(zip(counts, words, strict=True), key=lambda pair: pair[0])]
        return self._best(ordered, LOOKED_AT if len(ordered) > 1 else CANDIDATES)

    def having_any(self, asked: Sequence[Meanings], counts: Sequence[int]) -> dict[int, Found]:
        """Products that have some of the words: the best of the rarest ones."""
        found: dict[int, Found] = {}
        for _, place in sorted((count, place) for place, count in enumerate(counts) if count)[:TOGETHER]:
            found |= self._best([self._numbers(asked[place])], CANDIDATES)
        return found

    def _best(self, words: Sequence[Sequence[int]], most: int) -> dict[int, Found]:
        """Products that have one of each words, by the rank of the first."""
        shape = tuple(map(len, words))
        sorts = self._connection.dialect.name != "sqlite"
        statement = _finding(shape, self._merchant is not None, self._hidden, sorts)
        values = self._values(words) | {"most": max(most // shape[0], CANDIDATES), "candidates": CANDIDATES}
        found = {}
        for row in self._connection.execute(statement, values):
            average = row.stars / row.ratings if row.ratings else None
            found[int(row.number)] = Found(row.name, row.language, json.loads(row.words), average, row.ratings or 0)
        return found

    def _numbers(self, meanings: Meanings) -> list[int]:
        return [number_of(self._bot, word) for word in meanings]

    def _values(self, words: Sequence[Sequence[int]]) -> dict[str, Any]:
        values: dict[str, Any] = {} if self._merchant is None else {"merchant": self._merchant}
        for place, each in enumerate(words):
            values |= {f"w{place}_{number}": word for number, word in enumerate(each)}
        return values


# Statements as text, made once for each shape of a search: a search is a handful of them, and to put them together each
# time would take longer than to answer them. Only numbers and names of columns come into the text.


def _is_one(place: int, count: int) -> str:
    names = ", ".join(f":w{place}_{number}" for number in range(count))
    return f"= {names}" if count == 1 else f"IN ({names})"


def _typed(sql: str, shape: Sequence[int], *, scoped: bool) -> TextClause:
    words = [f"w{place}_{number}" for place, count in enumerate(shape) for number in range(count)]
    binds = [bindparam(name, type_=BigInteger) for name in words]
    return text(sql).bindparams(*binds, *([bindparam("merchant", type_=Integer)] if scoped else []))


@lru_cache(maxsize=SHAPES)
def _counting(shape: tuple[int, ...], scoped: bool) -> TextClause:
    """How many rows each word has. ``shape``: how many meanings each has; ``scoped``: of one merchant."""
    only = "merchant = :merchant AND " if scoped else ""
    counts = ", ".join(
        f"(SELECT count(*) FROM (SELECT 1 FROM catalogue_postings WHERE {only}word {_is_one(place, count)} "  # noqa: S608
        f"LIMIT {LOOKED_AT}) AS c{place})"
        for place, count in enumerate(shape)
    )
    return _typed(f"SELECT {counts}", shape, scoped=scoped)


@lru_cache(maxsize=SHAPES)
def _finding(shape: tuple[int, ...], scoped: bool, hidden: bool, sorts: bool) -> TextClause:
    """Products that have one of each words, the best ones by the first, with all that ranks them.

    Args:
        sorts: whether the database is told the order of rows that come in it already. SQLite does not see that they do:
            it would look up all of them among the other words, to sort those that are left. Without being told it stops
            at the last one that is wanted.
    """
    only = "merchant = :merchant AND " if scoped else ""
    fronts = " UNION ALL ".join(
        f"SELECT product, rank FROM (SELECT product, rank FROM catalogue_postings WHERE {only}word = :w0_{number} "  # noqa: S608
        f"ORDER BY rank, product LIMIT :most) AS f{number}"
        for number in range(shape[0])
    )
    # Not EXISTS: PostgreSQL would make a join of it, and read all products of the others instead of looking up a few.
    others = " AND ".join(
        f"(SELECT 1 FROM catalogue_postings AS o{place} "  # noqa: S608
        f"WHERE o{place}.word {_is_one(place, count)} AND o{place}.product = front.product LIMIT 1) IS NOT NULL"
        for place, count in enumerate(shape[1:], 1)
    )
    having = f"WHERE {others} " if others else ""
    shown = ["TRUE"] if hidden else ["p.active = 1"]
    shown += [] if scoped else [f"m.state = '{MerchantState.ACTIVE.value}'"]
    if shape[0] == 1:
        # One meaning has a product once, and its rows are read from the front.
        order = "ORDER BY rank, product " if sorts else ""
        best = f"SELECT product FROM ({fronts}) AS front {having}{order}LIMIT :candidates"  # noqa: S608
    else:
        best = (
            f"SELECT product, min(rank) AS lowest FROM ({fronts}) AS front {having}"  # noqa: S608
            "GROUP BY product ORDER BY lowest, product LIMIT :candidates"
        )
    sql = (
        f"SELECT p.number, p.name, p.language, p.words, s.stars, s.ratings FROM ({best}) AS best "  # noqa: S608
        "JOIN catalogue_products AS p ON p.number = best.product JOIN merchants AS m ON m.id = p.merchant_id "
        "LEFT JOIN rating_sums AS s ON s.merchant = p.merchant_id AND s.product = p.key "
        f"WHERE {' AND '.join(shown)}"
    )
    return _typed(sql, shape, scoped=scoped)


def _meant(connection: Connection, bot: str, asked: Sequence[Meanings]) -> list[Meanings]:
    """For each word that somebody wrote the words of the catalogue that are close to it, the closest ones: one
    question for all of them."""
    parts = []
    for place, meanings in enumerate(asked):
        keys = {number_of(bot, each) for word in meanings for each in spellings(word, looking=True)}
        if keys:
            near = (
                select(catalogue_words.c.text)
                .join(catalogue_spellings, catalogue_spellings.c.word == catalogue_words.c.word)
                .where(catalogue_spellings.c.spelling.in_(keys))
                .distinct()
                .limit(SPELLINGS_MAX)
                .subquery()
            )
            parts.append(select(literal(place, Integer).label("place"), near.c.text))
    close: list[Meanings] = [{} for _ in asked]
    for place, word in connection.execute(union_all(*parts)) if parts else ():
        closest = max(closeness(each, word) for each in asked[place])
        if closest > 0:
            close[place][word] = closest
    return [dict(sorted(each.items(), key=lambda found: (-found[1], found[0]))[:ALTERNATIVES_MAX]) for each in close]


def _loaded(connection: Connection, scored: Sequence[tuple[float, int]]) -> list[Hit]:
    if not scored:
        return []
    table = catalogue_products.c
    query = select(table.number, table.merchant_id, table.document)
    rows = connection.execute(query.where(table.number.in_([number for _, number in scored])))
    held = {int(row.number): row for row in rows}
    return [
        Hit(held[number].merchant_id, documents.product(bytes(held[number].document)), -points)
        for points, number in scored
        if number in held
    ]

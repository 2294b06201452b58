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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, insert, select, union_all

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
from bots.store.order_tables import rating_sums

LOOKED_AT: Final = 4_000
"""Products of the rarest word that are looked at, its best."""
CANDIDATES: Final = 120
"""Products that are ranked in full: the most that a search finds."""
ENOUGH: Final = 5
"""So many products that have the words as they were written: nobody meant anything else."""
RARE: Final = 20
"""A word that so few products have may be misspelt."""
TOGETHER: Final = 3
"""Words of a search of which some are enough."""
SPELLINGS_MAX: Final = 200
"""Words that share a spelling with a misspelt one, and are compared with it."""
ROWS_AT_ONCE: Final = 200

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


@dataclass(frozen=True, slots=True)
class _Shown:
    """Who asks: in which language, and whether they see what is not sold, and whoever it is that does not sell."""

    language: str
    hidden: bool
    any_state: bool


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
    index = _Index(connection, bot, merchant)
    shown = _Shown(language, hidden, merchant is not None)
    counts = [index.count(meanings) for meanings in asked] if len(asked) > 1 else [1]
    numbers = set(index.having_all(asked, counts))
    ranked = _ranked(connection, numbers, asked, shown)
    if len(ranked) < ENOUGH:
        # Nobody misspells a word so that it comes to be a common one.
        rare = [count < RARE for count in counts]
        near = [_meant(connection, bot, meanings) if few else {} for meanings, few in zip(asked, rare, strict=True)]
        if any(near):
            asked = [meanings | more for meanings, more in zip(asked, near, strict=True)]
            counts = [
                index.count(meanings) if few and len(asked) > 1 else count
                for meanings, few, count in zip(asked, rare, counts, strict=True)
            ]
            numbers.update(index.having_all(asked, counts))
        if not numbers and len(asked) > 1:
            numbers.update(index.having_any(asked, counts))
        ranked = _ranked(connection, numbers, asked, shown)
    return _loaded(connection, ranked[skip : skip + limit])


def sellers(connection: Connection, bot: str, text: str) -> set[str]:
    """The ids of the merchants who sell the best of what answers a search."""
    return {hit.merchant_id for hit in search(connection, bot, text, limit=CANDIDATES)}


class _Index:
    """Reads the rows of words."""

    def __init__(self, connection: Connection, bot: str, merchant: int | None) -> None:
        self._connection = connection
        self._bot = bot
        self._merchant = merchant

    def count(self, meanings: Meanings) -> int:
        """How many rows the meanings of a word have; not beyond what is looked at."""
        words = [number_of(self._bot, word) for word in meanings]
        rows = select(catalogue_postings.c.word).where(self._of(words)).limit(LOOKED_AT).subquery()
        return int(self._connection.execute(select(func.count()).select_from(rows)).scalar_one())

    def having_all(self, asked: Sequence[Meanings], counts: Sequence[int]) -> list[int]:
        """The best products that have a meaning of every word. ``counts``: of their rows."""
        if not all(counts):
            return []
        words = [[number_of(self._bot, word) for word in meanings] for meanings in asked]
        ordered = [each for _, each in sorted(zip(counts, words, strict=True), key=lambda pair: pair[0])]
        return self._best(ordered[0], ordered[1:], LOOKED_AT if len(ordered) > 1 else CANDIDATES)

    def having_any(self, asked: Sequence[Meanings], counts: Sequence[int]) -> list[int]:
        """Products that have some of the words: of the rarest the best, and of those the ones that have most."""
        met: dict[int, int] = {}
        rarest = sorted((count, place) for place, count in enumerate(counts) if count)[:TOGETHER]
        for _, place in rarest:
            for product in self._best([number_of(self._bot, word) for word in asked[place]], [], CANDIDATES):
                met[product] = met.get(product, 0) + 1
        return sorted(met, key=lambda product: -met[product])[:CANDIDATES]

    def _best(self, words: Sequence[int], others: Sequence[Sequence[int]], most: int) -> list[int]:
        parts = [self._front(word, max(most // len(words), CANDIDATES)) for word in words]
        rows = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery()
        query = select(rows.c.product).group_by(rows.c.product)
        for number, other in enumerate(others):
            posting = catalogue_postings.alias(f"other{number}")
            has = exists().where(posting.c.word.in_(other), posting.c.product == rows.c.product)
            query = query.where(has)
        best = query.order_by(func.min(rows.c.rank), rows.c.product).limit(CANDIDATES)
        return [int(number) for number in self._connection.execute(best).scalars()]

    def _front(self, word: int, most: int) -> Select[Any]:
        table = catalogue_postings.c
        best = select(table.product, table.rank).where(self._of([word])).order_by(table.rank, table.product).limit(most)
        front = best.subquery()
        return select(front.c.product, front.c.rank)

    def _of(self, words: Sequence[int]) -> ColumnElement[bool]:
        table = catalogue_postings.c
        one = table.word == words[0] if len(words) == 1 else table.word.in_(words)
        return one if self._merchant is None else and_(table.merchant == self._merchant, one)


def _meant(connection: Connection, bot: str, meanings: Meanings) -> Meanings:
    """The words of the catalogue that are close to one that somebody wrote, the closest ones."""
    keys = {number_of(bot, each) for word in meanings for each in spellings(word, looking=True)}
    if not keys:
        return {}
    query = (
        select(catalogue_words.c.text)
        .join(catalogue_spellings, catalogue_spellings.c.word == catalogue_words.c.word)
        .where(catalogue_spellings.c.spelling.in_(keys))
        .distinct()
        .limit(SPELLINGS_MAX)
    )
    close = {word: max(closeness(asked, word) for asked in meanings) for word in connection.execute(query).scalars()}
    best = sorted((word for word in close if close[word] > 0), key=lambda word: (-close[word], word))
    return {word: close[word] for word in best[:ALTERNATIVES_MAX]}


def _ranked(
    connection: Connection,
    numbers: Collection[int],
    asked: Sequence[Meanings],
    shown: _Shown,
) -> list[tuple[float, str, int]]:
    """Score, merchant and number of each product, the best first."""
    if not numbers:
        return []
    table, stars = catalogue_products.c, rating_sums.c
    query = (
        select(table.number, table.merchant_id, table.name, table.language, table.words, stars.stars, stars.ratings)
        .join(merchants, merchants.c.id == table.merchant_id)
        .outerjoin(rating_sums, and_(stars.merchant == table.merchant_id, stars.product == table.key))
        .where(table.number.in_(numbers))
    )
    if not shown.hidden:
        query = query.where(table.active == 1)
    if not shown.any_state:
        query = query.where(merchants.c.state == MerchantState.ACTIVE.value)
    scored = []
    for row in connection.execute(query):
        average = row.stars / row.ratings if row.ratings else None
        found = Found(row.name, row.language, json.loads(row.words), average, row.ratings or 0)
        scored.append((score(found, asked, shown.language), str(row.merchant_id), int(row.number)))
    return sorted(scored, key=lambda each: (-each[0], each[2]))


def _loaded(connection: Connection, ranked: Sequence[tuple[float, str, int]]) -> list[Hit]:
    table = catalogue_products.c
    query = select(table.number, table.document).where(table.number.in_([number for _, _, number in ranked]))
    held = {int(row.number): bytes(row.document) for row in connection.execute(query)} if ranked else {}
    return [
        Hit(merchant_id, documents.product(held[number]), points)
        for points, merchant_id, number in ranked
        if number in held
    ]

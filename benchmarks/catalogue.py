"""How long a search and a page of a catalogue of 100,000 products take, on SQLite and PostgreSQL.

Words are as unequal as they are in life (Zipf): the most common one stands in every third product, most stand in a few.
There are many merchants, one of whom has a tenth of everything. In the same run, for comparison: the cheapest that the
database brings itself (FTS5 on SQLite, a text search with a GIN index on PostgreSQL, both of which forgive no mistake),
and a bare LIKE.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import Connection, text

from appservice.database import Database
from benchmarks.common import finish, parser, percentile, progress, run, table
from benchmarks.search import Zipf, opened
from bots.commerce.engines import BuiltIn
from bots.domain.catalogue import Category, Product, Stock, Variant
from bots.domain.merchants import Merchant, MerchantState
from bots.domain.money import Money
from bots.domain.opening import Hours
from bots.store import catalogue, merchants

BOT = "shop"
MERCHANTS = 200
VOCABULARY = 40_000
SHELVES = 12
BATCH = 500
NOW_MS = 1_790_000_000_000
PAGE = 10
SEARCH_LIMIT_MS = 30.0
PAGE_LIMIT_MS = 10.0
SYLLABLES = [
    "ba",
    "be",
    "bi",
    "bo",
    "bu",
    "da",
    "de",
    "di",
    "do",
    "du",
    "fa",
    "fe",
    "fi",
    "fo",
    "ga",
    "ge",
    "gi",
    "go",
    "ka",
    "ke",
    "ki",
    "ko",
    "ku",
    "la",
    "le",
    "li",
    "lo",
    "lu",
    "ma",
    "me",
    "mi",
    "mo",
    "mu",
    "na",
    "ne",
    "ni",
    "no",
    "nu",
    "pa",
    "pe",
    "pi",
    "po",
    "ra",
    "re",
    "ri",
    "ro",
    "ru",
    "sa",
    "se",
    "si",
    "so",
    "su",
    "ta",
    "te",
    "ti",
    "to",
    "tu",
    "va",
    "ve",
    "vi",
    "vo",
    "za",
    "ze",
    "zo",
    "schi",
    "tra",
    "pla",
    "gro",
]
CHINESE = "牛肉鸡鱼米面汤菜豆腐红烧清蒸炒饭麻辣香酥葱姜蒜糖醋白金银春夏秋冬山水花木火土天地人大小"


@dataclass(frozen=True, slots=True)
class Latency:
    """A kind of question, its times in ms, and how many answers its first page has on average.

    ``cpu``: of this process in the median, which the machine's other work makes less of a difference to.
    """

    database: str
    question: str
    limit: float
    p50: float
    p95: float
    worst: float
    cpu: float
    answers: float


class World:
    """A catalogue, always the same one."""

    def __init__(self, products: int) -> None:
        self.products = products
        dice = random.Random(3)
        words: dict[str, None] = {}
        while len(words) < VOCABULARY:
            words["".join(dice.choice(SYLLABLES) for _ in range(dice.randint(2, 5)))] = None
        self.words = list(words)
        self.zipf = Zipf(VOCABULARY, 0.9)
        self.owners = Zipf(MERCHANTS, 1.0)

    def merchant(self, number: int) -> Merchant:
        """One who sells."""
        return Merchant(
            f"01M{number:0>23}",
            f"m{number}",
            BOT,
            "",
            f"Merchant {number}",
            "EUR",
            MerchantState.ACTIVE,
            Hours.always(),
        )

    def word(self, dice: random.Random) -> str:
        """One of its words."""
        return self.words[self.zipf.draw(dice)]

    def product(self, number: int, dice: random.Random) -> Product:
        """One thing that is sold; each tenth has a Chinese name."""
        if number % 10 == 0:
            name = "".join(dice.choice(CHINESE) for _ in range(dice.randint(3, 6)))
        else:
            name = " ".join(self.word(dice) for _ in range(dice.randint(1, 4)))
        return Product(
            f"p{number}",
            name,
            (Variant("one", name, Money(dice.randint(100, 9_999), "EUR"), Stock.of(dice.choice((None, 10)))),),
            description=" ".join(self.word(dice) for _ in range(dice.randint(0, 24))),
            categories=(f"c{dice.randint(0, SHELVES - 1)}",),
        )


class Reads:
    """What engines read through."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def query(self, work: Callable[[Connection], Any]) -> Any:
        """Read."""
        return await self._database.read(work)


async def fill(database: Database, world: World) -> float:
    """Put the products in; how many a second."""
    dice = random.Random(5)
    for number in range(MERCHANTS):
        merchant = world.merchant(number)

        def sign_up(connection: Connection, merchant: Merchant = merchant) -> None:
            merchants.apply(connection, merchant, NOW_MS)
            for shelf in range(SHELVES):
                category = Category(f"c{shelf}", f"{world.words[shelf + 100]}", position=shelf)
                catalogue.put_category(connection, merchant.id, category, NOW_MS)

        await database.write(sign_up)
    whose: dict[str, list[Product]] = {}
    begun = time.perf_counter()
    done = 0

    async def put(owner: str, batch: list[Product]) -> None:
        nonlocal done
        await database.write(lambda connection: catalogue.put_many(connection, owner, batch, NOW_MS))
        done += len(batch)
        if done // 10_000 != (done - len(batch)) // 10_000:
            progress(f"{done:,} products")

    for number in range(world.products):
        owner = world.merchant(world.owners.draw(dice)).id
        batch = whose.setdefault(owner, [])
        batch.append(world.product(number, dice))
        if len(batch) == BATCH:
            await put(owner, batch)
            whose[owner] = []
    for owner, batch in whose.items():
        if batch:
            await put(owner, batch)
    return world.products / (time.perf_counter() - begun)


async def tidy(database: Database) -> None:
    """What PostgreSQL does by itself after a while: without it, an index is asked and the table all the same."""
    connection = await asyncpg.connect(database.sync_url.replace("+asyncpg", ""))
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def misspelt(word: str, dice: random.Random) -> str:
    """With a letter too few, too many, another, or two swapped."""
    place = dice.randrange(1, len(word) - 1)
    kind = dice.randrange(4)
    if kind == 0:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[:place] + "x" + word[place:]
    if kind == 2:
        return word[:place] + "x" + word[place + 1 :]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def questions(world: World) -> dict[str, Callable[[random.Random], tuple[str, str]]]:
    """The kinds of searches: what is asked for, and of which merchant."""
    large, small = world.merchant(0).id, world.merchant(MERCHANTS - 1).id

    def rank(low: int, high: int, dice: random.Random) -> str:
        return world.words[dice.randint(low, high)]

    def long_word(dice: random.Random) -> str:
        while True:
            found = world.words[dice.randint(20, 20_000)]
            if len(found) > 5:
                return found

    def chinese(dice: random.Random) -> str:
        return "".join(dice.choice(CHINESE) for _ in range(dice.randint(2, 3)))

    return {
        "a common word": lambda dice: (rank(0, 9, dice), ""),
        "a middling word": lambda dice: (rank(20, 500, dice), ""),
        "a rare word": lambda dice: (rank(5_000, VOCABULARY - 1, dice), ""),
        "two common words": lambda dice: (f"{rank(0, 9, dice)} {rank(0, 9, dice)}", ""),
        "a common word and a rare one": lambda dice: (f"{rank(0, 9, dice)} {rank(2_000, 9_000, dice)}", ""),
        "two words that seldom meet": lambda dice: (f"{rank(20, 200, dice)} {rank(20, 200, dice)}", ""),
        "four words": lambda dice: (" ".join(world.word(dice) for _ in range(4)), ""),
        "a misspelt word": lambda dice: (misspelt(long_word(dice), dice), ""),
        "two misspelt words": lambda dice: (f"{misspelt(long_word(dice), dice)} {misspelt(long_word(dice), dice)}", ""),
        "the beginning of a word": lambda dice: (long_word(dice)[:5], ""),
        "nothing that there is": lambda dice: (f"qqxx{dice.randrange(10_000)}xxqq zzyyxxww", ""),
        "Chinese": lambda dice: (chinese(dice), ""),
        "a common word of a large merchant": lambda dice: (rank(0, 9, dice), large),
        "a common word of a small merchant": lambda dice: (rank(0, 9, dice), small),
        "a misspelt word of a large merchant": lambda dice: (misspelt(long_word(dice), dice), large),
    }


async def timed(name: str, question: str, limit: float, times: int, ask: Callable[[random.Random], Any]) -> Latency:
    """One kind of question, asked with many different words, by one reader."""
    dice = random.Random(question)
    spent, busy, answers = [], [], 0
    for _ in range(times):
        begun, worked = time.perf_counter(), time.process_time()
        answers += await ask(dice)
        spent.append((time.perf_counter() - begun) * 1000)
        busy.append((time.process_time() - worked) * 1000)
    found = Latency(
        name,
        question,
        limit,
        percentile(spent, 0.5),
        percentile(spent, 0.95),
        max(spent),
        percentile(busy, 0.5),
        answers / times,
    )
    progress(f"{name}: {question}: {found.p50:.1f} ms, {found.p95:.1f} ms, {found.cpu:.1f} ms of work")
    return found


async def ask(database: Database, world: World, name: str, times: int) -> list[Latency]:
    """All searches and pages."""
    engine, reads = BuiltIn(BOT), Reads(database)
    found = []
    for question, make in questions(world).items():

        async def search(dice: random.Random, make: Any = make) -> int:
            words, owner = make(dice)
            return len((await engine.search(reads, words, merchant_id=owner, language="en")).items)

        found.append(await timed(name, question, SEARCH_LIMIT_MS, times, search))
    large = world.merchant(0).id

    async def first(dice: random.Random) -> int:
        owner = world.merchant(dice.randrange(MERCHANTS)).id
        return len((await engine.browse(reads, owner, limit=PAGE)).items)

    async def deep(dice: random.Random) -> int:
        after = f"{dice.randint(1_000, 5_000)}:p0"
        return len((await engine.browse(reads, large, after=after, limit=PAGE)).items)

    async def shelf(dice: random.Random) -> int:
        return len((await engine.browse(reads, large, f"c{dice.randrange(SHELVES)}", limit=PAGE)).items)

    pages = {"page: the first of a merchant": first, "page: deep in a large menu": deep, "page: of a category": shelf}
    for question, page in pages.items():
        found.append(await timed(name, question, PAGE_LIMIT_MS, times, page))
    return found


FLOOR = {
    "sqlite": (
        [
            "CREATE VIRTUAL TABLE floor USING fts5(words)",
            "INSERT INTO floor (rowid, words) "
            "SELECT number, name || ' ' || CAST(document AS TEXT) FROM catalogue_products",
        ],
        "SELECT rowid FROM floor WHERE floor MATCH :word ORDER BY rank LIMIT 10",
    ),
    "postgresql": (
        [
            "CREATE TABLE floor AS SELECT number, to_tsvector('simple', name || ' ' || convert_from(document, 'UTF8')) "
            "AS words FROM catalogue_products",
            "CREATE INDEX floor_words ON floor USING gin (words)",
            "ANALYZE floor",
        ],
        "SELECT number FROM floor, to_tsquery('simple', :word) q WHERE words @@ q "
        "ORDER BY ts_rank(words, q) DESC LIMIT 10",
    ),
}
LIKE = "SELECT number FROM catalogue_products WHERE name LIKE :word LIMIT 10"


async def floor(database: Database, world: World, name: str, times: int) -> list[Latency]:
    """What the database brings itself."""
    make, find = FLOOR[database.dialect]

    def prepare(connection: Connection) -> None:
        for statement in make:
            connection.execute(text(statement))

    await database.write(prepare)

    def asking(statement: str, low: int, high: int, around: str) -> Callable[[random.Random], Any]:
        async def search(dice: random.Random) -> int:
            word = around.format(world.words[dice.randint(low, high)])
            query = text(statement)
            return len(await database.read(lambda connection: connection.execute(query, {"word": word}).all()))

        return search

    return [
        await timed(name, "floor: full text, a common word", 0, times, asking(find, 0, 9, "{}")),
        await timed(name, "floor: full text, a rare word", 0, times, asking(find, 5_000, VOCABULARY - 1, "{}")),
        await timed(name, "floor: LIKE, a rare word", 0, min(times, 20), asking(LIKE, 5_000, VOCABULARY - 1, "%{}%")),
    ]


def lines(results: Sequence[Latency]) -> list[tuple[str, ...]]:
    """As a table."""
    return [
        (
            one.database,
            one.question,
            f"{one.p50:.1f}",
            f"{one.p95:.1f}",
            f"{one.worst:.1f}",
            f"{one.cpu:.1f}",
            f"{one.answers:.1f}",
        )
        for one in results
    ]


async def main(options: argparse.Namespace) -> None:
    results: list[Latency] = []
    speeds: list[str] = []
    for url in options.database if options.database else [""]:
        async with opened(url) as (name, database):
            world = World(options.products)
            speed = await fill(database, world)
            if name == "PostgreSQL":
                await tidy(database)
            speeds.append(f"{name}: {speed:,.0f} products a second put in, {BATCH:,} in a commit")
            results += await ask(database, world, name, options.questions)
            results += await floor(database, world, name, options.questions)
    head = ("database", "question", "p50 ms", "p95 ms", "worst ms", "CPU ms", "answers")
    bound = [one for one in results if one.limit]
    quick = [one for one in bound if one.p95 < one.limit]
    verdict = (
        f"{len(quick)} of {len(bound)} kinds of questions below {SEARCH_LIMIT_MS:g} ms (searches) and "
        f"{PAGE_LIMIT_MS:g} ms (pages), p95"
    )
    title = f"A catalogue of {options.products:,} products, pages of {PAGE}"
    finish(options.json, results, "\n".join([table(title, head, lines(results)), verdict, *speeds]))


if __name__ == "__main__":
    arguments = parser(__doc__, 1)
    arguments.add_argument("--products", type=int, default=100_000, help="products (100,000)")
    arguments.add_argument("--questions", type=int, default=200, help="questions of each kind (200)")
    arguments.add_argument(
        "--database", action="append", help="URL of a PostgreSQL server, or '' for SQLite; repeatable"
    )
    run(main(arguments.parse_args()))

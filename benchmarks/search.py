"""How long a search takes with a million messages, on SQLite (FTS5) and PostgreSQL (GIN).

Words, chats and people are as unequal as they are in life (Zipf): the most common word stands in every second message,
the largest chat has some 70,000. Each kind of question is asked with many different words, by one reader.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
import itertools
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, text

from appservice.database import Database, open_database
from benchmarks.common import finish, parser, percentile, progress, run, table
from benchmarks.ledger import scratch
from bots.store.tables import metadata
from bridge.domain.search import Kind, Lookup, Place, Question, Said, Scope, Terms, lookup
from bridge.store import search as store
from bridge.store.search import Document

VOCABULARY = 50_000
CHATS = 1_000
PEOPLE = 20_000
BATCH = 5_000
WORKSPACE = "shop"
NEWEST_MS = 1_790_000_000_000
SPAN_MS = 2 * 365 * 86_400_000
LIMIT_MS = 20.0
PAGE = 20
NOTHING = "a query of nothing"


@dataclass(frozen=True, slots=True)
class Latency:
    """A kind of question, its times in ms, and how many answers its first page has on average."""

    database: str
    question: str
    p50: float
    p95: float
    worst: float
    answers: float


class Zipf:
    """Draws numbers from 0 on, the first ones most often."""

    def __init__(self, size: int, skew: float) -> None:
        self._sums = list(itertools.accumulate(1 / (rank + 1) ** skew for rank in range(size)))

    def draw(self, dice: random.Random) -> int:
        """A number."""
        return bisect.bisect(self._sums, dice.random() * self._sums[-1])


def word(number: int) -> str:
    """The word of a rank."""
    return f"w{number}"


class World:
    """Messages, always the same ones."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.terms = Terms(b"k" * 32)
        self.words = Zipf(VOCABULARY, 1.0)
        self.chats = Zipf(CHATS, 0.8)
        self.people = Zipf(PEOPLE, 0.8)
        self.dice = random.Random(7)

    def batch(self, first: int) -> list[tuple[Document, int, list[str]]]:
        """Messages from a number on."""
        return [self._message(number) for number in range(first, min(first + BATCH, self.messages))]

    def _message(self, number: int) -> tuple[Document, int, list[str]]:
        dice = self.dice
        body = " ".join(word(self.words.draw(dice)) for _ in range(dice.randint(2, 14)))
        chat, sender = self.chats.draw(dice), f"@person{self.people.draw(dice)}:localhost"
        kind = Kind.TEXT if dice.random() < 0.9 else Kind.IMAGE
        at = NEWEST_MS - SPAN_MS + SPAN_MS * number // self.messages
        place = Place(f"chat{chat}", workspace=WORKSPACE)
        document = Document(f"$event{number}:localhost", f"!room{chat}", place.chat_id, sender, kind.value, body)
        return document, at, self.terms.of(Said(body, kind), sender, place, at)


@dataclass(frozen=True, slots=True)
class Kinds:
    """A kind of question: its name, and how one is made."""

    name: str
    make: Callable[[random.Random], tuple[Question, Scope]]


def everywhere() -> Scope:
    """All chats of a product."""
    return Scope(workspace=WORKSPACE)


def kinds(world: World) -> list[Kinds]:
    """The questions."""

    def common(dice: random.Random) -> str:
        return word(dice.randint(0, 19))

    def chat(dice: random.Random) -> str:
        return f"chat{world.chats.draw(dice)}"

    def person(dice: random.Random) -> str:
        return f"@person{world.people.draw(dice)}:localhost"

    def one(make: Callable[[random.Random], str]) -> Callable[[random.Random], tuple[Question, Scope]]:
        return lambda dice: (Question((make(dice),)), everywhere())

    def in_chat(dice: random.Random) -> tuple[Question, Scope]:
        where = chat(dice)
        return Question((common(dice),)), Scope(open=frozenset({where}))

    def rare_in_chat(dice: random.Random) -> tuple[Question, Scope]:
        where = chat(dice)
        found = Question((word(dice.randint(1_000, 5_000)),))
        return found, Scope(open=frozenset({where}))

    def by_person(dice: random.Random) -> tuple[Question, Scope]:
        who = person(dice)
        return Question((common(dice),), sender=who), everywhere()

    def person_in_chat(dice: random.Random) -> tuple[Question, Scope]:
        who, where = f"@person{dice.randint(0, 50)}:localhost", f"chat{dice.randint(0, 20)}"
        found = Question((common(dice),), sender=who)
        return found, Scope(open=frozenset({where}))

    def two(dice: random.Random) -> tuple[Question, Scope]:
        return Question((common(dice), word(dice.randint(20, 500)))), everywhere()

    def strangers(dice: random.Random) -> tuple[Question, Scope]:
        return Question((word(dice.randint(100, 1_000)), word(dice.randint(100, 1_000)))), everywhere()

    def dated(dice: random.Random) -> tuple[Question, Scope]:
        since = NEWEST_MS - dice.randint(30, 700) * 86_400_000
        return Question((common(dice),), since=since, until=since + 7 * 86_400_000), everywhere()

    def images(dice: random.Random) -> tuple[Question, Scope]:
        return Question((word(dice.randint(0, 200)),), kind=Kind.IMAGE), everywhere()

    def own_chats(dice: random.Random) -> tuple[Question, Scope]:
        mine = frozenset(f"chat{dice.randint(0, CHATS - 1)}" for _ in range(100))
        return Question((word(int(dice.expovariate(1 / 300))),)), Scope(open=mine)

    return [
        Kinds("a common word", one(common)),
        Kinds("a middling word (1 in 100 to 1,000)", one(lambda dice: word(dice.randint(20, 300)))),
        Kinds("a rare word", one(lambda dice: word(dice.randint(2_000, VOCABULARY - 1)))),
        Kinds("a word that nobody wrote", one(lambda dice: f"nobody{dice.random()}")),
        Kinds("a common word in a chat", in_chat),
        Kinds("a rare word in a chat", rare_in_chat),
        Kinds("a common word by a person", by_person),
        Kinds("a common word by a person in a chat", person_in_chat),
        Kinds("a common word and another", two),
        Kinds("two words that seldom meet", strangers),
        Kinds("a common word in a week long ago", dated),
        Kinds("pictures", images),
        Kinds("a word in 100 chats of one's own", own_chats),
    ]


async def fill(database: Database, world: World) -> float:
    """Put the messages in; how many a second."""
    begun = time.perf_counter()
    for first in range(0, world.messages, BATCH):
        batch = world.batch(first)
        await database.write(lambda connection, batch=batch: store.add(connection, batch))  # type: ignore[misc]
        if first % 100_000 == 0:
            progress(f"{first:,} messages")
    return world.messages / (time.perf_counter() - begun)


def answer(connection: Connection, what: Lookup, question: Question) -> Sequence[Document]:
    """The first page."""
    since, until = question.since, question.until
    ids = store.search(connection, what, since=since, until=until, limit=PAGE + 1)
    return store.load(connection, ids[:PAGE])


async def ask(database: Database, world: World, name: str, times: int) -> list[Latency]:
    """Ask every kind of question, and for comparison a question of nothing."""
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        await database.read(lambda connection: connection.execute(text("SELECT 1")).scalar())
        spent.append((time.perf_counter() - begun) * 1000)
    found = [Latency(name, NOTHING, percentile(spent, 0.5), percentile(spent, 0.95), max(spent), 0)]
    for kind in kinds(world):
        dice = random.Random(kind.name)
        spent = []
        answers = 0
        for _ in range(times):
            question, scope = kind.make(dice)
            what = lookup(world.terms, question, scope)
            assert what is not None
            read = partial(answer, what=what, question=question)
            begun = time.perf_counter()
            answers += len(await database.read(read))
            spent.append((time.perf_counter() - begun) * 1000)
        found.append(
            Latency(name, kind.name, percentile(spent, 0.5), percentile(spent, 0.95), max(spent), answers / times)
        )
        progress(f"{name}: {kind.name}: {found[-1].p50:.1f} ms, {found[-1].p95:.1f} ms")
    return found


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[str, Database]]:
    """An empty database: a SQLite file when ``url`` is empty, or a new one of that PostgreSQL server."""
    async with contextlib.AsyncExitStack() as stack:
        name = "PostgreSQL" if url else "SQLite"
        if not url:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rialto-benchmark-"))
            url = f"sqlite:///{Path(folder) / 'rialto.db'}"
        else:
            url = await stack.enter_async_context(scratch(url))
        database = open_database(url)
        await database.start()
        stack.push_async_callback(database.stop)
        await database.write(metadata.create_all)
        yield name, database


async def main(options: argparse.Namespace) -> None:
    results: list[Latency] = []
    speeds: list[str] = []
    for url in options.database if options.database else [""]:
        async with opened(url) as (name, database):
            speed = await fill(database, World(options.messages))
            if name == "PostgreSQL":
                await database.write(lambda connection: connection.execute(text("ANALYZE search_documents")))
            speeds.append(f"{name}: {speed:,.0f} messages a second put in, {BATCH:,} in a commit")
            await asyncio.sleep(1)
            results += await ask(database, World(options.messages), name, options.questions)
    rows = [
        (one.database, one.question, f"{one.p50:.1f}", f"{one.p95:.1f}", f"{one.worst:.1f}", f"{one.answers:.1f}")
        for one in results
    ]
    head = ("database", "question", "p50 ms", "p95 ms", "worst ms", "answers")
    asked = [one for one in results if one.question != NOTHING]
    quick = [one for one in asked if one.p95 < LIMIT_MS]
    verdict = f"{len(quick)} of {len(asked)} kinds of questions below {LIMIT_MS:g} ms (p95)"
    title = f"Search in {options.messages:,} messages, pages of {PAGE}"
    finish(options.json, results, "\n".join([table(title, head, rows), verdict, *speeds]))


if __name__ == "__main__":
    arguments = parser(__doc__, 1)
    arguments.add_argument("--messages", type=int, default=1_000_000, help="messages (1,000,000)")
    arguments.add_argument("--questions", type=int, default=200, help="questions of each kind (200)")
    arguments.add_argument(
        "--database", action="append", help="URL of a PostgreSQL server, or '' for SQLite; repeatable"
    )
    run(main(arguments.parse_args()))

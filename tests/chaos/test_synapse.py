"""Chaos with a real Synapse and end-to-end encryption: every message is answered once, in order, readable.

The truth is the room's history at the homeserver, decrypted with the person's keys. ``RIALTO_CHAOS_SEED`` repeats a
run, ``RIALTO_SYNAPSE_KILLS`` sets the number of kills, ``RIALTO_OUTAGE_S`` for how many seconds the homeserver is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from tests.support.fixtures import StartRialto
from tests.support.history import UNREADABLE, answers
from tests.support.human import Human, Seen
from tests.support.servers import RialtoProcess, Server, running_synapse

KILLS = int(os.environ.get("RIALTO_SYNAPSE_KILLS", "50"))
OUTAGE_S = float(os.environ.get("RIALTO_OUTAGE_S", "60"))


async def all_answered(human: Human, said: dict[str, list[str]], bot: str, seconds: float) -> None:
    """Wait until every message has an answer that can be read; then each has exactly one, in order."""
    got: dict[str, list[str]] = {}
    try:
        async with asyncio.timeout(seconds):
            while True:
                got = {room_id: await answers(human, room_id, bot) for room_id in said}
                if all(set(said[room_id]) <= set(got[room_id]) for room_id in said):
                    break
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"after {seconds:g} s said {said} but got {got}") from None
    for room_id, texts in said.items():
        assert [text for text in got[room_id] if text in set(texts) or text == UNREADABLE] == texts


@dataclass(slots=True)
class Talk:
    """A person who says numbered things in several rooms, and knows what the bot has answered."""

    human: Human
    bot: str
    said: dict[str, list[str]]
    total: int = 0
    answered: set[str] = field(default_factory=set)

    @classmethod
    async def begin(cls, human: Human, bot: str, encrypted: Sequence[bool]) -> Talk:
        """With a room for each of ``encrypted``."""
        made = cls(human, bot, {await human.chat_with(bot, encrypted=each): [] for each in encrypted})
        human.listeners.append(made._listen)
        return made

    def _listen(self, seen: Seen) -> None:
        if seen.sender == self.bot and seen.type == "m.room.message":
            self.answered.add(seen.body)

    @property
    def rooms(self) -> list[str]:
        """The rooms."""
        return list(self.said)

    async def say(self, count: int) -> None:
        """Say so many things, over the rooms in turn."""
        for _ in range(count):
            room_id = self.rooms[self.total % len(self.rooms)]
            text = f"line {self.total}"
            self.total += 1
            self.said[room_id].append(text)
            await self.human.say(room_id, text)

    async def go_on(self, unanswered: int) -> None:
        """Say more whenever fewer than so many things wait for an answer. Runs until it is cancelled."""
        while True:
            await self.human.until(lambda: self.total - len(self.answered) < unanswered, 60, "answers")
            await asyncio.shield(self.say(1))  # a thing is said whole, or not at all

    @contextlib.asynccontextmanager
    async def load(self, unanswered: int) -> AsyncIterator[None]:
        """Steady load within the block."""
        task = asyncio.create_task(self.go_on(unanswered))
        try:
            yield
        finally:
            if not task.done():
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def wait_answers(self, more: int, seconds: float = 30) -> None:
        """Wait until so many more things are answered."""
        target = len(self.answered) + more
        await self.human.until(lambda: len(self.answered) >= target, seconds, f"{target} answers")

    async def all_answered(self, seconds: float) -> None:
        """Everything has exactly one answer, which can be read, in order."""
        with contextlib.suppress(TimeoutError):  # the history says what is missing
            await self.human.until(lambda: len(self.answered) >= self.total, seconds, "all answers")
        await all_answered(self.human, self.said, self.bot, 10)


async def one_life(service: RialtoProcess, talking: Talk, dice: random.Random, start_up: float) -> None:
    """Start the service and kill it somewhere: while it starts, or when it has answered some more."""
    if dice.random() < 0.5:
        service.child.start()
        await asyncio.sleep(dice.uniform(0, start_up * 1.2))
    else:
        await service.start()
        await talking.wait_answers(dice.randint(0, 6))
        await asyncio.sleep(dice.uniform(0, 0.1))
    service.kill()


async def lives(service: RialtoProcess, human: Human, dice: random.Random, kills: int) -> None:
    """Kill a service so many times under load, then see that everything was answered."""
    talking = await Talk.begin(human, service.bot("echo"), [False, True, True])
    async with talking.load(10):
        await talking.wait_answers(10)
        start_up = await service.restart(kill=True)
        service.kill()
        for _ in range(kills - 2):
            await one_life(service, talking, dice, start_up)
        await service.start()
    await talking.all_answered(60)
    print(f"{kills} kills, {talking.total} messages, {start_up:.2f} s to start")


@pytest.mark.timeout(300)
async def test_kills_under_encrypted_load(rialto: StartRialto, alice: Human, bob: Human) -> None:
    """Two services at once on one Synapse, each with half of the kills: a life is mostly waiting for a start."""
    seed = int(os.environ.get("RIALTO_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"RIALTO_CHAOS_SEED={seed}")
    kills = -(-KILLS // 2)
    async with asyncio.TaskGroup() as both:
        for number, human in enumerate((alice, bob)):
            service = await rialto(["echo"])
            both.create_task(lives(service, human, random.Random(seed + number), kills))


@dataclass(slots=True)
class Outage:
    """A stack whose homeserver was stopped at ``since`` (monotonic), with answers on their way."""

    synapse: Server
    service: RialtoProcess
    talking: Talk
    since: float


@pytest.fixture(scope="module", autouse=True)
async def outage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outage]:
    """Begins before the first test of this module, and lasts while the others run: a minute that costs few seconds."""
    folder = tmp_path_factory.mktemp("outage")
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_synapse(folder, slots=1))
        service = RialtoProcess(server, server.take_slot(), folder / "rialto", ["echo"], forked=True)
        stack.push_async_callback(service.stop, 10)
        await service.start()
        human = await server.human("carol", folder / "carol")
        stack.push_async_callback(human.close)
        talking = await Talk.begin(human, service.bot("echo"), [True, True, False])
        await talking.say(6)
        await server.stop()
        yield Outage(server, service, talking, time.monotonic())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_messages_of_a_downtime_are_decrypted_and_answered(rialto: StartRialto, alice: Human, kill: bool) -> None:
    """Their keys were shared while the service was away, in sessions that it has never seen."""
    service = await rialto(["echo"])
    talking = await Talk.begin(alice, service.bot("echo"), [True, True])
    await talking.say(4)
    await talking.all_answered(30)
    if kill:
        service.kill()
    else:
        assert await service.stop() == 0
    for room_id in talking.rooms:
        alice.nio.invalidate_outbound_session(room_id)
    await talking.say(6)
    await service.start()
    await talking.all_answered(30)


@pytest.mark.timeout(240)
async def test_homeserver_stopped_for_a_minute(outage: Outage) -> None:
    """The last test here, for the minute goes by during the others."""
    await asyncio.sleep(max(0.0, outage.since + OUTAGE_S - time.monotonic()))
    assert outage.service.child.running
    await outage.synapse.start()
    await outage.talking.say(6)
    await outage.talking.all_answered(90)
    assert outage.service.child.running

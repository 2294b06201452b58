"""Generated dialogs, killed and restarted anywhere: the same transcript as without, and each effect once."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appservice.sealing import Sealer
from appservice.unit import UnitOfWork
from bots.framework import Context, Dialog, Plugin, command, dialog, timer
from bots.framework.state import Store
from bots.framework.testing import Person, World
from bots.framework.testing.homeserver import Room

OPTIONS = ("Red", "Green", "Blue", "Black")
LONG = tuple(f"Option {number}" for number in range(1, 14))


# A dialog as data: what each node does when it is run.


@dataclass(frozen=True)
class Node:
    """One thing that a dialog does."""

    kind: str
    inside: tuple[Node, ...] = ()
    number: int = 0


@dataclass
class Script(Plugin):
    """Runs a tree of nodes as a dialog, and counts what happens outside."""

    tree: tuple[Node, ...]
    group: bool = False
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each step ran, by name and idempotency key."""
    undone: Counter[str] = field(default_factory=Counter)

    @command("go", help="Begin")
    async def go(self, ctx: Context) -> None:
        ctx.say("Here we go.")
        ctx.plugin_state.add("begun")
        ctx.start(self.run, people=await ctx.humans() if self.group else ())

    @timer("much later")
    async def much_later(self, ctx: Context, data: Any) -> None:
        """What a step has planned."""

    @dialog
    async def run(self, d: Dialog) -> None:
        seen: list[str] = []
        await self._each(d, self.tree, seen, "")
        await d.say("The end: " + "; ".join(seen))

    async def _each(self, d: Dialog, nodes: Sequence[Node], seen: list[str], at: str) -> None:
        for index, node in enumerate(nodes):
            await getattr(self, f"_{node.kind}")(d, node, seen, f"{at}.{index}")

    async def _ask(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        seen.append(await d.ask(f"{at}: what?"))

    async def _number(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        seen.append(str(await d.ask(f"{at}: how many?", parse=int)))

    async def _choose(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        options = LONG if node.number % 3 == 2 else OPTIONS[: 2 + node.number % 3]
        chosen = await d.choose(f"{at}: which?", options, poll=node.number % 4 == 3)
        seen.append(chosen)
        if node.inside and chosen == options[0]:
            await self._each(d, node.inside, seen, at)

    async def _many(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        seen.append("+".join(await d.choose_many(f"{at}: which ones?", OPTIONS, minimum=node.number % 2)))

    async def _confirm(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        sure = await d.confirm(f"{at}: sure?")
        seen.append(str(sure))
        if sure:
            await self._each(d, node.inside, seen, at)

    async def _say(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        await d.say(f"{at}: by the way")

    async def _step(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        seen.append(await d.step(f"step {at}", self._outside, at, final=node.number % 5 == 4))

    async def _undoable(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        seen.append(await d.step(f"step {at}", self._outside, at, undo="take_back"))

    async def _refused(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        try:
            await d.step(f"step {at}", self._refuse, at, raises=(LookupError,))
        except LookupError as error:
            seen.append(f"refused {error}")

    async def _do(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        seen.append(str(await d.do(f"do {at}", self._inside, at)))

    async def _now(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        seen.append(f"{await d.now():%H:%M:%S}")

    async def _random(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        value = await d.random()
        seen.append(f"random {value}")
        await d.say(f"{at}: random {value}")

    async def _loop(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        for turn in range(1 + node.number % 3):
            await self._each(d, node.inside, seen, f"{at}/{turn}")

    async def _sub(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        seen.append(await self.talk(d, node, at))

    @dialog
    async def talk(self, d: Dialog, node: Node, at: str) -> str:
        inner: list[str] = []
        await self._each(d, node.inside, inner, at + "s")
        return "(" + ",".join(inner) + ")"

    async def _vote(self, d: Dialog, node: Node, seen: list[str], at: str) -> None:
        voters = d.people if node.number % 2 else ()
        votes = await d.vote(
            f"{at}: vote!", OPTIONS[:3], until=timedelta(hours=2), voters=voters, poll=bool(node.inside)
        )
        seen.append(",".join(f"{person[1]}={'/'.join(chosen)}" for person, chosen in sorted(votes.items())))

    async def _outside(self, at: str, idempotency_key: str = "") -> str:
        self.steps[at, idempotency_key] += 1
        await asyncio.sleep(0)
        return f"done {at}"

    async def _refuse(self, at: str, idempotency_key: str = "") -> str:
        self.steps[at, idempotency_key] += 1
        raise LookupError(at)

    async def take_back(self, result: str) -> None:
        self.undone[result] += 1

    async def _inside(self, ctx: Context, at: str) -> int:
        ctx.say(f"{at}: done inside")
        ctx.plugin_state.add(f"done {at}")
        ctx.later(ctx.now() + timedelta(days=300), "much later", at)
        return await ctx.plugin_state.count(f"done {at}")


LEAVES = ("ask", "number", "choose", "many", "confirm", "say", "step", "undoable", "refused", "do", "now", "random")
NODES = st.recursive(
    st.builds(Node, st.sampled_from(LEAVES), st.just(()), st.integers(0, 11)),
    lambda inner: st.builds(
        Node,
        st.sampled_from(("loop", "sub", "choose", "confirm")),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.integers(0, 11),
    ),
    max_leaves=6,
)
TREES = st.lists(NODES, min_size=1, max_size=5).map(tuple)

# What people do. "1" answers everything; a person who says nothing sensible gets to see how that is handled.
ACTS = st.sampled_from(
    [("says", "1")] * 8
    + [("says", "2"), ("says", "back"), ("says", "back"), ("says", "help"), ("says", "nonsense!"), ("says", "yes")]
    + [("says", "Green and blue"), ("says", "more"), ("says", "go"), ("says", "!go"), ("says", "cancel")]
    + [("reacts", "first"), ("reacts", "last"), ("edits", ""), ("photo", ""), ("late", ""), ("later", "1")]
)
CHAOS = st.lists(
    st.tuples(st.sampled_from(["commits", "turns", "restart", "kill"]), st.integers(0, 12)), min_size=1, max_size=4
)


async def act(world: World, person: Person, room: Room, kind: str, what: str, said: list[Any]) -> None:
    """Do one thing."""
    shown = [m for m in room.timeline if world.is_message_of_a_bot(m)]
    if kind == "says":
        said.append(await person.says(what, room=room))
    elif kind == "reacts" and shown:
        await person.reacts("1️⃣", shown[0] if what == "first" else shown[-1], room=room)
    elif kind == "late" and len(shown) > 1:
        await person.says("1", room=room, reply_to=shown[len(shown) // 2])
    elif kind == "edits" and said:
        await person.edits(said[-1], "2")
    elif kind == "photo":
        await person.sends_photo(b"no picture", room=room)
    elif kind == "later":
        world.clock.advance(timedelta(minutes=30))
        await world.settle()


async def die_after(world: World, turns: int) -> None:
    """Kill the service after so many turns of the event loop, wherever it is then."""
    for _ in range(turns):
        await asyncio.sleep(0)
    world.database.dies_after = 0
    world.homeserver.dead = True


async def play(
    world: World, acts: Sequence[tuple[str, str]], chaos: Sequence[tuple[str, int]], people: int = 1
) -> Room:
    """Play a conversation; ``chaos`` says what happens to the service before every so manieth act."""
    persons = [world.user(name) for name in ("alice", "bob", "carol")[:people]]
    room = await world.room("group", *persons) if people > 1 else await world.direct(persons[0])
    killers: list[asyncio.Task[None]] = []
    said: list[Any] = []
    for index, (kind, what) in enumerate([("says", "!go"), *acts]):
        if chaos:
            how, amount = chaos[index % len(chaos)]
            if how == "commits":
                if not world.database.dead:
                    world.kill_after(1 + amount)
            elif how == "turns":
                killers.append(asyncio.create_task(die_after(world, amount * 3)))
            elif amount % 2:
                await world.restart(kill=how == "kill")
        await act(world, persons[index % people], room, kind, what, said)
    await asyncio.gather(*killers)
    world.database.dies_after = world.database.dies_after if world.database.dead else None
    await world.settle()
    return room


def readable(world: World, room: Room) -> list[str]:
    """The transcript, with random numbers by the order in which they appear."""
    numbers: dict[str, str] = {}
    lines = []
    for line in world.transcript(room):
        lines.append(re.sub(r"random ([\d.e-]+)", lambda m: numbers.setdefault(m[1], f"random {len(numbers)}"), line))
    return lines


async def counters(world: World) -> dict[str, Any]:
    """What the plugin's effects have left in its state, and what it has planned."""
    consumer = world._consumers[0]
    store = Store(world.database, Sealer("the pickle key of a world", "state"), world.clock.now_ms)
    unit = UnitOfWork("$look", consumer.name, consumer.user_id)
    found = {key: value async for key, value in _items(store.open(consumer.instance, unit).plugin)}
    planned = await world._scheduler.of(consumer.name, unit, "!any:world").list()
    found["planned"] = sum(each.kind == "rialto.timer" for each in planned)
    found["timers"] = sum(each.kind == "rialto.dialog.timer" for each in planned)
    return found


async def _items(state: Any) -> Any:
    for key in await state.keys():
        yield key, await state.get(key)


async def compare(
    tree: tuple[Node, ...], acts: Sequence[tuple[str, str]], chaos: Sequence[tuple[str, int]], people: int = 1
) -> None:
    """The same conversation, calm and in chaos."""
    calm_script, wild_script = Script(tree, people > 1), Script(tree, people > 1)
    calm, wild = World(calm_script), World(wild_script, attempts=20)
    expected = readable(calm, await play(calm, acts, (), people))
    calm.check()
    got = readable(wild, await play(wild, acts, chaos, people))
    wild.check()
    assert got == expected
    assert await counters(wild) == await counters(calm)
    # A step is tried again only when the service died in its very moment, and then under the same key.
    assert Counter(name for name, _ in wild_script.steps) == Counter(name for name, _ in calm_script.steps)
    assert all(count == 1 for count in calm_script.steps.values())
    await calm.stop()
    await wild.stop()


EXAMPLES = int(os.environ.get("RIALTO_CHAOS_EXAMPLES", "70"))
FIXED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="RIALTO_CHAOS_RANDOM" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if "RIALTO_CHAOS_SHRINK" in os.environ else [])],
)


@pytest.mark.timeout(300)
@FIXED
@given(TREES, st.lists(ACTS, min_size=3, max_size=12), CHAOS)
async def test_chaos_changes_no_conversation(
    tree: tuple[Node, ...], acts: list[tuple[str, str]], chaos: list[tuple[str, int]]
) -> None:
    await compare(tree, acts, chaos)


VOTES = (Node("vote", (), 1), Node("do"), Node("vote", (Node("say"),), 0), Node("step"), Node("ask"))
GROUP_ACTS = [
    ("says", "red"),
    ("says", "2"),
    ("reacts", "last"),
    ("says", "what?"),
    ("says", "!back"),
    ("says", "blue"),
]
GROUP_ACTS += [("later", "1")] * 6 + [("says", "1"), ("late", ""), ("says", "!help"), ("says", "script: the end")]


@pytest.mark.parametrize(
    "chaos", [("commits", 0), ("commits", 1), ("commits", 2), ("commits", 4), ("turns", 3), ("kill", 1)]
)
async def test_chaos_changes_no_vote(chaos: tuple[str, int]) -> None:
    await compare(VOTES, GROUP_ACTS, [chaos], people=3)


WHOLE = (
    Node("choose", (Node("step"),), 0),
    Node("do"),
    Node("undoable"),
    Node("sub", (Node("confirm", (Node("refused"),)), Node("random"))),
    Node("loop", (Node("ask"), Node("do")), 1),
)
WHOLE_ACTS = [("says", "1"), ("says", "back"), ("says", "1"), ("says", "yes"), ("says", "tea")]


@pytest.mark.parametrize("after", range(1, 34, 2))
async def test_one_kill_anywhere_in_a_whole_conversation(after: int) -> None:
    """One kill after so many commits from the beginning, and (at even places) one more in what follows it."""
    calm_script, wild_script = Script(WHOLE), Script(WHOLE)
    calm, wild = World(calm_script), World(wild_script, attempts=20)
    expected = readable(calm, await play(calm, WHOLE_ACTS, ()))
    await wild.direct(wild.user("alice"))
    wild.kill_after(after)
    assert readable(wild, await play(wild, WHOLE_ACTS, ())) == expected
    assert "The end" in expected[-1]
    assert await counters(wild) == await counters(calm)
    assert set(wild_script.steps) == set(calm_script.steps)
    assert sum(wild_script.steps.values()) <= sum(calm_script.steps.values()) + 1
    wild.check()
    await calm.stop()
    await wild.stop()


class Versioned(Plugin):
    """The same plugin before and after it was changed."""

    @command("go", help="Begin")
    async def go(self, ctx: Context) -> None:
        ctx.start(self.run, 1)

    @dialog(version="1", timeout=timedelta(hours=1))
    async def run(self, d: Dialog, start: int) -> None:
        first = await d.ask("First?")
        await d.say(f"noted {first}")
        await d.ask("Second?")
        await d.say("Done.")


class Renewed(Versioned):
    """Another version."""

    @dialog(version="2", timeout=timedelta(hours=1))
    async def run(self, d: Dialog, start: int) -> None:
        await d.ask("New first?")
        await d.say("New done.")


class Shifted(Versioned):
    """The same version, another shape."""

    @dialog(version="1", timeout=timedelta(hours=1))
    async def run(self, d: Dialog, start: int) -> None:
        await d.choose("New choice?", ["A", "B"])
        await d.say("New done.")


class Narrower(Versioned):
    """The same version, other arguments."""

    @dialog(version="1", timeout=timedelta(hours=1))
    async def run(self, d: Dialog) -> None:  # type: ignore[override]
        await d.ask("Never asked with old arguments")


class Gone(Plugin):
    """It has no such dialog any more."""

    @command("other", help="Something else")
    async def other(self, ctx: Context) -> None:
        ctx.say("other")


@pytest.mark.parametrize(
    ("after", "act", "said"),
    [
        (Renewed, "text", ["updated", "New first?"]),
        (Renewed, "help", ["updated", "New first?"]),
        (Renewed, "time", ["for a while"]),
        (Shifted, "text", ["updated", "New choice?"]),
        (Shifted, "help", ["updated", "New choice?"]),
        (Shifted, "time", ["for a while"]),
        (Shifted, "cancel", ["Cancelled"]),
        (Narrower, "text", ["updated", "begin it anew"]),
        (Narrower, "time", ["for a while"]),
        (Gone, "text", ["not offered any more"]),
        (Gone, "time", ["not offered any more"]),
    ],
)
async def test_a_plugin_that_was_changed_meanwhile(after: type[Plugin], act: str, said: list[str]) -> None:
    world = World(Versioned, strict=False, attempts=1)
    alice = world.user("alice")
    await alice.says("go")
    await alice.says("tea")
    await alice.hears_all()
    world._made = [("versioned", after)]
    await world.restart()
    if act == "time":
        world.clock.advance(timedelta(hours=2))
    else:
        await alice.says(act)
    heard = [message.body for message in await alice.hears_all()]
    assert len(heard) == len(said)
    assert all(part in body for part, body in zip(said, heard, strict=True)), heard
    world.check()
    await world.stop()

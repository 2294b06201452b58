"""Dialogs: every kind of question, and that a conversation survives whatever happens."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from enum import Enum
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, Field

from appservice.sealing import Sealer
from bots.domain.money import Money
from bots.framework import Context, Dialog, InvalidValue, Option, ParseEnv, Place, Plugin, command, dialog
from bots.framework.arguments import place_of
from bots.framework.housekeeping import Housekeeping
from bots.framework.state import Store
from bots.framework.testing import World


class Size(Enum):
    SMALL = "Small"
    LARGE = "Large"


class Coffee(Plugin):
    """Takes coffee orders."""

    quotes: ClassVar[list[tuple[Any, ...]]] = []

    @command("coffee", help="Order a coffee")
    async def coffee(self, ctx: Context, size: Size = Size.SMALL) -> None:
        ctx.start(self.order, size)

    async def quote(self, drink: str, size: Size, address: Place, idempotency_key: str = "") -> Money:
        self.quotes.append((drink, size, address, idempotency_key))
        return Money(350 if size is Size.SMALL else 450, "EUR")

    @dialog
    async def order(self, d: Dialog, size: Size) -> None:
        drink = await d.choose("What would you like?", ["Espresso", "Flat white", "Cold brew"])
        address = await d.ask("Where to?", parse=Place)
        total = await d.step("quote", self.quote, drink, size, address)
        if await d.pay(total, to="merchant:coffee", memo=drink):
            await d.say(f"Paid {total}.")
        else:
            await d.say("Not paid.")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Coffee.quotes = []


async def test_a_whole_order() -> None:
    world = World(Coffee)
    alice = world.user("alice")
    await alice.says("coffee large")
    asked = await alice.hears()
    assert asked.body.startswith("What would you like?\n\n1. Espresso\n2. Flat white")
    assert set(asked.reactions) == {"1️⃣", "2️⃣", "3️⃣"}
    await alice.picks(2)
    assert (await alice.hears()).body == "Where to?"
    await alice.shares_place(52.5, 13.4, "home")
    assert "payment" in (await alice.hears()).body
    await world.payments.succeed()
    assert (await alice.hears()).body == "Paid 4.50 EUR."
    await alice.hears_nothing()
    assert [quote[:2] for quote in Coffee.quotes] == [("Flat white", Size.LARGE)]
    assert world.payments.paid == [Money(450, "EUR")]
    world.check()


@pytest.mark.parametrize("commits", range(1, 14))
async def test_a_kill_at_any_commit_changes_nothing(commits: int) -> None:
    async def play(world: World) -> list[str]:
        alice = world.user("alice")
        await alice.says("coffee")
        await alice.picks("espresso")
        await alice.says("52.5, 13.4")
        await world.payments.succeed()
        return world.transcript(await world.direct(alice))

    calm = await play(World(Coffee))
    world = World(Coffee)
    alice = world.user("alice")
    await world.direct(alice)
    world.kill_after(commits)
    assert await play(world) == calm
    keys = {quote[3] for quote in Coffee.quotes}
    assert len(keys) == 1, "one key, however often it was tried, in both worlds"


async def test_restart_between_any_two_answers() -> None:
    world = World(Coffee)
    alice = world.user("alice")
    for act in ("coffee", "1", "52.5, 13.4"):
        await alice.says(act)
        await world.restart()
    await world.payments.fail()
    assert (await alice.hears_all())[-1].body == "Not paid."
    assert len(Coffee.quotes) == 1


async def test_back_cancel_and_help() -> None:
    world = World(Coffee)
    alice = world.user("alice")
    await alice.says("coffee")
    await alice.hears()
    await alice.says("back")
    assert "first question" in (await alice.hears()).body
    await alice.picks("Cold brew")
    assert (await alice.hears()).body == "Where to?"
    await alice.says("back")
    assert "What would you like?" in (await alice.hears()).body
    await alice.picks("Espresso")
    assert (await alice.hears()).body == "Where to?"
    await alice.says("help")
    assert "cancel" in (await alice.hears()).body
    assert (await alice.hears()).body == "Where to?"
    await alice.says("nowhere at all")
    assert "place" in (await alice.hears()).body
    await alice.says("cancel")
    assert (await alice.hears()).body == "Cancelled."
    await alice.says("1")
    assert "coffee" not in (await alice.hears()).body.partition("Type")[0]
    assert Coffee.quotes == []
    world.check()


async def test_reactions_and_buttons_and_late_answers() -> None:
    world = World(Coffee)
    alice = world.user("alice")
    await alice.says("coffee")
    first = await alice.hears()
    await alice.reacts("3️⃣", first)
    assert (await alice.hears()).body == "Where to?"
    await alice.reacts("1️⃣", first)
    again = await alice.hears()
    assert again.body == "Where to?", "a late answer shows the current question again"
    await alice.hears_nothing()
    await alice.says("back")
    await alice.hears()
    await alice.taps("flat-white")
    assert (await alice.hears()).body == "Where to?"
    world.check()


async def test_two_people_and_two_rooms_do_not_meet() -> None:
    world = World(Coffee)
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("team", alice, bob)
    await alice.says("!coffee", room=room)
    await bob.says("!coffee large", room=room)
    await alice.says("coffee")
    await alice.hears_all(room)
    await alice.hears_all()
    await alice.picks("1", room=room)
    assert (await alice.hears(room)).body == "Where to?"
    await alice.hears_nothing()
    await bob.picks("2", room=room)
    assert (await bob.hears_all(room))[-1].body == "Where to?"
    await alice.hears_all(room)
    await alice.says("see you at 52.5", room=room)
    await alice.hears_nothing(room)
    world.check()


async def test_it_ends_with_a_word_when_nobody_answers() -> None:
    world = World(Coffee)
    alice = world.user("alice")
    await alice.says("coffee")
    await alice.hears()
    world.clock.advance(timedelta(hours=25))
    assert "for a while" in (await alice.hears()).body
    await alice.picks("1")
    assert "I do not know" in (await alice.hears()).body
    world.check()


class Guest(BaseModel):
    name: str = Field(description="What is your name?")
    age: int = Field(description="How old are you?", ge=18)
    size: Size = Field(description="Which size?")


class Forms(Plugin):
    """Asks for everything."""

    got: ClassVar[list[Any]] = []

    @command("join", help="Join")
    async def join(self, ctx: Context) -> None:
        ctx.start(self.ask_all)

    @dialog(remind=timedelta(hours=1))
    async def ask_all(self, d: Dialog) -> None:
        guest = await d.form(Guest)
        extras = await d.choose_many("What else?", ["Tea", "Cake", "Jam"], minimum=0)
        sure = await d.confirm("Sure?")
        moment, number = await d.now(), await d.random()
        await d.do("keep", self.keep, guest, extras, sure, moment.isoformat(), number)
        await d.say(f"Welcome, {guest.name}.")

    async def keep(self, ctx: Context, *values: Any) -> None:
        self.got.append(values)
        ctx.user_state.add("visits")


async def test_forms_and_effects_of_the_unit() -> None:
    Forms.got = []
    world = World(Forms)
    alice = world.user("alice")
    for text in ("join", "Alice", "twelve", "12", "30", "large", "tea and jam", "yes"):
        await alice.says(text)
    heard = [message.body for message in await alice.hears_all()]
    assert heard[-1] == "Welcome, Alice."
    assert any("18" in body for body in heard)
    guest, extras, sure, *_ = Forms.got[-1]
    assert (guest.age, guest.size, extras, sure) == (30, Size.LARGE, ["Tea", "Jam"], True)
    world.check()


async def test_a_reminder_comes_once() -> None:
    world = World(Forms)
    alice = world.user("alice")
    await alice.says("join")
    await alice.hears()
    world.clock.advance(timedelta(hours=1, minutes=1))
    assert (await alice.hears()).body == "What is your name?"
    world.clock.advance(timedelta(hours=3))
    await alice.hears_nothing()
    world.check()


class Lunch(Plugin):
    """Asks a group."""

    @command("lunch", help="Vote on lunch")
    async def lunch(self, ctx: Context) -> None:
        ctx.start(self.pick, people=await ctx.humans())

    @dialog
    async def pick(self, d: Dialog) -> None:
        votes = await d.vote("Where to?", ["Soup", "Pizza"], until=timedelta(hours=1), voters=d.people)
        counts: dict[str, int] = {}
        for chosen in votes.values():
            for label in chosen:
                counts[label] = counts.get(label, 0) + 1
        best = max(sorted(counts), key=lambda label: counts[label], default="nothing")
        await d.say(f"It is {best}.")


async def test_a_group_votes_until_all_have() -> None:
    world = World(Lunch)
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("team", alice, bob)
    await alice.says("!lunch", room=room)
    poll = await alice.hears(room)
    await alice.votes("Pizza", poll=poll, room=room)
    await alice.hears_nothing(room)
    await world.restart()
    await alice.votes("Soup", poll=poll, room=room)
    await bob.picks("soup", room=room)
    assert (await bob.hears_all(room))[-1].body == "It is Soup."
    world.check()


async def test_a_group_votes_until_the_time_is_over() -> None:
    world = World(Lunch)
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("team", alice, bob)
    await alice.says("!lunch", room=room)
    await alice.votes("Pizza", room=room)
    world.clock.advance(timedelta(minutes=61))
    assert (await bob.hears_all(room))[-1].body == "It is Pizza."
    world.check()


class Careless(Plugin):
    """Depends on what is not recorded."""

    runs = 0

    @command("go", help="Go")
    async def go(self, ctx: Context) -> None:
        ctx.start(self.talk)

    @dialog
    async def talk(self, d: Dialog) -> None:
        Careless.runs += 1
        await d.ask(f"Number {Careless.runs}?")


async def test_a_determinism_error_is_named() -> None:
    world = World(Careless, attempts=1)
    alice = world.user("alice")
    await alice.says("go")
    assert "Careless.talk" in str(world.failures[0]) and "test_dialogs.py" in str(world.failures[0])
    assert "something went wrong" in (await alice.hears()).body


async def test_a_vote_is_taken_back_with_its_reaction() -> None:
    world = World(Quick)
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("team", alice, bob)
    await alice.says("!quick", room=room)
    asked = await alice.hears(room)
    reaction = await alice.reacts("1️⃣", asked, room=room)
    await alice.redacts(reaction)
    await bob.reacts("2️⃣", asked, room=room)
    world.clock.advance(timedelta(hours=2))
    assert (await bob.hears_all(room))[-1].body == "{'@bob:world': ['Pizza']}"
    world.check()


class Quick(Plugin):
    """A vote by reactions."""

    @command("quick", help="Vote")
    async def quick(self, ctx: Context) -> None:
        ctx.start(self.pick, people=["*"])

    @dialog
    async def pick(self, d: Dialog) -> None:
        votes = await d.vote("Where to?", ["Soup", "Pizza"], until=timedelta(hours=1), poll=False)
        await d.say(str(votes))


class Shop(Plugin):
    """Sells, in two versions."""

    sold: ClassVar[list[str]] = []
    questions: ClassVar[int] = 1

    @command("buy", help="Buy")
    async def buy(self, ctx: Context) -> None:
        ctx.start(self.sell)

    @dialog
    async def sell(self, d: Dialog) -> None:
        for number in range(self.questions):
            await d.confirm(f"Sure ({number})?")
        await d.do("sell", self.keep)
        await d.ask("Anything else?")
        if self.questions > 1:
            await d.say("Thank you.")

    async def keep(self, ctx: Context) -> None:
        self.sold.append(ctx.sender)


async def test_a_changed_dialog_does_not_do_again_what_is_done() -> None:
    Shop.sold, Shop.questions = [], 1
    world = World(Shop, strict=False)
    alice = world.user("alice")
    await alice.says("buy")
    await alice.says("yes")
    await alice.hears_all()
    Shop.questions = 2
    await alice.says("no")
    assert "stays done" in (await alice.hears()).body
    assert Shop.sold == [alice.user_id]


async def test_what_is_over_is_forgotten() -> None:
    world = World(Coffee)
    alice = world.user("alice")
    await alice.says("coffee")
    await alice.says("cancel")
    await alice.says("coffee")
    state = Store(world.database, Sealer("x" * 16, "state"), world.clock.now_ms)
    keeper = Housekeeping(world.database, state, world.clock)
    assert await keeper.tidy() == 0
    world.clock.advance(timedelta(days=8))
    assert await keeper.tidy() == 1


class Taxi(Plugin):
    """Goes where somebody says."""

    @command("go", help="Go somewhere")
    async def go(self, ctx: Context) -> None:
        ctx.start(self.where)

    @dialog
    async def where(self, d: Dialog) -> None:
        picked = await d.choose_or("Where to?", [Option("home", "Home", key="🏠"), Option("work", "Work")], anywhere)
        await d.say(f"To {picked.value if isinstance(picked, Option) else picked}.")


def anywhere(text: str, env: ParseEnv) -> str:
    """A shared place, or a word that begins with a capital."""
    shared = place_of(env.content)
    if shared is not None:
        return f"{shared.latitude:g}"
    if not text[:1].isupper():
        raise InvalidValue("taxi.small", "Places begin with a capital.", clear=True)
    return text


async def test_an_option_or_something_else() -> None:
    """By number, label and reaction one of the options; by words and by a shared place something else."""
    world = World(Taxi)
    alice = world.user("alice")
    for answer, heard in (("1", "To home."), ("Work", "To work."), ("Paris", "To Paris.")):
        await alice.says("go")
        await alice.hears()
        await alice.says(answer)
        assert (await alice.hears()).body == heard
    await alice.says("go")
    await alice.reacts("🏠", await alice.hears())
    assert (await alice.hears()).body == "To home."
    await alice.says("go")
    await alice.hears()
    await alice.shares_place(52.5, 13.4)
    assert (await alice.hears()).body == "To 52.5."
    world.check()


async def test_something_else_is_read_and_asked_for_again() -> None:
    world = World(Taxi)
    alice = world.user("alice")
    await alice.says("go")
    await alice.says("paris")
    assert (await alice.hears_all())[-1].body == "Places begin with a capital."
    await alice.says("9")  # a number of no list shows the list again
    assert (await alice.hears_all())[-1].body.startswith("Where to?")
    await alice.says("back")
    await alice.hears_all()
    await world.restart()
    await alice.says("Rome")
    assert (await alice.hears_all())[-1].body == "To Rome."
    world.check()


async def test_what_a_group_talks_about_is_nothing_else() -> None:
    """In a group an option is understood as it stands, other words only when they are meant for the bot."""
    world = World(Taxi)
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("team", alice, bob)
    await alice.says("!go", room=room)
    await alice.hears_all(room)
    await alice.says("Lovely weather", room=room)
    await alice.hears_nothing(room)
    await alice.says("!Rome", room=room)
    assert (await alice.hears(room)).body == "To Rome."


class Looker(Plugin):
    """Looks at what may change, and does something about it."""

    stock: ClassVar[list[int]] = []
    looked: ClassVar[list[int]] = []

    @command("peek", help="Look at some")
    async def peek(self, ctx: Context) -> None:
        ctx.start(self.looking)

    @command("take", help="Take some")
    async def take(self, ctx: Context) -> None:
        ctx.user_state.add("asked")
        ctx.start(self.looking)

    @command("work", help="The same, as if there were effects")
    async def work(self, ctx: Context) -> None:
        ctx.start(self.working)

    @command("count", help="How many were taken")
    async def count(self, ctx: Context) -> None:
        ctx.say(f"{await ctx.user_state.get('taken', 0)}")

    @dialog
    async def looking(self, d: Dialog) -> None:
        left = await d.look("left", self.left)
        try:
            await d.look("price", self.price, raises=(LookupError,))
        except LookupError as error:
            await d.say(f"No price: {error}")
        count = await d.ask(f"{left} left. How many?", parse=int)
        taken = await d.do("take", self.took, count)
        await d.say(f"{taken} of {await d.look('left now', self.left)}")

    @dialog
    async def working(self, d: Dialog) -> None:
        await d.step("left", self.left)
        with suppress(LookupError):
            await d.step("price", self.price, raises=(LookupError,))
        await d.ask("How many?", parse=int)

    def left(self) -> int:
        self.looked.append(self.stock[0])
        return self.stock[0]

    def price(self) -> int:
        raise LookupError("nobody knows")

    async def took(self, ctx: Context, count: int) -> int:
        ctx.user_state.add("taken", count)
        return count


async def test_a_look_is_recorded_and_comes_back() -> None:
    Looker.stock, Looker.looked = [7], []
    world = World(Looker)
    alice = world.user("alice")
    await alice.says("take")
    assert [each.body for each in await alice.hears_all()] == ["No price: nobody knows", "7 left. How many?"]
    Looker.stock = [3]
    await world.restart()
    await alice.says("2")
    assert (await alice.hears()).body == "2 of 3"
    assert set(Looker.looked) == {7, 3}
    world.check()


async def test_a_look_costs_no_commit_unless_something_was_stored() -> None:
    Looker.stock = [7]
    spent = {}
    for word in ("peek", "take", "work"):
        world = World(Looker)
        alice = world.user("alice")
        await world.direct(alice)
        before = world.database.commits
        await alice.says(word)
        spent[word] = world.database.commits - before
    assert spent["take"] == spent["peek"] + 1, "what was stored is committed before it looks"
    assert spent["work"] == spent["peek"] + 3, "before the first, after it, and after the second"


@pytest.mark.parametrize("commits", range(1, 8))
async def test_a_look_survives_a_kill(commits: int) -> None:
    Looker.stock, Looker.looked = [7], []
    world = World(Looker)
    alice = world.user("alice")
    await world.direct(alice)
    world.kill_after(commits)
    for words in ("take", "2", "count"):
        await alice.says(words)
    said = [each.body for each in await alice.hears_all()]
    assert said == ["No price: nobody knows", "7 left. How many?", "2 of 7", "2"]
    world.check()


class Lists(Plugin):
    """Asks one thing after another, and each question stays open."""

    replays: ClassVar[list[str]] = []

    @command("fruit", help="Fruit")
    async def fruit(self, ctx: Context) -> None:
        ctx.start(self.pick, "fruit", ["Apple", "Pear"])

    @command("tree", help="Trees")
    async def tree(self, ctx: Context) -> None:
        ctx.start(self.pick, "tree", ["Oak", "Elm"])

    @dialog
    async def pick(self, d: Dialog, what: str, options: list[str]) -> None:
        self.replays.append(what)
        await d.say(await d.choose(f"Which {what}?", options))


@pytest.mark.parametrize("restarted", [False, True])
async def test_words_that_no_open_question_understands_replay_none(restarted: bool) -> None:
    Lists.replays = []
    world = World(Lists)
    alice = world.user("alice")
    await alice.says("fruit")
    await alice.says("tree")
    await alice.hears_all()
    if restarted:
        await world.restart()
    Lists.replays = []
    await alice.says("what?")
    answer = (await alice.hears()).body
    assert Lists.replays == (["tree", "fruit"] if restarted else [])
    assert answer, "they are answered all the same"
    await alice.says("pear")
    assert (await alice.hears()).body == "Pear"
    assert "fruit" in Lists.replays
    await alice.says("oak")
    assert (await alice.hears()).body == "Oak"
    world.check()

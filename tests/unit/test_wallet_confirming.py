"""Nothing but a code that the payer types in their own chat confirms a payment. Each test tries another way."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bots.domain.money import Money
from bots.domain.payments import PaymentState
from bots.framework import Context, Plugin, message
from bots.framework.content import poll, poll_start
from bots.framework.testing import Person
from bots.framework.testing.homeserver import Message
from tests.support.money import WALLET, MoneyWorld, code_in


class Other(Plugin):
    """Another bot, which says whatever it is told to."""

    name = "other"

    @message(regex="^say (?P<what>.+)")
    async def parrot(self, ctx: Context, what: str) -> None:
        """Say it, into the room at hand."""
        ctx.say(what, notice=False)


@pytest.fixture
async def world() -> AsyncIterator[MoneyWorld]:
    """A world with money."""
    made = MoneyWorld(Other)
    yield made
    await made.stop()


@pytest.fixture
async def alice(world: MoneyWorld) -> Person:
    """She has 100.00 EUR."""
    await world.owner("bob")
    await world.owner("mallory", "100")
    return await world.opened("alice", "100")


async def asked(alice: Person, what: str = "pay @bob 20 EUR for lunch") -> tuple[Message, str]:
    """A payment that waits for its code."""
    await alice.says(what)
    question = await alice.hears()
    return question, code_in(question)


async def nothing_paid(world: MoneyWorld) -> None:
    """Nobody has paid anything."""
    await world.settle()
    assert await world.has("@alice:world") == Money.of(100, "EUR")
    assert await world.has("@mallory:world") == Money.of(100, "EUR")
    assert await world.has("@bob:world") == Money.of(0, "EUR")
    world.check()


async def test_the_code_confirms(world: MoneyWorld, alice: Person) -> None:
    question, code = await asked(alice)
    for part in ("€20.00", "Bob (@bob:world)", "lunch", "Fee: €0.00. Total: €20.00.", "never paid them", "5 minutes"):
        assert part in question.body
    assert question.body.index("@bob:world") < question.body.index(code), "the code comes last"
    await alice.says(code)
    assert "✅ Paid: €20.00 to Bob (@bob:world)." in (await alice.hears()).body
    await alice.hears_nothing()
    assert await world.has(alice) == Money.of(80, "EUR")
    world.check()


@pytest.mark.parametrize("way", ["confirm {}", "Confirm {}", "!confirm {}", "{}", "@wallet {}", "wallet: confirm {}"])
async def test_ways_to_write_it(world: MoneyWorld, alice: Person, way: str) -> None:
    _question, code = await asked(alice)
    await alice.says(way.format(f"{code[:3]} {code[3:]}"))
    assert "✅ Paid" in (await alice.hears()).body
    world.check()


@pytest.mark.parametrize("key", ["👍", "✅", "1️⃣", "yes"])
async def test_a_reaction_does_not_confirm(world: MoneyWorld, alice: Person, key: str) -> None:
    question, code = await asked(alice)
    await alice.reacts(key, question)
    await alice.reacts(code, question)
    await nothing_paid(world)


async def test_a_vote_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    _question, code = await asked(alice)
    room = await world.direct(alice)
    start = await world.send(room, WALLET, "org.matrix.msc3381.poll.start", poll_start(poll("Pay?", [code, "no"])))
    await alice.votes(code, poll=start)
    await nothing_paid(world)


@pytest.mark.parametrize("word", ["yes", "ok", "confirm", "pay", "y", "👍"])
async def test_plain_words_do_not_confirm(world: MoneyWorld, alice: Person, word: str) -> None:
    await asked(alice)
    await alice.says(word)
    await nothing_paid(world)


async def test_an_edit_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    before = await alice.says("hello")
    await alice.hears_all()
    _question, code = await asked(alice)
    await alice.edits(before, code)
    wrong = await alice.says("confirm")
    await alice.edits(wrong, f"confirm {code}")
    await nothing_paid(world)


async def test_a_redaction_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    question, _code = await asked(alice)
    await alice.redacts(question)
    await nothing_paid(world)


async def test_a_quoted_code_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    question, code = await asked(alice)
    quoted = f"> <{WALLET}> {code}\n\nwhat is this?"
    await alice.says(quoted, reply_to=question)
    await alice.says(f"> {code}")
    await alice.says(f"> <{WALLET}> confirm {code}\n\n", reply_to=question)
    html = f"<blockquote>{code}</blockquote>"
    await alice.says(code, content={"format": "org.matrix.custom.html", "formatted_body": html})
    await nothing_paid(world)


async def test_a_typed_code_in_reply_to_the_question_confirms(world: MoneyWorld, alice: Person) -> None:
    question, code = await asked(alice)
    await alice.says(f"> <{WALLET}> {question.body.splitlines()[0]}\n\n{code}", reply_to=question)
    assert "✅ Paid" in (await alice.hears()).body


async def test_a_forwarded_code_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    question, code = await asked(alice)
    await alice.says(code, content={"m.forwarded": {"event_id": question.event_id}})
    assert "type the code yourself" in (await alice.hears()).body
    await alice.says(question.body)
    await nothing_paid(world)


@pytest.mark.parametrize("msgtype", ["m.notice", "m.emote"])
async def test_only_a_plain_message_confirms(world: MoneyWorld, alice: Person, msgtype: str) -> None:
    _question, code = await asked(alice)
    await alice.says(code, content={"msgtype": msgtype})
    await nothing_paid(world)


async def test_the_code_of_another_payment_pays_that_one_alone(world: MoneyWorld, alice: Person) -> None:
    _lunch, lunch = await asked(alice)
    _dinner, dinner = await asked(alice, "pay @bob 30 EUR for dinner")
    assert lunch != dinner
    await alice.says(dinner)
    assert "dinner" in (await alice.hears()).body
    assert await world.has("@bob:world") == Money.of(30, "EUR")
    await alice.says(dinner)
    assert "paid already" in (await alice.hears()).body
    assert await world.has("@bob:world") == Money.of(30, "EUR"), "its code does not pay the other"
    await alice.says(lunch)
    assert "lunch" in (await alice.hears()).body
    assert await world.has("@bob:world") == Money.of(50, "EUR")
    world.check()


async def test_another_person_s_code_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    mallory = world.user("mallory")
    _question, code = await asked(alice)
    await mallory.says(code)
    assert "Nothing" in (await mallory.hears_all())[-1].body
    await mallory.says("pay @bob 1 EUR")
    own = code_in(await mallory.hears())
    assert own != code
    await mallory.says(code)
    assert "That is not the code" in (await mallory.hears()).body
    await nothing_paid(world)


async def test_another_person_cannot_type_it_in_the_payer_s_chat(world: MoneyWorld, alice: Person) -> None:
    """Somebody who has come into the chat: it is not the payer's own any more, for either of them."""
    _question, code = await asked(alice)
    mallory, room = world.user("mallory"), await world.direct(alice)
    await mallory.joins(room)
    await mallory.says(f"!confirm {code}", room=room)
    await alice.says(f"!confirm {code}", room=room)
    heard = [each.body for each in await alice.hears_all(room)]
    assert sum("only in our own chat" in body for body in heard) == 2
    await nothing_paid(world)


async def test_an_expired_code_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    _question, code = await asked(alice)
    await world.pass_time(minutes=5, seconds=1)
    await alice.hears_nothing()
    await alice.says(code)
    assert "too old" in (await alice.hears()).body
    await nothing_paid(world)


async def test_a_repeated_code_pays_once(world: MoneyWorld, alice: Person) -> None:
    _question, code = await asked(alice)
    await alice.says(code)
    assert "✅ Paid" in (await alice.hears()).body
    await alice.says(code)
    again = (await alice.hears()).body
    assert "paid already" in again
    assert (await world.payment_of(alice)).id in again
    assert await world.has(alice) == Money.of(80, "EUR")
    world.check()


async def test_a_replaced_code_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    bob = world.user("bob")
    await world.room("flat", alice, bob)
    await bob.says("request 20 EUR from @alice")
    await bob.hears_all()
    assert "“pay 1”" in (await alice.hears()).body
    _first, old = await asked(alice, "pay 1")
    _second, new = await asked(alice, "pay 1")
    await alice.says(old)
    assert "newer code" in (await alice.hears()).body
    await nothing_paid(world)
    await alice.says(new)
    assert "✅ Paid" in (await alice.hears()).body
    world.check()


async def test_another_room_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    room = await world.room("flat", alice, world.user("bob"))
    await world.quiet(room, alice)
    _question, code = await asked(alice)
    await alice.says(f"!confirm {code}", room=room)
    assert "only in our own chat" in (await alice.hears(room)).body
    await alice.says(f"!{code}", room=room)
    assert "only in our own chat" in (await alice.hears(room)).body
    await alice.says(code, room=room)
    await alice.hears_nothing(room)
    await nothing_paid(world)


async def test_another_chat_of_the_two_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    """The right person and nobody else, yet not where the code was shown."""
    _question, code = await asked(alice)
    second = await world.room("second", alice)
    await world.change_member(second, "@other:world", "leave")
    await world.quiet(second, alice)
    await alice.says(code, room=second)
    assert "only in the chat where I showed it" in (await alice.hears(second)).body
    await nothing_paid(world)


async def test_another_bot_does_not_confirm(world: MoneyWorld, alice: Person) -> None:
    _question, code = await asked(alice)
    room = await world.direct(alice)
    await world.change_member(room, "@other:world", "join")
    await alice.says(f"say confirm {code}", room=room)
    await alice.says(f"say {code}", room=room)
    await world.send(room, "@other:world", "m.room.message", {"msgtype": "m.text", "body": code})
    await world.send(room, "@other:world", "m.room.message", {"msgtype": "m.text", "body": f"confirm {code}"})
    await nothing_paid(world)


async def test_a_chat_with_another_bot_in_it_is_no_own_chat(world: MoneyWorld, alice: Person) -> None:
    _question, code = await asked(alice)
    room = await world.direct(alice)
    await world.change_member(room, "@other:world", "join")
    await alice.says(code)
    assert any("only in our own chat" in each.body for each in await alice.hears_all())
    await nothing_paid(world)


async def test_an_open_chat_is_no_own_chat(world: MoneyWorld, alice: Person) -> None:
    _question, code = await asked(alice)
    (await world.direct(alice)).encrypted = False
    await alice.says(code)
    assert "only in our own chat" in (await alice.hears()).body
    await nothing_paid(world)


async def test_wrong_codes_lock(world: MoneyWorld, alice: Person) -> None:
    _question, code = await asked(alice)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    await alice.says(wrong)
    assert "You have 2 more tries." in (await alice.hears()).body
    await alice.says(wrong)
    assert "one more try" in (await alice.hears()).body
    await alice.says(wrong)
    assert "Too many wrong codes" in (await alice.hears()).body
    await alice.says(code)
    assert "Too many wrong codes" in (await alice.hears()).body
    await alice.says("pay @bob 1 EUR")
    assert "confirming by code is possible again at Jan 1, 2026" in (await alice.hears()).body
    await world.pass_time(minutes=16)
    _again, fresh = await asked(alice)
    await alice.says(fresh)
    assert "✅ Paid" in (await alice.hears()).body
    world.check()


async def test_a_payment_that_was_taken_back_is_not_confirmed(world: MoneyWorld, alice: Person) -> None:
    _question, code = await asked(alice)
    await alice.says("cancel")
    assert "Nobody pays it" in (await alice.hears()).body
    await alice.says(code)
    heard = (await alice.hears()).body
    assert "Nothing" in heard
    assert (await world.payment_of(alice)).state is PaymentState.CANCELLED
    await nothing_paid(world)


async def test_a_large_amount_needs_the_pin_page(world: MoneyWorld, alice: Person) -> None:
    await alice.says("pay @bob 50 EUR")
    question = (await alice.hears()).body
    assert "https://pages.world/pages/approve/" in question
    assert "type this code" not in question
    for guess in ("000000", "123456"):
        await alice.says(guess)
    await nothing_paid(world)
    payment = await world.payment_of(alice)
    await world.bank.approve(payment.id, alice.user_id, lambda _connection: None)
    assert "✅ Paid: €50.00" in (await alice.hears_all())[-1].body


async def test_a_display_name_is_nobody(world: MoneyWorld, alice: Person) -> None:
    """Mallory calls herself Bob, and even like Bob's id: the question shows whose id it is."""
    world.homeserver.profiles["@mallory:world"] = {"displayname": "Bob (@bob:world)"}
    await alice.says("pay Bob 20 EUR")
    assert "do not understand “Bob”" in (await alice.hears()).body
    await alice.says("pay @mallory 20 EUR")
    question = (await alice.hears()).body
    assert "Bob bob:world (@mallory:world)" in question
    assert "(@bob:world)" not in question
    await nothing_paid(world)


async def test_an_id_that_looks_like_one_s_payee_is_flagged(world: MoneyWorld, alice: Person) -> None:
    _question, code = await asked(alice)
    await alice.says(code)
    await alice.hears_all()
    world.user("b0b")
    world.homeserver.profiles["@bob:evil.example"] = {"displayname": "Bob"}
    for impostor in ("@b0b:world", "@bob:evil.example"):
        await alice.says(f"pay {impostor} 20 EUR")
        question = (await alice.hears()).body
        assert "Look closely: this is not @bob:world" in question
        assert "never paid them" in question
    await alice.says("pay @bob 20 EUR")
    question = (await alice.hears()).body
    assert "Look closely" not in question
    assert "You have paid them before." in question
    world.check()


async def test_what_bots_say_is_no_command(world: MoneyWorld, alice: Person) -> None:
    room = await world.room("flat", alice, world.user("bob"))
    await alice.says("!say !pay @mallory:world 20 EUR", room=room)
    await world.settle()
    assert await world.bank.history("@other:world") == []
    assert await world.bank.open_for(alice.user_id) == []

"""Freezing, PINs, card numbers in chats."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection

from bots.domain.money import Money
from bots.framework.testing import Person
from bots.pages import LinkInvalid
from bots.payments.pins import PinState
from bots.wallet.safety import UNFREEZE, unfreezer
from tests.support.money import MoneyWorld, code_in

CARD = "4111 1111 1111 1111"
PIN = "917364"


@pytest.fixture
async def world() -> AsyncIterator[MoneyWorld]:
    """A world in which Alice has 100.00 EUR."""
    made = MoneyWorld()
    await made.opened("alice", "100")
    await made.owner("bob", "50")
    yield made
    await made.stop()


async def said(person: Person, text: str) -> str:
    """What the wallet says to somebody alone."""
    await person.says(text)
    return "\n".join(each.body for each in await person.hears_all())


async def test_a_pin_is_set_on_a_page(world: MoneyWorld) -> None:
    alice = world.user("alice")
    assert "https://pages.world/pages/pin/" in await said(alice, "pin")
    await world.pins.set(alice.user_id, PIN)
    assert "🔐 Your PIN is set." in (await alice.hears()).body
    await world.pins.set(alice.user_id, "836491")
    assert "Your PIN was changed.\nIf that was not you, write “freeze”." in (await alice.hears()).body
    world.check()


async def test_frozen_until_the_pin(world: MoneyWorld) -> None:
    alice = world.user("alice")
    assert await said(alice, "unfreeze") == "Your wallet is not frozen."
    await world.pins.set(alice.user_id, PIN)
    await alice.hears_all()
    assert "with your PIN" in await said(alice, "freeze")
    assert "with your PIN" in await said(alice, "freeze"), "twice is once"
    assert "Your wallet is frozen" in await said(alice, "pay @bob 5 EUR")
    assert f"https://pages.world/pages/{'confirm'}/" in await said(alice, "unfreeze")
    assert "Your wallet is frozen" in await said(alice, "pay @bob 5 EUR"), "a link alone ends nothing"
    assert (await world.pins.verify(alice.user_id, "000000")).state is PinState.WRONG
    unfreeze = unfreezer(world.database, world.guard, world.audit, world.clock)
    await unfreeze(alice.user_id, lambda _connection: None)
    assert "To confirm" in await said(alice, "pay @bob 5 EUR")
    actions = [each.action for each in await world.audit.list()]
    assert "wallet.freeze" in actions
    assert "wallet.unfreeze" in actions
    assert UNFREEZE == "unfreeze"
    world.check()


async def test_without_a_pin_only_the_operator_ends_it(world: MoneyWorld) -> None:
    alice = world.user("alice")
    assert "only the operator" in await said(alice, "freeze")
    assert "only the operator" in await said(alice, "unfreeze")
    assert "a first PIN can be set when it is not" in await said(alice, "pin")
    assert not [link for link in world.links_made if "/pin/" in link or "/confirm/" in link]
    world.check()


async def test_a_link_from_before_sets_no_pin_that_ends_the_freeze(world: MoneyWorld) -> None:
    alice = world.user("alice")
    found = re.search(r"/pages/pin/(\S+)", await said(alice, "pin"))
    assert found is not None
    links, token = world.pins._links, found[1]

    def peek(connection: Connection) -> None:
        links.peek(connection, token, "pin", world.clock.now_ms())

    await world.database.read(peek)
    await said(alice, "freeze")
    with pytest.raises(LinkInvalid) as invalid:
        await world.database.read(peek)
    assert invalid.value.why == "expired"
    world.check()


async def test_what_the_operator_holds(world: MoneyWorld) -> None:
    alice = world.user("alice")
    now = world.clock.now_ms()
    await world.database.write(lambda c: world.guard.freeze(c, alice.user_id, "operator", now))
    assert "held by the operator" in await said(alice, "pay @bob 5 EUR")
    assert "only they can end that" in await said(alice, "unfreeze")
    world.check()


async def test_money_still_comes_into_a_frozen_wallet(world: MoneyWorld) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    await said(alice, "freeze")
    await bob.says("pay @alice 5 EUR")
    await bob.says(code_in(*await bob.hears_all()))
    assert await world.has(alice) == Money.of(105, "EUR")
    world.check()


async def test_freezing_in_a_group(world: MoneyWorld) -> None:
    alice = world.user("alice")
    room = await world.room("flat", alice, world.user("bob"))
    await world.quiet(room, alice)
    await alice.says("!freeze", room=room)
    assert [each.body for each in await alice.hears_all(room)] == ["✓ I have answered you in our own chat."]
    assert "frozen" in (await alice.hears()).body
    world.check()


def levels(world: MoneyWorld, **power: Any) -> None:
    """The power levels and the creation of every room."""
    real = world.homeserver.request

    async def request(method: str, path: str, **given: Any) -> Any:
        if "m.room.power_levels" in path and "levels" in power:
            return power["levels"]
        if "m.room.create" in path and "create" in power:
            return power["create"]
        return await real(method, path, **given)

    world.homeserver.request = request  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "text", [CARD, f"my card is {CARD} 12/29", f"pay @bob 5 EUR for {CARD}", f"top up 5 EUR {CARD}"]
)
async def test_a_card_number_is_taken_away(world: MoneyWorld, text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    levels(world, levels={"users": {"@wallet:world": 100}, "redact": 50})
    alice = world.user("alice")
    message = await alice.says(text)
    warning = (await alice.hears()).body
    assert "I have removed your message" in warning
    assert message.redacted
    assert "1111" not in warning
    assert "1111" not in caplog.text
    await alice.hears_nothing()
    assert await world.bank.history(alice.user_id) == [], "and nothing else is made of it"
    world.check()


@pytest.mark.parametrize(
    "power",
    [
        {},
        {"levels": {"users": {"@wallet:world": 0}, "redact": 50}},
        {"levels": {"users": {"@wallet:world": 50}, "redact": 50, "events": {"m.room.redaction": 100}}},
        {"levels": {"users": {"@alice:world": 100}}, "create": {"room_version": "12"}},
        {"levels": {"users": "odd"}},
    ],
)
async def test_or_the_person_is_asked_to(world: MoneyWorld, power: dict[str, Any]) -> None:
    levels(world, **power)
    message = await world.user("alice").says(CARD)
    assert "Please delete your message" in (await world.user("alice").hears()).body
    assert not message.redacted
    world.check()


async def test_who_made_a_room_of_the_newest_kind_may(world: MoneyWorld) -> None:
    create = {"room_version": "12", "additional_creators": ["@wallet:world"]}
    levels(world, levels={"users": {}}, create=create)
    message = await world.user("alice").says(CARD)
    assert message.redacted
    world.check()


async def test_card_numbers_among_people(world: MoneyWorld) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("flat", alice, bob)
    await world.quiet(room, alice, bob)
    await bob.says(f"take my card: {CARD}", room=room)
    assert "card number" in (await alice.hears(room)).body
    lunch = await bob.says("lunch?", room=room)
    await bob.edits(lunch, f"on my card {CARD}")
    assert "card number" in (await alice.hears(room)).body
    await bob.says("my number is 0170 1234567, order 4111-1111", room=room)
    await alice.hears_nothing(room)
    await bob.says("see you at lunch", room=room)
    await alice.hears_nothing(room)
    world.check()

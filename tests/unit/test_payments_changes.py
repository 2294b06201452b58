"""What plugins hear of payments."""

from __future__ import annotations

from typing import Any

import pytest

from appservice.events import Event
from bots.framework import Context, PaymentChange, Plugin, command, payment_changed
from bots.framework.table import DefinitionError, HandlerTable
from bots.framework.testing import World


class Kiosk(Plugin):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard: list[PaymentChange] = []

    @payment_changed
    async def changed(self, ctx: Context, change: PaymentChange) -> None:
        self.heard.append(change)
        ctx.say(ctx.t("It is {state} now.", state=change.state), room_id=await ctx.direct(change.person))


class Deaf(Plugin):
    """Has no such handler."""

    @command("hello", help="Say hello")
    async def hello(self, ctx: Context) -> None:
        ctx.say("Hello.")


async def test_each_change_comes_once() -> None:
    async with World(Kiosk) as world:
        alice = world.user("alice")
        await world.payments.change("01P", "paid", person=alice.user_id, by="mandate")
        assert (await alice.hears()).body == "It is paid now."
        await world.payments.change("01P", "active", person=alice.user_id, about="reminder", due=5, kind="mandate")
        (kiosk,) = world.plugins
        assert isinstance(kiosk, Kiosk)
        assert kiosk.heard == [
            PaymentChange("01P", "invoice", "paid", 1, alice.user_id, by="mandate"),
            PaymentChange("01P", "mandate", "active", 2, alice.user_id, "reminder", "", 5),
        ]
        world.check()


async def test_a_change_survives_a_kill() -> None:
    async with World(Kiosk) as world:
        alice = world.user("alice")
        await world.direct(alice)
        world.kill_after(1)
        await world.payments.change("01P", "paid", person=alice.user_id)
        said = [message.body for message in (await world.direct(alice)).timeline if message.sender == world.bot]
        assert said.count("It is paid now.") == 1
        assert world.restarts == 1


async def test_a_plugin_without_a_handler_does_not_mind() -> None:
    async with World(Deaf) as world:
        await world.payments.change("01P", "paid", person=world.user("alice").user_id)
        world.check()


def test_a_handler_takes_the_change() -> None:
    class Wrong(Plugin):
        @payment_changed
        async def changed(self, ctx: Context) -> None: ...

    with pytest.raises(DefinitionError, match=r"Wrong\.changed"):
        HandlerTable(Wrong(), "wrong")


@pytest.mark.parametrize("content", [{}, {"about": "whatever", "due": "soon", "payment": 5}])
def test_whatever_an_event_holds(content: dict[str, Any]) -> None:
    event = Event("~x", "~r", "@alice:world", "rialto.payment.changed", content, 0)
    change = PaymentChange.of(event)
    assert (change.about, change.due, change.person) == ("state", None, "@alice:world")

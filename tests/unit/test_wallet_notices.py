"""What payers and payees hear of merchants' payments: invoices, dialogs, subscriptions, refunds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest

from bots.domain.intervals import Interval, Unit
from bots.domain.ledger import AccountKind, Transfer
from bots.domain.money import Money
from bots.domain.payments import Line
from bots.framework import Context, Dialog, PaymentChange, Plugin, Setup, command, dialog, payment_changed
from bots.framework.testing import Person
from bots.payments.merchants import Merchants
from tests.support.money import MoneyWorld, code_in

SHOP = "@shop:world"


class Shop(Plugin):
    """Sells tea."""

    name = "shop"
    scopes = frozenset({"payments.charge"})

    def __init__(self, setup: Setup) -> None:
        self._merchants = setup.service(Merchants)
        self.heard: list[PaymentChange] = []

    @command("tea", help="Buy tea")
    async def tea(self, ctx: Context) -> None:
        """An invoice with lines, accepted by the shop."""
        lines = [
            Line("Green tea", Money(400, "EUR"), 2, Decimal("0.07")),
            Line("Pot", Money(1200, "EUR"), 1, Decimal("0.19")),
        ]
        payment = await self._merchants.invoice(
            ctx,
            ctx.sender,
            lines,
            key=ctx.event.event_id,
            memo="Tea time",
            tip=Money(100, "EUR"),
            discount=Money(200, "EUR"),
            accept_within=timedelta(minutes=8),
        )
        ctx.say(payment.id)

    @command("accept", help="Accept it")
    async def accept(self, ctx: Context, payment_id: str) -> None:
        """Take what is held."""
        await self._merchants.capture(ctx, payment_id)

    @command("refund", help="Give some back")
    async def refund(self, ctx: Context, payment_id: str, amount: Money) -> None:
        """Give a part back."""
        await self._merchants.refund(ctx, payment_id, amount, reason="broken", key=ctx.event.event_id)

    @command("club", help="A box each month")
    async def club(self, ctx: Context) -> None:
        """A subscription."""
        await self._merchants.subscribe(
            ctx,
            ctx.sender,
            Money(900, "EUR"),
            every=Interval(1, Unit.MONTH),
            key=ctx.event.event_id,
            memo="Tea club",
            remind=timedelta(days=3),
        )

    @command("buy", help="Buy in a dialog")
    async def buy(self, ctx: Context) -> None:
        """By a dialog."""
        ctx.start(self.selling)

    @dialog
    async def selling(self, d: Dialog) -> None:
        """Pays, or does not."""
        paid = await d.pay(Money(300, "EUR"), to="bot:shop", memo="A cup")
        await d.say("Thank you." if paid else "Then not.")

    @payment_changed
    async def changed(self, ctx: Context, change: PaymentChange) -> None:
        """Remembers."""
        self.heard.append(change)


@pytest.fixture
async def world() -> AsyncIterator[MoneyWorld]:
    """A world with a shop, in which Alice has 100.00 EUR."""
    made = MoneyWorld(Shop, more=lambda world: {Merchants: Merchants(world.bank)})
    await made.opened("alice", "100")
    yield made
    await made.stop()


async def to_shop(world: MoneyWorld, text: str) -> str:
    """What the shop says."""
    alice, room = world.user("alice"), await world.direct(world.user("alice"), SHOP)
    await alice.says(text, room=room)
    return "\n".join(each.body for each in await alice.hears_all(room))


async def heard(person: Person) -> str:
    """What the wallet has told somebody."""
    return "\n".join(each.body for each in await person.hears_all())


async def test_an_invoice(world: MoneyWorld) -> None:
    alice = world.user("alice")
    payment_id = await to_shop(world, "tea")
    (question,) = await alice.hears_all()
    for part in (
        "You pay €19.00 to Shop (@shop:world).",
        "For: Tea time",
        "• 2 × Green tea: €8.00",
        "• 1 × Pot: €12.00",
        "Discount: -€2.00",
        "Tax included, 7 %: €0.47",
        "Tip: €1.00",
        "“pay 1” gives you a new one",
        "type this code here",
    ):
        assert part in question.body
    assert question.content["msgtype"] == "m.text", "it rings"
    await alice.says(code_in(question))
    assert "⏳ Confirmed. €19.00 is set aside until Shop (@shop:world) accepts" in await heard(alice)
    await to_shop(world, f"accept {payment_id}")
    assert "✅ Paid: €19.00 to Shop (@shop:world).\nFor: Tea time" in await heard(alice)
    await to_shop(world, f"refund {payment_id} 4 EUR")
    assert "↩️ Shop (@shop:world) has given you back €4.00 so far; €15.00 stays paid." in await heard(alice)
    await to_shop(world, f"refund {payment_id} 15 EUR")
    assert "↩️ Shop (@shop:world) has given €19.00 back to you." in await heard(alice)
    assert await world.has(alice) == Money.of(100, "EUR")
    await alice.says("receipt")
    assert "Green tea" in (await alice.hears_all())[0].body
    world.check()


async def test_an_invoice_that_is_not_accepted(world: MoneyWorld) -> None:
    alice = world.user("alice")
    await to_shop(world, "tea")
    await alice.says(code_in(*await alice.hears_all()))
    await heard(alice)
    await world.pass_time(minutes=9)
    assert "↩️ €19.00 for Shop (@shop:world) is yours again" in await heard(alice)
    assert await world.has(alice) == Money.of(100, "EUR")
    world.check()


async def test_an_invoice_gets_a_new_code_by_its_number(world: MoneyWorld) -> None:
    alice = world.user("alice")
    await to_shop(world, "tea")
    await heard(alice)
    await world.pass_time(minutes=6)
    await alice.says("requests")
    assert "1. €19.00 to Shop (@shop:world) · Tea time" in await heard(alice)
    await alice.says("pay 1")
    await alice.says(code_in(*await alice.hears_all()))
    assert "⏳ Confirmed" in await heard(alice)
    world.check()


async def test_a_dialog_is_paid(world: MoneyWorld) -> None:
    alice = world.user("alice")
    room = await world.direct(alice, SHOP)
    await alice.says("buy", room=room)
    await alice.hears_all(room)
    question = await alice.hears()
    assert "You pay €3.00 to Shop (@shop:world).\nFor: A cup" in question.body
    await alice.says(code_in(question), room=room)
    await world.settle()
    assert await world.has(alice) == Money.of(100, "EUR"), "not in the shop's chat"
    await alice.says(code_in(question))
    assert "✅ Paid: €3.00 to Shop" in await heard(alice)
    assert (await alice.hears_all(room))[-1].body == "Thank you."
    world.check()


async def test_a_dialog_is_declined(world: MoneyWorld) -> None:
    alice = world.user("alice")
    room = await world.direct(alice, SHOP)
    await alice.says("buy", room=room)
    await heard(alice)
    await alice.says("decline")
    assert "Declined. Nothing was paid." in await heard(alice)
    assert (await alice.hears_all(room))[-1].body == "Then not."
    world.check()


async def test_a_subscription(world: MoneyWorld) -> None:
    alice = world.user("alice")
    await to_shop(world, "club")
    (question,) = await alice.hears_all()
    assert "You allow Shop (@shop:world) to charge you up to €9.00 at a time." in question.body
    assert "You can end this at any time." in question.body
    assert "Every month €9.00 is charged." in question.body
    await alice.says(code_in(question))
    told = await heard(alice)
    assert "✅ Agreed. Shop (@shop:world) can charge you up to €9.00" in told
    assert told.count("✅ Paid: €9.00 to Shop") == 1
    await world.pass_time(days=29)
    told = await heard(alice)
    assert "Shop (@shop:world) charges you €9.00 on Feb 1, 2026" in told
    await alice.says("subscriptions")
    listed = await heard(alice)
    assert "1. €9.00 for Shop (@shop:world), next on Feb 1, 2026 · Tea club" in listed
    await alice.says("unsubscribe 1")
    told = await heard(alice)
    assert "Number 1 has ended" in told
    assert "Shop (@shop:world) can charge you no more." in told
    before = await world.has(alice)
    await world.pass_time(days=40)
    assert await world.has(alice) == before
    await alice.says("subscriptions")
    assert "Nobody may charge you by themselves." in await heard(alice)
    await alice.says("unsubscribe 1")
    assert "You have no subscription 1." in await heard(alice)
    world.check()


async def test_a_subscription_that_is_paused_again_and_goes_on_again(world: MoneyWorld) -> None:
    """Each time is said: it is not the news of before."""
    alice = world.user("alice")
    await to_shop(world, "club")
    await alice.says(code_in(*await alice.hears_all()))
    await world.settle()
    await heard(alice)
    everything = await world.has(alice)
    wallet = await world.ledger.account(alice.user_id, "EUR")
    sink = await world.ledger.account("provider:test", "EUR", AccountKind.PROVIDER)
    await world.ledger.execute([Transfer("all of it", wallet.id, sink.id, everything, "cash_out")])
    for _month in range(2):
        told = ""
        for _day in range(42):
            await world.pass_time(days=1)
            told += await heard(alice)
        assert told.count("Your subscription with Shop (@shop:world) is paused") == 1
        await alice.says("resume 1")
        assert "Your subscription with Shop (@shop:world) goes on." in await heard(alice)
    world.check()


async def test_the_merchant_is_told_too(world: MoneyWorld) -> None:
    alice = world.user("alice")
    await to_shop(world, "tea")
    await alice.says(code_in(*await alice.hears_all()))
    await world.settle()
    (shop,) = [each for each in world.plugins if isinstance(each, Shop)]
    assert [each.state for each in shop.heard] == ["proposed", "held"]
    await alice.hears_all()
    world.check()


async def test_a_bot_is_nobody_to_pay(world: MoneyWorld) -> None:
    alice = world.user("alice")
    world.homeserver.profiles[SHOP] = {"displayname": "Shop"}
    for text in ("pay @shop 5 EUR", "request 5 EUR from @shop", "save @shop as Tea"):
        await alice.says(text)
        assert "@shop:world is a bot. Bots ask for money themselves." in await heard(alice)
    world.check()

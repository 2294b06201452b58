"""Asking for money: of one, of several, of a whole group in shares. Each is asked in their own chat, and pays there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bots.domain.money import Money
from bots.domain.payments import Payment, PaymentState
from bots.framework import Context, InvalidValue, Key
from bots.framework.i18n import _
from bots.framework.own_chat import alone
from bots.wallet import numbers, payees, sentences, words
from bots.wallet.chats import Hearer, aside, hearer
from bots.wallet.means import Means
from bots.wallet.paying import Paying
from bots.wallet.problems import Discreet

REMIND: Final = "remind"
"""The timer that reminds of a request."""
FIRST_REMINDER: Final = timedelta(days=1)
LAST_REMINDER: Final = timedelta(days=1)
"""So long before a request expires, its payer hears of it once more."""
PATIENCE_MS: Final = 20 * 3_600_000
"""Between two reminders that somebody asks for."""
REMINDED: Final = Key("reminded", dict[str, int], default={}, secret=True)
"""When a person has had others reminded of a request, by payment."""
LISTED: Final = 20
OTHER: Final = ("exchange:", "cash:")
"""What waits for a code and nobody has asked for: begun anew it is another offer."""
ANNOUNCED: Final = ("pay:", "qr:", "group:")
"""The keys of payments that somebody began among others begin so, if they have a room at all."""


class Requesting:
    """Requests for money, from asking to the last reminder."""

    def __init__(self, means: Means, paying: Paying) -> None:
        self._means = means
        self._payments = means.payments
        self._paying = paying

    async def request(self, ctx: Context, text: str) -> None:
        """ "12 EUR from @a for pizza": each who is named is asked for the amount."""
        order = await self._order(ctx, text)
        if not order.people:
            raise InvalidValue("wallet.no_payer", _("Whom should I ask? Write their id, such as @bob."), clear=True)
        if order.amount is None:
            raise InvalidValue("wallet.no_amount", _("How much? Write an amount, such as 20 EUR."), clear=True)
        amount = self._means.offered(order.amount)
        await self._ask(ctx, order.people, amount * len(order.people), order.memo, own=False)

    async def split(self, ctx: Context, text: str) -> None:
        """ "90 EUR with @a @b": a share is one's own, the others are asked for theirs."""
        order = await self._order(ctx, text)
        if order.amount is None:
            raise InvalidValue("wallet.no_amount", _("How much? Write an amount, such as 20 EUR."), clear=True)
        total = self._means.offered(order.amount)
        people: Sequence[str] = [each for each in order.people if each != ctx.sender]
        if not order.people and not await alone(ctx):
            people = sorted(each for each in await ctx.humans(joined=True) if each != ctx.sender)
        if not people:
            raise InvalidValue("wallet.no_sharer", _("With whom? Write their ids, such as @bob."), clear=True)
        if len(people) > words.MOST_PEOPLE:
            raise InvalidValue("wallet.too_many_people", _("That is too many people at once."), clear=True)
        own = not order.alone or ctx.sender in order.people
        if total.minor < len(people) + own:
            raise InvalidValue("wallet.crumbs", _("That is less than one coin for each."), clear=True)
        await self._ask(ctx, people, total, order.memo, own=own)

    async def _order(self, ctx: Context, text: str) -> words.Order:
        return words.order(text, self._means.env(ctx), await payees.names(ctx.user_state), ctx.user_id)

    async def _ask(self, ctx: Context, people: Sequence[str], total: Money, memo: str, *, own: bool) -> None:
        """Ask for equal shares. Everybody is checked first: either all are asked, or nobody is."""
        rooms = [await self._room(ctx, person) for person in people]
        announced = not await alone(ctx)
        made = await self._payments.split(
            payee=ctx.sender,
            people=people,
            total=total,
            memo=memo,
            key=f"{'group' if announced else 'aside'}:{ctx.event.event_id}",
            origin_room=ctx.room_id if announced else rooms[0],
            own_share=own,
        )
        await self._told(ctx, made.payments, made.own if own else None)

    async def _room(self, ctx: Context, person: str) -> str:
        """The chat that the person at hand shares with somebody who is to be asked.

        Raises:
            InvalidValue: they cannot be asked.
        """
        await self._means.registry.check(ctx, person)
        if (await ctx.members()).get(person) == "join":
            return ctx.room_id
        shared = await self._means.rooms.shared(ctx.sender, person, ctx.user_id)
        if shared is not None:
            return shared
        raise Discreet(
            "wallet.no_shared_room",
            _("I can only ask people you share a chat with, and I see none with {person}. Ask them in a chat where all "
              "three of us are."),
            clear=True,
            person=person,
        )  # fmt: skip

    async def _told(self, ctx: Context, made: Sequence[Payment], own: Money | None) -> None:
        """Whoever asks hears the numbers where nobody else reads; a group hears that its people were asked."""
        names = [await self._means.full(ctx, each.payer) for each in made]
        if not await alone(ctx):
            ctx.say(ctx.t("✓ I have asked {people} in private.", people=names), reply=True)
            to = await hearer(ctx, ctx.sender)
        else:
            to = await aside(ctx)
        lines = [to.t("Asked for:")]
        for payment, name in zip(made, names, strict=True):
            number = await numbers.number(ctx.user_state, payment.id)
            lines.append(to.t("{number}. {amount} from {person}", number=number, amount=payment.amount, person=name))
        if own is not None:
            lines.append(to.t("Your own share: {amount}", amount=own))
        if made[0].memo:
            lines.append(to.t("For: {memo}", memo=made[0].memo))
        lines.append(to.t("They have time until {time}. “cancel” and a number takes one back.",
                          time=sentences.at(made[0].expires_at)))  # fmt: skip
        to.tell(ctx, "\n".join(lines))

    # What is open

    async def show(self, ctx: Context) -> None:
        """Open requests, those to the person first, then their own; the latest first."""
        to, now = await aside(ctx), ctx.now_ms()
        asked = [each for each in await self._payments.open_for(ctx.sender) if not each.key.startswith(OTHER)]
        asking = [each for each in await self._payments.requested_by(ctx.sender) if each.expires_at > now]
        mine = [await self._line(ctx, to, each) for each in reversed(asked[-LISTED:])]
        theirs = [await self._line(ctx, to, each) for each in reversed(asking[-LISTED:])]
        lines: list[str] = []
        if mine:
            lines += [to.t("You are asked for:"), *mine, to.t("“pay 3” pays number 3, “decline 3” does not.")]
        if theirs:
            lines += [to.t("You have asked for:"), *theirs, to.t("“cancel 3” takes number 3 back, “remind 3” reminds.")]
        to.tell(ctx, "\n".join(lines) if lines else to.t("No request is open."))

    async def _line(self, ctx: Context, to: Hearer, payment: Payment) -> str:
        number = await numbers.number(ctx.user_state, payment.id)
        incoming = payment.payer == ctx.sender
        owner = payment.payee if incoming else payment.payer
        name = await self._means.full(ctx, owner) if owner else to.t("whoever scans the code")
        line = to.t("{number}. {amount} from {person}", number=number, amount=payment.amount, person=name)
        if incoming:
            line = to.t("{number}. {amount} to {person}", number=number, amount=payment.amount, person=name)
        return f"{line} · {payment.memo}" if payment.memo else line

    # Reminders

    def remind_later(self, ctx: Context, payment: Payment) -> None:
        """Put reminders off: one after a day, and one before it is too late. For the payer, in the payer's order."""
        begin = datetime.fromtimestamp(ctx.now_ms() / 1000, UTC)
        end = sentences.at(payment.expires_at)
        moments = {begin + FIRST_REMINDER, end - LAST_REMINDER}
        for place, moment in enumerate(sorted(each for each in moments if begin < each < end)):
            ctx.later(moment, REMIND, {"payment": payment.id, "place": place}, key=f"remind {payment.id} {place}")

    async def reminded(self, ctx: Context, data: dict[str, Any]) -> None:
        """The time has come: say it again, if it still is to be paid."""
        payment = await self._payments.get(str(data["payment"]))
        if payment is not None:
            await self.remind_payer(ctx, payment, f"reminder {payment.id} {data['place']}")

    async def remind_payer(self, ctx: Context, payment: Payment, key: str) -> None:
        """Tell a payer of a request once more, once for a key."""
        if payment.state is not PaymentState.PROPOSED or payment.expires_at <= ctx.now_ms() or not payment.payer:
            return
        to = await hearer(ctx, payment.payer)
        number = await numbers.number(ctx.states.user(payment.payer), payment.id)
        name = await self._means.full(ctx, payment.payee)
        text = to.t("A reminder: {person} has asked you for {amount}.", person=name, amount=payment.amount)
        how = to.t("“pay {number}” pays it, “decline {number}” does not. It ends by {time}.", number=number,
                   time=sentences.at(payment.expires_at))  # fmt: skip
        memo = [to.t("For: {memo}", memo=payment.memo)] if payment.memo else []
        to.tell(ctx, "\n".join([text, *memo, how]), key=key, ring=True)

    async def remind(self, ctx: Context, text: str) -> None:
        """Have somebody reminded now; of one request once a day."""
        wanted = words.number_of(text)
        if wanted is None:
            raise InvalidValue("wallet.which", _("Which one? Write its number, as “requests” shows it."))
        payment = await self._paying.numbered(ctx, wanted)
        if payment.payee != ctx.sender or not payment.payer:
            raise Discreet("wallet.not_asked", _("Only who asks for money reminds of it."), clear=True)
        to = await aside(ctx)
        if payment.state is not PaymentState.PROPOSED:
            to.tell(ctx, await self._paying.as_it_stands(ctx, to, payment))
            return
        before = (await ctx.user_state.get(REMINDED)).get(payment.id, payment.created_at)
        if ctx.now_ms() - before < PATIENCE_MS:
            to.tell(ctx, to.t("They have heard of it today already."))
            return
        now = ctx.now_ms()
        await ctx.user_state.update(REMINDED, lambda known: dict([*known.items(), (payment.id, now)][-numbers.KEPT :]))
        await self.remind_payer(ctx, payment, f"reminder {payment.id} {ctx.event.event_id}")
        to.tell(ctx, to.t("I have reminded them."))

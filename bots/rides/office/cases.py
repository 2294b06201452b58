"""Disputes, complaints and lost things: what waits for the operator, and what they decide (it is in the audit log)."""

from __future__ import annotations

from typing import Final

from bots.domain.money import Money
from bots.domain.trips import Trip, TripRefused
from bots.fleet.cases import TripCase, TripCaseKind, TripCaseState
from bots.fleet.news import News, TripNews
from bots.framework import Context, InvalidValue, Rest, command
from bots.framework.i18n import Translator, _
from bots.framework.own_chat import own_chat
from bots.framework.permissions import Role
from bots.rides.office import texts
from bots.rides.office.base import PAGE, OfficeBase, one_line, read_refund

__all__ = ["Cases"]

KINDS: Final = {TripCaseKind.DISPUTE: _("dispute"), TripCaseKind.LOST_ITEM: _("lost item")}
"""As people read them."""


class Cases(OfficeBase):
    """Commands about cases, for the office to inherit."""

    @command(
        "disputes", help=_("Disputes and lost things that wait for you"), permission=Role.OPERATOR,
        aliases=("complaints",),
    )  # fmt: skip
    async def office_cases(self, ctx: Context) -> None:
        """What riders and drivers complain of, the oldest first."""
        if not await self.at_office(ctx):
            return
        parts = []
        queue = await self.fleet.cases.queue(ctx, PAGE + 1)
        for case in queue[:PAGE]:
            trip = await self.fleet.trips.get(ctx, case.trip)
            if trip is not None:
                parts.append(_card(ctx.translator, case, trip))
        if len(queue) > PAGE:
            parts.append(ctx.t("There are more: decide these first."))
        ctx.say("\n\n".join(parts) if parts else ctx.t("There are none."))

    @command("disputes settle", help=_("Decide for the rider: disputes settle 7KD2F 5.00 and why"),
             permission=Role.OPERATOR)  # fmt: skip
    async def settle_case(self, ctx: Context, number: str, words: Rest = "") -> None:
        """Decide a case of a trip for the rider: with an amount that goes back to them, or “all”, and an answer that
        they read."""
        found = await self._case(ctx, number)
        if found is None:
            return
        case, trip = found
        paid = trip.quoted if trip.due is None else trip.due
        try:
            back, _again, answer = read_refund(ctx, words, paid)
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        await self._decide_case(ctx, case, answer, back)

    @command("disputes close", help=_("Decide a case without money"), permission=Role.OPERATOR)
    async def close_case(self, ctx: Context, number: str, words: Rest = "") -> None:
        """Decide a case of a trip without giving money back; who has opened it reads the answer."""
        found = await self._case(ctx, number)
        if found is not None:
            await self._decide_case(ctx, found[0], one_line(words), None)

    async def _case(self, ctx: Context, number: str) -> tuple[TripCase, Trip] | None:
        trip = await self.office_trip(ctx, number)
        if trip is None:
            return None
        cases = await self.fleet.cases.of_trip(ctx, trip.id)
        # Disputes first: their money waits.
        waiting = sorted(
            (case for case in cases if case.state is TripCaseState.OPEN),
            key=lambda case: (case.kind is not TripCaseKind.DISPUTE, case.opened_at),
        )
        if waiting:
            return waiting[0], trip
        if cases:
            ctx.say(ctx.t("That is decided already: {answer}", answer=cases[0].answer))
        else:
            ctx.say(ctx.t("Nobody complains of trip {number}.", number=trip.number))
        return None

    async def _decide_case(self, ctx: Context, case: TripCase, answer: str, back: Money | None) -> None:
        if not answer:
            ctx.say(ctx.t("Please say why: they are told."))
            return
        try:
            after, trip = await self.fleet.cases.decide(ctx, case, ctx.sender, answer, back)
        except TripRefused as error:
            self.office_refused(ctx, error)
            return
        if case.kind is TripCaseKind.LOST_ITEM:
            # Of disputes who it is about is told by the listeners of the fleet.
            say = await self.office_words_of(ctx, case.person)
            told = say.t("The operator answers about trip {number}: {answer}", number=trip.number, answer=answer)
            ctx.say(told, room_id=await own_chat(ctx, case.person), notice=False)
        amount = {} if back is None else {"back": str(back)}
        self.office_audited(ctx, "ride.decide", f"case:{case.id}", trip=trip.id, answer=after.answer, **amount)
        if back is None:
            ctx.say(ctx.t("Decided. The case of trip {number} is closed.", number=trip.number))
        else:
            ctx.say(ctx.t("Decided. {amount} of trip {number} goes back.", amount=back, number=trip.number))

    async def trip_told_office(self, ctx: Context, news: TripNews) -> None:
        """Tell operators that somebody complains. A hook of the trips."""
        kind = {News.DISPUTED: TripCaseKind.DISPUTE, News.LOST_ITEM: TripCaseKind.LOST_ITEM}.get(news.news)
        if kind is None:
            return
        trip = news.after
        cases = await self.fleet.cases.of_trip(ctx, trip.id)
        waiting = [case for case in cases if case.state is TripCaseState.OPEN and case.kind is kind]

        def sentence(say: Translator) -> str:
            return "\n\n".join([say.t("A case waits for you:"), *(_card(say, case, trip) for case in waiting)])

        await self.tell_office(ctx, sentence)


def _card(say: Translator, case: TripCase, trip: Trip) -> str:
    return "\n".join([
        say.t("{kind}, opened {time} by {person}", kind=say.t(KINDS[case.kind]), time=case.opened_at,
              person=case.person),
        texts.trip_line(say, trip),
        say.t("“{words}”", words=case.text),
        say.t("“disputes settle {number} AMOUNT” or “disputes close {number}”, and why", number=trip.number),
    ])  # fmt: skip

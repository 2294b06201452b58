"""What riders are told when something happens to their trips: one table, and a card where there is more to say.

A hook of the fleet: it may be called in the handler of a driver, an operator or a round, so it always names the room it
speaks in and takes the rider's own language. Nobody is told what they have just done themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from bots.domain.drivers import Driver
from bots.domain.trips import ENDED, HAS_DRIVER, MONEY, Trip, TripAction, TripKind, TripMoney, TripState
from bots.fleet.news import News, TripNews
from bots.framework import Context, timer
from bots.framework import content as contents
from bots.framework.i18n import Translation, _
from bots.rides.riding.base import Rider
from bots.rides.riding.texts import about, driver_line, hour, moment, pin_words, place_words, short, trip_name

__all__ = ["Telling"]

SEARCH_WORDS: Final = "ride_searching"
ENDED_TIMER: Final = "ride_ended"
RECEIPT: Final = "ride_receipt"
FOLLOW: Final = "ride_follow"
CASE_DECIDED: Final = "ride_decided"
SEARCHED_S: Final = (30, 75)
"""Seconds of a search after which its message says how it goes."""


@dataclass(frozen=True, slots=True)
class Told:
    """The sentence of an action, for a ride and for something that is brought; empty: nothing is said. ``ring``: the
    rider's client rings."""

    ride: str = ""
    parcel: str = ""
    ring: bool = False

    def of(self, trip: Trip) -> str:
        """For this trip."""
        return self.parcel or self.ride if trip.kind is not TripKind.RIDE else self.ride


A = TripAction
TOLD: Final[Mapping[TripAction, Told]] = MappingProxyType(
    {
        A.ASK_PAYMENT: Told(_("It is almost time for {trip}.")),
        A.SEARCH: Told(_("{trip}: I am looking for a driver …"), _("{trip}: I am looking for a courier …")),
        A.DECLINE_PAYMENT: Told(_("{trip} was not paid: it is off."), ring=True),
        A.MATCH: Told(_("A driver is on the way."), _("A courier is on the way."), ring=True),
        A.LOSE_DRIVER: Told(
            _("The driver cannot come after all. I am looking for another one: you are first in line."),
            _("The courier cannot come after all. I am looking for another one: you are first in line."),
            ring=True,
        ),
        A.ARRIVE: Told(_("Your driver is there."), _("The courier is there to fetch it."), ring=True),
        A.START: Told(_("You are on the way."), _("The courier has it, and is on the way.")),
        A.CHANGE: Told(_("The way of {trip} is changed. It costs {price} now.")),
        A.COMPLETE: Told(_("You have arrived."), _("It is handed over to {name}."), ring=True),
        A.FAIL: Told("", _("{trip} could not be handed over."), ring=True),
        A.GIVE_UP: Told(
            _("No driver was found. “rebook” tries again."), _("No courier was found. “rebook” tries again."), ring=True
        ),
        A.CANCEL: Told(_("{trip} is cancelled.")),
        A.CANCEL_LATE: Told(_("{trip} is cancelled.")),
        A.MISS: Told(
            _("The driver has waited, and nobody came: {trip} is over."),
            _("The courier has waited, and nobody came: {trip} is over."),
            ring=True,
        ),
        A.STOP: Told(_("The operator has stopped {trip}."), ring=True),
    }
)
"""Of every action."""
FEE: Final = frozenset({A.CANCEL_LATE, A.MISS, A.STOP})
REASONED: Final = frozenset({A.LOSE_DRIVER, A.FAIL, A.STOP})


class Telling(Rider):
    """What riders are told, for the plugin to inherit."""

    async def tell_rider(self, ctx: Context, news: TripNews) -> None:
        """A hook of the fleet's trips."""
        trip = news.after
        if not trip.rider or not trip.room_id or trip.client:
            return
        words = await self.words_of(ctx, trip.rider)
        if news.news is News.MOVED:
            await self._moved(ctx, news, words)
        elif news.news is News.REQUESTED:
            self._requested(ctx, trip, words)
        elif news.news is News.TAKEN:
            self.soon(ctx, RECEIPT, trip)
        elif news.news is News.DECIDED:
            self.soon(ctx, CASE_DECIDED, trip)
        elif news.news is News.PAYMENT_ASKED:
            # It is asked for again whenever the money is looked at, and said once.
            key = trip.id if trip.proposed is None else trip.proposed.key
            text = words.t("Please confirm {amount} in your chat with the wallet.", amount=news.amount)
            ctx.send(contents.text(text), room_id=trip.room_id, key=f"asked/{key}")
        else:
            text = self._about_money(news, words)
            if text:
                self._say(ctx, trip, text, ring=news.news is News.PAYMENT_REFUSED)

    def _say(self, ctx: Context, trip: Trip, text: str, *, ring: bool = False) -> None:
        ctx.say(text, room_id=trip.room_id, notice=not ring)

    def _requested(self, ctx: Context, trip: Trip, words: Translation) -> None:
        now = self._now(ctx, words)
        if trip.state is TripState.SCHEDULED and trip.wanted is not None:
            text = words.t(
                "{trip} is ordered for {time}. I look for a driver shortly before, and ask you to pay then. "
                "“scheduled” shows it.",
                trip=trip_name(words, trip),
                time=moment(words, trip.wanted, now),
            )
            self._say(ctx, trip, text)
        elif trip.kind is TripKind.RETURN:
            lines = [words.t("{trip}: the courier brings it back to {place}.", trip=trip_name(words, trip),
                             place=place_words(trip.dropoff))]  # fmt: skip
            if trip.dropoff_pin:
                lines.append(words.t("Tell the courier this PIN when you have it back: {pin}", pin=trip.dropoff_pin))
            self._say(ctx, trip, "\n".join(lines), ring=True)
            self.follow(ctx, trip)
        elif trip.state is TripState.SEARCHING:
            self._searching(ctx, trip, words)

    def _about_money(self, news: TripNews, words: Translation) -> str:
        """What is said of payments."""
        trip, amount = news.after, news.amount
        match news.news:
            case News.PAYMENT_REFUSED:
                return words.t(news.refused, **news.values) if news.refused else ""
            case News.CHANGE_DROPPED:
                return words.t("The other way was not paid: it stays as it was.")
            case News.GIVEN_BACK:
                return words.t("You get {amount} back for {trip}.", amount=amount, trip=trip_name(words, trip))
            case News.TIPPED:
                return words.t("Your tip is paid: {amount}. Thank you!", amount=amount)
        return ""

    # Moves

    async def _moved(self, ctx: Context, news: TripNews, words: Translation) -> None:
        trip, action = news.after, news.action
        assert action is not None
        told = TOLD[action]
        if action is A.SEARCH:
            self._searching(ctx, trip, words)
        elif told.of(trip) and (news.by != trip.rider or (action is A.CHANGE and news.before.proposed is not None)):
            self._say(ctx, trip, await self._sentence(ctx, news, words), ring=told.ring)
        if action is A.LOSE_DRIVER:
            self._search_words_later(ctx, trip, 0)
        if action in {A.MATCH, A.START}:
            self.follow(ctx, trip)
        if news.before.state in HAS_DRIVER and trip.state not in HAS_DRIVER:
            self.unfollow(ctx, trip)
        if action is A.MATCH:
            await self.matched(ctx, trip)
        before = news.before
        if before.driver and (trip.state in ENDED or trip.driver != before.driver):
            self.room_ends(ctx, trip, before.driver, before.priority)
        if action is A.COMPLETE:
            self.soon(ctx, ENDED_TIMER, trip)

    async def _sentence(self, ctx: Context, news: TripNews, words: Translation) -> str:
        """What the rider is told, with all that belongs to it."""
        trip, action = news.after, news.action
        assert action is not None
        now = self._now(ctx, words)
        fields: dict[str, Any] = {
            "trip": trip_name(words, trip),
            "price": trip.quoted,
            "name": trip.passenger or words.t("the recipient"),
        }
        lines = [words.t(TOLD[action].of(trip), **fields)]
        if trip.driver and action in {A.MATCH, A.ARRIVE}:
            driver = await self.fleet.drivers.get(ctx, trip.driver)
            lines += [] if driver is None else self._who_comes(words, trip, driver, now, arrived=action is A.ARRIVE)
        if action is A.START and trip.seconds:
            arrives = datetime.fromtimestamp(now.timestamp() + trip.seconds, now.tzinfo)
            lines.append(words.t("At the destination {when}.", when=about(words, arrives, now)))
        if action is A.COMPLETE and trip.due is not None:
            lines.append(words.t("It costs {price}. The receipt follows.", price=trip.due))
        if action in FEE and trip.due:
            lines.append(words.t("The fee is {fee}; the rest of what was held goes back.", fee=trip.due))
        if action in REASONED and trip.reason:
            lines.append(words.t("Reason: {reason}", reason=short(trip.reason, 300)))
        before = MONEY[news.before.state]
        if trip.money is TripMoney.BACK and before in {TripMoney.HELD, TripMoney.TAKEN} and not trip.due:
            lines.append(words.t("Nothing is charged: what was held goes back."))
        return "\n".join(lines)

    def _who_comes(self, words: Translation, trip: Trip, driver: Driver, now: datetime, *, arrived: bool) -> list[str]:
        lines = [driver_line(words, driver)]
        if not arrived and trip.promised_at is not None:
            lines.append(words.t("At the pickup {when}.", when=about(words, trip.promised_at, now)))
        if trip.pin:
            lines.append(pin_words(words, trip))
        if arrived:
            until = self.fleet.trips.missed_at(trip)
            if until is not None:
                lines.append(words.t("They wait until {time}.", time=hour(until, words.formats.zone)))
        else:
            lines.append(words.t("To write to them: “to driver: …”. “trip” shows what else you can do."))
        return lines

    def _now(self, ctx: Context, words: Translation) -> datetime:
        return ctx.now().astimezone(words.formats.zone)

    # The search: one message that is edited

    def _searching(self, ctx: Context, trip: Trip, words: Translation) -> None:
        text = words.t(TOLD[A.SEARCH].of(trip), trip=trip_name(words, trip))
        ctx.send(contents.text(text), room_id=trip.room_id, key=_search_key(trip))
        self._search_words_later(ctx, trip, 0)

    def _search_words_later(self, ctx: Context, trip: Trip, step: int) -> None:
        if trip.searching_since is not None and step < len(SEARCHED_S):
            at = datetime.fromtimestamp(trip.searching_since.timestamp() + SEARCHED_S[step], ctx.now().tzinfo)
            self.soon(ctx, SEARCH_WORDS, trip, at=at, step=step, priority=trip.priority)

    @timer(SEARCH_WORDS)
    async def search_goes_on(self, ctx: Context, data: dict[str, Any]) -> None:
        """Say how the search goes, in the message that said that it began."""
        trip = await self.fleet.trips.get(ctx, data["trip"])
        if trip is None or trip.state is not TripState.SEARCHING or trip.priority != data["priority"]:
            return
        asked = len({each.driver for each in await self.fleet.offers.of_trip(ctx, trip.id)})
        lines = [ctx.t(TOLD[A.SEARCH].of(trip), trip=trip_name(ctx.translator, trip))]
        lines.append(ctx.n("{count} has been asked so far.", "{count} have been asked so far.", asked) if asked
                     else ctx.t("Nobody is free near you just now; I keep looking."))  # fmt: skip
        if trip.deadline is not None:
            lines.append(ctx.t("I go on until {time}.", time=hour(trip.deadline, ZoneInfo(ctx.zone))))
        text = contents.text("\n".join(lines))
        if trip.priority:
            ctx.send(text)
        else:
            ctx.edit(ctx.reference(_search_key(trip)), text)
        self._search_words_later(ctx, trip, data["step"] + 1)

    # What other parts do

    def follow(self, ctx: Context, trip: Trip) -> None:
        """Show the rider where the driver is from now on."""
        raise NotImplementedError

    def unfollow(self, ctx: Context, trip: Trip) -> None:
        """Nobody is shown any more where the driver is."""
        raise NotImplementedError

    async def matched(self, ctx: Context, trip: Trip) -> None:
        """Somebody has taken a trip: they and the rider can talk."""
        raise NotImplementedError

    def room_ends(self, ctx: Context, trip: Trip, driver: str, priority: int) -> None:
        """The trip, or a driver's part in it, is over."""
        raise NotImplementedError


def _search_key(trip: Trip) -> str:
    return f"search/{trip.id}"

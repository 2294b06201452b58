"""A trip as its driver drives it: there, the PIN, on the way, the end; and what goes otherwise.

Each step is a command, an option of the card, and acts on how things stand when it is said. What needs an answer first
(a PIN, a reason, a photo, a driver who is far from where they say they are) is a dialog of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from appservice import json
from bots.domain.drivers import Driver, DriverError
from bots.domain.money import Money
from bots.domain.trips import PIN_DIGITS, TRIES_MAX, Trip, TripKind, TripRefused, TripState
from bots.framework import Context, Dialog, InvalidValue, Key, Option, Rest, Said, command, dialog
from bots.framework.i18n import Translator, _
from bots.rides.driving import texts
from bots.rides.driving.base import brought, utc
from bots.rides.driving.cards import JOB, Card
from bots.rides.driving.offering import Offering
from bots.rides.riding.texts import kilometres, sentence, trip_name

__all__ = ["GRACE", "Steps"]

GRACE: Final = "driving grace"
"""The timer of a rider who does not come."""
FIRST: Final = Key("driving.first", str, default="", secret=True)
"""Of two things in one go: which the driver does first, by its id."""
WAITS: Final = frozenset({TripState.MATCHED, TripState.ARRIVED})


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a step: what is said, whether that is all, and whether it has happened."""

    words: str
    over: bool = True
    good: bool = False


class Steps(Offering):
    """The steps of a trip, for the plugin to inherit."""

    # The card

    async def current_job(self, ctx: Context, person: str) -> Trip | None:
        """What a driver has to do now."""
        found = await self.jobs_of(ctx, person)
        first = await ctx.states.user(person).get(FIRST) if len(found) > 1 else ""
        return next((each for each in found if each.id == first), next(iter(found), None))

    async def show_job(self, ctx: Context, driver: Driver, trip: Trip, *, other: str | None = None) -> None:
        """Show a driver what is to be done next.

        Args:
            trip: as it is now, or will be by the commit of the handler at hand.
            other: number of what is brought in the same go; None: to be looked up.
        """
        if other is None:
            others = [each for each in await self.jobs_of(ctx, driver.person) if each.id != trip.id]
            other = others[0].number if others else ""
        now = await self.driver_now(ctx, driver.person)
        say = await self.driver_words(ctx, driver.person)
        words = texts.job_words(
            say,
            trip,
            now=now,
            navigation=self.driving.navigation,
            free_from=self.fleet.trips.missed_at(trip),
            other=other,
        )
        options = self.job_options(say, trip, now, batch=bool(other))
        await self.show_card(ctx, driver, (JOB, trip.id), words, options)

    def job_options(self, say: Translator, trip: Trip, now: datetime, *, batch: bool) -> list[Option]:
        """What can be done with a trip as it stands."""
        options: list[Option] = []
        if trip.state is TripState.MATCHED:
            options.append(Option("arrived", say.t("I am there"), key="📍", aliases=("arrived", "here")))
        elif trip.state is TripState.ARRIVED:
            label = say.t("They told me the PIN") if trip.pin else say.t("We drive")
            options.append(Option("start", label, key="🔑", aliases=("start",)))
            free_from = self.fleet.trips.missed_at(trip)
            if free_from is not None and free_from <= now:
                options.append(Option("no-show", say.t("Nobody came"), key="⏱️", aliases=("no-show", "no show")))
        elif any(stop.left_at is None for stop in trip.stops):
            options.append(Option("next", say.t("On to the next place"), key="➡️", aliases=("next",)))
        else:
            label = say.t("They told me the PIN") if trip.dropoff_pin else say.t("We have arrived")
            if brought(trip) and not trip.dropoff_pin:
                label = say.t("I have handed it over")
            options.append(Option("end", label, key="🏁", aliases=("end",)))
        if trip.state is TripState.UNDER_WAY and trip.kind is TripKind.COURIER:
            options.append(Option("photo", say.t("I leave it there, with a photo"), key="📷", aliases=("photo",)))
            options.append(Option("fail", say.t("I cannot hand it over"), key="🚫", aliases=("fail",)))
        if trip.state in WAITS:
            options.append(Option("give up", say.t("I cannot do it"), key="🚫", aliases=("give up",)))
        if batch:
            options.append(Option("other", say.t("The other one first"), key="🔀", aliases=("other",)))
        return options

    async def card_again(self, ctx: Context, driver: Driver, card: Card) -> None:
        """Show how things stand."""
        offer = await self.fleet.offers.of_driver(ctx, driver.person)
        trip = await self.current_job(ctx, driver.person)
        if offer is not None:
            found = [await self.fleet.trips.get(ctx, each) for each in offer.trips]
            await self.show_offer(ctx, driver, offer, [each for each in found if each is not None])
        elif trip is not None:
            await self.show_job(ctx, driver, trip)
        else:
            ctx.say(ctx.t("No trip is offered to you just now."))

    async def card_options(self, ctx: Context, driver: Driver, card: Card) -> list[Option]:
        """What can be done by a card as things stand."""
        if card.what != JOB:
            return self.offer_options(ctx.translator)
        found = await self.jobs_of(ctx, driver.person)
        trip = next((each for each in found if each.id == card.id), None)
        return [] if trip is None else self.job_options(ctx.translator, trip, utc(ctx), batch=len(found) > 1)

    async def card_chosen(self, ctx: Context, driver: Driver, card: Card, value: str) -> None:
        """Do what was chosen."""
        if card.what != JOB:
            await self.answer_offer(ctx, driver, card.id, taken=value == "accept")
            return
        trip = await self.fleet.trips.get(ctx, card.id)
        if trip is not None and trip.driver == driver.person:
            await self.take_step(ctx, driver, trip, value, "")

    # Commands

    @command("job", help=_("Show the trip that you have"), aliases=("my trip",), hidden=True)
    async def show_my_job(self, ctx: Context) -> None:
        """Show what you are driving, and what can be done now."""
        await self._step(ctx, "show", "")

    @command("arrived", help=_("You are at the pickup"), hidden=True)
    async def step_arrived(self, ctx: Context) -> None:
        """Say that you are at the pickup: the rider is told."""
        await self._step(ctx, "arrived", "")

    @command("start", help=_("The rider is in: start 1234"), hidden=True)
    async def step_start(self, ctx: Context, pin: Rest = "") -> None:
        """Begin the trip, with the PIN that the rider tells you."""
        await self._step(ctx, "start", "".join(pin.split()))

    @command("next", help=_("You go on from a stop"), aliases=("next stop",), hidden=True)
    async def step_next(self, ctx: Context) -> None:
        """Go on from a stop to the next place."""
        await self._step(ctx, "next", "")

    @command("end", help=_("You have arrived"), aliases=("finish",), hidden=True)
    async def step_end(self, ctx: Context, pin: Rest = "") -> None:
        """End the trip, with the PIN of who receives it where there is one."""
        await self._step(ctx, "end", "".join(pin.split()))

    @command("no-show", help=_("Nobody came"), aliases=("no show", "noshow"), hidden=True)
    async def step_no_show(self, ctx: Context) -> None:
        """Say that the rider did not come, once you have waited long enough."""
        await self._step(ctx, "no-show", "")

    @command("give up", help=_("You cannot do the trip that you have"), aliases=("give back",), hidden=True)
    async def step_give_up(self, ctx: Context) -> None:
        """Give the trip to somebody else, before it has begun."""
        await self._step(ctx, "give up", "")

    @command("fail", help=_("What you bring cannot be handed over"), hidden=True)
    async def step_fail(self, ctx: Context) -> None:
        """Bring what cannot be handed over back to where it came from."""
        await self._step(ctx, "fail", "")

    async def _step(self, ctx: Context, step: str, said: str) -> None:
        driver = await self.as_driver(ctx)
        if driver is None:
            return
        trip = await self.current_job(ctx, driver.person)
        if trip is None:
            ctx.say(ctx.t("You have no trip."))
        else:
            await self.take_step(ctx, driver, trip, step, said)

    async def take_step(self, ctx: Context, driver: Driver, trip: Trip, step: str, said: str) -> None:
        """Do a step with a trip, or ask for what it takes first."""
        if step == "show":
            await self.show_job(ctx, driver, trip)
        elif step == "other":
            await self._other_first(ctx, driver, trip)
        elif step == "photo":
            ctx.start(self.leaving_with_photo, trip.id)
        elif step == "give up":
            ctx.start(self.giving_up, trip.id)
        elif step == "fail":
            ctx.start(self.failing, trip.id)
        elif step in {"start", "end"} and self._asks_pin(trip, step) and not said:
            ctx.start(self.telling_pin, trip.id, step)
        elif (metres := self._too_far(ctx, driver, trip, step)) is not None:
            ctx.start(self.being_far, trip.id, step, said, kilometres(ctx.translator, metres))
        elif step == "no-show" and self._may_miss(ctx, trip):
            ctx.start(self.waiting_in_vain, trip.id, self.fleet.quotes.miss_charge(trip, utc(ctx)).earning)
        else:
            done = await self._do_step(ctx, trip.id, step, said)
            if done.words:
                ctx.say(done.words)

    def _asks_pin(self, trip: Trip, step: str) -> bool:
        right = trip.state is TripState.ARRIVED if step == "start" else trip.state is TripState.UNDER_WAY
        return right and bool(trip.secret) and not trip.locked

    def _may_miss(self, ctx: Context, trip: Trip) -> bool:
        free_from = self.fleet.trips.missed_at(trip)
        return free_from is not None and free_from <= utc(ctx)

    def _too_far(self, ctx: Context, driver: Driver, trip: Trip, step: str) -> float | None:
        """How far a driver is from where they say they are, where that is too far to be believed without a question."""
        places = {"arrived": (TripState.MATCHED, trip.pickup, self.driving.arrived_metres),
                  "end": (TripState.UNDER_WAY, trip.dropoff, self.driving.ended_metres)}  # fmt: skip
        if step not in places:
            return None
        state, place, most = places[step]
        metres = self.away(ctx, driver.person, place.point)
        return metres if trip.state is state and metres is not None and metres > most else None

    async def _other_first(self, ctx: Context, driver: Driver, trip: Trip) -> None:
        others = [each for each in await self.jobs_of(ctx, driver.person) if each.id != trip.id]
        if not others:
            await self.show_job(ctx, driver, trip)
            return
        ctx.states.user(driver.person).set(FIRST, others[0].id)
        await self.show_job(ctx, driver, others[0], other=trip.number)

    # What is done

    async def _do_step(self, ctx: Context, trip_id: str, step: str, said: str) -> Done:
        """Do it, and show what is to be done next; a refusal says why not."""
        trip = await self.fleet.trips.get(ctx, trip_id)
        driver = await self.fleet.drivers.get(ctx, ctx.sender)
        if trip is None or driver is None or trip.driver != ctx.sender:
            return Done(ctx.t("This trip is over."))
        try:
            after = await self._step_moved(ctx, trip, step, said)
        except (TripRefused, DriverError) as error:
            return Done(self._refusal(ctx, trip, error))
        if after is None:
            left = TRIES_MAX - trip.tries - 1
            return Done(ctx.n("That is not it. {count} try is left.", "That is not it. {count} tries are left.", left),
                        over=left <= 0)  # fmt: skip
        if after.driver == driver.person and after.state in {*WAITS, TripState.UNDER_WAY}:
            if after.state is TripState.ARRIVED:
                self._grace(ctx, driver, after)
            await self.show_job(ctx, driver, after)
            return Done("", good=True)
        await self._next_of_batch(ctx, driver, trip)
        return Done(self._end_words(ctx, after, step), good=True)

    async def _step_moved(self, ctx: Context, trip: Trip, step: str, said: str) -> Trip | None:
        fleet, by = self.fleet, ctx.sender
        match step:
            case "arrived":
                return await fleet.trips.arrive(ctx, trip, by)
            case "start":
                return await fleet.trips.start(ctx, trip, said, by)
            case "next":
                return await fleet.trips.leave_stop(ctx, trip, by)
            case "end":
                return await fleet.trips.complete(ctx, trip, by, pin=said)
            case "photo":
                return await fleet.trips.complete(ctx, trip, by, proof=said)
            case "no-show":
                return await fleet.trips.miss(ctx, trip, by)
            case "give up":
                return await fleet.trips.lose_driver(ctx, trip, by, said)
            case "fail":
                return await fleet.trips.fail(ctx, trip, by, said)
        raise ValueError(f"{step!r} is no step")

    def _refusal(self, ctx: Context, trip: Trip, error: TripRefused | DriverError) -> str:
        words = sentence(ctx.translator, error)
        if error.code == "trip.locked" and trip.kind is TripKind.COURIER and trip.state is TripState.UNDER_WAY:
            return words + " " + ctx.t("Or leave it there, with a photo (“photo”).")
        return words

    def _end_words(self, ctx: Context, after: Trip, step: str) -> str:
        if step == "give up":
            return ctx.t("I look for somebody else. Please be sure about the next one.")
        if step == "no-show":
            return ctx.t("Thank you for waiting. You have earned {amount}.", amount=after.earning)
        words = ctx.t("{trip} is done, thank you. You have earned {amount}.", trip=trip_name(ctx.translator, after),
                      amount=texts.earned(after))  # fmt: skip
        if after.kind is TripKind.RIDE and after.rider:
            words += "\n" + ctx.t("“rate rider 5” says how it was with them.")
        return words

    async def _next_of_batch(self, ctx: Context, driver: Driver, ended: Trip) -> None:
        """Show what is still to be done of two things in one go."""
        others = [each for each in await self.jobs_of(ctx, driver.person) if each.id != ended.id]
        if others:
            await self.show_job(ctx, driver, others[0], other="")

    def _grace(self, ctx: Context, driver: Driver, trip: Trip) -> None:
        """Tell the driver when they need not wait any longer."""
        free_from = self.fleet.trips.missed_at(trip)
        if free_from is not None:
            self.fleet.call(ctx, GRACE, {"trip": trip.id}, room=driver.room_id, person=driver.person,
                            key=f"grace/{trip.id}", at=free_from)  # fmt: skip

    # What is asked first

    @dialog
    async def telling_pin(self, d: Dialog, trip_id: str, step: str) -> None:
        """The PIN, until it is right, or too many were wrong."""
        while True:
            pin = await d.ask(d.t("Which four digits have they told you?"), parse=_pin)
            far = await d.do("far", self._far, trip_id, step)
            if far and not await d.confirm(d.t("You are {way} away from there. Do it all the same?", way=far)):
                await d.end(d.t("Then not."))
            done = await d.do(step, self._do_step, trip_id, step, pin)
            if done.words:
                await d.say(done.words)
            if done.over:
                return
            await d.step("stored", _nothing)  # the try counts in the database before it is read there

    async def _far(self, ctx: Context, trip_id: str, step: str) -> str:
        trip, driver = await self.fleet.trips.get(ctx, trip_id), await self.fleet.drivers.get(ctx, ctx.sender)
        if trip is None or driver is None:
            return ""
        metres = self._too_far(ctx, driver, trip, step)
        return "" if metres is None else kilometres(ctx.translator, metres)

    @dialog
    async def being_far(self, d: Dialog, trip_id: str, step: str, said: str, way: str) -> None:
        """Whether a driver really is where they say."""
        if not await d.confirm(d.t("You are {way} away from there. Do it all the same?", way=way)):
            await d.end(d.t("Then not."))
        await self._finish(d, trip_id, step, said)

    @dialog
    async def waiting_in_vain(self, d: Dialog, trip_id: str, earning: Money) -> None:
        """Whether the rider really did not come."""
        words = d.t("Nobody came, and you do not wait any longer? You earn {amount}.", amount=earning)
        if not await d.confirm(words):
            await d.end(d.t("Then not."))
        await self._finish(d, trip_id, "no-show", "")

    @dialog
    async def giving_up(self, d: Dialog, trip_id: str) -> None:
        """Why a driver gives a trip back."""
        reason = await d.choose(d.t("Why can you not do it?"), {d.t(words): words for words in texts.REASONS.values()})
        if reason == texts.REASONS["other"]:
            reason = await d.ask(d.t("What is the matter? In a few words, please."), parse=_words)
        await self._finish(d, trip_id, "give up", reason)

    @dialog
    async def failing(self, d: Dialog, trip_id: str) -> None:
        """Why something cannot be handed over."""
        why = await d.choose(d.t("What is the matter?"), {d.t(words): words for words in texts.FAILURES.values()})
        await self._finish(d, trip_id, "fail", why)

    async def _finish(self, d: Dialog, trip_id: str, step: str, said: str) -> None:
        done = await d.do(step, self._do_step, trip_id, step, said)
        if done.words:
            await d.say(done.words)

    @dialog
    async def leaving_with_photo(self, d: Dialog, trip_id: str) -> None:
        """A photo shows where something was left."""
        sent = await d.ask(d.t("Please send the photo."), parse=Said)
        while sent.attachment is None or sent.attachment.kind != "image":
            sent = await d.ask(d.t("That is no photo. Please send one, or type “cancel”."), parse=Said)
        done = await d.do("photo", self._left_with_photo, trip_id, sent)
        if done.words:
            await d.say(done.words)

    async def _left_with_photo(self, ctx: Context, trip_id: str, sent: Said) -> Done:
        before = await self.fleet.trips.get(ctx, trip_id)
        # A client shows the photo itself, in a chat of its own: it needs what the message holds, and not its id.
        proof = sent.event_id
        if before is not None and before.client and sent.attachment is not None:
            proof = json.dumps(plain_photo(sent.attachment.content)).decode()
        done = await self._do_step(ctx, trip_id, "photo", proof)
        if done.good and before is not None and before.rider and sent.attachment is not None:
            say = await self.driver_words(ctx, before.rider)
            ctx.send(plain_photo(sent.attachment.content), room_id=before.room_id)
            ctx.say(say.t("The courier has left it there."), room_id=before.room_id)
        return done


def plain_photo(content: Any) -> dict[str, object]:
    """A picture alone: no relation to other messages, and no words of who sent it."""
    kept = {key: content[key] for key in ("url", "file", "info") if key in content}
    return {"msgtype": "m.image", "body": "photo", **kept}


def _nothing() -> None:
    """A step is a commit."""


def _pin(text: str) -> str:
    digits = "".join(text.split())
    if len(digits) != PIN_DIGITS or not (digits.isdecimal() and digits.isascii()):
        raise InvalidValue(
            "driving.pin", _("A PIN has four digits. “!to rider: …” writes to the rider meanwhile."), clear=True
        )
    return digits


def _words(text: str) -> str:
    words = " ".join(text.split())
    if not 1 <= len(words) <= 200 or not words.isprintable():
        raise InvalidValue("driving.words", _("Up to {most} letters, please."), clear=True, most=200)
    return words

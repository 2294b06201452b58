"""A ride from two places to its order: quotes by class, what is in a price, stops, somebody else, another time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bots.commerce.hand import Glance
from bots.domain.errors import DomainError
from bots.domain.fares import Quote
from bots.domain.money import Money
from bots.domain.places import Place, Point
from bots.domain.trips import STOPS_MAX, TEXT_MAX, Trip, TripKind, TripRefused
from bots.fleet.quotes import Offered
from bots.fleet.trips import Wanted
from bots.framework import Context, Dialog, InvalidValue, Option, Rest, command, dialog
from bots.framework import Place as Shared
from bots.framework.arguments.times import when
from bots.framework.i18n import Translator, _
from bots.rides.riding.base import REFUSALS, ROUNDS
from bots.rides.riding.places import Placing, Spoken, read_label, read_spoken
from bots.rides.riding.texts import (
    QUESTION_MAX,
    Speaking,
    explain,
    fare_lines,
    joined,
    kilometres,
    minutes,
    place_words,
    sentence,
    short,
    surge_words,
    way_lines,
)

__all__ = ["Draft", "Ordering", "Priced"]

ORDER_WITHIN: Final = timedelta(hours=2)
"""How long somebody may take over an order before the conversation ends."""
SOON: Final = timedelta(minutes=30)
"""What is wanted sooner than this is wanted now."""
PLUS, FOR, NOTE, WHEN, FROM, TO, NOT_NOW = "stop", "for", "note", "when", "from", "to", "none"
NOTHING: Final = "-"
NAME_MAX: Final = 60
MANY: Final = _("You have {most} trips that are not over: that is as many as one person can have.")
EARLY: Final = _("That is too soon to order ahead: it takes half an hour at least. Order it for now instead.")
FAR: Final = _("At most {days} days ahead, please.")


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody is about to order.

    Attributes:
        passenger: for whom; empty: themselves. Of a parcel: who receives it.
        wanted: aware; None: now.
    """

    kind: TripKind = TripKind.RIDE
    pickup: Place | None = None
    dropoff: Place | None = None
    stops: tuple[Place, ...] = ()
    passenger: str = ""
    note: str = ""
    wanted: datetime | None = None


@dataclass(frozen=True, slots=True)
class Priced:
    """A class at its price, as a dialog keeps it. ``cap``: of the surge there, in hundredths."""

    service: str
    label: str
    seats: int
    quote: Quote
    pickup_seconds: int | None
    until: datetime
    total: Money
    hold: Money
    earning: Money
    cap: int

    @classmethod
    def of(cls, offered: Offered, cap: int) -> Priced:
        """Of an offer of the fleet: without the line of its way, which may be long."""
        return cls(
            offered.service,
            offered.label,
            offered.seats,
            offered.quote,
            offered.pickup_seconds,
            offered.until,
            offered.total,
            offered.hold,
            offered.earning,
            cap,
        )


class Ordering(Placing):
    """Orders of rides, for the plugin to inherit."""

    @command("ride", help=_("Order a ride: ride, ride home, ride tomorrow 8:00"), aliases=("taxi", "book"))
    async def ride(self, ctx: Context, to: Rest = "") -> None:
        """Order a ride: now (“ride”), to a place that you keep or an address (“ride home”), or for later (“ride
        tomorrow 8:00”)."""
        if not await self.private(ctx) or not await self.may_order(ctx):
            return
        if not to.strip():
            ctx.start(self.ordering, Draft(), None)
            return
        try:
            wanted = when(to, ctx.env({}))
        except InvalidValue:
            try:
                ctx.start(self.ordering, Draft(), read_spoken(to, ctx.env({})))
            except InvalidValue as error:
                ctx.say(error.say(ctx.translator))
            return
        refusal = self.misfit(wanted, ctx.now())
        if refusal:
            ctx.say(ctx.t(refusal, days=self.riding.ahead_days))
        else:
            ctx.start(self.ordering, Draft(wanted=wanted), None)

    async def place_shared(self, ctx: Context, place: Shared) -> None:
        """Somebody has shared a place that nobody asked for: what it is."""
        if len(await ctx.humans()) <= 1:
            ctx.start(self.shared_place, Place(str(place), Point(place.latitude, place.longitude)))

    @dialog(timeout=timedelta(minutes=30))
    async def shared_place(self, d: Dialog, place: Place) -> None:
        """Where to be picked up, where to go, or a place to keep."""
        options = [
            Option(FROM, d.t("Pick me up there"), key="🟢"),
            Option(TO, d.t("Go there"), key="🏁"),
            Option("keep", d.t("Keep this place"), key="💾"),
            Option(NOT_NOW, d.t("Nothing"), key="❌"),
        ]
        picked = (await d.choose(d.t("What about {place}?", place=place_words(place)), options)).value
        if picked == NOT_NOW:
            await d.end(d.t("Then not."))
        if picked == "keep":
            name = await d.ask(d.t("Under which name?"), parse=read_label)
            await d.end(await d.do("keep", self._keep_place, name, place))
        await d.do("order", self._order_from, place, picked)

    async def _order_from(self, ctx: Context, place: Place, what: str) -> None:
        if await self.may_order(ctx):
            draft = Draft(pickup=place) if what == FROM else Draft(dropoff=place)
            ctx.start(self.ordering, draft, None)

    @dialog(timeout=ORDER_WITHIN)
    async def ordering(self, d: Dialog, draft: Draft, to: Spoken | None) -> None:
        """From two places to an order.

        Args:
            to: where to, where the person has said it already.
        """
        if to is not None:
            draft = replace(draft, dropoff=to.place or await self.found_place(d, to, None))
        if draft.pickup is None:
            draft = replace(draft, pickup=await self.ask_place(d, d.t("Where shall I pick you up?"), draft.dropoff))
        if draft.dropoff is None:
            draft = replace(draft, dropoff=await self.ask_place(d, d.t("Where would you like to go?"), draft.pickup))
        await self.price_and_order(d, draft)

    # Prices

    async def price_and_order(self, d: Dialog, draft: Draft) -> None:
        """Quotes, what can be changed about them, and the order."""
        for _round in range(ROUNDS):
            try:
                found = await self.look(d, "quotes", self._quoted, draft)
            except REFUSALS as error:
                draft = await self._other_place(d, draft, error)
                continue
            if not found:
                await d.end(d.t("Nobody drives there for that."))
            picked = await self._pick(d, draft, found)
            if picked == NOT_NOW:
                await d.end(d.t("Then not."))
            chosen = next((each for each in found if each.service == picked), None)
            if chosen is None:
                draft = await self._changed(d, draft, picked)
            elif await self._ordered(d, draft, chosen):
                return
        await d.end(d.t("That was a lot of changes: please begin anew."))

    async def _quoted(self, reader: Glance, draft: Draft) -> list[Priced]:
        assert draft.pickup is not None and draft.dropoff is not None
        tariff = self.fleet.tariff
        brings = draft.kind is not TripKind.RIDE
        services = [name for name, each in tariff.classes.items() if each.courier is brings]
        found = await self.fleet.quotes.offered(
            reader, draft.pickup, draft.dropoff, draft.stops, at=draft.wanted or reader.now(), services=services
        )
        return [Priced.of(each, tariff.surge_at(each.quote.zone).cap) for each in found]

    async def _other_place(self, d: Dialog, draft: Draft, error: DomainError) -> Draft:
        """It cannot be driven: why, and which of the places is another one."""
        await d.say(self.refusal(d, error))
        assert draft.pickup is not None and draft.dropoff is not None
        turned = await self.turned(d, draft.pickup, draft.dropoff)
        if turned is not None:
            return replace(draft, pickup=turned)
        turned = await self.turned(d, draft.dropoff, draft.pickup)
        if turned is not None:
            return replace(draft, dropoff=turned)
        options = [Option(FROM, d.t("Another pickup")), Option(TO, d.t("Another destination"))]
        if draft.stops:
            options.append(Option(PLUS, d.t("Without stops")))
        options.append(Option(NOT_NOW, d.t("Not now")))
        picked = (await d.choose(d.t("What shall I change?"), options)).value
        if picked == NOT_NOW:
            await d.end(d.t("Then not."))
        return replace(draft, stops=()) if picked == PLUS else await self._changed(d, draft, picked)

    async def _pick(self, d: Dialog, draft: Draft, found: list[Priced]) -> str:
        """A class, or what is to be changed before."""
        assert draft.pickup is not None and draft.dropoff is not None
        say = Speaking(d)
        options = [Option(each.service, short(each.label, 60), self._about(say, draft, each)) for each in found]
        if len(draft.stops) < STOPS_MAX and draft.kind is TripKind.RIDE:
            options.append(Option(PLUS, d.t("Add a stop"), key="➕"))
        if draft.kind is TripKind.RIDE:
            options.append(Option(FOR, d.t("For somebody else"), key="👤"))
        options += [
            Option(WHEN, d.t("At another time"), key="🕒"),
            Option(NOTE, d.t("A note for the driver"), key="📝"),
            Option(FROM, d.t("Another pickup"), key="🟢"),
            Option(TO, d.t("Another destination"), key="🏁"),
            Option(NOT_NOW, d.t("Not now"), key="❌"),
        ]
        lines = way_lines(say, draft.pickup, draft.stops, draft.dropoff)
        if draft.wanted is not None:
            lines.append(d.t("Wanted at {time}", time=draft.wanted))
        if draft.passenger:
            lines.append(d.t("For {name}", name=draft.passenger))
        if draft.note:
            lines.append(d.t("Note: {note}", note=short(draft.note, 200)))
        busy = next((each for each in found if each.quote.surge), None)
        if busy is not None:
            lines.append(surge_words(say, busy.quote.surge, busy.cap))
        lines.append(d.t("Which class?"))
        return (await d.choose(short_lines(lines), options, page_size=len(options))).value

    def _about(self, say: Translator, draft: Draft, priced: Priced) -> str:
        soon = ""
        if draft.wanted is None:
            soon = say.t("nobody is near just now")
            if priced.pickup_seconds is not None:
                soon = say.t("there in {minutes}", minutes=minutes(say, priced.pickup_seconds))
        seats = say.n("{count} seat", "{count} seats", priced.seats) if priced.seats else ""
        return joined([say.t("{price}", price=priced.total), soon, seats])

    async def _changed(self, d: Dialog, draft: Draft, what: str) -> Draft:
        if what == PLUS:
            place = await self.ask_place(d, d.t("Where shall we stop?"), draft.pickup)
            return replace(draft, stops=(*draft.stops, place))
        if what == FROM:
            return replace(draft, pickup=await self.ask_place(d, d.t("Where shall I pick you up?"), draft.dropoff))
        if what == TO:
            return replace(draft, dropoff=await self.ask_place(d, d.t("Where would you like to go?"), draft.pickup))
        if what == FOR:
            question = d.t("For whom? Their name is what the driver asks for. “-” means yourself.")
            return replace(draft, passenger=await d.ask(question, parse=read_name))
        if what == NOTE:
            question = d.t("What should the driver know? “-” means nothing.")
            return replace(draft, note=await d.ask(question, parse=read_note))
        return replace(draft, wanted=await self.ask_when(d))

    async def ask_when(self, d: Dialog) -> datetime | None:
        """When; None: now."""
        now = await d.now()
        while True:
            at = await d.ask(d.t("When? For example: tomorrow 8:00, or “now”."), parse=datetime)
            if at <= now + timedelta(minutes=1):
                return None
            refusal = self.misfit(at, now)
            if not refusal:
                return at
            await d.say(d.t(refusal, days=self.riding.ahead_days))

    def misfit(self, at: datetime, now: datetime) -> str:
        """Why nothing can be ordered for then, for the translator; empty when it can."""
        if at < now + SOON:
            return EARLY
        return FAR if at > now + timedelta(days=self.riding.ahead_days) else ""

    # The order

    async def _ordered(self, d: Dialog, draft: Draft, priced: Priced) -> bool:
        """Show what is in the price, and order it; whether the conversation is over. An old price is quoted again."""
        options = [
            Option("yes", d.t("Order it"), key="✅", aliases=("yes", d.t("yes"))),
            Option("back", d.t("Choose something else"), key="⬅️"),
            Option(NOT_NOW, d.t("Not now"), key="❌"),
        ]
        picked = (await d.choose(self._price_card(d, draft, priced), options)).value
        if picked == "back":
            return False
        if picked == NOT_NOW:
            await d.end(d.t("Then not."))
        now = await d.now()
        if now > priced.until:
            await d.say(d.t("That price has expired. This is what it costs now:"))
            return False
        words = await d.do("order", self._order, d.id, draft, priced)
        if words:
            await d.say(words)
        return True

    def _price_card(self, d: Dialog, draft: Draft, priced: Priced) -> str:
        say, quote = Speaking(d), priced.quote
        lines = [d.t("{label}, {way}, {time}", label=short(priced.label, 60), way=kilometres(say, quote.metres),
                     time=minutes(say, quote.seconds))]  # fmt: skip
        lines += fare_lines(say, quote.lines, priced.total)
        if priced.hold != priced.total:
            lines.append(d.t("{hold} is held, for waiting too; what is not used comes back.", hold=priced.hold))
        if quote.surge:
            lines.append(surge_words(say, quote.surge, priced.cap))
        lines += self._cancel_words(say, quote)
        seconds = self.fleet.tariff.quote_seconds
        lines.append(d.n("This price is good for {count} second.", "This price is good for {count} seconds.", seconds))
        return short_lines(lines)

    def _cancel_words(self, say: Translator, quote: Quote) -> list[str]:
        rules = quote.terms.fees.cancel
        if not rules.fixed:
            return []
        fee = Money(rules.fixed, quote.total.currency)
        if not rules.free_seconds:
            return [say.t("Once a driver took it, cancelling costs {fee} or more.", fee=fee)]
        free = minutes(say, rules.free_seconds)
        return [say.t("You can cancel for nothing until {minutes} after a driver took it; then it costs {fee} or more.",
                      minutes=free, fee=fee)]  # fmt: skip

    async def _order(self, ctx: Context, cause: str, draft: Draft, priced: Priced) -> str:
        """Order it, in one commit with what is said of it; what to say instead when it cannot be."""
        if not await self.may_order(ctx):
            return ""
        assert draft.pickup is not None and draft.dropoff is not None
        passenger = draft.passenger or await self.shown_name(ctx)
        wanted = Wanted(
            cause=self.fleet.trade.id_for(cause, "trip"),
            kind=draft.kind,
            service=priced.service,
            pickup=draft.pickup,
            dropoff=draft.dropoff,
            stops=draft.stops,
            quoted=priced.total,
            hold=priced.hold,
            earning=priced.earning,
            quote=priced.quote,
            metres=priced.quote.metres,
            seconds=priced.quote.seconds,
            rider=ctx.sender,
            room_id=ctx.room_id,
            surge=priced.quote.surge.multiplier,
            wanted=draft.wanted,
            passenger=passenger,
            note=draft.note,
            never=(ctx.sender,),
            dropoff_pin=draft.kind is not TripKind.RIDE,
        )
        try:
            trip = await self.fleet.trips.request(ctx, wanted)
        except TripRefused as error:
            return sentence(ctx.translator, error)
        await self.ordered(ctx, trip)
        return ""

    async def ordered(self, ctx: Context, trip: Trip) -> None:
        """Somebody has ordered a trip just now: a parcel's sender is told its PINs."""

    async def may_order(self, ctx: Context) -> bool:
        """Whether the person may order one more; otherwise they are told."""
        there = await self.fleet.trips.open_of_rider(ctx, ctx.sender)
        if len(there) < self.riding.open_most:
            return True
        ctx.say(ctx.t(MANY, most=self.riding.open_most))
        return False

    async def shown_name(self, ctx: Context) -> str:
        """What a driver calls the person: the name that they show, and never their account; empty: they show none."""
        name = await ctx.services.rooms.display_name(ctx.room_id, ctx.sender) or ""
        name = short("".join(each for each in name if each.isprintable()), NAME_MAX)
        localpart = ctx.sender[1:].partition(":")[0]
        return "" if ctx.sender in name or name == localpart or name.startswith("@") else name


def short_lines(lines: list[str]) -> str:
    """Lines as a question; of more than fits, the last are the ones that count."""
    text = "\n".join(lines)
    while len(text) > QUESTION_MAX and len(lines) > 1:
        lines = lines[1:]
        text = "…\n" + "\n".join(lines)
    return text[:QUESTION_MAX]


def read_name(text: str) -> str:
    """A name; “-” is none."""
    name = " ".join(text.split())
    if name == NOTHING:
        return ""
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable() or name.startswith("@"):
        raise InvalidValue("riding.name", _("A name has 1 to {most} letters, and is no account."), clear=True,
                           most=NAME_MAX)  # fmt: skip
    return name


def read_note(text: str) -> str:
    """A note; “-” is none."""
    words = text.strip()
    if len(words) > TEXT_MAX:
        raise explain(TripRefused("trip.text", most=TEXT_MAX))
    return "" if words == NOTHING else words

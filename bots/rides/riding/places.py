"""Places in conversation: read from what a person shares or writes, found in their address book, or looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bots.commerce.addresses import Address, AddressRefused
from bots.commerce.hand import Reader
from bots.commerce.whereabouts import told
from bots.domain.places import TEXT_MAX, Place, PlaceError, Point, distance_m
from bots.domain.tariffs import Tariff, TariffError
from bots.framework import Context, Dialog, InvalidValue, Option, ParseEnv, Rest, command, dialog
from bots.framework.arguments.places import read_place as read_coordinates
from bots.framework.i18n import _
from bots.rides.riding.base import OFFERED, ROUNDS, Rider
from bots.rides.riding.texts import Speaking, explain, place_words, sentence, short
from bots.routing.base import RoutingError

__all__ = ["Chosen", "Placing", "Spoken", "read_spoken", "swapped"]

RECENT: Final = 3
FOUND: Final = 5
ANOTHER: Final = "another"
NOBODY: Final = "coordinates"
"""What a geocoder is called that knows no addresses."""
SWAPPED_NEAR_M: Final = 100_000.0
SWAPPED_FAR_M: Final = 500_000.0
SWAPPED: Final = _("Latitude comes first, from −90 to 90. Did you mean {latitude}, {longitude}?")
WORDS: Final = _("That is no place. Share a location, write an address, or coordinates such as 52.52, 13.40.")
SHORTEST: Final = 2


@dataclass(frozen=True, slots=True)
class Spoken:
    """What somebody says of where they mean: a place whose point is known, or words that are to be looked up, in their
    language (BCP 47)."""

    place: Place | None
    words: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Places that words may mean, the likeliest first. ``sure``: it is the first one, by its name."""

    places: tuple[Place, ...]
    sure: bool = False
    trouble: str = ""
    """msgid: why they could not be looked up."""


def read_spoken(text: str, env: ParseEnv) -> Spoken:
    """The place that a message shares or tells by coordinates, or its words. Raises InvalidValue."""
    try:
        place = told(text, env)
    except PlaceError as error:
        raise explain(error) from None
    except InvalidValue as error:
        hint = _swapped_text(text)
        if hint is None:
            raise
        raise InvalidValue(
            "riding.swapped", SWAPPED, clear=True, latitude=_degrees(hint.latitude), longitude=_degrees(hint.longitude)
        ) from error
    if place is not None:
        return Spoken(place, language=env.language)
    words = " ".join(text.split())
    if len(words) > TEXT_MAX:
        raise explain(PlaceError("place.text", most=TEXT_MAX))
    if len(words) < SHORTEST or not any(each.isalnum() for each in words):
        raise InvalidValue("riding.place", WORDS, clear=True)
    return Spoken(None, words, env.language)


def _swapped_text(text: str) -> Point | None:
    """The point that coordinates mean in the other order, where as they stand they are none."""
    first, _, second = text.strip().replace(";", ",").partition(",")
    try:
        found = read_coordinates(f"{second.strip()}, {first.strip()}")
    except InvalidValue:
        return None
    return Point(found.latitude, found.longitude)


def swapped(tariff: Tariff, place: Place, other: Place | None) -> Point | None:
    """The point that was meant, where latitude and longitude seem to stand in the wrong order: as they stand it lies
    where nobody drives (or very far away from the other place), and in the other order it does not."""
    point = place.point
    if point is None or abs(point.longitude) > 90 or point.latitude == point.longitude:
        return None
    turned = Point(point.longitude, point.latitude)
    if tariff.service:
        return turned if not _served(tariff, point) and _served(tariff, turned) else None
    if other is None or other.point is None:
        return None
    far, near = distance_m(point, other.point), distance_m(turned, other.point)
    return turned if far > SWAPPED_FAR_M and near < SWAPPED_NEAR_M else None


def _served(tariff: Tariff, point: Point) -> bool:
    try:
        tariff.serve(point, point)
    except TariffError as error:
        return error.code == "fare.no_pickup"
    return True


def _degrees(value: float) -> str:
    return f"{value:.5f}".rstrip("0").rstrip(".")


def coordinates(point: Point) -> str:
    """A point as people write it."""
    return f"{_degrees(point.latitude)}, {_degrees(point.longitude)}"


class Placing(Rider):
    """Places and the address book, for the plugin to inherit. The book is the one of the bots that sell too."""

    # Asking

    async def ask_place(self, d: Dialog, question: str, near: Place | None = None) -> Place:
        """A place whose point is known: a saved one by name or number, one that is shared or told by coordinates, or an
        address that is looked up.

        Args:
            near: a place that it is likely to be near to.
        """
        known = await self.look(d, "places", self._known, d.person)
        while True:
            spoken = await self._ask(d, question, known)
            if isinstance(spoken, Place):
                return spoken
            if spoken.place is not None:
                return await self._named(d, spoken)
            place = await self.found_place(d, spoken, near)
            if place is not None:
                return place

    async def _ask(self, d: Dialog, question: str, known: list[tuple[str, Place]]) -> Place | Spoken:
        """One of the places that are known, or what else was said."""
        how = d.t("Share a location, or write coordinates such as 52.52, 13.40.")
        if self.geocoder is not None and self.geocoder.source != NOBODY:
            how = d.t("Share a location, or write an address or coordinates.")
        question = f"{question}\n{how}"
        if not known:
            return await d.ask(question, parse=read_spoken)
        options = [
            Option(f"at-{number}", short(name or place.text, 90), short(place.text, 150) if name else "")
            for number, (name, place) in enumerate(known)
        ]
        picked = await d.choose_or(question, options, read_spoken)
        return picked if isinstance(picked, Spoken) else known[int(picked.value.removeprefix("at-"))][1]

    async def found_place(self, d: Dialog, spoken: Spoken, near: Place | None) -> Place | None:
        """The place that words mean, asked about where there are several; None: they are told why there is none."""
        found = await self.look(d, "find", self._find, spoken, None if near is None else near.point, d.person)
        if found.trouble:
            await d.say(d.t(found.trouble))
            return None
        if not found.places:
            await d.say(d.t("I do not know where “{words}” is: share its location, or write coordinates.",
                            words=short(spoken.words, 80)))  # fmt: skip
            return None
        if found.sure:
            return found.places[0]
        options = [Option(f"at-{number}", place_words(each)) for number, each in enumerate(found.places)]
        options.append(Option(ANOTHER, d.t("None of these"), key="❌"))
        picked = (await d.choose(d.t("Which one?"), options)).value
        return None if picked == ANOTHER else found.places[int(picked.removeprefix("at-"))]

    async def _named(self, d: Dialog, spoken: Spoken) -> Place:
        """A shared place with a name that people know, where somebody can say one."""
        place = spoken.place
        assert place is not None
        if self.geocoder is None or place.point is None or not _nameless(place):
            return place
        name = await self.look(d, "name", self._name_of, place.point, spoken.language)
        return place if not name else Place(name, place.point)

    async def _name_of(self, _reader: Reader, point: Point, language: str) -> str:
        assert self.geocoder is not None
        try:
            found = await self.geocoder.name(point, language=language)
        except RoutingError:
            return ""
        return "" if found is None else short(found.text, TEXT_MAX)

    async def _find(self, reader: Reader, spoken: Spoken, near: Point | None, person: str) -> Chosen:
        saved = await self.addresses.find(reader, person, spoken.words)
        if saved is not None and saved.place.point is not None:
            return Chosen((saved.place,), sure=True)
        if self.geocoder is None:
            return Chosen(())
        try:
            found = await self.geocoder.find(spoken.words, near=near, limit=FOUND, language=spoken.language)
        except RoutingError as error:
            return Chosen((), trouble=error.msgid)
        return Chosen(tuple(each for each in found if each.point is not None))

    async def _known(self, reader: Reader, person: str) -> list[tuple[str, Place]]:
        """Saved places, and where they went last."""
        saved = [each for each in await self.addresses.list(reader, person) if each.place.point is not None]
        known = [(each.name, each.place) for each in saved]
        for trip in await self.fleet.trips.of_rider(reader, person, limit=10):
            for place in (trip.dropoff, trip.pickup):
                recent = sum(1 for name, _ in known if not name)
                if recent < RECENT and not any(_same(place, there) for _, there in known):
                    known.append(("", place))
        return known

    # The book

    @command("places", help=_("Show and change the places that you keep"), aliases=("saved places",))
    async def show_places(self, ctx: Context) -> None:
        """Show the places that I keep for you, to go there by their names: add one, rename it, or have it forgotten."""
        if await self.private(ctx):
            ctx.start(self.places_at_hand)

    @command("save", help=_("Keep a place under a name: save home"))
    async def save_place(self, ctx: Context, name: Rest) -> None:
        """Keep a place under a name, to go there by it: “save home”, then share the location."""
        if not await self.private(ctx):
            return
        known = await self.addresses.find(ctx, ctx.sender, name) if not name.strip().isdecimal() else None
        if known is None:
            ctx.start(self.saving, name)
        else:
            ctx.start(self.moving_place, known.id, known.name)

    @dialog(timeout=OFFERED)
    async def saving(self, d: Dialog, name: str) -> None:
        """A new place for a name."""
        place = await self._told(d, d.t("Where is “{name}”?", name=short(name, 60)))
        await d.say(await d.do("keep", self._keep_place, name, place))

    @dialog(timeout=OFFERED)
    async def moving_place(self, d: Dialog, address_id: str, name: str) -> None:
        """Another place for a name that there is already."""
        place = await self._told(d, d.t("Where is “{name}” now?", name=short(name, 60)))
        await d.say(await d.do("move", self._move_place, address_id, place))

    @dialog(timeout=OFFERED)
    async def places_at_hand(self, d: Dialog) -> None:
        """The book, and what to do about a place."""
        for _round in range(ROUNDS):
            await self.stored(d)
            known = await d.do("places", self._book)
            options = [Option(each.id, each.name, short(each.place.text, 150)) for each in known]
            options.append(Option(ANOTHER, d.t("Keep another place"), key="➕"))
            question = d.t("Your places:") if known else d.t("I keep no place for you yet.")
            picked = (await d.choose(question, options)).value
            if picked == ANOTHER:
                name = await d.ask(d.t("Under which name?"), parse=read_label)
                place = await self._told(d, d.t("Where is “{name}”?", name=short(name, 60)))
                await d.say(await d.do("keep", self._keep_place, name, place))
                continue
            await self._change_place(d, next(each for each in known if each.id == picked))
        await d.end()

    async def _told(self, d: Dialog, question: str) -> Place:
        """A place that is not looked for in the book."""
        while True:
            spoken = await self._ask(d, question, [])
            assert isinstance(spoken, Spoken), "nothing was offered"
            place = await self._named(d, spoken) if spoken.place else await self.found_place(d, spoken, None)
            if place is not None:
                return place

    async def _change_place(self, d: Dialog, address: Address) -> None:
        options = [
            Option("rename", d.t("Rename it")),
            Option("drop", d.t("Forget it"), key="🗑️"),
            Option("back", d.t("Back to the list"), key="⬅️"),
        ]
        what = (await d.choose(f"{address.name}\n{short(address.place.text, 400)}", options)).value
        name = await d.ask(d.t("Under which name?"), parse=read_label) if what == "rename" else ""
        if what != "back":
            await d.say(await d.do(what, self._do_place, address.id, what, name))

    async def _book(self, ctx: Context) -> list[Address]:
        return await self.addresses.list(ctx, ctx.sender)

    async def _keep_place(self, ctx: Context, name: str, place: Place) -> str:
        try:
            kept = await self.addresses.add(ctx, ctx.sender, name, place)
        except AddressRefused as error:
            return sentence(ctx.translator, error)
        return ctx.t("Kept. “ride {name}” goes there.", name=kept.name)

    async def _move_place(self, ctx: Context, address_id: str, place: Place) -> str:
        address = next((each for each in await self._book(ctx) if each.id == address_id), None)
        if address is None:
            return ctx.t("I do not keep this place any more.")
        try:
            await self.addresses.change(ctx, Address(address.id, address.name, place, address.hint, address.usual,
                                                     address.person))  # fmt: skip
        except AddressRefused as error:
            return sentence(ctx.translator, error)
        return ctx.t("Kept. “ride {name}” goes there.", name=address.name)

    async def _do_place(self, ctx: Context, address_id: str, what: str, name: str) -> str:
        address = next((each for each in await self._book(ctx) if each.id == address_id), None)
        if address is None:
            return ctx.t("I do not keep this place any more.")
        if what == "drop":
            self.addresses.drop(ctx, address)
            return ctx.t("Forgotten.")
        try:
            await self.addresses.rename(ctx, address, name)
        except AddressRefused as error:
            return sentence(ctx.translator, error)
        return ctx.t("Changed.")

    # Coordinates in the wrong order

    async def turned(self, d: Dialog, place: Place, other: Place | None) -> Place | None:
        """The place with its coordinates the other way round, where that is likely and the person says so."""
        point = swapped(self.fleet.tariff, place, other)
        if point is None:
            return None
        question = Speaking(d).t(SWAPPED, latitude=_degrees(point.latitude), longitude=_degrees(point.longitude))
        if not await d.confirm(question):
            return None
        return Place(coordinates(point), point)


def _same(one: Place, other: Place) -> bool:
    return one.point is not None and other.point is not None and distance_m(one.point, other.point) < 100


def _nameless(place: Place) -> bool:
    """Whether a place is called by its coordinates alone."""
    try:
        read_coordinates(place.text)
    except InvalidValue:
        return False
    return True


def read_label(text: str) -> str:
    """A name under which a place is kept."""
    return " ".join(text.split())

"""What riders write and read: places in every form, names, notes, times and distances, cards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from bots.domain.drivers import Driver, DriverState, Position, Vehicle
from bots.domain.fares import Surge
from bots.domain.money import Money
from bots.domain.places import Circle, Place, Point
from bots.domain.tariffs import Area, Rates, ServiceClass, Tariff, Window
from bots.domain.trips import Stop, Trip, TripKind, TripState
from bots.framework import InvalidValue, ParseEnv
from bots.framework import content as contents
from bots.framework.i18n import English
from bots.rides.riding import ordering, places, sending, texts
from bots.rides.riding.following import AT, LOCATION, beacon
from bots.rides.riding.settings import MapSettings, RidingSettings

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=ZoneInfo("Europe/Berlin"))
ENV = ParseEnv(now=NOW, zone=NOW.tzinfo or UTC, server_name="example.org")
BERLIN, POTSDAM = Place("Berlin", Point(52.52, 13.405)), Place("Potsdam", Point(52.39, 13.06))
SAY = English()


def tariff(*areas: Area, no_pickup: tuple[Area, ...] = ()) -> Tariff:
    """Half an euro for each kilometre, in some places or everywhere."""
    rates = {("standard", ""): (Rates((Window(0, 10_080),), 250, 50, 0),)}
    classes = {"standard": ServiceClass("standard", "Standard", 4)}
    return Tariff("test", "EUR", "Europe/Berlin", classes, rates, service=areas, no_pickup=no_pickup)


CITY = Area("city", Circle(BERLIN.point or Point(0, 0), 40_000))


# Places


def spoken(text: str, **content: object) -> places.Spoken:
    return places.read_spoken(text, ParseEnv(now=NOW, zone=UTC, server_name="example.org", content=content))


def test_coordinates_are_a_place() -> None:
    for text in ("52.52, 13.405", "52.52 13.405", "geo:52.52,13.405", "52.52° N, 13.405° E"):
        found = spoken(text)
        assert found.place is not None
        assert found.place.point == BERLIN.point


def test_words_are_looked_up() -> None:
    assert spoken("  Linden   Street 7 ") == places.Spoken(None, "Linden Street 7")
    assert spoken("東京駅").words == "東京駅"


def test_a_shared_location_is_a_place() -> None:
    content = contents.location(contents.GeoPoint(52.52, 13.405), "Market Square")
    found = spoken("whatever", **content)
    assert found.place == Place("Market Square", BERLIN.point)


@pytest.mark.parametrize("text", ["", " ", "-", "??", "\u200b", "x"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(InvalidValue):
        spoken(text)


def test_what_is_too_long_is_no_place() -> None:
    with pytest.raises(InvalidValue):
        spoken("street " * 100)


def test_a_latitude_that_cannot_be_is_turned() -> None:
    """Longitude first, somewhere in Kamchatka: the right order is offered."""
    with pytest.raises(InvalidValue) as refused:
        spoken("158.65, 53.02")
    assert refused.value.say(SAY) == "Latitude comes first, from −90 to 90. Did you mean 53.02, 158.65?"


def test_what_is_nowhere_in_any_order_is_just_wrong() -> None:
    with pytest.raises(InvalidValue) as refused:
        spoken("95, 190")
    assert "Did you mean" not in refused.value.say(SAY)


def test_swapped_where_nobody_drives() -> None:
    """13.4, 52.5 lies in the Arabian Sea; the other way round in the city."""
    wrong = Place("13.405, 52.52", Point(13.405, 52.52))
    assert places.swapped(tariff(CITY), wrong, None) == BERLIN.point
    assert places.swapped(tariff(CITY), BERLIN, None) is None
    assert places.swapped(tariff(CITY), Place("Sydney", Point(-33.9, 151.2)), None) is None
    assert places.swapped(tariff(CITY), Place("nowhere", None), None) is None


def test_swapped_where_everywhere_is_driven() -> None:
    """Without zones only the other place tells: far as it stands, near in the other order."""
    wrong = Place("13.405, 52.52", Point(13.405, 52.52))
    assert places.swapped(tariff(), wrong, POTSDAM) == BERLIN.point
    assert places.swapped(tariff(), wrong, None) is None
    assert places.swapped(tariff(), BERLIN, POTSDAM) is None
    same = Place("equal", Point(45.0, 45.0))
    assert places.swapped(tariff(), same, BERLIN) is None


def test_where_nobody_is_picked_up_is_still_where_is_driven() -> None:
    station = Area("station", Circle(BERLIN.point or Point(0, 0), 200))
    wrong = Place("13.405, 52.52", Point(13.405, 52.52))
    assert places.swapped(tariff(CITY, no_pickup=(station,)), wrong, None) == BERLIN.point


def test_the_poles_and_the_date_line_are_not_turned() -> None:
    for point in (Point(90.0, 0.0), Point(-90.0, 10.0), Point(0.0, 180.0), Point(0.0, -180.0)):
        place = Place("far", point)
        assert places.swapped(tariff(CITY), place, BERLIN) is None


# Names and notes


def test_a_name_is_no_account() -> None:
    assert ordering.read_name("  Grandma   Ann ") == "Grandma Ann"
    assert ordering.read_name("-") == ""
    for text in ("@ann:example.org", "", "x" * 61, "a\nb\u202e"):
        with pytest.raises(InvalidValue):
            ordering.read_name(text)


def test_a_recipient_has_a_name() -> None:
    assert sending.recipient("Ann 3rd floor") == "Ann 3rd floor"
    for text in ("-", "", "12", "x" * 61):
        with pytest.raises(InvalidValue):
            sending.recipient(text)


def test_a_note_has_its_length() -> None:
    assert ordering.read_note("-") == ""
    assert ordering.read_note(" gate 3 ") == "gate 3"
    with pytest.raises(InvalidValue):
        ordering.read_note("x" * 501)


def test_a_question_is_never_too_long() -> None:
    lines = [f"Line {number} {'x' * 200}" for number in range(12)] + ["Which class?"]
    text = ordering.short_lines(lines)
    assert len(text) <= texts.QUESTION_MAX
    assert text.endswith("Which class?")


# Words


def test_minutes_and_kilometres() -> None:
    assert [texts.minutes(SAY, each) for each in (-5, 0, 59, 61, 3600)] == [
        "1 minute", "1 minute", "1 minute", "2 minutes", "60 minutes",
    ]  # fmt: skip
    assert [texts.kilometres(SAY, each) for each in (0, 320, 949, 1000, 12_345)] == [
        "50 m", "300 m", "950 m", "1.0 km", "12.3 km",
    ]  # fmt: skip


def test_soon_is_told_by_both_clocks() -> None:
    assert texts.about(SAY, NOW + timedelta(minutes=4, seconds=10), NOW) == "in about 5 minutes, at 12:04:00"


def test_surge_is_told_with_its_reason_and_cap() -> None:
    words = texts.surge_words(SAY, Surge(150, "busy", 7, 2), 200)
    assert words == (
        "Prices are × 1.5 just now, and never more than × 2. More people want to ride than cars are free just now: "
        "7 wait, and 2 are free."
    )
    assert "never more than × 1.75" in texts.surge_words(SAY, Surge(120, "operator"), 175)


def trip(**changes: object) -> Trip:
    values: dict[str, object] = {
        "id": "01T", "number": "7CFGHJ", "kind": TripKind.RIDE, "state": TripState.MATCHED, "service": "standard",
        "pickup": BERLIN, "dropoff": POTSDAM, "quoted": Money(1250, "EUR"), "earning": Money(1000, "EUR"),
        "opened_at": NOW, "updated_at": NOW, "metres": 27_000, "seconds": 1900, "rider": "@alice:example.org",
        "room_id": "!room", "driver": "@bob:example.org", "pin": "0471", "promised_at": NOW + timedelta(minutes=4),
    }  # fmt: skip
    return Trip(**(values | changes))  # type: ignore[arg-type]


BOB = Driver(
    "@bob:example.org", "Bob", Vehicle("Toyota Prius", "blue", "B-RI 123", 4), frozenset({"standard"}), "!bob",
    DriverState.ONLINE, NOW, NOW, trip="01T", ratings=3, stars=14,
)  # fmt: skip


def test_a_card_says_who_comes_and_what_to_say() -> None:
    card = texts.trip_card(SAY, trip(), BOB, NOW, "Standard")
    assert "Ride 7CFGHJ: a driver is on the way" in card
    assert "Bob ★ 4.7: blue Toyota Prius, B-RI 123" in card
    assert "Your PIN: 0471" in card
    assert "Standard: 12.50 EUR" in card
    assert "@" not in card


def test_a_pin_is_told_until_it_was_used() -> None:
    under_way = texts.trip_card(SAY, trip(state=TripState.UNDER_WAY), BOB, NOW)
    assert "0471" not in under_way


def test_a_parcel_has_two_pins() -> None:
    card = texts.trip_card(SAY, trip(kind=TripKind.COURIER, dropoff_pin="1199", passenger="Ann"), BOB, NOW)
    assert "The PIN for the pickup: 0471" in card
    assert "The PIN for who receives it: 1199" in card
    assert "For Ann" in card
    back = texts.trip_card(
        SAY, trip(kind=TripKind.RETURN, state=TripState.UNDER_WAY, pin="", dropoff_pin="1199"), BOB, NOW
    )
    assert "Tell the courier this PIN when you have it back: 1199" in back


def test_stops_are_counted() -> None:
    lines = texts.way_lines(SAY, BERLIN, [Place("Gate", Point(52.4, 13.2))], POTSDAM)
    assert lines == ["From: Berlin", "Stop 1: Gate", "To: Potsdam"]
    assert trip(stops=(Stop(Place("Gate", Point(52.4, 13.2))),)).stops[0].left_at is None


# Live positions


def test_a_beacon_is_as_the_proposals_have_it() -> None:
    """MSC3672: a reference to the state event, a geo URI, and when that was."""
    position = Position(Point(52.52, 13.405), NOW, accuracy_m=12.0)
    content = beacon(position, "$info")
    assert content["m.relates_to"] == {"rel_type": "m.reference", "event_id": "$info"}
    assert content[LOCATION] == {"uri": "geo:52.52,13.405;u=12"}
    assert content[AT] == round(NOW.timestamp() * 1000)


# Settings


def test_tiles_are_an_address_of_one_server() -> None:
    good = MapSettings(tiles="https://tiles.example.org/{z}/{x}/{y}.png", credit="© People").server()
    assert good is not None and good.origin == "https://tiles.example.org"
    assert MapSettings().server() is None
    for wrong in (
        "tiles.example.org/{z}/{x}/{y}",
        "https://tiles.example.org/{z}/{x}.png",
        "https://{x}.example.org/{z}/{x}/{y}.png",
        "https://tiles.example.org/{z}/{x}/{y}.png; script-src *",
        "https://tiles.example.org/{z}/{x}/{y}.png' *",
        "javascript:{z}{x}{y}",
    ):
        with pytest.raises(ValidationError):
            MapSettings(tiles=wrong)


def test_what_an_operator_may_set() -> None:
    settings = RidingSettings()
    assert settings.lost == timedelta(hours=24)
    for wrong in ({"contact": "phone"}, {"open_most": 0}, {"follow_seconds": 1}, {"no_such": 1}):
        with pytest.raises(ValidationError):
            RidingSettings.model_validate(wrong)

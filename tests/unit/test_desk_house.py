"""How a merchant keeps house: hours, pauses, delivery, coupons, staff, figures and money."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time

import pytest
from PIL import Image

from bots.commerce.desk.chart import draw
from bots.commerce.desk.figures import Period, as_csv, counted
from bots.commerce.desk.notation import read_corners, read_span_list, read_week
from bots.commerce.desk.reports import past, read_period
from bots.domain.merchants import MerchantState, Staff
from bots.domain.opening import Hours, Span
from bots.domain.orders import WORDS
from bots.domain.places import Circle, PlaceError, Point, Polygon
from bots.framework import InvalidValue, ParseEnv
from bots.framework.i18n import Catalogues
from tests.support.commerce import money
from tests.support.desk import DeskWorld

pytestmark = pytest.mark.timeout(120)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def env(language: str = "en") -> ParseEnv:
    """What is read with."""
    return ParseEnv(NOW, UTC, "world", "EUR", Catalogues().translator(language))


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[DeskWorld]:
    """One for all: each test has a merchant of its own."""
    async with DeskWorld() as world:
        yield world


def hours(*spans: str) -> tuple[Span, ...]:
    """Spans such as 9:00-18:00."""
    found = []
    for span in spans:
        opens, closes = span.split("-")
        found.append(Span(time.fromisoformat(opens), time.fromisoformat(closes)))
    return tuple(found)


# Hours


@pytest.mark.parametrize(
    ("text", "language", "open_on"),
    [
        ("mon-fri 9-18, sat 10-14", "en", {0: ("09:00-18:00",), 4: ("09:00-18:00",), 5: ("10:00-14:00",), 6: ()}),
        ("Mo–Fr 9–18 Uhr; Sa 10.30–14", "de", {0: ("09:00-18:00",), 5: ("10:30-14:00",), 6: ()}),
        ("daily 11am-11:30pm", "en", {0: ("11:00-23:30",), 6: ("11:00-23:30",)}),
        ("mon, wed 9-12, 14-18", "en", {0: ("09:00-12:00", "14:00-18:00"), 1: (), 2: ("09:00-12:00", "14:00-18:00")}),
        ("fri to mon 18-2", "en", {4: ("18:00-02:00",), 0: ("18:00-02:00",), 1: ()}),
        ("24/7", "en", {0: ("00:00-00:00",), 6: ("00:00-00:00",)}),
        ("lunes-viernes 9-18", "es", {0: ("09:00-18:00",), 5: ()}),
        ("الاثنين ٩-١٧", "ar", {0: ("09:00-17:00",), 1: ()}),
        ("sun closed", "en", {6: ()}),
        ("monday 0:00-24:00", "en", {0: ("00:00-00:00",)}),
    ],
)
def test_a_week_as_people_write_it(text: str, language: str, open_on: dict[int, tuple[str, ...]]) -> None:
    week = read_week(text, env(language))
    for day, spans in open_on.items():
        assert week[day] == hours(*spans), (text, day)


@pytest.mark.parametrize(
    "text",
    ["", "mon", "9-18", "mon 9", "mon 25-26", "mon 9-18 closed", "mon 9:60-10", "someday 9-18", "mon 9-12, 11-15",
     "mon 13pm-14", "mon <b>9-18</b>", "mon 9-18 " * 300, "mon--fri 9-18", "24/7 mon"],
)  # fmt: skip
def test_no_week(text: str) -> None:
    with pytest.raises(InvalidValue):
        read_week(text, env())


def test_other_days_stay() -> None:
    before = read_week("mon-fri 9-18", env())
    after = read_week("wed closed, sat 10-12", env(), before)
    assert after[0] == before[0]
    assert after[2] == ()
    assert after[5] == hours("10:00-12:00")
    assert read_span_list("10-14, 16-18", env()) == hours("10:00-14:00", "16:00-18:00")
    assert read_span_list("closed", env()) == ()


def test_corners() -> None:
    assert read_corners("52.5,13.3 52.6,13.3; 52.6, 13.4") == (
        Point(52.5, 13.3), Point(52.6, 13.3), Point(52.6, 13.4)
    )  # fmt: skip
    for text in ("", "here", "1,2,3", "52.5,13.3 <script>", "999,1 2,2 3,3"):
        with pytest.raises((InvalidValue, PlaceError)):
            Polygon(read_corners(text))


async def test_hours_and_days_that_differ(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("times")
    said = await world.says(carla, "hours mon-thu 9-18, fri-sun closed", room=room)
    assert "Mon–Thu: 09:00–18:00\nFri–Sun: closed" in said[-1]
    assert (await world.says(carla, "closed 24 dec", room=room)) == ["Dec 24, 2026: closed"]
    assert (await world.says(carla, "open 31 dec 10-14", room=room)) == ["Dec 31, 2026: 10:00–14:00"]
    assert (await world.now(merchant)).hours.exceptions == {
        date(2026, 12, 24): (), date(2026, 12, 31): hours("10:00-14:00")
    }  # fmt: skip
    assert "Dec 24, 2026: closed\nDec 31, 2026: 10:00–14:00" in (await world.says(carla, "hours", room=room))[-1]
    assert (await world.says(carla, "open 24 dec as usual", room=room)) == ["Dec 24, 2026: 09:00–18:00"]
    for text in ("closed yesterday", "closed nonsense", "open 31 dec 25-26", "hours mon 9-12, 10-13", "closed 30 feb"):
        assert len(await world.says(carla, text, room=room)) == 1, text
    assert (await world.now(merchant)).hours.exceptions == {date(2026, 12, 31): hours("10:00-14:00")}
    world.check()


async def test_a_pause_ends_by_itself(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("pauses")
    assert (await world.says(carla, "pause 30 min", room=room))[-1].startswith("Paused: nobody can order until")
    assert (await world.now(merchant)).state is MerchantState.PAUSED
    await world.pass_minutes(31)
    assert (await world.hears(carla, room))[-1].body == "The pause is over: you take orders again."
    assert (await world.now(merchant)).state is MerchantState.ACTIVE
    await world.says(carla, "pause 10", room=room)
    assert (await world.says(carla, "pause", room=room)) == ["Paused: nobody can order until you write “resume”."]
    await world.pass_minutes(20)
    assert (await world.now(merchant)).state is MerchantState.PAUSED
    assert (await world.says(carla, "resume", room=room)) == ["You take orders again."]
    assert (await world.says(carla, "resume", room=room)) == ["That is not possible: the merchant is open for orders."]
    assert "A pause is from" in (await world.says(carla, "pause 3000 hours", room=room))[-1]
    world.check()


# Delivery


async def test_zones(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("zones")
    said = await world.says(carla, "zones", room=room)
    assert said[-1].startswith("1. Centre: courier for €2.50\n2. Parcel: €4.90\n3. Pickup\nFrom: Market Square 1")
    await world.says(carla, "zone add", "2", room=room)
    crossing = "52.50,13.30 52.60,13.40 52.60,13.30 52.50,13.40"
    said = await world.says(carla, crossing, room=room)
    assert said == ["The border of the area crosses itself between corner 1 and corner 3."]
    assert (await world.says(carla, "52.5,13.3 52.6,13.3", room=room)) == ["An area has 3 to 200 different corners."]
    await world.says(carla, "52.50,13.30 52.60,13.30 52.60,13.40", room=room)
    said = await world.says(carla, "North <west>", "3", "20", room=room)
    assert said == ["Done. “zones” shows all of them."]
    zone = (await world.now(merchant)).zones[1]
    assert (zone.name, zone.fee, zone.minimum) == ("North <west>", money("3"), money("20"))
    await world.says(carla, "zone add", "1", "7.5", "4", "0", room=room)
    assert (await world.now(merchant)).zones[2].shape == Circle(Point(52.52, 13.405), 7_500.0)
    await world.says(carla, "zone fee 1 3.50 free from 40 per km 0.50", room=room)
    zone = (await world.now(merchant)).zones[0]
    assert (zone.fee, zone.free_from, zone.per_km) == (money("3.50"), money("40"), money("0.50"))
    for text in ("zone fee 1 3.12345", "zone fee 1 -2", "zone fee 9 1", "zone remove 9", "zone fee 1 5 USD"):
        assert len(await world.says(carla, text, room=room)) == 1, text
    assert (await world.now(merchant)).zones[0] == zone
    said = await world.says(carla, "zone remove 4", room=room)
    assert "Parcel" not in said[-1]
    assert (await world.says(carla, "minimum 15", room=room)) == ["Deliveries from €15.00 on."]
    await world.says(carla, "place", "Under the bridge", room=room)
    where = (await world.now(merchant)).where
    assert where is not None
    assert (where.text, where.point) == ("Under the bridge", None)
    world.check()


# Coupons


async def test_coupons(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("coupons")
    said = await world.says(
        carla, "coupon add summer 10% up to 8 minimum 20 until 31 aug uses 100 each 2 first order", room=room
    )
    assert said == [
        "SUMMER: 10 % off, up to €8.00, from €20.00 on, until Aug 31, 2026, for a first order; used 0 times of 100"
    ]
    coupon = await world.plugin.desk.coupons.get(world, merchant.id, "summer")
    assert coupon.uses_each == 2
    assert (await world.says(carla, "coupon add HELLO 5 EUR", room=room))[-1].startswith("HELLO: €5.00 off")
    for text in ("coupon add X 10%", "coupon add GOOD 0%", "coupon add GOOD 101%", "coupon add GOOD",
                 "coupon add GOOD 5.12345", "coupon add GOOD 5 uses none"):  # fmt: skip
        await world.says(carla, text, room=room)
    assert len(await world.plugin.desk.coupons.list(world, merchant.id)) == 2
    assert (await world.says(carla, "coupon stop hello", room=room)) == ["HELLO counts no longer."]
    assert "(stopped)" in (await world.says(carla, "coupons", room=room))[-1]
    assert (await world.says(carla, "coupon stop nothing", room=room)) == ["There is no such coupon here."]
    world.check()


# Staff


async def test_staff_comes_and_goes(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("staff")
    bob, dan = world.user("bob"), world.user("dan")
    assert (await world.says(carla, "staff add @bob manager", room=room)) == ["@bob:world works here now, as manager."]
    assert room.state["m.room.member", bob.user_id] == {"membership": "invite"} or room.members[bob.user_id] == "invite"
    await bob.joins(room)
    assert (await world.says(bob, "!staff add @dan manager", room=room)) == ["Only an owner may do that."]
    assert (await world.says(bob, "!staff add @dan", room=room)) == ["@dan:world works here now, as clerk."]
    assert (await world.says(bob, "!staff", room=room)) == [
        "@carla:world: owner\n@bob:world: manager\n@dan:world: clerk"
    ]
    assert (await world.says(bob, "!staff remove @carla", room=room))[-1].startswith("Only who is manager or above")
    assert (await world.says(carla, "!staff remove @carla", room=room))[-1].startswith("A merchant has an owner")
    assert (await world.says(bob, "!staff remove @dan", room=room)) == ["@dan:world works here no longer."]
    assert dan.user_id not in await world.sellers.staff(world, merchant.id)
    assert (await world.says(carla, "!staff remove @nobody", room=room)) == ["@nobody:world does not work here."]
    actions = [(each.action, each.subject) for each in await world.audit.list()]
    assert ("merchant.hire", bob.user_id) in actions
    assert ("merchant.dismiss", dan.user_id) in actions
    world.check()


# Figures


async def test_the_day_in_figures(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("figures")
    alice = await world.buyer("alice", "300")
    first = await world.paid_order(alice, world.cart(merchant, "margherita", 2, note="=cmd|' /C calc'!A0"))
    second = await world.paid_order(alice, world.cart(merchant, "margherita", 1))
    await world.says(carla, f"accept {first.number}", f"reject {second.number} too late", room=room)
    await carla.says("report", room=room)
    heard = await world.hears(carla, room)
    assert heard[0].body.splitlines() == [
        "Figures on Jan 1, 2026",
        "1 order taken: €20.50",
        "On average: €20.50",
        "Of it delivery: €2.50",
        "rejected by the merchant: 1",
        "• 2 × Margherita: €18.00",
    ]
    assert [each.content["msgtype"] for each in heard] == ["m.notice", "m.image", "m.file"]
    with Image.open(io.BytesIO(await carla.downloads(heard[1]))) as picture:
        assert (picture.format, picture.size) == ("PNG", (1200, 630))
    rows = list(csv.DictReader(io.StringIO((await carla.downloads(heard[2])).decode("utf-8-sig"))))
    assert [(row["order"], row["state"], row["total"]) for row in rows] == [
        (first.number, "accepted", "18.00"),
        (second.number, "rejected by the merchant", "9.00"),
    ]
    assert "file" in heard[2].content, "it is encrypted"
    said = await world.says(carla, "report yesterday", room=room)
    assert said == ["Figures on Dec 31, 2025\n0 orders taken: €0.00"]
    assert (await world.says(carla, "report week", room=room))[0].startswith("Figures from Dec 26, 2025 to Jan 1, 2026")
    assert "is not a day" in (await world.says(carla, "report nonsense", room=room))[-1]
    world.check()


async def test_the_report_comes_after_closing(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("closing", hours=Hours("Europe/Berlin", (hours("09:00-18:00"),) * 7))
    assert (await world.says(carla, "report daily", room=room))[-1].startswith("The report comes every day")
    for _day in range(2):
        await world.pass_minutes(24 * 60)
        told = [each.body for each in await world.hears(carla, room)]
        assert len([each for each in told if each.startswith("Closing on")]) == 1, told
    await world.says(carla, "report off", room=room)
    await world.pass_minutes(48 * 60)
    assert await world.hears(carla, room) == [], merchant.slug
    world.check()


def test_periods() -> None:
    assert read_period("week", env(), "UTC") == Period(date(2025, 12, 26), date(2026, 1, 1), "UTC")
    assert read_period("24 dec", env(), "UTC").first == date(2025, 12, 24)
    assert read_period("", env(), "UTC").first == date(2026, 1, 1)
    assert past(date(2028, 2, 29), date(2026, 1, 1)) == date(2024, 2, 29)
    # The day on which the clocks are put forward has 23 hours.
    day = Period(date(2026, 3, 29), date(2026, 3, 29), "Europe/Berlin")
    assert (day.until.astimezone(UTC) - day.since.astimezone(UTC)).total_seconds() == 23 * 3600
    nothing = counted([], [], day, "EUR")
    assert (nothing.orders, nothing.average) == (0, money("0"))
    assert as_csv([], day, WORDS).startswith(b"\xef\xbb\xbforder,placed,")


def test_a_chart_of_anything() -> None:
    for bars in ([], [("00", money("0"))], [(str(day), money("99999999.99")) for day in range(92)]):
        with Image.open(io.BytesIO(draw(bars, "EUR"))) as picture:
            assert picture.size == (1200, 630)


# Themselves


async def test_what_a_merchant_says_of_themselves(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("profile")
    await world.says(carla, "about Since <1980>", "tags Pizza, Pasta", "minutes 25", room=room)
    after = await world.now(merchant)
    assert (after.description, after.tags, after.prepare) == ("Since <1980>", ("pizza", "pasta"), 25)
    assert (await world.says(carla, "about", room=room))[-1].endswith("Since <1980>")
    assert (await world.says(carla, "minutes 0", room=room)) == ["Minutes are from 1 to 1440."]
    assert (await world.says(carla, "about " + "x" * 2001, room=room))[-1].startswith("A description has at most")
    assert (await world.says(carla, "close down", "no", room=room)) == ["Profile stays."]
    await world.says(carla, "close down", "yes", room=room)
    assert (await world.now(merchant)).state is MerchantState.CLOSED
    assert (await world.says(carla, "resume", room=room)) == ["That is not possible: the merchant is closed."]
    world.check()


# Money


async def test_a_payout() -> None:
    """Killed in the middle, it is one."""
    world = DeskWorld()
    merchant, carla, room = await world.desk("payouts")
    await world.owner("carla")
    bob = world.user("bob")
    await world.write(lambda hand: world.sellers.hire(hand, merchant.id, bob.user_id, Staff.MANAGER))
    alice = await world.buyer("alice", "100")
    assert (await world.says(carla, "payout", room=room)) == ["There is nothing to be paid out."]
    order = await world.paid_order(alice, world.cart(merchant, "margherita", 2))
    await world.says(carla, f"accept {order.number}", room=room)
    assert (await world.says(carla, "balance", room=room)) == ["There is €20.50 to be paid out."]
    assert (await world.says(carla, "payout 100", room=room)) == ["Only €20.50 can be paid out now."]
    assert "is less than nothing" in (await world.says(carla, "payout -5", room=room))[-1]
    before = await world.has(carla)
    said = await world.says(carla, "payout 15", room=room)
    assert said[-1].startswith("Pay €15.00 of Payouts out to the wallet of @carla:world? €5.50 would stay.")
    assert (await world.says(carla, "no", room=room)) == ["Nothing was paid out."]
    await world.says(carla, "payout 15", room=room)
    world.kill_after(2)
    await carla.says("yes", room=room)
    await world.settle()
    told = [each.body for each in await world.hears(carla, room)]
    assert told.count("€15.00 was paid out to @carla:world.") == 1, told
    assert await world.has(carla) - before == money("15")
    assert await world.merchant_has(merchant) == money("5.50")
    said = await world.says(carla, "statement", room=room)
    assert "payout -€15.00, then €5.50" in said[-1], said
    await bob.joins(room)
    assert (await world.says(bob, "!payout", room=room)) == ["Only who is owner or above may do that here."]
    entries = [(each.action, each.outcome) for each in await world.audit.list()]
    assert entries.count(("merchant.payout", "asked")) == 1
    assert entries.count(("merchant.payout", "paid")) == 1


async def test_two_payouts_of_the_same_money(world: DeskWorld) -> None:
    """What is not there any more when it is to be paid is not paid, and both are told what became of theirs."""
    merchant, carla, room = await world.desk("twice")
    dan = world.user("dan")
    await world.write(lambda hand: world.sellers.hire(hand, merchant.id, dan.user_id, Staff.OWNER))
    await dan.joins(room)
    await world.owner("dan")
    alice = await world.buyer("alice-twice")
    order = await world.paid_order(alice, world.cart(merchant, "margherita", 2))
    await world.says(carla, f"!accept {order.number}", room=room)
    await world.says(carla, "!payout 15", room=room)
    await world.says(dan, "!payout 15", "yes", room=room)
    await carla.says("yes", room=room)
    await world.settle()
    told = [each.body for each in await world.hears(carla, room)]
    assert told.count("€15.00 was paid out to @dan:world.") == 1, told
    assert len([each for each in told if each.startswith("Nothing was paid out: ")]) == 1, told
    assert await world.merchant_has(merchant) == money("5.50")


# Languages


@pytest.mark.parametrize(
    ("language", "text", "told"),
    [
        ("de", "hours Mo-Fr 9-18, So zu", "Mo–Fr: 09:00–18:00"),
        ("es", "hours lunes a viernes 9-18, domingo cerrado", "lun–vie: 09:00–18:00"),
        ("fr", "hours lundi au vendredi 9h-18h, dimanche fermé", "lun.–ven.: 09:00–18:00"),
        ("pl", "hours pon do pt 9-18, niedziela zamknięte", "pon.–pt.: 09:00–18:00"),
        ("ar", "hours الاثنين إلى الجمعة ٩-١٨", "09:00–18:00"),
    ],
)
async def test_in_each_language(language: str, text: str, told: str) -> None:
    async with DeskWorld(language=language) as world:
        merchant, carla, room = await world.desk("words", language=language, products=[])
        said = await world.says(carla, text, room=room)
        assert told in said[-1], said
        assert (await world.now(merchant)).hours.week[4] == hours("09:00-18:00")
        listed = (await world.says(carla, "desk", room=room))[-1]
        assert "Staff room" not in listed
        assert ": accept" in listed
        world.check()

"""The operator's tariff: a file or a part of the settings, and all that can be wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from appservice.config import ConfigError
from appservice.config.problems import dotted
from bots.commerce.seed import city
from bots.domain.fares import quote
from bots.domain.places import Point
from bots.domain.tariffs import WEEK, Tariff, Window
from bots.rides.tariffs import default_tariff, read_file, read_plain, read_text
from bots.rides.tariffs.models import hours_of

TEXT = files("bots.rides.tariffs").joinpath("default.yaml").read_text(encoding="utf-8")


def plain() -> dict[str, Any]:
    """A tariff that is right, to be broken."""
    return {
        "name": "Test",
        "currency": "EUR",
        "time_zone": "Europe/Berlin",
        "zones": [{"name": "airport", "centre": [52.36, 13.5], "radius_km": 3}],
        "classes": [
            {
                "name": "standard",
                "seats": 4,
                "rates": [
                    {"hours": ["mon-sun 06:00-22:00"], "base": 3.2, "per_km": "1.35 EUR", "per_minute": 0.25},
                    {"hours": "mon-sun 22:00-06:00", "base": 4, "per_km": 1.6, "per_minute": 0.25},
                ],
            }
        ],
    }


def faults(told: Any) -> list[str]:
    tariff, found = read_plain(told)
    assert (tariff is None) == bool(found)
    return [f"{dotted(path)} {reason}".strip() for path, reason in found]


# What is right


def test_the_tariff_that_comes_with_the_house_is_of_the_demo_city() -> None:
    tariff = default_tariff()
    assert list(tariff.classes) == ["standard", "xl", "courier"]
    assert tariff.classes["courier"].courier
    assert tariff.surge_classes == {"standard", "xl"}
    merchants = [seed.merchant for seed in city("food", "food")]
    assert {each.currency for each in merchants} == {tariff.currency}
    assert {each.hours.zone for each in merchants} == {tariff.zone}
    for merchant in merchants:
        assert merchant.where is not None
        assert merchant.where.point is not None
        way = [merchant.where.point, Point(52.5163, 13.3777)]
        for name in tariff.classes:
            assert quote(tariff, name, way, 3_000, 600, datetime(2026, 3, 2, tzinfo=UTC)).total.minor >= 400


def test_amounts_hours_and_percents_are_read_as_they_are_written() -> None:
    tariff, found = read_plain(plain() | {"platform_percent": 17.5, "tax": {"name": "VAT", "percent": 8.1}})
    assert not found
    assert tariff is not None
    day, night = tariff.rates["standard", ""]
    assert (day.base, day.per_km, night.base) == (320, 135, 400)
    assert sum(window.end - window.begin for window in night.windows) == 7 * 8 * 60
    assert (tariff.share, tariff.tax.rate) == (1_750, 810)
    assert tariff.classes["standard"].label == "Standard"


@pytest.mark.parametrize(
    ("told", "windows"),
    [
        ("always", [(0, WEEK)]),
        ("mon 06:00-22:00", [(360, 1_320)]),
        ("06:00-22:00", [(day * 1_440 + 360, day * 1_440 + 1_320) for day in range(7)]),
        (["Tue 00:00-24:00"], [(1_440, 2_880)]),
        ("tue 00:00-00:00", [(1_440, 2_880)]),
        ("sun 22:00-06:00", [(6 * 1_440 + 1_320, WEEK), (0, 360)]),
        ("sat-mon 10:00-11:00", [(5 * 1_440 + 600, 5 * 1_440 + 660), (6 * 1_440 + 600, WEEK - 780), (600, 660)]),
    ],
)
def test_hours(told: Any, windows: list[tuple[int, int]]) -> None:
    assert list(hours_of(told)) == [Window(*each) for each in windows]


# What is wrong


def test_a_gap_in_the_hours_is_told_with_its_line_and_both_ends(tmp_path: Path) -> None:
    file = tmp_path / "fares.yaml"
    file.write_text(TEXT.replace("mon-sun 22:00-06:00", "mon-sat 22:00-06:00"), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_file(file)
    line = next(number for number, text in enumerate(TEXT.splitlines(), 1) if text.strip() == "rates:")
    assert str(caught.value) == (
        f"{file}:{line}: classes[0].rates leave hours without a price: Mon 00:00 to Mon 06:00, Sun 22:00 to Sun 24:00; "
        "hours have to cover the week exactly once"
    )


def test_hours_that_overlap_are_told_where_the_second_stands() -> None:
    told = plain()
    told["classes"][0]["rates"][1]["hours"] = ["mon-sun 21:30-06:00"]
    assert faults(told) == [
        "classes[0].rates[1].hours overlap: Mon 21:30 to Mon 22:00, Tue 21:30 to Tue 22:00, Wed 21:30 to Wed 22:00, "
        "Thu 21:30 to Thu 22:00 and 3 more; every hour has one price"
    ]


def test_hours_of_a_zone_cover_the_week_too() -> None:
    told = plain()
    told["classes"][0]["rates"].append(
        {"zone": "airport", "hours": "mon-fri 00:00-24:00", "base": 1, "per_km": 1, "per_minute": 1}
    )
    assert faults(told) == [
        "classes[0].rates leave hours of zone 'airport' without a price: Sat 00:00 to Sun 24:00; hours have to cover "
        "the week exactly once"
    ]


CROSSED = [[52.5, 13.3], [52.6, 13.4], [52.5, 13.4], [52.6, 13.3]]


@pytest.mark.parametrize(
    ("where", "value", "fault"),
    [
        (("classes", 0, "rates", 0, "base"), -3.2, "classes[0].rates[0].base needs an amount that is not below nought, "
         "got -3.2"),
        (("classes", 0, "rates", 0, "per_km"), 1.23456, "classes[0].rates[0].per_km EUR has at most 2 decimals. Got "
         "1.23456"),
        (("classes", 0, "rates", 0, "per_km"), "1.35 USD", "classes[0].rates[0].per_km is in 'USD', and the tariff is "
         "in EUR"),
        (("classes", 0, "rates", 0, "per_km"), True, "classes[0].rates[0].per_km needs an amount such as 3.20, got "
         "True"),
        (("classes", 0, "rates", 0, "per_km"), float("nan"), "classes[0].rates[0].per_km needs an amount that is not "
         "below nought, got nan"),
        (("classes", 0, "rates", 0, "per_km"), 10**12, "classes[0].rates[0].per_km is too large"),
        (("classes", 0, "rates", 0, "per_minutes"), 1, "classes[0].rates[0].per_minutes is not known, did you mean "
         "per_minute?"),
        (("classes", 0, "rates", 0, "zone"), "airpot", "classes[0].rates[0].zone is no zone, did you mean airport?"),
        (("classes", 0, "rates", 0, "hours"), "mon 25:00-26:00", "classes[0].rates[0].hours needs times from 00:00 to "
         "24:00, got '25:00'"),
        (("classes", 0, "rates", 0, "hours"), "funday 01:00-02:00", "classes[0].rates[0].hours needs spans such as "
         "\"mon-fri 06:00-22:00\", got 'funday 01:00-02:00'"),
        (("classes", 0, "seats"), -1, "classes[0].seats needs 0 or more, got -1"),
        (("classes", 0, "name"), "Stan dard", "classes[0].name needs small letters, digits, - and _, got 'Stan dard'"),
        (("classes",), [], "classes needs one class or more"),
        (("currency",), "EURO", "currency needs the code of a currency (ISO 4217) such as EUR, got 'EURO'"),
        (("time_zone",), "Berlin", "time_zone needs a time zone such as Europe/Berlin, got 'Berlin'"),
        (("quote_seconds",), 300, "quote_seconds needs 120 or less, got 300"),
        (("platform_percent",), 120, "platform_percent needs a number from 0 to 100 (percent), got 120"),
        (("platform_percent",), 12.345, "platform_percent has at most two decimals, got 12.345"),
        (("zones", 0, "radius_km"), 0, "zones[0].radius_km needs more than 0.0, got 0"),
        (("zones", 0, "centre"), [91, 13], "zones[0].centre a place has a latitude from −90 to 90 and a longitude from "
         "−180 to 180. Got [91, 13]"),
        (("zones", 0), {"name": "x", "corners": CROSSED}, "zones[0] cannot be: the border of the area crosses itself "
         "between corner 1 and corner 3"),
        (("zones", 0), {"name": "x"}, "zones[0] needs a centre and radius_km, or corners"),
        (("service_area",), [{"name": "x", "corners": CROSSED[:2]}], "service_area[0] cannot be: an area has 3 to 200 "
         "different corners."),
        (("surge",), {"cap_percent": 90}, "surge.cap_percent needs 100 or more, got 90"),
        (("surge",), {"cap_percent": 150, "classes": ["standart"]}, "surge.classes[0] is no class, did you mean "
         "standard?"),
        (("surge",), {"cap_percent": 150, "points": [{"waiting_per_100": 9, "percent": 120}, {"waiting_per_100": 5,
         "percent": 140}]}, "surge needs points whose waiting_per_100 rises, and whose percent does not fall"),
        (("surge",), {"cap_percent": 150, "points": [{"wating_per_100": 9, "percent": 120}]},
         "surge.points[0].wating_per_100 is not known, did you mean waiting_per_100?"),
        (("fees",), {"cancel": {"fixed": 5, "cap": 2}}, "fees.cancel has a cap that is below its fixed fee"),
        (("fees",), {"cancle": {}}, "fees.cancle is not known, did you mean cancel?"),
        (("tarif",), 1, "tarif is not known"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_where_it_stands(where: tuple[Any, ...], value: Any, fault: str) -> None:
    told: Any = plain()
    place = told
    for part in where[:-1]:
        place = place[part]
    place[where[-1]] = value
    assert any(each.startswith(fault) for each in faults(told)), faults(told)


def test_everything_is_told_at_once() -> None:
    text = """\
name: Bad
currency: EUR
time_zone: Mars/Olympus
colour: red
zones:
  - {name: lake, corners: [[52.5, 13.3], [52.6, 13.4], [52.5, 13.4], [52.6, 13.3]]}
classes:
  - name: standard
    seats: 4
    rates:
      - {hours: mon-sun 06:00-22:00, base: -1, per_km: 1.23456, per_minute: 1 USD}
      - {hours: mon-sun 21:00-05:00, base: 1, per_km: 1, per_minute: 1, zone: laek}
      - {hours: mon-sun 21:00-05:00, base: 1, per_km: 1, per_minute: 1}
surge: {cap_percent: 50}
"""
    with pytest.raises(ConfigError) as caught:
        read_text(text, "bad.yaml")
    assert str(caught.value).splitlines() == [
        "bad.yaml:3: time_zone needs a time zone such as Europe/Berlin, got 'Mars/Olympus'",
        "bad.yaml:4: colour is not known",
        "bad.yaml:6: zones[0] cannot be: the border of the area crosses itself between corner 1 and corner 3.",
        "bad.yaml:10: classes[0].rates leave hours without a price: Mon 05:00 to Mon 06:00, Tue 05:00 to Tue 06:00, "
        "Wed 05:00 to Wed 06:00, Thu 05:00 to Thu 06:00 and 3 more; hours have to cover the week exactly once",
        "bad.yaml:11: classes[0].rates[0].base needs an amount that is not below nought, got -1",
        "bad.yaml:11: classes[0].rates[0].per_km EUR has at most 2 decimals. Got 1.23456",
        "bad.yaml:11: classes[0].rates[0].per_minute is in 'USD', and the tariff is in EUR",
        "bad.yaml:12: classes[0].rates[1].zone is no zone, did you mean lake?",
        "bad.yaml:13: classes[0].rates[2].hours overlap: Mon 21:00 to Mon 22:00, Tue 21:00 to Tue 22:00, Wed 21:00 to "
        "Wed 22:00, Thu 21:00 to Thu 22:00 and 3 more; every hour has one price",
        "bad.yaml:14: surge.cap_percent needs 100 or more, got 50",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "x.yaml: is empty"),
        ("- 1\n", "x.yaml:1: needs a section with keys"),
        ("name: [\n", "x.yaml:2: is not YAML"),
        ("name: x\nname: y\n", "x.yaml:2: name is there twice, first in line 1"),
        ("a: &a [1]\nb: !thing 1\n", "x.yaml:2: holds a YAML tag"),
        ("name: \x00\n", "x.yaml:1: holds the character U+0000"),
    ],
)
def test_what_is_no_tariff_at_all_is_said_to_be_none(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_text(text, "x.yaml")
    assert any(line.startswith(fault) for line in str(caught.value).splitlines()), str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_file(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: Käse".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not in UTF-8"):
        read_file(tmp_path / "latin.yaml")


def test_a_copy_in_the_settings_is_the_same_tariff() -> None:
    held = YAML(typ="safe", pure=True).load(TEXT)
    tariff, found = read_plain(held)
    assert not found
    assert isinstance(tariff, Tariff)
    assert tariff == default_tariff()

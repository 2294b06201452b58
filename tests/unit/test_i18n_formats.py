"""Numbers, money, dates and lists by CLDR; tags, names of languages, and what people type."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from decimal import Decimal
from zoneinfo import ZoneInfo, available_timezones

import pytest
from babel import Locale, localedata
from babel.numbers import format_decimal
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.money import Money
from bots.framework.i18n import Formats, best, display_name, normalise, parse_language, parse_zone
from bots.framework.i18n import people as people_module
from bots.framework.i18n.tags import chain

LANGUAGES = (
    "en",
    "de",
    "fr",
    "ar",
    "ar-EG",
    "pl",
    "es",
    "fa",
    "hi",
    "bn",
    "mr",
    "my",
    "ne",
    "th",
    "ja",
    "zh-Hant",
    "ur",
)
NOON = dt.datetime(2026, 7, 1, 12, 5, tzinfo=dt.UTC)


class TestFormats:
    def test_english(self) -> None:
        f = Formats("en", ZoneInfo("America/New_York"))
        assert f.number(1234567.5) == "1,234,567.5"
        assert f.number(Decimal("0.123456789")) == "0.123456789"
        assert f.percent(Decimal("0.125")) == "12.5%"
        assert f.money(1250, "EUR") == "€12.50"
        assert f.money(Money(1250, "JPY")) == "¥1,250"
        assert f.money(-1250, "IQD") == "-IQD\xa01.250"
        assert f.date(NOON) == "Jul 1, 2026"
        assert f.time(NOON).replace("\u202f", " ") == "8:05 AM"
        assert f.datetime(NOON).replace("\u202f", " ") == "Jul 1, 2026, 8:05 AM"
        assert f.relative(dt.timedelta(hours=2)) == "in 2 hours"
        assert f.relative(dt.timedelta(days=-3)) == "3 days ago"
        assert f.duration(dt.timedelta(hours=1, minutes=30)) == "1 hour, 30 minutes"
        assert f.duration(dt.timedelta(0)) == "0 seconds"
        assert f.duration(dt.timedelta(days=400, hours=3, seconds=2), parts=1) == "400 days"
        assert f.list(["a", "b", "c"]) == "a, b, and c"
        assert f.list(["a", "b"], "or") == "a or b"
        assert f.list([]) == ""

    def test_letters_of_a_currency_keep_off_the_digits(self) -> None:
        assert Formats("en").money(1250, "KWD") == "KWD\xa01.250"
        assert Formats("en").money(1250, "CAD") == "CA$12.50"
        assert Formats("pl").money(1250, "PLN") == "12,50\xa0zł"

    def test_others(self) -> None:
        assert Formats("pl").number(Decimal("1234567.5")) == "1\xa0234\xa0567,5"
        assert Formats("fr").money(1250, "EUR") == "12,50\xa0€"
        assert Formats("de").datetime(NOON, "long") == "1. Juli 2026, 12:05"
        assert Formats("es").relative(dt.timedelta(minutes=-5)) == "hace 5 minutos"
        assert Formats("ar").relative(dt.timedelta(hours=2)) == "خلال ساعتين"
        assert Formats("pl").duration(dt.timedelta(minutes=5)) == "5 minut"
        assert Formats("de").list(["a", "b", "c"], "or") == "a, b oder c"

    def test_what_stands_in_a_list_cannot_turn_it(self) -> None:
        assert "\u2068Bob\u2069" in Formats("ar").list(["Bob", "أمل"])

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_digits_can_be_copied_into_answers(self, language: str) -> None:
        f = Formats(language)
        written = [
            f.number(Decimal("1234567.89")), f.percent(Decimal("0.5")), f.money(123456, "EUR"), f.date(NOON),
            f.time(NOON), f.datetime(NOON), f.datetime(NOON, "full"), f.relative(dt.timedelta(hours=5)),
            f.duration(dt.timedelta(hours=5)),
        ]  # fmt: skip
        for text in written:
            assert re.search("[0-9]", text)
            assert not [each for each in text if unicodedata.category(each) == "Nd" and not each.isascii()]

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_small_counts_are_written_as_cldr_has_them(self, language: str) -> None:
        locale = Locale.parse(language, sep="-")
        for count in (0, 1, 10, 999, 1000, 1001, 123456):
            assert Formats(language).number(count) == format_decimal(count, locale=locale)

    @pytest.mark.parametrize("language", ["xx", "", "en-ZZ", "de-Latn-AT-1996", "zz-Arab"])
    def test_a_language_that_cldr_does_not_know_is_written_as_its_nearest(self, language: str) -> None:
        assert Formats(language).number(5) == "5"

    def test_a_point_in_time_without_a_zone_stays(self) -> None:
        assert Formats("de", ZoneInfo("Asia/Tokyo")).datetime(NOON.replace(tzinfo=None)) == "01.07.2026, 12:05"
        assert Formats("de", ZoneInfo("Asia/Tokyo")).time(dt.time(9, 0, tzinfo=dt.UTC)) == "09:00"
        assert Formats("de", ZoneInfo("Asia/Tokyo")).date(dt.datetime.max.replace(tzinfo=dt.UTC)) == "31.12.9999"

    @given(minor=st.integers(-(2**63) + 1, 2**63 - 1), currency=st.sampled_from(["EUR", "JPY", "KWD", "CLF", "HUF"]))
    def test_no_minor_unit_is_lost(self, minor: int, currency: str) -> None:
        written = Formats("en").money(Money(minor, currency))
        assert int("0" + re.sub(r"[^0-9]", "", written)) == abs(minor)
        assert ("-" in written) == (minor < 0)

    @given(st.decimals(allow_nan=False, allow_infinity=False))
    def test_no_digit_of_a_number_is_lost(self, number: Decimal) -> None:
        assert Decimal(Formats("en").number(number).replace(",", "")) == number


class TestTags:
    @pytest.mark.parametrize(
        ("tag", "clean"),
        [("DE", "de"), ("pt_br", "pt-BR"), ("zh-hant-tw", "zh-Hant-TW"), ("iw", "he"), ("es-419", "es-419"),
         ("sl-rozaj-1994", "sl-rozaj-1994"), ("en-x-ABCD", "en-x-abcd"), ("", None), ("d", None), ("a b", None),
         ("de-", None), ("../etc", None), ("x" * 100, None), ("de\n", "de"), ("дe", None)],
    )  # fmt: skip
    def test_normalise(self, tag: str, clean: str | None) -> None:
        assert normalise(tag) == clean

    def test_best_follows_rfc_4647_lookup(self) -> None:
        there = ["en", "de", "pt", "zh-Hant", "nb", "fr_CA"]
        assert best(["de-AT"], there) == "de"
        assert best(["ja", "pt-BR", "en"], there) == "pt"
        assert best(["zh-Hant-CN-x-private1-private2"], there) == "zh-Hant"
        assert best(["FR-ca"], there) == "fr_CA"
        assert best(["fr"], there) is None
        assert best(["*", "nonsense tag", "no"], there) == "nb"
        assert best(["zh-TW"], there) == "zh-Hant"
        assert best([], there) is None
        assert chain("zh-HK") == ("zh-HK", "zh-Hant", "zh")
        assert chain("en-a-bbb-x-a-ccc") == ("en-a-bbb-x-a-ccc", "en-a-bbb", "en")

    @given(st.lists(st.text(max_size=20)), st.lists(st.text(max_size=20)))
    def test_best_never_invents(self, wanted: list[str], available: list[str]) -> None:
        assert best(wanted, available) in {None, *available}

    def test_display_names(self) -> None:
        assert display_name("pt-BR", "de") == "Portugiesisch (Brasilien)"
        assert display_name("de", "de") == "Deutsch"
        assert display_name("de-AT", "en") == "Austrian German"
        assert display_name("pl", "ar") == "البولندية"
        assert display_name("qq", "en") == "qq"
        assert display_name("?", "en") == "?"


class TestPeople:
    @pytest.mark.parametrize(
        ("text", "tag"),
        [("deutsch", "de"), ("German", "de"), ("de", "de"), (" DE-at ", "de-AT"), ("português (brasil)", "pt-BR"),
         ("portugues", "pt"), ("Brazilian Portuguese", "pt-BR"), ("Deutsch (Österreich)", "de-AT"), ("العربية", "ar"),
         ("POLSKI", "pl"), ("español", "es"), ("Deutsch, Schweiz", "de-CH"), ("中文", "zh"), ("繁體中文", "zh-Hant"),
         ("Serbian (Latin)", "sr-Latn"), ("xx", None), ("", None), ("hello there", None), ("german (atlantis)", None),
         ("a" * 5000, None)],
    )  # fmt: skip
    def test_languages(self, text: str, tag: str | None) -> None:
        assert parse_language(text) == tag

    def test_the_table_of_own_names_is_cldrs(self) -> None:
        names = people_module._language_names()
        for tag in ("de", "pt", "ja", "sw", "uk", "hi", "fil", "cy"):
            assert names[people_module._bare(str(Locale(tag).languages[tag]))] == tag
        assert len(names) > 700
        assert all(localedata.exists(tag) or tag in Locale("en").languages for tag in ("de", "nb"))

    @pytest.mark.parametrize(
        ("text", "zone"),
        [("Berlin", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"), ("new york", "America/New_York"),
         ("America/New York", "America/New_York"), ("München", "Europe/Berlin"), ("munchen", "Europe/Berlin"),
         ("São Paulo", "America/Sao_Paulo"), ("Paris, France", "Europe/Paris"), ("Japan", "Asia/Tokyo"),
         ("Germany", "Europe/Berlin"), ("utc", "Etc/UTC"), ("Kiev", "Europe/Kyiv"), ("US/Eastern", "America/New_York"),
         ("San Francisco", "America/Los_Angeles"), ("Kolkata", "Asia/Kolkata"), ("GMT+0", "Etc/UTC")],
    )  # fmt: skip
    def test_zones(self, text: str, zone: str) -> None:
        answer = parse_zone(text)
        assert (answer.zone, answer.nearest, answer.fixed) == (zone, (), False)

    def test_cities_and_countries_in_the_language_of_the_person(self) -> None:
        assert parse_zone("Rom", "de").zone == "Europe/Rome"
        assert parse_zone("Deutschland", "de-AT").zone == "Europe/Berlin"
        assert parse_zone("القاهرة", "ar").zone == "Africa/Cairo"
        assert parse_zone("Japonia", "pl").zone == "Asia/Tokyo"

    def test_an_offset_knows_no_summer_time(self) -> None:
        east = parse_zone("UTC+2")
        assert (east.zone, east.fixed) == ("Etc/GMT-2", True)
        assert ZoneInfo(east.zone or "").utcoffset(NOON) == dt.timedelta(hours=2)
        assert parse_zone("gmt -5").zone == "Etc/GMT+5"
        assert parse_zone("−3").zone == "Etc/GMT+3"
        half = parse_zone("+05:30")
        assert (half.zone, half.nearest[0], half.fixed) == (None, "Asia/Kolkata", True)
        assert parse_zone("UTC+99").zone is None

    def test_what_could_be_several_is_not_decided(self) -> None:
        assert parse_zone("IST").zone is None
        assert "Asia/Kolkata" in parse_zone("IST").nearest
        brazil = parse_zone("Brazil")
        assert brazil.zone is None
        assert "America/Sao_Paulo" in brazil.nearest
        assert parse_zone("Berlim").nearest[0] == "Europe/Berlin"
        assert parse_zone("nowhere at all") == people_module.ZoneAnswer(None)

    def test_every_zone_that_can_come_out_is_one(self) -> None:
        out = {*people_module._cities("en").values(), *people_module._zone_names().values()}
        out |= {zone for zones in people_module._territory_zones().values() for zone in zones}
        out |= {zone for zones in people_module._ABBREVIATIONS.values() for zone in zones}
        out |= {zone for zones in people_module._FRACTIONS.values() for zone in zones}
        assert out <= available_timezones()

    @given(st.text(max_size=100))
    def test_nothing_that_is_typed_raises(self, text: str) -> None:
        assert parse_language(text) is None or normalise(parse_language(text) or "")
        answer = parse_zone(text)
        assert answer.zone is None or answer.zone in available_timezones()

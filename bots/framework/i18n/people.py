"""What people type to say which language they read and where they live."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files

from babel import Locale
from babel.core import get_global

from bots.framework.i18n.marks import fold
from bots.framework.i18n.tags import SOURCE, locale_of, normalise

_LONGEST = 80
_PLACES = frozenset(
    {
        "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific",
    }
)  # fmt: skip
_AREAS = frozenset(each.casefold() for each in _PLACES)
_TERRITORY = re.compile(r"(?P<language>.+?)\s*(?:\((?P<bracket>[^()]+)\)|[,/]\s*(?P<comma>.+))\Z")
_OFFSET = re.compile(
    r"(?:UTC|GMT|Z)?\s*(?P<sign>[+\-−–])\s*(?P<hours>\d{1,2})(?::?(?P<minutes>\d{2}))?\Z", re.IGNORECASE
)


def parse_language(text: str) -> str | None:
    """The tag of a language that a person named: by its tag (``de``, ``pt-br``), in its own language (``deutsch``,
    ``português (brasil)``) or in English (``German``, ``Brazilian Portuguese``). ``None`` when it is not known (CLDR).
    """
    if len(text) > _LONGEST:
        return None
    plain = _bare(text)
    names = _language_names()
    if plain in names:
        return names[plain]
    if found := _TERRITORY.match(plain):
        language = names.get(found["language"].strip())
        if language is not None:
            return _with_territory(language, (found["bracket"] or found["comma"]).strip())
    return _known_tag(text)


@dataclass(frozen=True, slots=True)
class ZoneAnswer:
    """What a person's words about their time zone came to.

    Args:
        zone: the IANA name, or ``None``.
        nearest: what may have been meant, best first, when there is no zone.
        fixed: they gave an offset from UTC, which does not know summer time: say so, and ask for a city. ``zone`` is
            then ``Etc/GMT-2`` for UTC+2 (IANA writes the sign the other way), or ``None`` for an offset without one.
    """

    zone: str | None
    nearest: tuple[str, ...] = ()
    fixed: bool = False


def parse_zone(text: str, language: str = SOURCE) -> ZoneAnswer:
    """The time zone that a person named: ``Europe/Berlin``, a city (``berlin``, ``München``; in ``language`` too:
    ``Rom``), a country with one zone, ``UTC``, or an offset.

    What could be several zones (``EST``, ``Brazil``) is not decided for the person: they are ``nearest``.
    """
    plain = _bare(text) if len(text) <= _LONGEST else ""
    if not plain:
        return ZoneAnswer(None)
    if plain in ("utc", "gmt", "z", "zulu", "etc/utc"):
        return ZoneAnswer("Etc/UTC")
    if offset := _OFFSET.match(plain):
        return _by_offset(offset)
    zones = _zone_names()
    key = plain.replace(" ", "_")
    if key in zones:
        return ZoneAnswer(zones[key])
    if plain in _ABBREVIATIONS:
        return ZoneAnswer(None, _ABBREVIATIONS[plain])
    cities = _cities(locale_of(language).language)
    if plain in cities:
        return ZoneAnswer(cities[plain])
    if (there := _by_country(plain, language)) is not None:
        return there
    head = plain.split(",")[0].strip()
    if head != plain and head in cities:
        return ZoneAnswer(cities[head])
    close = get_close_matches(plain, cities, n=3, cutoff=0.7) + get_close_matches(key, zones, n=2, cutoff=0.8)
    return ZoneAnswer(None, tuple(dict.fromkeys(cities.get(each) or zones[each] for each in close))[:3])


def _bare(text: str) -> str:
    """Folded and without accents: people leave them out."""
    parts = unicodedata.normalize("NFD", fold(text))
    return unicodedata.normalize("NFC", "".join(each for each in parts if not _is_accent(each)))


def _is_accent(each: str) -> bool:
    return "\u0300" <= each <= "\u036f"


@lru_cache(maxsize=1)
def _language_names() -> Mapping[str, str]:
    names: dict[str, str] = {}
    for tag, name in Locale(SOURCE).languages.items():
        names.setdefault(_bare(name), tag.replace("_", "-"))
        names[_bare(tag.replace("_", "-"))] = tag.replace("_", "-")
    own: dict[str, str] = json.loads((files("bots.framework.i18n") / "languages.json").read_text("utf-8"))
    for tag, name in own.items():
        names.setdefault(_bare(name), tag)
    return names


def _known_tag(text: str) -> str | None:
    tag = normalise(text)
    if tag is None:
        return None
    language, *rest = tag.split("-")
    english = Locale(SOURCE)
    known = language in english.languages and all(
        part in english.territories or part in english.scripts or len(part) > 4 for part in rest
    )
    return tag if known else None


def _with_territory(language: str, name: str) -> str | None:
    for reader in (Locale(SOURCE), locale_of(language)):
        for names in (reader.territories, reader.scripts):
            for code, territory in names.items():
                if _bare(territory) == name or code.casefold() == name:
                    return normalise(f"{language.split('-', maxsplit=1)[0]}-{code}")
    return None


def _by_offset(offset: re.Match[str]) -> ZoneAnswer:
    hours, minutes = int(offset["hours"]), int(offset["minutes"] or 0)
    east = offset["sign"] == "+"
    if minutes:
        return ZoneAnswer(None, _FRACTIONS.get(f"{'+' if east else '-'}{hours}:{minutes:02}", ()), fixed=True)
    if hours > (14 if east else 12):
        return ZoneAnswer(None, fixed=True)
    return ZoneAnswer(f"Etc/GMT{'-' if east else '+'}{hours}" if hours else "Etc/UTC", fixed=bool(hours))


def _by_country(plain: str, language: str) -> ZoneAnswer | None:
    territories: Mapping[str, tuple[str, ...]] = _territory_zones()
    for reader in (Locale(SOURCE), locale_of(language)):
        for code, name in reader.territories.items():
            if _bare(name) == plain and (zones := territories.get(code)):
                return ZoneAnswer(zones[0]) if len(zones) == 1 else ZoneAnswer(None, zones)
    return None


@lru_cache(maxsize=1)
def _territory_zones() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for zone, code in get_global("zone_territories").items():
        if zone.partition("/")[0] in _PLACES:
            found.setdefault(code, []).append(zone)
    found.update({code: [zone] for code, zone in _PRIMARY.items()})
    return {code: tuple(zones) for code, zones in found.items()}


@lru_cache(maxsize=1)
def _zone_names() -> Mapping[str, str]:
    zones = (*get_global("zone_territories"), *get_global("zone_aliases"))
    current = get_global("zone_aliases")
    return {
        _bare(zone): current.get(zone, zone)
        for zone in zones
        if "/" in zone and not zone.startswith(("Etc/", "SystemV/"))
    }


@lru_cache(maxsize=16)
def _cities(language: str) -> Mapping[str, str]:
    """Folded names of cities: those of the IANA zones, CLDR's in English and in the person's language, and big ones."""
    cities: dict[str, str] = {}
    for name, zone in _zone_names().items():
        area, *_, city = name.split("/")
        if area in _AREAS:
            cities.setdefault(city.replace("_", " "), zone)
    for zone, city in _exemplars((SOURCE, language)):
        cities.setdefault(_bare(city), get_global("zone_aliases").get(zone, zone))
    for zone, names in _MORE_CITIES.items():
        for name in names.split(","):
            cities.setdefault(_bare(name), zone)
    return cities


def _exemplars(languages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for language in languages:
        for zone, names in Locale(language).time_zones.items():
            if "city" in names and zone.partition("/")[0] in _PLACES:
                yield zone, str(names["city"])


_ABBREVIATIONS: Mapping[str, tuple[str, ...]] = {
    "est": ("America/New_York", "America/Toronto", "Australia/Brisbane"),
    "edt": ("America/New_York", "America/Toronto"),
    "et": ("America/New_York", "America/Toronto"),
    "cst": ("America/Chicago", "America/Mexico_City", "Asia/Shanghai"),
    "cdt": ("America/Chicago", "America/Winnipeg"),
    "ct": ("America/Chicago", "America/Winnipeg"),
    "mst": ("America/Denver", "America/Phoenix", "America/Edmonton"),
    "mdt": ("America/Denver", "America/Edmonton"),
    "mt": ("America/Denver", "America/Edmonton"),
    "pst": ("America/Los_Angeles", "America/Vancouver", "Asia/Manila"),
    "pdt": ("America/Los_Angeles", "America/Vancouver"),
    "pt": ("America/Los_Angeles", "America/Vancouver"),
    "ist": ("Asia/Kolkata", "Asia/Jerusalem", "Europe/Dublin"),
    "bst": ("Europe/London", "Asia/Dhaka"),
    "wet": ("Europe/Lisbon", "Atlantic/Canary"),
    "cet": ("Europe/Berlin", "Europe/Paris", "Europe/Warsaw"),
    "cest": ("Europe/Berlin", "Europe/Paris", "Europe/Warsaw"),
    "mez": ("Europe/Berlin", "Europe/Vienna", "Europe/Zurich"),
    "mesz": ("Europe/Berlin", "Europe/Vienna", "Europe/Zurich"),
    "eet": ("Europe/Athens", "Europe/Helsinki", "Africa/Cairo"),
    "eest": ("Europe/Athens", "Europe/Helsinki", "Europe/Kyiv"),
    "msk": ("Europe/Moscow",),
    "jst": ("Asia/Tokyo",),
    "kst": ("Asia/Seoul",),
    "aest": ("Australia/Sydney", "Australia/Melbourne", "Australia/Brisbane"),
    "aedt": ("Australia/Sydney", "Australia/Melbourne"),
    "nzst": ("Pacific/Auckland",),
    "brt": ("America/Sao_Paulo",),
}

# The zone of a country that has another for few of its people (CLDR, primaryZones).
_PRIMARY: Mapping[str, str] = {
    "CL": "America/Santiago",
    "CN": "Asia/Shanghai",
    "DE": "Europe/Berlin",
    "EC": "America/Guayaquil",
    "ES": "Europe/Madrid",
    "MH": "Pacific/Majuro",
    "MY": "Asia/Kuala_Lumpur",
    "NZ": "Pacific/Auckland",
    "PF": "Pacific/Tahiti",
    "PT": "Europe/Lisbon",
    "UA": "Europe/Kyiv",
    "UZ": "Asia/Tashkent",
}

_FRACTIONS: Mapping[str, tuple[str, ...]] = {
    "+3:30": ("Asia/Tehran",),
    "+4:30": ("Asia/Kabul",),
    "+5:30": ("Asia/Kolkata", "Asia/Colombo"),
    "+5:45": ("Asia/Kathmandu",),
    "+6:30": ("Asia/Yangon",),
    "+8:45": ("Australia/Eucla",),
    "+9:30": ("Australia/Darwin", "Australia/Adelaide"),
    "+10:30": ("Australia/Adelaide", "Australia/Lord_Howe"),
    "+12:45": ("Pacific/Chatham",),
    "+13:45": ("Pacific/Chatham",),
    "-2:30": ("America/St_Johns",),
    "-3:30": ("America/St_Johns",),
    "-9:30": ("Pacific/Marquesas",),
}

# Big cities that no zone is named after.
_MORE_CITIES: Mapping[str, str] = {
    "Africa/Johannesburg": "Cape Town,Durban,Pretoria",
    "Africa/Lagos": "Abuja,Ibadan,Kano",
    "Africa/Cairo": "Alexandria,Giza",
    "Africa/Casablanca": "Rabat,Marrakesh,Marrakech,Tangier",
    "America/Chicago": "Dallas,Houston,Austin,San Antonio,Minneapolis,New Orleans,St. Louis,Nashville",
    "America/Denver": "Salt Lake City,Albuquerque",
    "America/Edmonton": "Calgary",
    "America/Los_Angeles": "San Francisco,Seattle,San Diego,Las Vegas,Portland,San Jose,Sacramento,LA",
    "America/New_York": "Boston,Washington,Washington DC,Philadelphia,Atlanta,Miami,Orlando,Charlotte,NYC,Pittsburgh",
    "America/Mexico_City": "Guadalajara,Puebla,CDMX",
    "America/Sao_Paulo": "Rio de Janeiro,Brasilia,Belo Horizonte,Curitiba,Porto Alegre",
    "America/Bogota": "Medellin,Cali",
    "America/Guayaquil": "Quito",
    "America/Toronto": "Montreal,Ottawa,Quebec",
    "Asia/Dubai": "Abu Dhabi,Sharjah",
    "Asia/Ho_Chi_Minh": "Hanoi,Saigon,Da Nang",
    "Asia/Jerusalem": "Tel Aviv,Haifa",
    "Asia/Karachi": "Lahore,Islamabad,Faisalabad",
    "Asia/Kolkata": "Mumbai,Bombay,Delhi,New Delhi,Bangalore,Bengaluru,Chennai,Hyderabad,Pune,Ahmedabad",
    "Asia/Riyadh": "Jeddah,Mecca,Medina",
    "Asia/Seoul": "Busan",
    "Asia/Shanghai": "Beijing,Peking,Shenzhen,Guangzhou,Chengdu,Wuhan,Hangzhou",
    "Asia/Tokyo": "Osaka,Kyoto,Yokohama,Nagoya,Sapporo,Fukuoka",
    "Australia/Sydney": "Canberra",
    "Europe/Berlin": (
        "Munich,München,Muenchen,Hamburg,Cologne,Köln,Koeln,Frankfurt,Stuttgart,Düsseldorf,Duesseldorf,Leipzig,Dresden,"
        "Hannover,Nuremberg,Nürnberg,Bremen,Bonn,Essen,Dortmund"
    ),
    "Europe/Amsterdam": "Rotterdam,The Hague,Den Haag,Utrecht,Eindhoven",
    "Europe/Brussels": "Antwerp,Antwerpen,Ghent,Gent,Bruges,Liège",
    "Europe/Copenhagen": "Aarhus",
    "Europe/Istanbul": "Ankara,Izmir",
    "Europe/Kyiv": "Lviv,Odesa,Kharkiv,Dnipro",
    "Europe/Lisbon": "Porto",
    "Europe/London": "Manchester,Birmingham,Edinburgh,Glasgow,Cardiff,Liverpool,Leeds,Bristol,Cambridge,Oxford",
    "Europe/Madrid": "Barcelona,Valencia,Seville,Sevilla,Bilbao,Malaga,Zaragoza",
    "Europe/Moscow": "Saint Petersburg,St. Petersburg",
    "Europe/Paris": "Lyon,Marseille,Toulouse,Nice,Bordeaux,Lille,Strasbourg,Nantes",
    "Europe/Rome": "Milan,Milano,Mailand,Naples,Napoli,Turin,Torino,Florence,Firenze,Venice,Venezia,Bologna",
    "Europe/Stockholm": "Gothenburg,Göteborg,Malmö",
    "Europe/Vienna": "Graz,Linz,Salzburg,Innsbruck",
    "Europe/Warsaw": "Krakow,Kraków,Gdansk,Wroclaw,Wrocław,Poznan,Lodz,Łódź",
    "Europe/Zurich": "Geneva,Genève,Genf,Basel,Bern,Lausanne",
}

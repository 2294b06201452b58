"""A tariff's file, or what stands of it in the settings, as a :class:`~bots.domain.tariffs.Tariff`: or everything that
is wrong with it, each fault with its file, line and key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from appservice.config.document import BROKEN, Value, parse
from appservice.config.problems import ConfigError, KeyPath, Place, Places, Problem, dotted
from appservice.config.reading import words_of
from appservice.config.schema import nearest
from bots.domain.currencies import CURRENCIES
from bots.domain.places import Shape
from bots.domain.tariffs import Area, Fees, Rates, ServiceClass, SurgeRules, Tariff, Tax, Window, coverage
from bots.rides.tariffs.models import (
    AreaIn,
    CancelIn,
    ClassIn,
    Head,
    MissIn,
    RatesIn,
    SurgeIn,
    TaxIn,
    hours_of,
    moment,
)

__all__ = ["default_tariff", "read_file", "read_plain", "read_text"]

M = TypeVar("M", bound=BaseModel)

SECTIONS: Final = ("tax", "service_area", "no_pickup", "zones", "classes", "surge", "fees")
SPANS_SHOWN: Final = 4


def read_file(path: Path) -> Tariff:
    """The tariff in a file. Raises ConfigError with all that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem(Place(str(path)), "", f"cannot be read: {error.strerror}")]) from None
    except ValueError:
        raise ConfigError([Problem(Place(str(path)), "", "is not in UTF-8")]) from None
    return read_text(text, str(path))


def read_text(text: str, name: str) -> Tariff:
    """The tariff in a text; ``name`` is how its faults call it. Raises ConfigError with all that is wrong."""
    value, problems = parse(text, lambda line: Place(name, line))
    if value is None:
        raise ConfigError(problems or [Problem(Place(name), "", "is empty")])
    places: dict[KeyPath, Place] = {}
    plain = _plain(value, (), places)
    tariff, found = _read(plain, Places(places))
    if tariff is None or problems:
        raise ConfigError([*problems, *found])
    return tariff


def read_plain(plain: Any) -> tuple[Tariff | None, list[tuple[KeyPath, str]]]:
    """The tariff in plain values, as the settings of the plugin hold them; or where what is wrong."""
    checker = _Checker(Places())
    tariff = checker.tariff(plain)
    return tariff, checker.found


def default_tariff() -> Tariff:
    """The one that comes with the house: of the demo city."""
    name = "default.yaml"
    return read_text(files("bots.rides.tariffs").joinpath(name).read_text(encoding="utf-8"), name)


def _plain(value: Value, path: KeyPath, places: dict[KeyPath, Place]) -> Any:
    places[path] = value.place
    if isinstance(value.data, dict):
        inner = ((name, _plain(each, (*path, name), places)) for name, each in value.data.items())
        return {name: each for name, each in inner if each is not BROKEN}
    if isinstance(value.data, list):
        return [_plain(each, (*path, str(index)), places) for index, each in enumerate(value.data)]
    return value.data


def _read(plain: Any, places: Places) -> tuple[Tariff | None, list[Problem]]:
    checker = _Checker(places)
    tariff = checker.tariff(plain)
    return tariff, [Problem(places.of(path), dotted(path), reason) for path, reason in checker.found]


@dataclass
class _Checker:
    """Takes a tariff apart. Each piece is looked at by itself, so that one fault hides no other."""

    places: Places
    found: list[tuple[KeyPath, str]] = field(default_factory=list)
    currency: str | None = None

    def bad(self, path: KeyPath, reason: str) -> None:
        self.found.append((path, reason))

    def tariff(self, plain: Any) -> Tariff | None:
        """The whole; None: something was wrong."""
        if not isinstance(plain, Mapping):
            self.bad((), "needs a section with keys")
            return None
        self.currency = plain.get("currency") if plain.get("currency") in CURRENCIES else None
        known = {*Head.model_fields, *SECTIONS}
        for name in plain.keys() - known:
            self.unknown((name,), known)
        head = self.piece(Head, {name: plain[name] for name in Head.model_fields if name in plain}, ())
        tax = self.optional(TaxIn, plain, "tax")
        zones = self.areas(plain, "zones", extra=("surge",))
        surge_zones = self.surge_zones(plain)
        service, no_pickup = self.areas(plain, "service_area"), self.areas(plain, "no_pickup")
        classes, rates = self.classes(plain, list(zones))
        surge, surge_classes = self.surge(plain, classes)
        fees = self.fees(plain)
        if self.found or head is None:
            return None
        return Tariff(
            name=head.name,
            currency=head.currency,
            zone=head.time_zone,
            classes=classes,
            rates=rates,
            zones=_areas(zones),
            service=_areas(service),
            no_pickup=_areas(no_pickup),
            surge=surge,
            surge_zones=surge_zones,
            surge_classes=surge_classes,
            fees=fees,
            tax=Tax() if tax is None else tax.made(),
            share=head.platform_percent,
            quote_seconds=head.quote_seconds,
            waiting_minutes=head.waiting_minutes_held,
            metres_most=head.longest_km * 1000,
        )

    # Pieces

    def piece(self, model: type[M], plain: Any, path: KeyPath) -> M | None:
        """A piece as its model; None: it cannot be, and why is noted."""
        if not isinstance(plain, Mapping):
            self.bad(path, "needs a section with keys")
            return None
        try:
            return model.model_validate(plain, context={"currency": self.currency})
        except ValidationError as error:
            for each in error.errors(include_url=False):
                self.fault(model, each, path)
            return None

    def fault(self, model: type[BaseModel], error: Any, path: KeyPath) -> None:
        location = tuple(map(str, error["loc"]))
        where = (*path, *location)
        if error["type"] == "extra_forbidden":
            self.unknown(where, model.model_fields if len(location) == 1 else _inner(model, location))
        elif error["type"] == "missing":
            self.bad(where, "is missing")
        elif error["type"] == "string_pattern_mismatch":
            self.bad(where, f"needs small letters, digits, - and _, got {error['input']!r:.60}")
        else:
            words = words_of(error, secret=False)
            if words == error["msg"]:  # pydantic's own
                words = words.removeprefix("Input ")
                words = f"{words[:1].lower()}{words[1:]}, got {_shown(error)}"
            self.bad(where, words)

    def unknown(self, path: KeyPath, known: Iterable[str]) -> None:
        near = nearest(path[-1], known)
        self.bad(path, f"is not known, did you mean {near}?" if near else "is not known")

    def optional(self, model: type[M], plain: Mapping[str, Any], name: str) -> M | None:
        return None if plain.get(name) is None else self.piece(model, plain[name], (name,))

    def listed(self, plain: Any, path: KeyPath) -> Sequence[Any]:
        if plain is None:
            return ()
        if not isinstance(plain, list | tuple):
            self.bad(path, "needs a list")
            return ()
        return plain

    # Sections

    def areas(self, plain: Mapping[str, Any], name: str, extra: tuple[str, ...] = ()) -> dict[str, Shape | None]:
        """The areas of a list by name, in order; of one that is wrong there is the name, for what refers to it."""
        areas: dict[str, Shape | None] = {}
        for index, each in enumerate(self.listed(plain.get(name), (name,))):
            path = (name, str(index))
            told = _without(each, *extra)
            area = self.piece(AreaIn, told, path)
            named = area.name if area is not None else told.get("name") if isinstance(told, Mapping) else None
            if not isinstance(named, str):
                continue
            if named in areas:
                self.bad((*path, "name"), f"is there twice: {named!r:.60}")
            areas[named] = None if area is None else area.shape()
        return areas

    def surge_zones(self, plain: Mapping[str, Any]) -> dict[str, SurgeRules]:
        rules: dict[str, SurgeRules] = {}
        zones = plain.get("zones")
        for index, each in enumerate(zones if isinstance(zones, list | tuple) else ()):
            if isinstance(each, Mapping) and each.get("surge") is not None:
                found = self.piece(SurgeIn, each["surge"], ("zones", str(index), "surge"))
                if found is not None:
                    rules[str(each.get("name"))] = found.made()
        return rules

    def classes(
        self, plain: Mapping[str, Any], zones: Sequence[str]
    ) -> tuple[dict[str, ServiceClass], dict[tuple[str, str], tuple[Rates, ...]]]:
        classes: dict[str, ServiceClass] = {}
        rates: dict[tuple[str, str], tuple[Rates, ...]] = {}
        listed = self.listed(plain.get("classes"), ("classes",))
        if not listed and isinstance(plain.get("classes", ()), list | tuple):
            self.bad(("classes",), "needs one class or more")
        for index, each in enumerate(listed):
            path = ("classes", str(index))
            if not isinstance(each, Mapping):
                self.bad(path, "needs a section with keys")
                continue
            for name in each.keys() - {*ClassIn.model_fields, "rates"}:
                self.unknown((*path, name), [*ClassIn.model_fields, "rates"])
            told = {name: each[name] for name in ClassIn.model_fields if name in each}
            made = self.piece(ClassIn, told, path)
            of_zones = self.rates(each.get("rates"), (*path, "rates"), zones)
            if made is None:
                continue
            if made.name in classes:
                self.bad((*path, "name"), f"is there twice: {made.name!r}")
            classes[made.name] = ServiceClass(made.name, made.label or made.name.capitalize(), made.seats)
            rates |= {(made.name, zone): tuple(found) for zone, found in of_zones.items()}
        return classes, rates

    def rates(self, plain: Any, path: KeyPath, zones: Sequence[str]) -> dict[str, list[Rates]]:
        """The rates of one class by zone; the hours of each zone cover the week exactly once."""
        made: dict[str, list[Rates]] = {"": []}
        hours: dict[str, list[tuple[str, Window]]] = {"": []}
        unread: set[str] = set()
        listed = self.listed(plain, path)
        for index, each in enumerate(listed):
            where = (*path, str(index))
            found = self.piece(RatesIn, each, where)
            zone = each.get("zone", "") if isinstance(each, Mapping) else ""
            if not isinstance(zone, str):
                continue
            if zone and zone not in zones:
                near = nearest(zone, zones)
                self.bad((*where, "zone"), f"is no zone, did you mean {near}?" if near else f"is no zone: {zone!r:.60}")
                unread.add(zone)
            if found is not None:
                made.setdefault(zone, []).append(found.made())
            try:
                windows = hours_of(each.get("hours")) if isinstance(each, Mapping) else ()
            except ValueError:
                unread.add(zone)
            else:
                hours.setdefault(zone, []).extend((str(index), window) for window in windows)
        for zone, covering in hours.items():
            if zone not in unread:
                self.covered(covering, path, zone)
        return made

    def covered(self, windows: Sequence[tuple[str, Window]], path: KeyPath, zone: str) -> None:
        gaps, overlaps = coverage([window for _, window in windows])
        of_zone = f" of zone {zone!r:.60}" if zone else ""
        if gaps:
            reason = f"leave hours{of_zone} without a price: {_spans(gaps)}"
            self.bad(path, f"{reason}; hours have to cover the week exactly once")
        if overlaps:
            twice = overlaps[0]
            there = [index for index, each in windows if each.begin < twice.end and twice.begin < each.end]
            self.bad((*path, there[-1], "hours"), f"overlap{of_zone}: {_spans(overlaps)}; every hour has one price")

    def surge(self, plain: Mapping[str, Any], classes: Mapping[str, ServiceClass]) -> tuple[SurgeRules, frozenset[str]]:
        people = frozenset(each.name for each in classes.values() if not each.courier)
        told = plain.get("surge")
        if told is None:
            return SurgeRules(), people
        named = told.get("classes") if isinstance(told, Mapping) else None
        for index, name in enumerate(self.listed(named, ("surge", "classes"))):
            if name not in classes:
                near = nearest(str(name), classes)
                words = f"is no class, did you mean {near}?" if near else f"is no class: {name!r:.60}"
                self.bad(("surge", "classes", str(index)), words)
        found = self.piece(SurgeIn, _without(told, "classes"), ("surge",))
        chosen = people if named is None else frozenset(map(str, named)) if isinstance(named, list | tuple) else people
        return SurgeRules() if found is None else found.made(), chosen

    def fees(self, plain: Mapping[str, Any]) -> Fees:
        told = plain.get("fees")
        if told is None:
            return Fees()
        if not isinstance(told, Mapping):
            self.bad(("fees",), "needs a section with keys")
            return Fees()
        for name in told.keys() - {"cancel", "no_show"}:
            self.unknown(("fees", name), ["cancel", "no_show"])
        cancel = None if told.get("cancel") is None else self.piece(CancelIn, told["cancel"], ("fees", "cancel"))
        miss = None if told.get("no_show") is None else self.piece(MissIn, told["no_show"], ("fees", "no_show"))
        nothing = Fees()
        return Fees(nothing.cancel if cancel is None else cancel.made(), nothing.miss if miss is None else miss.made())


def _areas(found: Mapping[str, Shape | None]) -> tuple[Area, ...]:
    return tuple(Area(name, shape) for name, shape in found.items() if shape is not None)


def _without(plain: Any, *names: str) -> Any:
    return {key: value for key, value in plain.items() if key not in names} if isinstance(plain, Mapping) else plain


def _inner(model: type[BaseModel], location: KeyPath) -> Iterable[str]:
    """The keys that stand beside one that lies deeper: of the model in the list that holds it."""
    held = get_args(model.model_fields[location[0]].annotation)
    return next((each.model_fields for each in held if isinstance(each, type) and issubclass(each, BaseModel)), ())


def _shown(error: Any) -> str:
    given = error["input"]
    return f"{given!r:.60}" if isinstance(given, str | int | float | bool) else type(given).__name__


def _spans(windows: Sequence[Window]) -> str:
    shown = [f"{moment(each.begin)} to {moment(each.end, ends=True)}" for each in windows[:SPANS_SHOWN]]
    more = len(windows) - SPANS_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")

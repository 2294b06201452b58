"""Merchants and products as JSON: how they lie in the database. What one writes, the other reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from appservice import json
from bots.domain.catalogue import Modifier, ModifierGroup, PriceRule, Product, Stock, StockKind, Variant
from bots.domain.merchants import Merchant, MerchantState, Way
from bots.domain.money import Money
from bots.domain.opening import Hours, Span
from bots.domain.orders import Fulfilment
from bots.domain.places import Circle, Place, Point, Polygon, Shape, Zone

__all__ = ["merchant", "merchant_document", "product", "product_document"]


# Merchants


def merchant_document(each: Merchant) -> bytes:
    """All of a merchant but its revision, which is a column."""
    return json.dumps(
        {
            "id": each.id,
            "slug": each.slug,
            "bot": each.bot,
            "owner": each.owner,
            "name": each.name,
            "currency": each.currency,
            "state": each.state.value,
            "hours": _hours_document(each.hours),
            "description": each.description,
            "room_id": each.room_id,
            "language": each.language,
            "where": None if each.where is None else _place_document(each.where),
            "zones": [_zone_document(zone) for zone in each.zones],
            "ways": [_way_document(way) for way in each.ways],
            "minimum": _minor(each.minimum),
            "prepare": each.prepare,
            "accept_within": each.accept_within,
            "tags": list(each.tags),
            "image": each.image,
            "auto_accept": each.auto_accept,
        }
    )


def merchant(document: bytes, revision: int) -> Merchant:
    """The merchant that lies in a document."""
    held = json.loads(document)
    currency = held["currency"]
    return Merchant(
        id=held["id"],
        slug=held["slug"],
        bot=held["bot"],
        owner=held["owner"],
        name=held["name"],
        currency=currency,
        state=MerchantState(held["state"]),
        hours=_hours(held["hours"]),
        description=held["description"],
        room_id=held["room_id"],
        language=held["language"],
        where=None if held["where"] is None else _place(held["where"]),
        zones=tuple(_zone(zone, currency) for zone in held["zones"]),
        ways=tuple(_way(way, currency) for way in held["ways"]),
        minimum=_money(held["minimum"], currency),
        prepare=held["prepare"],
        accept_within=held["accept_within"],
        tags=tuple(held["tags"]),
        image=held["image"],
        auto_accept=held["auto_accept"],
        revision=revision,
    )


def _hours_document(hours: Hours) -> dict[str, Any]:
    return {
        "zone": hours.zone,
        "week": [_spans_document(spans) for spans in hours.week],
        "exceptions": {day.isoformat(): _spans_document(spans) for day, spans in hours.exceptions.items()},
    }


def _hours(held: Mapping[str, Any]) -> Hours:
    days = {date.fromisoformat(day): _spans(spans) for day, spans in held["exceptions"].items()}
    return Hours(held["zone"], tuple(_spans(spans) for spans in held["week"]), days)


def _spans_document(spans: Sequence[Span]) -> list[list[str]]:
    return [[span.opens.isoformat("minutes"), span.closes.isoformat("minutes")] for span in spans]


def _spans(held: Sequence[Sequence[str]]) -> tuple[Span, ...]:
    return tuple(Span(time.fromisoformat(opens), time.fromisoformat(closes)) for opens, closes in held)


def _place_document(place: Place) -> dict[str, Any]:
    return {"text": place.text, "point": None if place.point is None else _point_document(place.point)}


def _place(held: Mapping[str, Any]) -> Place:
    return Place(held["text"], None if held["point"] is None else Point(*held["point"]))


def _point_document(point: Point) -> list[float]:
    return [point.latitude, point.longitude]


def _shape_document(shape: Shape) -> dict[str, Any]:
    if isinstance(shape, Circle):
        return {"centre": _point_document(shape.centre), "radius_m": shape.radius_m}
    return {"corners": [_point_document(corner) for corner in shape.corners]}


def _shape(held: Mapping[str, Any]) -> Shape:
    if "centre" in held:
        return Circle(Point(*held["centre"]), held["radius_m"])
    return Polygon(tuple(Point(*corner) for corner in held["corners"]))


def _zone_document(zone: Zone) -> dict[str, Any]:
    return {
        "name": zone.name,
        "shape": _shape_document(zone.shape),
        "fee": zone.fee.minor,
        "per_km": _minor(zone.per_km),
        "minimum": _minor(zone.minimum),
        "free_from": _minor(zone.free_from),
    }


def _zone(held: Mapping[str, Any], currency: str) -> Zone:
    return Zone(
        held["name"],
        _shape(held["shape"]),
        Money(held["fee"], currency),
        _money(held["per_km"], currency),
        _money(held["minimum"], currency),
        _money(held["free_from"], currency),
    )


def _way_document(way: Way) -> dict[str, Any]:
    return {
        "name": way.name,
        "kind": way.kind.value,
        "fee": way.fee.minor,
        "free_from": _minor(way.free_from),
        "countries": list(way.countries),
        "days": list(way.days),
    }


def _way(held: Mapping[str, Any], currency: str) -> Way:
    first, last = held["days"]
    return Way(
        held["name"],
        Fulfilment(held["kind"]),
        Money(held["fee"], currency),
        _money(held["free_from"], currency),
        tuple(held["countries"]),
        (first, last),
    )


# Products


def product_document(each: Product) -> bytes:
    """All of a product. Equal products have equal documents."""
    return json.dumps(
        {
            "key": each.key,
            "name": each.name,
            "currency": each.currency,
            "variants": [_variant_document(variant) for variant in each.variants],
            "description": each.description,
            "categories": list(each.categories),
            "groups": [_group_document(group) for group in each.groups],
            "images": list(each.images),
            "tax": f"{each.tax.normalize():f}",
            "language": each.language,
            "weight_g": each.weight_g,
            "active": each.active,
        }
    )


def product(document: bytes) -> Product:
    """The product that lies in a document."""
    held = json.loads(document)
    currency = held["currency"]
    return Product(
        key=held["key"],
        name=held["name"],
        variants=tuple(_variant(variant, currency) for variant in held["variants"]),
        description=held["description"],
        categories=tuple(held["categories"]),
        groups=tuple(_group(group, currency) for group in held["groups"]),
        images=tuple(held["images"]),
        tax=Decimal(held["tax"]),
        language=held["language"],
        weight_g=held["weight_g"],
        active=held["active"],
    )


def _variant_document(variant: Variant) -> dict[str, Any]:
    stock = variant.stock
    return {
        "key": variant.key,
        "name": variant.name,
        "price": variant.price.minor,
        "stock": [stock.kind.value, stock.count, stock.slot_minutes],
        "rules": [_rule_document(rule) for rule in variant.rules],
    }


def _variant(held: Mapping[str, Any], currency: str) -> Variant:
    kind, count, minutes = held["stock"]
    rules = tuple(_rule(rule, currency) for rule in held["rules"])
    stock = Stock(StockKind(kind), count, minutes)
    return Variant(held["key"], held["name"], Money(held["price"], currency), stock, rules)


def _rule_document(rule: PriceRule) -> dict[str, Any]:
    return {
        "price": rule.price.minor,
        "since": None if rule.since is None else rule.since.isoformat(),
        "until": None if rule.until is None else rule.until.isoformat(),
        "tier": rule.tier,
        "least": rule.least,
    }


def _rule(held: Mapping[str, Any], currency: str) -> PriceRule:
    since, until = (None if held[name] is None else datetime.fromisoformat(held[name]) for name in ("since", "until"))
    return PriceRule(Money(held["price"], currency), since, until, held["tier"], held["least"])


def _group_document(group: ModifierGroup) -> dict[str, Any]:
    return {
        "key": group.key,
        "name": group.name,
        "options": [[each.key, each.name, each.price.minor, each.available] for each in group.options],
        "least": group.least,
        "most": group.most,
    }


def _group(held: Mapping[str, Any], currency: str) -> ModifierGroup:
    options = tuple(Modifier(key, name, Money(minor, currency), there) for key, name, minor, there in held["options"])
    return ModifierGroup(held["key"], held["name"], options, held["least"], held["most"])


def _minor(money: Money | None) -> int | None:
    return None if money is None else money.minor


def _money(minor: int | None, currency: str) -> Money | None:
    return None if minor is None else Money(minor, currency)

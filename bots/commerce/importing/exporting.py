"""A catalogue as a file, which an import reads back to the same. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from bots.commerce.importing.entries import COLUMNS
from bots.commerce.importing.reading import FORMULA
from bots.commerce.importing.values import written_group
from bots.domain.catalogue import Category, ModifierGroup, PriceRule, Product, Stock, StockKind, Variant

__all__ = ["as_csv", "as_yaml"]


def as_csv(products: Sequence[Product], categories: Sequence[Category]) -> bytes:
    """UTF-8 with its mark, which spreadsheets need to see that it is; a line for each variant.

    Prices for a while are not in it: they stay as they are when it is imported again.
    """
    named = {each.key: each for each in categories}
    out = io.StringIO()
    writer = csv.DictWriter(out, [name for name in COLUMNS if name != "remove"], lineterminator="\r\n")
    writer.writeheader()
    for product in products:
        for number, variant in enumerate(product.variants):
            row = {"key": product.key, "name": product.name, **_variant_row(product, variant)}
            if number == 0:
                row |= _product_row(product, named)
            writer.writerow({name: _safe(text) for name, text in row.items()})
    return "\ufeff".encode() + out.getvalue().encode()


def _safe(text: str) -> str:
    return f"'{text}" if text[:1] in FORMULA else text


def _product_row(product: Product, categories: Mapping[str, Category]) -> dict[str, str]:
    return {
        "description": product.description,
        "category": " | ".join(each for each in product.categories if each in categories),
        "extras": "; ".join(_notation(group) for group in product.groups),
        "tax": _percent(product),
        "language": product.language,
        "weight": f"{product.weight_g} g" if product.weight_g else "",
        "images": " | ".join(product.images),
        "active": "yes" if product.active else "no",
    }


def _variant_row(product: Product, variant: Variant) -> dict[str, str]:
    return {
        "variant": variant.name if len(product.variants) > 1 else "",
        "variant key": variant.key,
        "price": f"{variant.price.amount:f}",
        "stock": _stock(variant.stock),
    }


def _percent(product: Product) -> str:
    return f"{(product.tax * 100).normalize():f}%"


def _stock(stock: Stock) -> str:
    if stock.kind is StockKind.UNLIMITED:
        return "unlimited"
    return f"{stock.count} per {stock.slot_minutes} min" if stock.kind is StockKind.BY_SLOT else str(stock.count)


def _choose(group: ModifierGroup) -> str:
    return str(group.least) if group.least == group.most else f"{group.least}-{group.most}"


def _notation(group: ModifierGroup) -> str:
    options = [(each.name, each.price, each.available) for each in group.options]
    return written_group({"name": group.name, "choose": _choose(group)}, options)


# YAML


def as_yaml(products: Sequence[Product], categories: Sequence[Category], currency: str) -> bytes:
    """Everything there is to say of a catalogue."""
    document = {
        "currency": currency,
        "categories": [_category(each) for each in categories],
        "products": [_product(each) for each in products],
    }
    out = io.StringIO()
    writer = YAML(typ="rt", pure=True)
    writer.width = 110
    writer.allow_unicode = True
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.dump(document, out)
    return out.getvalue().encode()


def _text(value: str) -> str:
    """In quotation marks: “no”, “1.20” and “- x” stay what they are, for whoever else reads the file."""
    quoted: str = DoubleQuotedScalarString(value)
    return quoted


def _category(category: Category) -> dict[str, str]:
    made = {"key": category.key, "name": _text(category.name)}
    return made | ({"parent": category.parent} if category.parent else {})


def _product(product: Product) -> dict[str, Any]:
    made: dict[str, Any] = {"key": _text(product.key), "name": _text(product.name)}
    if product.description:
        made["description"] = _text(product.description)
    if product.categories:
        made["categories"] = [_text(each) for each in product.categories]
    if product.tax:
        made["tax"] = _percent(product)
    if product.language:
        made["language"] = _text(product.language)
    if product.weight_g:
        made["weight"] = f"{product.weight_g} g"
    if product.images:
        made["images"] = list(product.images)
    if not product.active:
        made["active"] = _text("no")
    made["variants"] = [_variant(each) for each in product.variants]
    if product.groups:
        made["extras"] = [_group(each) for each in product.groups]
    return made


def _variant(variant: Variant) -> dict[str, Any]:
    made: dict[str, Any] = {
        "key": _text(variant.key),
        "name": _text(variant.name),
        "price": _text(f"{variant.price.amount:f}"),
        "stock": _text(_stock(variant.stock)),
    }
    return made | ({"rules": [_rule(each) for each in variant.rules]} if variant.rules else {})


def _rule(rule: PriceRule) -> dict[str, Any]:
    made: dict[str, Any] = {"price": _text(f"{rule.price.amount:f}")}
    for name, moment in (("since", rule.since), ("until", rule.until)):
        if moment is not None:
            made[name] = _text(moment.isoformat())
    if rule.tier:
        made["tier"] = _text(rule.tier)
    return made | ({"least": rule.least} if rule.least > 1 else {})


def _group(group: ModifierGroup) -> dict[str, Any]:
    options = []
    for each in group.options:
        option: dict[str, Any] = {"key": _text(each.key), "name": _text(each.name)}
        if each.price:
            option["price"] = _text(f"{each.price.amount:f}")
        if not each.available:
            option["available"] = _text("no")
        options.append(option)
    return {"key": _text(group.key), "name": _text(group.name), "choose": _text(_choose(group)), "options": options}

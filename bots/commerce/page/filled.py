"""What people fill into the pages, and the short answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from appservice import json
from bots.commerce.page.views import Chosen, group_field, option_field
from bots.domain.carts import CartLine
from bots.domain.catalogue import CatalogueError, Choice, Product, chosen_price, price_at
from bots.domain.errors import DomainError
from bots.domain.merchants import Merchant
from bots.framework.i18n import Translation
from bots.pages.forms import Form

__all__ = ["chosen_in", "elsewhere", "json_answer", "line_of", "sentence_of", "whole"]


def chosen_in(product: Product, form: Form) -> Chosen:
    options = set()
    for group in product.groups:
        if form[group_field(group)]:
            options.add((group.key, form[group_field(group)]))
        options |= {(group.key, each.key) for each in group.options if form[option_field(group, each)]}
    return Chosen(form["variant"], frozenset(options), form["quantity"], form["note"])


def line_of(merchant: Merchant, product: Product, chosen: Chosen, at: datetime, tier: str) -> CartLine:
    """The line that a form asks for. ``tier``: the price list that the person is on. Raises CatalogueError,
    CartError."""
    variant = product.variants[0] if len(product.variants) == 1 else product.variant(chosen.variant)
    if variant is None:
        raise CatalogueError("catalogue.no_such_variant")
    choices = tuple(Choice(*each) for each in sorted(chosen.options))
    quantity = whole(chosen.quantity)
    price, _ = chosen_price(product, price_at(variant, at, tier=tier, quantity=max(quantity, 1)), choices)
    return CartLine(merchant.id, product.key, variant.key, quantity, choices, note=chosen.note, shown=price)


def sentence_of(words: Translation, error: DomainError) -> str:
    """A refusal in the reader's language."""
    values = {key: words.t(value) if key == "state" else value for key, value in error.values.items()}
    return words.t(error.msgid, **values)


def whole(text: str) -> int:
    """A number as it stands in a field; −1 for what is none, which everything refuses."""
    return int(text) if text.isdecimal() and len(text) <= 9 else -1


def elsewhere(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


def json_answer(status: int, value: Mapping[str, Any]) -> web.Response:
    return web.Response(status=status, body=json.dumps(dict(value)), content_type="application/json")

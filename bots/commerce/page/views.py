"""What stands on the pages, as the templates take it. Texts are in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from bots.commerce.engines.base import Listed, Page
from bots.domain.carts import Cart, Priced
from bots.domain.catalogue import Category, Modifier, ModifierGroup, Product, Variant, price_at
from bots.domain.merchants import Merchant, MerchantState
from bots.domain.money import Money
from bots.framework.i18n import Translation

__all__ = ["Chosen", "Views", "group_field", "option_field"]

FEW: Final = 5
"""From so many on nobody needs to hear that there are not many left."""


def group_field(group: ModifierGroup) -> str:
    """The name of the field of a group of which one is chosen."""
    return f"g.{group.key}"


def option_field(group: ModifierGroup, option: Modifier) -> str:
    """The name of the field of one extra, where several may be chosen."""
    return f"o.{group.key}.{option.key}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a form holds that could not be taken, or was not yet sent."""

    variant: str = ""
    options: frozenset[tuple[str, str]] = frozenset()
    quantity: str = "1"
    note: str = ""


class Views:
    """The pages of one reader.

    ``base``: where the pages begin. ``csrf`` stands in the forms.
    """

    def __init__(self, words: Translation, base: str, csrf: str, now: datetime) -> None:
        self._words = words
        self._base = base
        self._csrf = csrf
        self._now = now
        self.lists: Mapping[str, str] = {}
        """The price list of each merchant that the reader is on, by the merchant's id."""

    # Parts

    def money(self, amount: Money) -> str:
        """As the reader writes it."""
        return self._words.formats.money(amount)

    def common(self, cart: Cart, notice: str, bad: bool) -> dict[str, Any]:
        """What every page has."""
        count = sum(line.quantity for line in cart.lines)
        label = self._words.n("Cart: {count} item", "Cart: {count} items", count)
        return {
            "csrf": self._csrf,
            "cart": {"version": cart.version, "count": count, "label": label},
            "notice": notice,
            "bad": bad,
        }

    def merchant_url(self, merchant: Merchant) -> str:
        """The page of a merchant."""
        return f"{self._base}/m/{quote(merchant.slug)}"

    def product_url(self, merchant: Merchant, product: Product) -> str:
        """The page of a product."""
        return f"{self.merchant_url(merchant)}/p/{quote(product.key)}"

    def _image(self, merchant: Merchant, product: Product) -> str:
        return f"{self.product_url(merchant, product)}/image" if product.images or product.picture else ""

    def _state(self, merchant: Merchant) -> tuple[bool, str]:
        t, formats = self._words.t, self._words.formats
        if merchant.state is not MerchantState.ACTIVE:
            return False, t("Takes no orders at the moment")
        closes = merchant.hours.closes_at(self._now)
        if closes is not None:
            return True, t("Open until {time}", time=formats.time(closes))
        opens = merchant.hours.opens_at(self._now)
        if opens is None:
            return False, t("Closed")
        return False, t("Opens {moment}", moment=formats.datetime(opens, "short"))

    def _card(self, merchant: Merchant, listed: Listed) -> dict[str, Any]:
        product = listed.product
        price, own = self._price(merchant, product)
        return {
            "name": product.name,
            "about": product.description,
            "url": self.product_url(merchant, product),
            "price": price,
            "own": own,
            "left": self._left(listed.left),
            "stars": self._stars(listed),
            "image": self._image(merchant, product),
        }

    def _price(self, merchant: Merchant, product: Product) -> tuple[str, str]:
        """What a product costs the reader, and that this is their own price; nothing where it is everybody's."""
        t, tier = self._words.t, self.lists.get(merchant.id, "")
        prices = [price_at(each, self._now, tier=tier) for each in product.variants]
        usual, least = [price_at(each, self._now) for each in product.variants], min(prices)
        price = self.money(least) if max(prices) == least else t("from {price}", price=least)
        if prices == usual:
            return price, ""
        if len(prices) == 1:
            return price, t("your price, others pay {usual}", usual=usual[0])
        return price, t("your price")

    def _left(self, left: int | None) -> str:
        if left is None or left >= FEW:
            return ""
        return self._words.t("Sold out") if left <= 0 else self._words.n("{count} left", "{count} left", left)

    def _stars(self, listed: Listed) -> str:
        if listed.stars is None:
            return ""
        return f"{self._words.formats.number(round(listed.stars, 1))} ({listed.ratings})"

    def _more(self, page: Page, path: str, **query: str) -> dict[str, str] | None:
        if not page.next:
            return None
        wanted = {name: value for name, value in query.items() if value}
        return {"url": f"{path}?{urlencode({**wanted, 'after': page.next})}", "label": self._words.t("More")}

    # Pages

    def merchants(self, merchants: Sequence[Merchant], *, more: bool) -> dict[str, Any]:
        """Where one begins: who sells. ``more``: there are others behind the last one."""
        cards = []
        for merchant in merchants:
            opened, state = self._state(merchant)
            cards.append(
                {
                    "name": merchant.name,
                    "about": merchant.description,
                    "url": self.merchant_url(merchant),
                    "open": opened,
                    "state": state,
                    "image": "",
                }
            )
        following = Page((), merchants[-1].id) if more else Page()
        return {
            **self._begin(""),
            "title": self._words.t("What would you like?"),
            "merchants": cards,
            "more": self._more(following, f"{self._base}/"),
        }

    def found(self, page: Page, of: Mapping[str, Merchant], query: str) -> dict[str, Any]:
        """What a search has found, of which merchants."""
        t = self._words.t
        products = [self._card(of[each.merchant_id], each) for each in page.items if each.merchant_id in of]
        return {
            **self._begin(query),
            "title": t("Results"),
            "lead": "" if products else t("Nothing was found for “{query}”.", query=query),
            "products": products,
            "more": self._more(page, f"{self._base}/", q=query),
        }

    def _begin(self, query: str) -> dict[str, Any]:
        t = self._words.t
        return {"search": t("Search"), "find": t("Find"), "query": query, "lead": "", "merchants": [], "products": []}

    def merchant(self, merchant: Merchant, categories: Sequence[Category], category: str, page: Page) -> dict[str, Any]:
        """A merchant's shelves."""
        t = self._words.t
        opened, state = self._state(merchant)
        url = self.merchant_url(merchant)
        shelves = [{"name": t("All"), "url": url, "current": not category}] if categories else []
        shelves += [
            {"name": each.name, "url": f"{url}?{urlencode({'c': each.key})}", "current": each.key == category}
            for each in categories
        ]
        return {
            "title": merchant.name,
            "about": merchant.description,
            "open": opened,
            "state": state,
            "back": t("← All"),
            "shelves": t("Categories"),
            "categories": shelves,
            "products": [self._card(merchant, each) for each in page.items],
            "nothing": t("There is nothing here yet."),
            "more": self._more(page, url, c=category),
        }

    def product(
        self,
        merchant: Merchant,
        product: Product,
        left: Mapping[str, int | None],
        chosen: Chosen,
        problems: Sequence[str] = (),
    ) -> dict[str, Any]:
        """A product with everything that can be chosen."""
        t = self._words.t
        gone = {key for key, count in left.items() if count is not None and count <= 0}
        picked = chosen.variant or next((each.key for each in product.variants if each.key not in gone), "")
        price, own = self._price(merchant, product)
        return {
            "title": product.name,
            "about": product.description,
            "image": self._image(merchant, product),
            "name": product.name,
            "price": price,
            "own": own,
            "stars": "",
            "back": {"url": self.merchant_url(merchant), "label": f"← {merchant.name}"},
            "which": t("Which one?"),
            "variants": self._variants(merchant, product, left, gone, picked),
            "groups": [self._group(group, chosen) for group in product.groups],
            "note": {"label": t("A note (optional)"), "value": chosen.note},
            "quantity": {"label": t("How many?"), "value": chosen.quantity},
            "add": t("Sold out") if len(gone) == len(product.variants) else t("Add to the cart"),
            "gone": len(gone) == len(product.variants),
            "problems": list(problems),
            "wrong": t("Something is not right yet"),
        }

    def _variants(
        self, merchant: Merchant, product: Product, left: Mapping[str, int | None], gone: set[str], picked: str
    ) -> list[dict[str, Any]]:
        if len(product.variants) == 1:
            return []
        tier = self.lists.get(merchant.id, "")
        return [self._variant(each, tier, left.get(each.key), each.key in gone, picked) for each in product.variants]

    def _variant(self, variant: Variant, tier: str, left: int | None, gone: bool, picked: str) -> dict[str, Any]:
        price, usual = price_at(variant, self._now, tier=tier), price_at(variant, self._now)
        own = self._words.t("your price, others pay {usual}", usual=usual) if price < usual else ""
        return {
            "key": variant.key,
            "name": variant.name,
            "price": self.money(price),
            "note": " · ".join(each for each in (own, self._left(left)) if each),
            "gone": gone,
            "chosen": variant.key == picked and not gone,
        }

    def _group(self, group: ModifierGroup, chosen: Chosen) -> dict[str, Any]:
        n, t = self._words.n, self._words.t
        if group.least == group.most:
            hint = n("Choose {count}", "Choose {count}", group.most)
        elif group.least:
            hint = t("Choose {least} to {most}", least=group.least, most=group.most)
        else:
            hint = n("Up to {count}", "Up to {count}", group.most)
        return {
            "name": group.name,
            "hint": hint,
            "single": group.most == 1 and group.least == 1,
            "field": group_field(group),
            "options": [
                {
                    "key": each.key,
                    "field": option_field(group, each),
                    "name": each.name,
                    "price": self._extra(each),
                    "note": "" if each.available else t("Not available"),
                    "gone": not each.available,
                    "chosen": (group.key, each.key) in chosen.options and each.available,
                }
                for each in group.options
            ],
        }

    def _extra(self, option: Modifier) -> str:
        if not option.price:
            return ""
        return ("+" if option.price.minor > 0 else "−") + self.money(abs(option.price))

    def cart(
        self, priced: Sequence[Priced], of: Mapping[str, Merchant], names: Mapping[str, str], person: str
    ) -> dict[str, Any]:
        """The cart, by merchants.

        Args:
            names: of those who fill it together, by user id.
            person: whose lines can be changed; empty: it is the reader's own.
        """
        t = self._words.t
        groups: dict[str, list[Priced]] = {}
        for each in priced:
            groups.setdefault(each.line.merchant, []).append(each)
        merchants = [
            {
                "name": of[key].name if key in of else t("A merchant who is gone"),
                "lines": [self._line(each, names, person) for each in lines],
                "total": self._sum(lines),
            }
            for key, lines in groups.items()
        ]
        return {
            "title": t("What you order together") if person else t("Your cart"),
            "back": t("← Go on choosing"),
            "empty": t("The cart is empty."),
            "merchants": merchants,
            "sum": t("Together"),
            "change": t("Change"),
            "checkout": "" if person else t("Go on in the chat"),
            "closing": t("When all have what they want, whoever has begun closes it in the room: “!close”.")
            if person
            else t("In the chat you choose the address and the way of delivery, and pay with your wallet."),
        }

    def _line(self, each: Priced, names: Mapping[str, str], person: str) -> dict[str, Any]:
        t, line = self._words.t, each.line
        about = [*each.extras, *([f"“{line.note}”"] if line.note else [])]
        if each.usual is not None:
            about.append(t("your price, others pay {usual}", usual=each.usual))
        change = "" if each.change is None else self._change(each)
        return {
            "number": each.index + 1,
            "mine": line.person == person,
            "who": names.get(line.person, ""),
            "name": each.name or t("Something that is gone"),
            "about": self._words.formats.list(about) if about else "",
            "total": "" if each.total is None else self.money(each.total),
            "quantity": line.quantity,
            "change": change,
            "count": t("How many of “{name}”", name=each.name),
            "remove": t("Remove “{name}”", name=each.name),
        }

    def _change(self, each: Priced) -> str:
        t = self._words.t
        if each.price is None:
            return t(each.problem.msgid, **each.problem.values) if each.problem else t("Not available any more")
        return t("Now {price} each", price=each.price)

    def _sum(self, lines: Sequence[Priced]) -> str:
        totals = [each.total for each in lines if each.total is not None]
        if not totals:
            return ""
        return self.money(sum(totals[1:], totals[0]))

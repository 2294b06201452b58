"""The catalogue by commands: products, prices, stock, what is sold at the moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from bots.commerce.desk.base import PAGE, DeskBase, env_of, read_money, refused
from bots.commerce.desk.goods_words import Found, find, key_of, read_stock, read_tax, with_amount, with_stock
from bots.commerce.desk.signup import read_name
from bots.domain.catalogue import CatalogueError, Product, Stock, Variant
from bots.domain.merchants import Merchant, Staff
from bots.domain.money import Money
from bots.framework import Context, Dialog, InvalidValue, Rest, command, dialog
from bots.framework.i18n import Translator, _

LISTED = "desk.products"
"""How far somebody has read the list of products."""
VARIANT_WORDS = 4
"""At the end of what somebody writes, that may be the name of a variant."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the questions about a new product need to know."""

    currency: str
    categories: tuple[tuple[str, str], ...]
    language: str


class Goods(DeskBase):
    """The commands about products, for the plugin to inherit."""

    @command("products", help=_("Staff room: what you sell"), hidden=True)
    async def desk_products(self, ctx: Context, text: Rest = "") -> None:
        """What you sell, ten at a time; “products more” goes on, “products WORDS” searches."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        state, after = ctx.member_state, ""
        if text.strip().casefold() in {"more", ctx.t("more").casefold()}:
            after, text = await state.get(LISTED, "", as_=str), ""
        if text:
            page, following = await self.desk.shelf.find(ctx, merchant.id, text, PAGE), ""
        else:
            page, following = await self.desk.shelf.all(ctx, merchant.id, after, PAGE)
        if not page:
            ctx.say(ctx.t("There are no products. “add product”, or send a CSV or YAML file."))
            return
        lines = [await self._desk_line(ctx, merchant, product) for product in page]
        if following:
            state.set(LISTED, following)
            lines.append(ctx.t("There are more: “products more”"))
        ctx.say("\n".join(lines))

    async def _desk_line(self, ctx: Context, merchant: Merchant, product: Product) -> str:
        prices = sorted({variant.price for variant in product.variants}, key=lambda price: price.minor)
        price = ctx.t("{amount}", amount=prices[0])
        if len(prices) > 1:
            price = ctx.t("from {amount} on", amount=prices[0])
        words = ctx.t("• {name}: {price}", name=product.name, price=price)
        left = await self.desk.shelf.left(ctx, merchant.id, product.key)
        counts = [count for count in left.values() if count is not None]
        if counts:
            words += ", " + ctx.n("{count} left", "{count} left", sum(counts))
        return words if product.active else words + " " + ctx.t("(hidden)")

    @command("product", help=_("Staff room: all about one product: product Margherita"), hidden=True)
    async def desk_product(self, ctx: Context, name: Rest) -> None:
        """All about one product."""
        merchant = await self.at_desk(ctx)
        found = None if merchant is None else await self.desk_product_named(ctx, merchant, name)
        if merchant is not None and found is not None and found.product is not None:
            left = await self.desk.shelf.left(ctx, merchant.id, found.product.key)
            ctx.say("\n".join(card(found.product, left, ctx.translator)))

    # Changing

    @command("price", help=_("Staff room: another price: price Margherita 9.50"), hidden=True)
    async def desk_price(self, ctx: Context, text: Rest) -> None:
        """Another price for a product, or for one of its variants: “price Margherita 9.50”, “price Margherita, Large
        12”. What is ordered already keeps its price."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        try:
            name, amount = with_amount(text, merchant.currency, env_of(ctx, merchant))
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return

        def priced(product: Product, variant: Variant | None) -> Product | None:
            if variant is None:
                return None
            return with_variant(product, replace(variant, price=amount))

        await self._desk_change(
            ctx, merchant, name, priced, lambda name: ctx.t("{name}: {amount}", name=name, amount=amount)
        )

    @command("stock", help=_("Staff room: how many there are: stock Margherita 20"), hidden=True)
    async def desk_stock(self, ctx: Context, text: Rest) -> None:
        """How many there are of a product or variant: “stock Margherita 20”, “stock Margherita unlimited”."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        try:
            name, count = with_stock(text, env_of(ctx, merchant))
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        found = await self.desk_product_named(ctx, merchant, name, one=True)
        if found is None or found.product is None or found.variant is None:
            return
        product, variant = found.product, found.variant
        # What is promised to orders stays promised: it is never counted below that.
        self.desk.shelf.count(ctx, merchant.id, product.key, variant.key, count)
        label = product.label(variant)
        if count is None:
            ctx.say(ctx.t("{name}: as many as are wanted", name=label))
        else:
            ctx.say(ctx.t("{name}: {count} there", name=label, count=count))

    @command("hide", help=_("Staff room: sell something no longer for now: hide Margherita"), hidden=True)
    async def desk_hide(self, ctx: Context, name: Rest) -> None:
        """Sell a product no longer for now; “show” takes it back. An extra is hidden by “extras”."""
        await self._desk_activity(ctx, name, active=False)

    @command("show", help=_("Staff room: sell something again: show Margherita"), hidden=True)
    async def desk_show(self, ctx: Context, name: Rest) -> None:
        """Sell a hidden product again."""
        await self._desk_activity(ctx, name, active=True)

    async def _desk_activity(self, ctx: Context, name: str, *, active: bool) -> None:
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        words = _("{name} is sold again.") if active else _("{name} is not sold for now.")
        await self._desk_change(
            ctx, merchant, name, lambda product, _variant: replace(product, active=active),
            lambda name: ctx.t(words, name=name), whole=True,
        )  # fmt: skip

    @command("describe", help=_("Staff room: what a product is: describe Margherita: Tomato and cheese"), hidden=True)
    async def desk_describe(self, ctx: Context, text: Rest) -> None:
        """Say what a product is: “describe Margherita: Tomato, mozzarella, basil”."""
        await self._desk_set(ctx, text, lambda product, words: replace(product, description=words))

    @command("rename product", help=_("Staff room: another name: rename product Margherita: Queen"), hidden=True)
    async def desk_rename(self, ctx: Context, text: Rest) -> None:
        """Give a product another name; its key stays."""
        await self._desk_set(ctx, text, lambda product, words: replace(product, name=read_name(words)))

    @command("tax", help=_("Staff room: the tax rate in a price: tax Margherita: 7"), hidden=True)
    async def desk_tax(self, ctx: Context, text: Rest) -> None:
        """The tax rate in the price, in percent."""
        env = ctx.env()
        await self._desk_set(ctx, text, lambda product, words: replace(product, tax=read_tax(words, env)))

    async def _desk_set(self, ctx: Context, text: str, change: Callable[[Product, str], Product]) -> None:
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        name, colon, words = text.partition(":")
        if not colon or not words.strip():
            ctx.say(ctx.t("Please write the product, a colon, and what is to stand there."))
            return
        await self._desk_change(
            ctx, merchant, name, lambda product, _variant: change(product, words.strip()),
            lambda name: ctx.t("Changed: {name}", name=name), whole=True,
        )  # fmt: skip

    @command("variant", help=_("Staff room: sizes and kinds: variant Margherita: Large 12.50"), hidden=True)
    async def desk_variant(self, ctx: Context, text: Rest) -> None:
        """Sell a product in several sizes or kinds: “variant Margherita: Large 12.50” adds one, “variant Margherita:
        Large off” takes it away."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        name, colon, words = text.partition(":")
        env = env_of(ctx, merchant)
        label, _space, last = words.strip().rpartition(" ")
        try:
            off = bool(label) and last.casefold() in {"off", env.translator.t("off").casefold()}
            label, price = (label, None) if off else with_amount(words if colon else "", merchant.currency, env)
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        await self._desk_change(
            ctx, merchant, name, lambda product, _variant: varied(product, label.strip(), price),
            lambda name: ctx.t("Changed: {name}", name=name), whole=True,
        )  # fmt: skip

    @command("remove", help=_("Staff room: sell something never again"), aliases=("remove product",), hidden=True)
    async def desk_remove(self, ctx: Context, name: Rest) -> None:
        """Take a product out of the catalogue. Orders that hold it stay as they are; carts say that it is gone."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        found = None if merchant is None else await self.desk_product_named(ctx, merchant, name)
        if merchant is not None and found is not None and found.product is not None:
            ctx.start(self.desk_removal, merchant.id, found.product.key, found.product.name)

    @dialog
    async def desk_removal(self, d: Dialog, merchant_id: str, key: str, name: str) -> None:
        """Whether a product really is to go."""
        if not await d.confirm(d.t("Remove {name}? “hide” would only take it off the list.", name=name)):
            await d.end(d.t("{name} stays.", name=name))
        await d.do("drop", self._desk_drop, merchant_id, key)
        await d.end(d.t("Removed: {name}", name=name))

    async def _desk_drop(self, ctx: Context, merchant_id: str, key: str) -> None:
        merchant = await self.desk.sellers.get(ctx, merchant_id)
        if merchant is not None and await self.desk_may(ctx, merchant, ctx.sender, Staff.MANAGER):
            self.desk.shelf.drop(ctx, merchant_id, key)

    # A new product

    @command("add product", help=_("Staff room: sell something new"), hidden=True)
    async def desk_add_product(self, ctx: Context) -> None:
        """Sell something new: I ask for name, price, stock and so on."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is not None:
            ctx.start(self.desk_new_product, merchant.id)

    @dialog
    async def desk_new_product(self, d: Dialog, merchant_id: str) -> None:
        """From the name to the catalogue."""
        start = await d.do("start", self._desk_start_of, merchant_id)
        if start is None:
            await d.end(d.t("There is no such merchant any more."))
        name = await d.ask(d.t("What is it called?"), parse=read_name)
        words = await d.ask(d.t("What is it? A line or two for customers; “-” for nothing."), validate=_short)
        price = await d.ask(d.t("What does it cost, tax included?"), parse=read_money(start.currency))
        tax = await d.ask(d.t("Which tax rate is in that, in percent? “0” for none."), parse=read_tax)
        count = await d.ask(d.t("How many are there? A number, or “unlimited”."), parse=read_stock)
        category = ""
        if start.categories:
            shelves = {**{label: key for key, label in start.categories}, d.t("No category"): ""}
            category = await d.choose(d.t("In which category?"), shelves)
        wanted = NewProduct(name, "" if words == "-" else words, price, tax, count, category, start.language)
        refusal = await d.do("put", self._desk_put_new, merchant_id, wanted)
        await d.end(
            refusal
            or d.t(
                "{name} is sold now. For a picture send a photo with “{name}” as its caption; “extras” and “variant” "
                "make it more.",
                name=name,
            )
        )

    async def _desk_start_of(self, ctx: Context, merchant_id: str) -> Start | None:
        merchant = await self.desk.sellers.get(ctx, merchant_id)
        if merchant is None:
            return None
        categories = await self.desk.shelf.categories(ctx, merchant_id)
        return Start(merchant.currency, tuple((each.key, each.name) for each in categories), merchant.language)

    async def _desk_put_new(self, ctx: Context, merchant_id: str, wanted: NewProduct) -> str:
        merchant = await self.desk.sellers.get(ctx, merchant_id)
        if merchant is None or not await self.desk_may(ctx, merchant, ctx.sender, Staff.MANAGER):
            return ctx.t("There is no such merchant any more.")
        taken: list[str] = []
        while (key := key_of(wanted.name, taken)) not in taken:
            if await self.desk.shelf.product(ctx, merchant_id, key) is None:
                break
            taken.append(key)
        try:
            product = wanted.made(key)
        except CatalogueError as error:
            return refused(error, ctx)
        self.desk.shelf.put(ctx, merchant_id, product)
        return ""

    # Finding

    async def desk_product_named(
        self, ctx: Context, merchant: Merchant, name: str, *, one: bool = False
    ) -> Found | None:
        """The product that a name means; None when that is unclear, and the person is told.

        Args:
            one: one variant has to be meant.
        """
        name = name.strip()
        found = await self.desk_meant(ctx, merchant, name)
        if found.product is None:
            if found.near:
                ctx.say(ctx.t("There is no “{name}”. Did you mean {names}?", name=name[:60], names=list(found.near)))
            else:
                ctx.say(ctx.t("There is no “{name}”. “products” shows what there is.", name=name[:60]))
            return None
        if one and found.variant is None:
            names = [f"{found.product.name}, {variant.name}" for variant in found.product.variants]
            ctx.say(ctx.t("Which one? {names}", names=names))
            return None
        return found

    async def desk_meant(self, ctx: Context, merchant: Merchant, name: str) -> Found:
        """What a name means among the merchant's products, hidden ones too: the whole of it, or without the variant
        that stands at its end."""
        near: tuple[str, ...] = ()
        words = name.replace("/", " ").split()
        for count in range(len(words), max(len(words) - VARIANT_WORDS, 1) - 1, -1):
            part = " ".join(words[:count]).rstrip(",")
            found = find(await self.desk.shelf.find(ctx, merchant.id, part, PAGE), name)
            if found.product is not None:
                return found
            near = near or found.near
        return Found(near=near)

    async def _desk_change(
        self,
        ctx: Context,
        merchant: Merchant,
        name: str,
        change: Callable[[Product, Variant | None], Product | None],
        words: Callable[[str], str],
        *,
        whole: bool = False,
    ) -> None:
        found = await self.desk_product_named(ctx, merchant, name, one=not whole)
        if found is None or found.product is None:
            return
        try:
            after = change(found.product, found.variant)
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        except CatalogueError as error:
            ctx.say(refused(error, ctx))
            return
        if after is not None:
            self.desk.shelf.put(ctx, merchant.id, after, before=found.product)
            label = after.name if whole or found.variant is None else after.label(found.variant)
            ctx.say(words(label))


@dataclass(frozen=True, slots=True)
class NewProduct:
    """What the questions have brought."""

    name: str
    description: str
    price: Money
    tax: Decimal
    count: int | None
    category: str
    language: str

    def made(self, key: str) -> Product:
        """The product. Raises CatalogueError."""
        variant = Variant("one", self.name, self.price, Stock.of(self.count))
        categories = (self.category,) if self.category else ()
        return Product(key, self.name, (variant,), self.description, categories, tax=self.tax, language=self.language)


def with_variant(product: Product, variant: Variant) -> Product:
    """The product with another variant of the same key."""
    return replace(product, variants=tuple(variant if each.key == variant.key else each for each in product.variants))


def varied(product: Product, name: str, price: Money | None) -> Product:
    """With one more variant, or another price for one that is there; None takes it away. Raises CatalogueError."""
    there = next((each for each in product.variants if each.name.casefold() == name.casefold()), None)
    if price is None:
        left = tuple(each for each in product.variants if each is not there)
        return replace(product, variants=left)
    if there is not None:
        return with_variant(product, replace(there, price=price))
    key = key_of(name, [each.key for each in product.variants])
    return replace(product, variants=(*product.variants, Variant(key, read_name(name), price)))


def card(product: Product, left: dict[str, int | None], say: Translator) -> list[str]:
    """All about a product, a line each."""
    lines = [product.name if product.active else f"{product.name} {say.t('(hidden)')}"]
    if product.description:
        lines.append(product.description)
    for variant in product.variants:
        count = left.get(variant.key)
        stock = say.t("as many as are wanted") if count is None else say.n("{count} left", "{count} left", count)
        name = variant.name if len(product.variants) > 1 else say.t("Price")
        lines.append(say.t("• {name}: {price} ({stock})", name=name, price=variant.price, stock=stock))
        for tier in sorted({rule.tier for rule in variant.rules if rule.tier}):
            least = min(rule.price for rule in variant.rules if rule.tier == tier)
            lines.append("   " + say.t("• {name}: {amount}", name=tier, amount=least))
    for group in product.groups:
        options = ", ".join(option_words(option.name, option.price, option.available, say) for option in group.options)
        lines.append(f"• {group.name} {group.least}–{group.most}: {options}")
    percent = product.tax * 100
    lines.append(say.t("Tax rate: {percent} %", percent=percent.normalize() + 0))
    if product.categories:
        lines.append(say.t("Categories: {names}", names=", ".join(product.categories)))
    lines.append(say.n("{count} picture", "{count} pictures", len(product.images)))
    lines.append(say.t("Key: {key}", key=product.key))
    return lines


def option_words(name: str, price: Money, available: bool, say: Translator) -> str:
    """One extra."""
    words = name if not price else say.t("{name} {amount}", name=name, amount=price)
    return words if available else say.t("{name} (off)", name=words)


def _short(text: str) -> None:
    if len(text) > 4_000:
        raise InvalidValue("catalogue.description", CatalogueError("catalogue.description", most=4000).msgid, most=4000)

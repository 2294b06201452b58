"""Categories, and extras that are chosen with a product."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from bots.commerce.desk.base import DeskBase, env_of, refused
from bots.commerce.desk.goods import Goods, option_words
from bots.commerce.desk.goods_words import key_of, read_group
from bots.commerce.desk.signup import read_name
from bots.domain.catalogue import CatalogueError, Category, ModifierGroup, Product
from bots.domain.merchants import Merchant, Staff
from bots.framework import Context, InvalidValue, Rest, command
from bots.framework.arguments import fold
from bots.framework.i18n import _

WITHIN: Final = re.compile(r"\s+in\s+", re.IGNORECASE)
DOES: Final = re.compile(r"^(?P<name>.+?)\s+(?P<what>add|remove|off|on)\s+(?P<rest>.+)$", re.IGNORECASE | re.DOTALL)
DEPTH_MAX: Final = 5
CATEGORIES_MAX: Final = 200


class Extras(Goods, DeskBase):
    """The commands about categories and extras, for the plugin to inherit."""

    @command("categories", help=_("Staff room: your categories"), hidden=True)
    async def desk_categories(self, ctx: Context) -> None:
        """Show your categories."""
        merchant = await self.at_desk(ctx)
        if merchant is None:
            return
        found = await self.desk.shelf.categories(ctx, merchant.id)
        names = {each.key: each.name for each in found}
        lines = [
            ctx.t("• {name} (in {parent})", name=each.name, parent=names.get(each.parent, each.parent))
            if each.parent
            else ctx.t("• {name}", name=each.name)
            for each in found
        ]
        ctx.say("\n".join(lines) if lines else ctx.t("There are no categories. “category add Pizza” makes one."))

    @command("category add", help=_("Staff room: a new category: category add Red wine in Drinks"), hidden=True)
    async def desk_category_add(self, ctx: Context, text: Rest) -> None:
        """Make a category: “category add Pizza”, “category add Red wine in Drinks”."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        found = await self.desk.shelf.categories(ctx, merchant.id)
        name, parent = text, ""
        pieces = WITHIN.split(text)
        if len(pieces) > 1:
            above = category_named(found, pieces[-1])
            if above is not None:
                name, parent = text[: text.rindex(pieces[-1])].rstrip()[:-2].rstrip(), above.key
        try:
            name = read_name(name)
            if category_named(found, name) is not None:
                ctx.say(ctx.t("There is a category “{name}” already.", name=name))
                return
            if len(found) >= CATEGORIES_MAX or depth_of(found, parent) >= DEPTH_MAX:
                ctx.say(ctx.t("That is not possible."))
                return
            made = Category(key_of(name, [each.key for each in found]), name, parent, len(found))
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return
        except CatalogueError as error:
            ctx.say(refused(error, ctx))
            return
        self.desk.shelf.put_category(ctx, merchant.id, made)
        ctx.say(ctx.t("New category: {name}", name=name))

    @command("category remove", help=_("Staff room: a category less"), hidden=True)
    async def desk_category_remove(self, ctx: Context, name: Rest) -> None:
        """Take a category away; its products stay."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        found = await self.desk.shelf.categories(ctx, merchant.id)
        category = category_named(found, name)
        if category is None:
            ctx.say(ctx.t("There is no category “{name}”.", name=name[:60]))
        elif any(each.parent == category.key for each in found):
            ctx.say(ctx.t("Other categories lie in it: take those away first."))
        else:
            self.desk.shelf.drop_category(ctx, merchant.id, category.key)
            ctx.say(ctx.t("Removed: {name}", name=category.name))

    @command("category put", help=_("Staff room: lay a product: category put Margherita: Pizza"), hidden=True)
    async def desk_category_put(self, ctx: Context, text: Rest) -> None:
        """Lay a product into a category, beside those it is in; “category put Margherita: none” takes it out of all."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        name, _colon, wanted = text.partition(":")
        product = await self.desk_product_named(ctx, merchant, name)
        if product is None or product.product is None:
            return
        found = product.product
        if fold(wanted) in {"none", fold(ctx.t("none"))}:
            after = replace(found, categories=())
        else:
            category = category_named(await self.desk.shelf.categories(ctx, merchant.id), wanted)
            if category is None:
                ctx.say(ctx.t("There is no category “{name}”.", name=wanted.strip()[:60]))
                return
            after = replace(found, categories=tuple(dict.fromkeys((*found.categories, category.key))))
        self.desk.shelf.put(ctx, merchant.id, after, before=found)
        ctx.say(ctx.t("Changed: {name}", name=found.name))

    # Extras

    @command(
        "extras", help=_("Staff room: extras: extras Pizza add Toppings 0-3: Cheese 1.00, Olives 0.50"), hidden=True
    )
    async def desk_extras(self, ctx: Context, text: Rest) -> None:
        """Show or change what can be chosen with a product. “extras Pizza add Toppings 0-3: Cheese 1.00, Olives 0.50”
        adds a group, or puts it in the place of one of the same name: up to three can be chosen. “1-1” has to be
        chosen. “extras Pizza remove Toppings” takes it away; “extras Pizza off Cheese” and “on Cheese” say whether
        there is some."""
        does = DOES.match(text)
        what = "" if does is None else does["what"].lower()
        merchant = await self.at_desk(ctx, Staff.MANAGER if what in {"add", "remove"} else Staff.CLERK)
        if merchant is None:
            return
        if does is not None and await self._desk_extra(ctx, merchant, does["name"], what, does["rest"].strip()):
            return
        found = await self.desk_product_named(ctx, merchant, text)
        if found is None or found.product is None:
            return
        lines = [group_words(group, ctx) for group in found.product.groups]
        ctx.say("\n".join(lines) if lines else ctx.t("Nothing is chosen with {name}.", name=found.product.name))

    async def _desk_extra(self, ctx: Context, merchant: Merchant, name: str, what: str, rest: str) -> bool:
        """Change extras; False when the words are the name of a product rather than what to do."""
        found = await self.desk_product_named(ctx, merchant, name)
        if found is None or found.product is None:
            return True
        product = found.product
        try:
            if what == "add":
                after = with_group(product, read_group(rest, merchant.currency, env_of(ctx, merchant)))
            elif what == "remove":
                after = replace(product, groups=tuple(each for each in product.groups if fold(each.name) != fold(rest)))
            else:
                after = switched(product, rest, on=what == "on")
        except InvalidValue as error:
            ctx.say(error.say(ctx.translator))
            return True
        except CatalogueError as error:
            ctx.say(refused(error, ctx))
            return True
        if after == product:
            ctx.say(ctx.t("There is nothing to change: {name} has no “{what}”.", name=product.name, what=rest[:60]))
            return True
        self.desk.shelf.put(ctx, merchant.id, after, before=product)
        lines = [group_words(group, ctx) for group in after.groups]
        ctx.say("\n".join([ctx.t("Changed: {name}", name=product.name), *lines]))
        return True


def category_named(found: list[Category], text: str) -> Category | None:
    """A category by name or key."""
    wanted = fold(text)
    return next((each for each in found if wanted in {fold(each.name), each.key}), None)


def depth_of(found: list[Category], key: str) -> int:
    """How many categories a category lies in, itself among them; bounded where they lie in each other."""
    parents = {each.key: each.parent for each in found}
    depth = 0
    while key and depth <= DEPTH_MAX:
        key, depth = parents.get(key, ""), depth + 1
    return depth


def with_group(product: Product, group: ModifierGroup) -> Product:
    """With one more group, or in the place of the one of the same name. Raises CatalogueError."""
    groups = [each for each in product.groups if fold(each.name) != fold(group.name)]
    key = key_of(group.name, [each.key for each in groups])
    return replace(product, groups=(*groups, replace(group, key=key)))


def switched(product: Product, name: str, *, on: bool) -> Product:
    """With every extra of this name there, or not."""

    def option(group: ModifierGroup) -> ModifierGroup:
        options = tuple(
            replace(each, available=on) if fold(name) in {fold(each.name), each.key} else each for each in group.options
        )
        return replace(group, options=options)

    return replace(product, groups=tuple(option(group) for group in product.groups))


def group_words(group: ModifierGroup, ctx: Context) -> str:
    """A group of extras in a line."""
    options = ", ".join(option_words(each.name, each.price, each.available, ctx.translator) for each in group.options)
    return f"• {group.name} {group.least}–{group.most}: {options}"

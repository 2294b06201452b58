"""What a file says, made into products and categories: on top of those that are there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bots.commerce.importing.entries import Cell, Entries, Entry, GroupEntry, OptionEntry
from bots.commerce.importing.problems import Problems
from bots.commerce.importing.values import Values, key_of, notation
from bots.domain.catalogue import (
    CatalogueError,
    Category,
    Modifier,
    ModifierGroup,
    PriceRule,
    Product,
    Stock,
    Variant,
    below,
)
from bots.domain.money import Money

__all__ = ["Built", "build"]

ONLY: Final = "one"
"""The key of the variant of a product that has no others."""


@dataclass(slots=True)
class Built:
    """What the file makes of the catalogue.

    Attributes:
        products: by key, in the order of the file.
        categories: by key: all that there will be.
        removed: keys of products that the file takes away.
        counted: product and variant of what the file counts.
    """

    products: dict[str, Product] = field(default_factory=dict)
    categories: dict[str, Category] = field(default_factory=dict)
    removed: dict[str, Product] = field(default_factory=dict)
    counted: set[tuple[str, str]] = field(default_factory=set)


def build(
    entries: Entries,
    products: Sequence[Product],
    categories: Sequence[Category],
    values: Values,
    problems: Problems,
) -> Built:
    """Products and categories as they will be; what cannot be is added to ``problems``.

    Args:
        products: as they are, with what is left of them.
    """
    return _Builder(entries, products, categories, values, problems).build()


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


class _Builder:
    def __init__(
        self,
        entries: Entries,
        products: Sequence[Product],
        categories: Sequence[Category],
        values: Values,
        problems: Problems,
    ) -> None:
        self._entries = entries
        self._values = values
        self._problems = problems
        self._known = {each.key: each for each in products}
        self._named: dict[str, list[Product]] = {}
        for each in products:
            self._named.setdefault(_folded(each.name), []).append(each)
        self._built = Built(categories={each.key: each for each in categories})
        self._lines: dict[str, int] = {}

    def build(self) -> Built:
        self._categories()
        for entry in self._entries.products:
            self._entry(entry)
        if self._entries.complete:
            kept = self._built.products.keys() | self._built.removed.keys()
            self._built.removed.update({key: each for key, each in self._known.items() if key not in kept})
        return self._built

    # Categories

    def _categories(self) -> None:
        told = [cells for cells in self._entries.categories if self._has_name(cells)]
        made: list[tuple[Mapping[str, Cell], str]] = []
        for cells in told:
            name = cells["name"].text
            key = cells["key"].text if "key" in cells and cells["key"].text else ""
            key = key or self._category_named(name) or key_of(name, self._built.categories)
            if any(key == other for _, other in made):
                self._problems.add(cells["name"].line, "key", "import.column_twice")
                continue
            before = self._built.categories.get(key)
            position = len(self._built.categories) if before is None else before.position
            parent = "" if before is None else before.parent
            try:
                self._built.categories[key] = Category(key, name, parent, position)
                made.append((cells, key))
            except CatalogueError as error:
                self._said(cells["name"], error)
        for cells, key in made:
            if "parent" in cells:
                self._lie_in(cells["parent"], key)
        for cells, key in made:
            try:
                below(key, list(self._built.categories.values()))
            except CatalogueError:
                self._problems.add(cells["name"].line, "parent", "import.category_loop", name=cells["name"].text)

    def _has_name(self, cells: Mapping[str, Cell]) -> bool:
        if "name" in cells and cells["name"].text:
            return True
        place = next(iter(cells.values()), None)
        self._problems.add(0 if place is None else place.line, "name", "import.missing")
        return False

    def _lie_in(self, cell: Cell, key: str) -> None:
        parent = cell.text if cell.text in self._built.categories else self._category_named(cell.text)
        if cell.text and not parent:
            self._problems.add(cell.line, cell.column, "import.no_category", name=cell.text)
        elif parent == key:
            self._problems.add(cell.line, cell.column, "import.category_loop", name=cell.text)
        else:
            self._built.categories[key] = replace(self._built.categories[key], parent=parent)

    def _category_named(self, name: str, parent: str | None = None) -> str:
        """The key of a category by its name; empty: there is none, or several."""
        found = [
            each.key
            for each in self._built.categories.values()
            if _folded(each.name) == _folded(name) and parent in {None, each.parent}
        ]
        return found[0] if len(found) == 1 else ""

    def _shelves(self, cell: Cell) -> tuple[str, ...] | None:
        """Keys of categories that a cell names, made where they are not there: ``Drinks > Hot | Breakfast``."""
        found: dict[str, None] = {}
        for path in cell.text.split("|"):
            names = [name.strip() for name in path.split(">") if name.strip()]
            parent = ""
            for depth, name in enumerate(names):
                key = name if name in self._built.categories else ""
                key = key or self._category_named(name, parent if depth else None) or self._category_named(name, parent)
                if not key:
                    key = key_of(name, self._built.categories)
                    try:
                        made = Category(key, name, parent, len(self._built.categories))
                    except CatalogueError as error:
                        self._said(cell, error)
                        return None
                    self._built.categories[key] = made
                parent = key
            if parent:
                found[parent] = None
        return tuple(found)

    # Products

    def _entry(self, entry: Entry) -> None:
        before, key = self._meant(entry)
        first = self._lines.setdefault(key, entry.line)
        if first != entry.line:
            self._problems.add(entry.line, "", "import.twice", name=key, first=first)
            return
        remove = entry.cells.get("remove")
        if remove is not None and remove.text and self._values.yes(remove):
            if before is None:
                self._problems.add(entry.line, "remove", "import.no_product", name=self._name(entry, None) or key)
            else:
                self._built.removed[key] = before
            return
        made = self._product(entry, key, before)
        if made is not None:
            self._built.products[key] = made

    def _meant(self, entry: Entry) -> tuple[Product | None, str]:
        """The product that is there already, and its key; a new key where there is none."""
        key = entry.cells.get("key")
        if key is not None and key.text:
            return self._known.get(key.text), key.text
        name = self._name(entry, None)
        named = self._named.get(_folded(name), [])
        if len(named) == 1:
            return named[0], named[0].key
        return None, key_of(name, self._known.keys() | self._built.products.keys())

    def _name(self, entry: Entry, before: Product | None) -> str:
        cell = entry.cells.get("name")
        return cell.text if cell is not None and cell.text else "" if before is None else before.name

    def _product(self, entry: Entry, key: str, before: Product | None) -> Product | None:
        faults = len(self._problems.found)
        name = self._name(entry, before)
        if not name:
            self._problems.add(entry.line, "name", "import.missing")
        variants = self._variants(entry, key, name, before)
        fields = self._fields(entry, before)
        groups = self._groups(entry, before)
        if len(self._problems.found) > faults:
            return None
        try:
            return Product(key, name, tuple(variants), groups=groups, **fields)
        except CatalogueError as error:
            column = {"catalogue.key": "key", "catalogue.name": "name"}.get(error.code, "")
            self._said(entry.cells.get(column) or Cell("", entry.line, column), error)
            return None

    def _fields(self, entry: Entry, before: Product | None) -> dict[str, Any]:
        """What is said of the product. An empty cell empties a text, and leaves everything else as it is."""
        cells, values = entry.cells, self._values
        blank = Product("blank", "blank", (Variant("one", "one", Money.zero(values.currency)),))
        was = before or blank
        found: dict[str, Any] = {
            "description": was.description,
            "categories": was.categories,
            "images": was.images,
            "tax": was.tax,
            "language": was.language,
            "weight_g": was.weight_g,
            "active": was.active,
        }
        if "description" in cells:
            found["description"] = cells["description"].text
        if "category" in cells:
            found["categories"] = self._shelves(cells["category"])
        if "language" in cells:
            found["language"] = values.language(cells["language"])
        readers = {"images": values.images, "tax": values.tax, "weight": values.weight, "active": values.yes}
        for name, read in readers.items():
            if name in cells and cells[name].text:
                value = read(cells[name])
                if value is not None:
                    found["weight_g" if name == "weight" else name] = value
        return found

    # Variants

    def _variants(self, entry: Entry, key: str, name: str, before: Product | None) -> list[Variant]:
        found: list[Variant] = []
        for number, cells in enumerate(entry.variants):
            label = cells["variant"].text if "variant" in cells else ""
            if not label and len(entry.variants) > 1:
                self._problems.add(entry.line, "variant", "import.missing")
                continue
            was = self._variant_before(cells, label, before, alone=len(entry.variants) == 1)
            told = cells["variant key"].text if "variant key" in cells else ""
            taken = [each.key for each in found]
            own = told or (was.key if was is not None else key_of(label, taken) if label else ONLY)
            if own in taken or any(_folded(each.name) == _folded(label) for each in found):
                self._problems.add(entry.line, "variant", "import.same_variant", name=name)
                continue
            price = self._price(entry, cells, was)
            stock = self._stock(cells, was)
            rules = self._rules(entry, number, was)
            if price is None or stock is None or rules is None:
                continue
            if "stock" in cells and cells["stock"].text:
                self._built.counted.add((key, own))
            try:
                found.append(Variant(own, label or (was.name if was is not None else name), price, stock, rules))
            except CatalogueError as error:
                named = "price" if error.code == "catalogue.price" else "variant" if label else "name"
                self._said(cells.get(named) or Cell("", entry.line, named), error)
        return found

    @staticmethod
    def _variant_before(
        cells: Mapping[str, Cell], label: str, before: Product | None, *, alone: bool
    ) -> Variant | None:
        if before is None:
            return None
        told = cells["variant key"].text if "variant key" in cells else ""
        if told:
            return before.variant(told)
        named = [each for each in before.variants if _folded(each.name) == _folded(label)]
        if named:
            return named[0]
        return before.variants[0] if alone and not label and len(before.variants) == 1 else None

    def _price(self, entry: Entry, cells: Mapping[str, Cell], was: Variant | None) -> Money | None:
        cell = cells.get("price")
        if cell is not None and cell.text:
            return self._values.price(cell)
        if was is not None:
            return was.price
        self._problems.add(entry.line if cell is None else cell.line, "price", "import.missing")
        return None

    def _stock(self, cells: Mapping[str, Cell], was: Variant | None) -> Stock | None:
        cell = cells.get("stock")
        if cell is not None and cell.text:
            return self._values.stock(cell)
        return Stock() if was is None else was.stock

    def _rules(self, entry: Entry, number: int, was: Variant | None) -> tuple[PriceRule, ...] | None:
        told = entry.rules[number] if number < len(entry.rules) else None
        if told is None:
            return () if was is None else was.rules
        found = []
        for cells in told:
            if "price" not in cells:
                self._problems.add(entry.line, "rules", "import.missing")
                return None
            price = self._values.price(cells["price"])
            moments = [self._values.moment(cells[each]) if each in cells else None for each in ("since", "until")]
            least = self._values.number(cells["least"], 1, 1_000_000) if "least" in cells else 1
            if price is None or least is None:
                return None
            tier = cells["tier"].text.strip() if "tier" in cells else ""
            try:
                found.append(PriceRule(price, moments[0], moments[1], tier, least))
            except CatalogueError as error:
                cell = cells["tier"] if error.code == "catalogue.price_list" else cells["price"]
                self._problems.say(cell.line, "rules", error.msgid, **error.values)
                return None
        return tuple(found)

    # Extras

    def _groups(self, entry: Entry, before: Product | None) -> tuple[ModifierGroup, ...]:
        was = () if before is None else before.groups
        told = entry.groups
        if told is None and "extras" in entry.cells:
            told = notation(entry.cells["extras"], self._problems)
        if told is None:
            return was
        found: list[ModifierGroup] = []
        for group in told:
            made = self._group(group, {_folded(each.name): each for each in was}, [each.key for each in found])
            if made is not None:
                found.append(made)
        return tuple(found)

    def _group(self, entry: GroupEntry, was: Mapping[str, ModifierGroup], taken: Sequence[str]) -> ModifierGroup | None:
        name = entry.cells.get("name")
        if name is None or not name.text:
            self._problems.add(entry.line, "extras", "import.missing")
            return None
        if not entry.options:
            self._problems.add(name.line, "extras", "import.group_empty", group=name.text)
            return None
        before = was.get(_folded(name.text))
        told = entry.cells["key"].text if "key" in entry.cells else ""
        key = told or (before.key if before is not None else key_of(name.text, taken))
        known = {} if before is None else {_folded(each.name): each for each in before.options}
        options: list[Modifier] = []
        for option in entry.options:
            made = self._option(option, known, [each.key for each in options])
            if made is not None:
                options.append(made)
        if len({_folded(option.name) for option in options}) < len(options):
            self._problems.add(name.line, "extras", "import.same_extra", group=name.text)
            return None
        choose = entry.cells.get("choose")
        span = (0, 1) if choose is None or not choose.text else self._values.choose(choose, len(entry.options))
        if span is None or len(options) < len(entry.options):
            return None
        try:
            return ModifierGroup(key, name.text, tuple(options), *span)
        except CatalogueError as error:
            self._said(name, error)
            return None

    def _option(self, entry: OptionEntry, known: Mapping[str, Modifier], taken: Sequence[str]) -> Modifier | None:
        name = entry.cells.get("name")
        if name is None or not name.text:
            self._problems.add(entry.line, "extras", "import.missing")
            return None
        before = known.get(_folded(name.text))
        told = entry.cells["key"].text if "key" in entry.cells else ""
        key = told or (before.key if before is not None else key_of(name.text, taken))
        cell = entry.cells.get("price")
        price = Money.zero(self._values.currency)
        if cell is not None and cell.text:
            found = self._values.price(cell, signed=True)
            if found is None:
                return None
            price = found
        there = entry.cells.get("available")
        available = True if there is None or not there.text else self._values.yes(there)
        if available is None:
            return None
        try:
            return Modifier(key, name.text, price, available)
        except CatalogueError as error:
            self._said(name, error)
            return None

    def _said(self, cell: Cell, error: CatalogueError) -> None:
        self._problems.say(cell.line, cell.column, error.msgid, **error.values)

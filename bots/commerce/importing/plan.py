"""What an import would do, before it does anything. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bots.commerce.importing.building import Built, build
from bots.commerce.importing.entries import Entries
from bots.commerce.importing.problems import MESSAGES, SHOWN_MAX, FileRefused, Problem, Problems
from bots.commerce.importing.reading import CSV_MAX, YAML_MAX, read_csv, text_of
from bots.commerce.importing.values import Values
from bots.commerce.importing.yaml_reading import read_yaml
from bots.domain.catalogue import Category, Product

__all__ = ["Changed", "ImportPlan", "planned"]


@dataclass(frozen=True, slots=True)
class Changed:
    """A product that will be another. Both with what is on the shelf."""

    before: Product
    after: Product


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would do. Nothing of it has happened.

    Attributes:
        added: products that are new, in their order.
        changed: products that will be others.
        removed: products that will be gone.
        same: how many the file names that stay as they are.
        categories: new or changed ones.
        no_categories: keys of those that will be gone: only by undoing.
        counted: product and variant of what the file counts.
        order: keys of all products as they will stand; empty: as they do.
        errors: what is wrong with the file, the first fifty by line; with any, nothing can be applied.
        more: how many more errors there are.
        kept: names of products that an undo leaves as they are, because they have been changed since.
    """

    added: tuple[Product, ...] = ()
    changed: tuple[Changed, ...] = ()
    removed: tuple[Product, ...] = ()
    same: int = 0
    categories: tuple[Category, ...] = ()
    no_categories: tuple[str, ...] = ()
    counted: frozenset[tuple[str, str]] = frozenset()
    order: tuple[str, ...] = ()
    errors: tuple[Problem, ...] = ()
    more: int = 0
    kept: tuple[str, ...] = field(default=())

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not (self.added or self.changed or self.removed or self.categories or self.no_categories)


def planned(
    data: bytes,
    name: str,
    products: Sequence[Product],
    categories: Sequence[Category],
    *,
    currency: str,
    language: str,
    complete: bool = False,
) -> ImportPlan:
    """What a file would do to a catalogue.

    Args:
        name: of the file: its end says whether it is CSV or YAML, and what stands in it where that does not.
        products: as they are, in their order, with what is on the shelf.
        complete: what the file does not name goes.
    """
    problems = Problems()
    try:
        entries = _read(data, name, problems, currency)
        entries.complete = entries.complete or complete
        built = build(entries, products, categories, Values(problems, currency, language), problems)
    except FileRefused as refused:
        problems.found.append(refused.problem)
        built, entries = Built(), Entries()
    if problems.found:
        ordered = problems.ordered()
        return ImportPlan(errors=tuple(ordered[:SHOWN_MAX]), more=max(0, len(ordered) - SHOWN_MAX))
    return _compared(built, products, categories, ordered=entries.complete)


def _read(data: bytes, name: str, problems: Problems, currency: str) -> Entries:
    end = name.casefold().rpartition(".")[2]
    if end in {"yaml", "yml"}:
        return read_yaml(text_of(data, YAML_MAX), problems, currency)
    if end in {"csv", "tsv", "txt", name.casefold(), ""}:
        return read_csv(text_of(data, CSV_MAX), problems)
    raise FileRefused(Problem(0, "", MESSAGES["import.kind"]))


def _compared(
    built: Built, products: Sequence[Product], categories: Sequence[Category], *, ordered: bool
) -> ImportPlan:
    known = {each.key: each for each in products}
    added, changed, same = [], [], 0
    for key, product in built.products.items():
        before = known.get(key)
        if before is None:
            added.append(product)
        elif before != product:
            changed.append(Changed(before, product))
        else:
            same += 1
    shelves = {each.key: each for each in categories}
    order = tuple(built.products) if ordered else ()
    stands = [each.key for each in products if each.key not in built.removed]
    return ImportPlan(
        added=tuple(added),
        changed=tuple(changed),
        removed=tuple(built.removed.values()),
        same=same,
        categories=tuple(each for each in built.categories.values() if shelves.get(each.key) != each),
        counted=frozenset(
            (key, variant)
            for key, variant in built.counted
            if key not in known or _level(known[key], variant) != _level(built.products[key], variant)
        )
        if built.counted
        else frozenset(),
        order=order if [*stands, *(each.key for each in added)] != list(order) else (),
    )


def _level(product: Product, variant: str) -> object:
    found = product.variant(variant)
    return None if found is None else found.stock

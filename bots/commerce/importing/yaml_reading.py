"""What a YAML file says. The tree of nodes is read as it is written: no value is made of text that was not meant so
(``9.50`` stays the text “9.50”, ``no`` stays “no”), and nothing refers to anything else. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from bots.commerce.importing.entries import (
    CATEGORY_KEYS,
    PRODUCTS_MAX,
    Cell,
    Entries,
    Entry,
    GroupEntry,
    OptionEntry,
)
from bots.commerce.importing.problems import MESSAGES, FileRefused, Problem, Problems
from bots.commerce.importing.reading import nearest_of

__all__ = ["read_yaml"]

DEPTH_MAX: Final = 20
TOP: Final = ("currency", "complete", "categories", "products")
PRODUCT_KEYS: Final = (
    "key", "name", "description", "category", "categories", "extras", "tax", "language", "weight", "images", "active",
    "remove", "price", "stock", "rules", "variants",
)  # fmt: skip
VARIANT_KEYS: Final = ("key", "name", "price", "stock", "rules")
GROUP_KEYS: Final = ("key", "name", "choose", "options")
OPTION_KEYS: Final = ("key", "name", "price", "available")
RULE_KEYS: Final = ("price", "since", "until", "tier", "least")
KINDS: Final = ("str", "int", "float", "bool", "null", "map", "seq")
TAGS: Final = frozenset(f"tag:yaml.org,2002:{kind}" for kind in KINDS)
NULLS: Final = frozenset({"", "~", "null"})


def read_yaml(text: str, problems: Problems, currency: str) -> Entries:
    """What the file says; every fault of its shape is added to ``problems``.

    Args:
        currency: of the merchant: the file may name it, and no other.

    Raises:
        FileRefused: it is no YAML, or one that does more than say something.
    """
    root = _composed(text)
    return _Reader(problems).file(root, currency)


@dataclass(slots=True)
class Node:
    """A value as it is written. ``kind``: ``text``, ``list``, or ``map``: its ``items`` are keys and values in turn."""

    kind: str
    line: int
    text: str = ""
    null: bool = False
    tagged: bool = False
    items: list[Node] = field(default_factory=list)


def _composed(text: str) -> Node:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they would quote the file on standard error
            roots = _nodes(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refused(0 if mark is None else mark.line + 1, "import.yaml") from None
    except RecursionError:
        raise _refused(0, "import.yaml_deep") from None
    except (ValueError, AttributeError, TypeError, KeyError, IndexError):
        # The parser raises all kinds of errors on text that is no YAML.
        raise _refused(0, "import.yaml") from None
    if not roots or roots[0].null:
        raise _refused(0, "import.empty")
    if len(roots) > 1:
        raise _refused(roots[1].line, "import.yaml")
    return roots[0]


def _nodes(text: str) -> list[Node]:
    """The documents of a text. What refers to something else is refused at once, before anything is made of it: ten
    lines can stand for a thousand million values."""
    roots: list[Node] = []
    open_nodes: list[Node] = []
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor is not None):
            raise _refused(line, "import.yaml_alias")
        if isinstance(event, (SequenceEndEvent, MappingEndEvent)):
            open_nodes.pop()
        if not isinstance(event, NodeEvent):
            continue
        node = _node(event, line)
        (open_nodes[-1].items if open_nodes else roots).append(node)
        if node.kind != "text":
            open_nodes.append(node)
            if len(open_nodes) > DEPTH_MAX:
                raise _refused(line, "import.yaml_deep")
    return roots


def _node(event: Any, line: int) -> Node:
    tagged = event.tag is not None and str(event.tag) not in TAGS
    if isinstance(event, ScalarEvent):
        plain = event.style is None or event.style == ""
        value = str(event.value)
        return Node("text", line, value, plain and value.casefold() in NULLS, tagged)
    return Node("list" if isinstance(event, SequenceStartEvent) else "map", line, tagged=tagged)


def _refused(line: int, code: str, **values: object) -> FileRefused:
    return FileRefused(Problem(line, "", MESSAGES[code], values))


class _Reader:
    """Takes nodes apart and collects what is wrong with their shape."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def file(self, root: Node, currency: str) -> Entries:
        entries = Entries()
        if root.kind == "list":  # a list of products and nothing else
            self._products(root, entries)
            return entries
        members = self._members(root, TOP)
        named = self._cell(members.get("currency"), "currency")
        if named is not None and named.text.upper() != currency:
            self._problems.add(named.line, "currency", "import.currency", currency=currency, other=named.text)
        complete = self._cell(members.get("complete"), "complete")
        if complete is not None:
            if complete.text.casefold() not in {"yes", "no", "true", "false"}:
                self._problems.add(complete.line, "complete", "import.yes_no")
            entries.complete = complete.text.casefold() in {"yes", "true"}
        for node in self._list(members.get("categories"), "categories"):
            entries.categories.append(self._cells(self._members(node, CATEGORY_KEYS), CATEGORY_KEYS))
        if "products" in members:
            self._products(members["products"], entries)
        return entries

    def _products(self, node: Node, entries: Entries) -> None:
        lines: dict[str, int] = {}
        for each in self._list(node, "products"):
            if len(entries.products) >= PRODUCTS_MAX:
                raise _refused(each.line, "import.too_many", most=PRODUCTS_MAX)
            entry = self._product(each)
            named = next((entry.cells[name].text for name in ("key", "name") if name in entry.cells), "")
            first = lines.setdefault(named.casefold(), entry.line)
            if not named:
                self._problems.add(entry.line, "name", "import.missing")
            elif first != entry.line:
                self._problems.add(entry.line, "", "import.twice", name=named, first=first)
            else:
                entries.products.append(entry)

    def _product(self, node: Node) -> Entry:
        members = self._members(node, PRODUCT_KEYS)
        cells = self._cells(members, ("key", "name", "description", "tax", "language", "weight", "active", "remove"))
        for name in ("category", "images"):
            if name in members:
                cells[name] = self._joined(members[name], name)
        if "categories" in members:
            cells["category"] = self._joined(members["categories"], "categories")
        variants = [self._members(each, VARIANT_KEYS) for each in self._list(members.get("variants"), "variants")]
        told = variants or [{name: each for name, each in members.items() if name in {"price", "stock", "rules"}}]
        groups = None if "extras" not in members else self._groups(members["extras"])
        return Entry(
            node.line,
            cells,
            [self._variant(each, whole=not variants) for each in told],
            groups,
            [self._rules(each.get("rules")) for each in told],
        )

    def _variant(self, members: Mapping[str, Node], *, whole: bool) -> dict[str, Cell]:
        cells = self._cells(members, ("price", "stock") if whole else ("key", "name", "price", "stock"))
        renamed = {"key": "variant key", "name": "variant"}
        return {renamed.get(name, name): cell for name, cell in cells.items()}

    def _rules(self, node: Node | None) -> list[Mapping[str, Cell]] | None:
        if node is None:
            return None
        rules = [self._members(each, RULE_KEYS) for each in self._list(node, "rules")]
        return [self._cells(each, RULE_KEYS) for each in rules]

    def _groups(self, node: Node) -> list[GroupEntry]:
        groups = []
        for each in self._list(node, "extras"):
            members = self._members(each, GROUP_KEYS)
            options = tuple(self._option(option) for option in self._list(members.get("options"), "options"))
            groups.append(GroupEntry(self._cells(members, ("key", "name", "choose")), options, each.line))
        return groups

    def _option(self, node: Node) -> OptionEntry:
        if node.kind == "text":
            cell = self._cell(node, "name")
            return OptionEntry({} if cell is None else {"name": cell}, node.line)
        return OptionEntry(self._cells(self._members(node, OPTION_KEYS), OPTION_KEYS), node.line)

    # Pieces

    def _members(self, node: Node, known: Sequence[str]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        if node.kind != "map" or not self._untagged(node):
            self._problems.add(node.line, "", "import.yaml_keys", columns=", ".join(known))
            return found
        for name_node, value in zip(node.items[::2], node.items[1::2], strict=True):
            name = name_node.text if name_node.kind == "text" else ""
            line = name_node.line
            if name == "<<":
                self._problems.add(line, "", "import.yaml_tag")
            elif name in found:
                self._problems.add(line, name, "import.column_twice")
            elif name not in known:
                near = nearest_of(name.casefold(), known)
                if near is None:
                    self._problems.add(line, name[:40], "import.unknown", name=name, columns=", ".join(known))
                else:
                    self._problems.add(line, name[:40], "import.unknown_near", name=name, near=near)
            else:
                found[name] = value
        return found

    def _list(self, node: Node | None, name: str) -> Iterator[Node]:
        if node is None or node.null:
            return
        if node.kind != "list" or not self._untagged(node):
            self._problems.add(node.line, name, "import.yaml_list")
            return
        yield from node.items

    def _cells(self, members: Mapping[str, Node], names: Sequence[str]) -> dict[str, Cell]:
        found = {name: self._cell(members[name], name) for name in names if name in members}
        return {name: cell for name, cell in found.items() if cell is not None}

    def _cell(self, node: Node | None, name: str) -> Cell | None:
        if node is None:
            return None
        if node.kind != "text" or not self._untagged(node):
            self._problems.add(node.line, name, "import.yaml_value")
            return None
        return Cell("" if node.null else node.text.strip(), node.line, name)

    def _joined(self, node: Node, name: str) -> Cell:
        """One value or a list of them, as a CSV would have it."""
        if node.kind == "list":
            cells = [self._cell(each, name) for each in node.items]
            return Cell(" | ".join(cell.text for cell in cells if cell is not None), node.line, name)
        return self._cell(node, name) or Cell("", node.line, name)

    def _untagged(self, node: Node) -> bool:
        if node.tagged:
            self._problems.add(node.line, "", "import.yaml_tag")
        return not node.tagged

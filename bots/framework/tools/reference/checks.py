"""What the reference lacks: names without words, parameters without words, references to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bots.framework.tools.reference.model import OPERATORS, Code, Entry
from bots.framework.tools.reference.names import INTERNAL, PAGES

ROLE: Final = re.compile(r":(?:class|meth|func|data|mod|attr|exc):`~?([^`]+)`")
SAID: Final = re.compile(r"\b(ctx|d)\.([a-z_]+)\b")
"""Members of a context or a dialog, in code."""
_OF: Final = {"ctx": "bots.framework.Context", "d": "bots.framework.Dialog"}


def pages(public: Mapping[str, Entry]) -> dict[str, list[Entry]]:
    """The entries of each page, in its order."""
    placed: dict[str, list[Entry]] = {page.slug: [] for page in PAGES}
    taken: set[str] = set()
    for page in PAGES:
        for name in page.names:
            entry = public[f"bots.framework.{name}"]
            placed[page.slug].append(entry)
            taken.add(entry.canonical)
    for page in PAGES:
        if page.module:
            for path, entry in public.items():
                if path.rpartition(".")[0] == page.module and entry.canonical not in taken:
                    placed[page.slug].append(entry)
                    taken.add(entry.canonical)
    return placed


def problems(code: Code, public: Mapping[str, Entry]) -> list[str]:
    """Everything that is wrong, a line each, with file and line."""
    return [
        *_unplaced(public),
        *_stale(code),
        *(line for entry in public.values() for line in _of(code, public, entry)),
    ]


def _unplaced(public: Mapping[str, Entry]) -> Iterator[str]:
    there = {entry.canonical for entries in pages(public).values() for entry in entries}
    for path, entry in public.items():
        if entry.canonical not in there:
            yield f"{entry.where}: {path} stands on no page of the reference"


def _stale(code: Code) -> Iterator[str]:
    for path in sorted(INTERNAL):
        owner, _, name = path.rpartition(".")
        item: Any = code.find(owner)
        if item is None or (name not in item.all_members):
            yield f"{path} is named internal and is not there"


def _of(code: Code, public: Mapping[str, Entry], entry: Entry) -> Iterator[str]:
    for each in entry.walk():
        if each.name in OPERATORS:
            continue
        if not each.doc.strip() and not _speaks_for_itself(each, entry):
            yield f"{each.where}: {each.path} has no docstring"
        yield from _arguments(each)
        yield from _references(code, public, each)


def _speaks_for_itself(each: Entry, owner: Entry) -> bool:
    """A field of a dataclass does by its name and type; another attribute when the words of its class name it."""
    if each is owner or each.kind != "value" or "property" in each.labels:
        return False
    return "dataclass" in owner.labels or _named_in(each.name, owner)


def _named_in(name: str, owner: Entry) -> bool:
    """Whether the words of a class speak of an attribute."""
    if any(f"``{name}``" in words for words in (owner.doc, *owner.lineage)):
        return True
    return any(
        name in re.split(r"[\s,]+", str(item.name))
        for section in owner.sections()
        if section.kind.value in {"parameters", "attributes"}
        for item in section.value
    )


def _arguments(entry: Entry) -> Iterator[str]:
    documented = [
        str(item.name).lstrip("*")
        for section in entry.sections()
        if section.kind.value == "parameters"
        for item in section.value
    ]
    if not documented or not entry.signatures:
        return
    takes = {each.name: each for way in entry.signatures for each in way.parameters}
    for name, parameter in takes.items():
        # What has no name in a call is told in the first sentence.
        if name not in documented and parameter.kind in {"=", "k"}:
            yield f"{entry.where}: {entry.path} says nothing of its parameter {name}"
    for name in documented:
        if name not in takes:
            yield f"{entry.where}: {entry.path} speaks of a parameter {name}, which it does not have"


def _references(code: Code, public: Mapping[str, Entry], entry: Entry) -> Iterator[str]:
    for target in ROLE.findall(entry.doc):
        if resolve(code, entry, target) is None:
            yield f"{entry.where}: {entry.path} refers to {target}, which is not there"
    for code_words in re.findall(r"``([^`]+)``", entry.doc):
        for owner, name in SAID.findall(code_words):
            if name not in members(public, owner):
                yield f"{entry.where}: {entry.path} speaks of {owner}.{name}, which is not public"


def members(public: Mapping[str, Entry], owner: str) -> frozenset[str]:
    """The public members of what is called ``ctx`` or ``d`` in examples."""
    return frozenset(each.name for each in public[_OF[owner]].members)


def resolve(code: Code, entry: Entry, target: str) -> str | None:
    """The canonical path that a reference in the words of an entry means."""
    name = target.strip("() ")
    owner = entry.canonical if entry.kind == "class" else entry.canonical.rpartition(".")[0]
    module = str(entry.source.module.canonical_path)
    for scope in (owner, module, "bots.framework", ""):
        found = code.find(f"{scope}.{name}" if scope else name)
        if found is not None:
            return str(found.canonical_path)
    return None

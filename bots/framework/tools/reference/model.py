"""The public API as it stands in the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import griffe

from bots.framework.tools.reference.names import INTERNAL, OWN_BASES, PUBLIC

EntryKind = Literal["class", "function", "value", "module"]
OPERATORS: Final = frozenset(
    {"__abs__", "__add__", "__bool__", "__call__", "__lt__", "__mul__", "__neg__", "__rmul__", "__sub__", "__str__"}
)
"""Special methods that are part of the API; they are recorded, and need no words."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. ``kind``: ``/`` positional, ``=`` either, ``k`` by name, ``*`` and ``**``."""

    name: str
    kind: str
    annotation: str
    default: str | None

    def __str__(self) -> str:
        stars = self.kind if self.kind in {"*", "**"} else ""
        text = f"{stars}{self.name}"
        if self.annotation:
            text += f": {self.annotation}"
        if self.default is not None:
            text += f" = {self.default}" if self.annotation else f"={self.default}"
        return text


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call something."""

    parameters: tuple[Parameter, ...]
    returns: str

    def __str__(self) -> str:
        parts: list[str] = []
        bare = True
        for each in self.parameters:
            if bare and each.kind in {"k", "*"}:
                bare = False
                if each.kind == "k":
                    parts.append("*")
            parts.append(str(each))
            if each.kind == "/" and (each is self.parameters[-1] or self._behind(each).kind != "/"):
                parts.append("/")
        return f"({', '.join(parts)})" + (f" -> {self.returns}" if self.returns else "")

    def _behind(self, parameter: Parameter) -> Parameter:
        return self.parameters[self.parameters.index(parameter) + 1]


@dataclass(frozen=True, slots=True)
class Entry:
    """One public name, or a member of one."""

    path: str
    """The public path: ``bots.framework.Context.say``."""
    kind: EntryKind
    doc: str
    where: str
    """File and line."""
    canonical: str = ""
    """Where it is defined; one thing may have two public names."""
    labels: tuple[str, ...] = ()
    """async, property, classmethod, staticmethod, protocol, dataclass."""
    signatures: tuple[Signature, ...] = ()
    annotation: str = ""
    value: str = ""
    bases: tuple[str, ...] = ()
    members: tuple[Entry, ...] = ()
    lineage: tuple[str, ...] = ()
    """The docstrings of the bases that are Rialto's own; the members of those that are not public are its own too."""
    source: Any = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2]

    def walk(self) -> Iterator[Entry]:
        """Itself and its members."""
        yield self
        yield from self.members

    def sections(self) -> list[Any]:
        """The parsed docstring."""
        return list(griffe.Docstring(self.doc, parent=self.source).parse("google", warnings=False))


class Code:
    """The packages, read and not imported."""

    def __init__(self, root: Path) -> None:
        """
        Args:
            root: the folder that holds them.
        """
        self.root = root.resolve()
        self._loader = griffe.GriffeLoader(
            search_paths=[str(self.root)], docstring_parser="google", allow_inspection=False
        )
        for package in ("appservice", "bots"):
            self._loader.load(package, try_relative_path=False)
        self._loader.resolve_aliases(implicit=True)
        self._public: frozenset[str] = frozenset()
        """Where public things are defined."""

    def find(self, path: str) -> griffe.Object | None:
        """What stands at a dotted path, followed to where it is defined."""
        try:
            found = self._loader.modules_collection[path]
        except (KeyError, griffe.GriffeError):
            return None
        return _final(found)

    def public(self) -> dict[str, Entry]:
        """The public names by path."""
        found: dict[str, griffe.Object] = {}
        for module_name, names in PUBLIC.items():
            module = self._loader.modules_collection[module_name]
            for name in names if names is not None else [str(each) for each in module.exports or ()]:
                path = f"{module_name}.{name}"
                item = self.find(path)
                if item is None:
                    raise LookupError(f"{path} is public and cannot be found")
                found[path] = item
        self._public = frozenset(str(item.canonical_path) for item in found.values())
        return {path: self._entry(path, item) for path, item in found.items()}

    def _entry(self, path: str, item: griffe.Object) -> Entry:
        doc = item.docstring.value if item.docstring is not None else ""
        where = f"{Path(str(item.filepath)).relative_to(self.root)}:{item.lineno}"
        common: dict[str, Any] = {"doc": doc, "where": where, "canonical": item.canonical_path, "source": item}
        if isinstance(item, griffe.Class):
            return self._class(path, item, common)
        if isinstance(item, griffe.Function):
            return Entry(path, "function", signatures=_signatures(item), labels=_labels(item), **common)
        annotation, value = "", ""
        if isinstance(item, griffe.Attribute):
            annotation = _text(item.annotation) or _of_parameter(item)
            if "instance-attribute" not in item.labels and item.value is not None:
                value = _text(item.value)
        return Entry(path, "value", annotation=annotation, value=value, labels=_labels(item), **common)

    def _class(self, path: str, item: griffe.Class, common: Mapping[str, Any]) -> Entry:
        members: dict[str, Entry] = {}
        data = "dataclass" in item.labels
        lineage = self._own_bases(item)
        for base in [*reversed([each for each in lineage if each.canonical_path not in self._public]), item]:
            for name, member in base.members.items():
                if f"{path}.{name}" in INTERNAL or not _is_public(name):
                    continue
                found = _final(member)
                if found is None or not isinstance(found, griffe.Function | griffe.Attribute):
                    continue
                if name == "__init__":
                    continue
                entry = self._entry(f"{path}.{name}", found)
                if data and entry.kind == "value" and "property" not in entry.labels:
                    entry = replace(entry, value="")  # the default of a parameter, and recorded as such
                members[name] = entry
        signatures: tuple[Signature, ...] = ()
        init = item.all_members.get("__init__")
        if f"{path}.__init__" not in INTERNAL:
            made = _final(init) if init is not None else None
            if data:
                signatures = (Signature(_parameters(item.parameters), ""),)
            elif isinstance(made, griffe.Function):
                signatures = tuple(Signature(each.parameters, "") for each in _signatures(made))
                if made.docstring is not None and made.docstring.value.strip():
                    common = {**common, "doc": f"{common['doc']}\n\n{made.docstring.value}".strip()}
        return Entry(
            path,
            "class",
            signatures=signatures,
            bases=tuple(_text(base) for base in item.bases),
            labels=_class_labels(item),
            members=tuple(members.values()),
            lineage=tuple(each.docstring.value for each in lineage if each.docstring is not None),
            **common,
        )

    def _own_bases(self, item: griffe.Class) -> list[griffe.Class]:
        found: list[griffe.Class] = []
        for base in item.bases:
            path = base if isinstance(base, str) else base.canonical_path
            target = self.find(path) if path.startswith(OWN_BASES) else None
            if isinstance(target, griffe.Class):
                found += [target, *self._own_bases(target)]
        return found


def _final(item: Any) -> griffe.Object | None:
    try:
        target = item.final_target if item.is_alias else item
    except griffe.GriffeError:
        return None
    return target if isinstance(target, griffe.Object) else None


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name in OPERATORS


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _labels(item: griffe.Object) -> tuple[str, ...]:
    wanted = ("async", "property", "cached", "classmethod", "staticmethod")
    found = {str(label) for label in item.labels}
    return tuple("property" if label == "cached" else label for label in wanted if label in found and label != "cached")


def _class_labels(item: griffe.Class) -> tuple[str, ...]:
    bases = {_text(base).partition("[")[0].rpartition(".")[2] for base in item.bases}
    labels = [
        label
        for label, there in (("protocol", "Protocol" in bases), ("dataclass", "dataclass" in item.labels))
        if there
    ]
    return tuple(labels)


def _of_parameter(item: griffe.Attribute) -> str:
    """The type of ``self.x = x``: that of the constructor's parameter."""
    init = item.parent.members.get("__init__") if item.parent is not None else None
    if not isinstance(init, griffe.Function) or not isinstance(item.value, griffe.ExprName):
        return ""
    name = str(item.value)
    return _text(init.parameters[name].annotation) if name in init.parameters else ""


_KINDS: Final = {
    griffe.ParameterKind.positional_only: "/",
    griffe.ParameterKind.positional_or_keyword: "=",
    griffe.ParameterKind.keyword_only: "k",
    griffe.ParameterKind.var_positional: "*",
    griffe.ParameterKind.var_keyword: "**",
}


def _parameters(parameters: Any) -> tuple[Parameter, ...]:
    found = []
    for number, each in enumerate(parameters):
        if number == 0 and each.name in {"self", "cls"}:
            continue
        kind = _KINDS[each.kind]
        default = None if each.default is None or kind in {"*", "**"} else _text(each.default)
        found.append(Parameter(each.name, kind, _text(each.annotation), default))
    return tuple(found)


def _signatures(item: griffe.Function) -> tuple[Signature, ...]:
    ways = item.overloads or [item]
    return tuple(Signature(_parameters(each.parameters), _text(each.returns)) for each in ways)

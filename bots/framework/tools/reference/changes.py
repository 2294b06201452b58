"""What has changed in the public API, and which version that asks for.

The rules are those of ``docs/plugins/stability.md``: what makes a plugin of before fail, at run time or before a type
checker, asks for a major version; what only adds asks for a minor one. Where that cannot be told from two signatures, a
change counts as breaking.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from bots.framework.tools.reference.model import Entry

Record = dict[str, Any]
"""An entry as it is recorded: plain JSON, a signature as text."""

VERSION: Final = "bots.framework.API_VERSION"


class Level(IntEnum):
    """What a change asks for."""

    NONE = 0
    MINOR = 1
    MAJOR = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One difference."""

    path: str
    words: str
    level: Level

    def __str__(self) -> str:
        return f"{self.level.name.lower()}: {self.path} {self.words}"


def record(public: Mapping[str, Entry]) -> dict[str, Record]:
    """The public API as plain JSON, by path. A second name for the same thing only says so."""
    first: dict[str, str] = {}
    found: dict[str, Record] = {}
    for path, entry in sorted(public.items(), key=lambda pair: (pair[0].count("."), pair[0])):
        if path == VERSION:
            continue
        known = first.setdefault(entry.canonical, path)
        found[path] = _recorded(entry) if known == path else {"same_as": known}
    return dict(sorted(found.items()))


def _recorded(entry: Entry) -> Record:
    written: Record = {"kind": entry.kind}
    if entry.labels:
        written["labels"] = sorted(entry.labels)
    if entry.bases:
        written["bases"] = list(entry.bases)
    if entry.signatures:
        written["signatures"] = [str(each) for each in entry.signatures]
    if entry.annotation:
        written["type"] = entry.annotation
    if entry.value:
        written["value"] = entry.value
    if entry.members:
        written["members"] = {each.name: _recorded(each) for each in sorted(entry.members, key=lambda each: each.name)}
    return written


def changes(old: Mapping[str, Record], new: Mapping[str, Record]) -> list[Change]:
    """Everything that is different, by path."""
    found = _of_names(old, new, "", implemented=False)
    return sorted(found, key=lambda change: (change.path, change.words))


def _of_names(
    old: Mapping[str, Record], new: Mapping[str, Record], prefix: str, *, implemented: bool
) -> Iterator[Change]:
    """``implemented``: plugins have classes of this shape, so that more members break them."""
    for name in sorted({*old, *new}):
        path = f"{prefix}{name}"
        if name not in new:
            yield Change(path, "is gone", Level.MAJOR)
        elif name not in old:
            yield Change(path, "is new", Level.MAJOR if implemented else Level.MINOR)
        else:
            yield from _of_entry(path, old[name], new[name])


def _of_entry(path: str, old: Record, new: Record) -> Iterator[Change]:
    for key, what in (("kind", "is of another kind"), ("same_as", "is another thing"), ("value", "has another value")):
        if old.get(key) != new.get(key):
            yield Change(path, f"{what}: {new.get(key)}, was {old.get(key)}", Level.MAJOR)
    if set(old.get("labels", ())) - {"dataclass"} != set(new.get("labels", ())) - {"dataclass"}:
        yield Change(path, f"is {_listed(new.get('labels'))}, was {_listed(old.get('labels'))}", Level.MAJOR)
    for base in old.get("bases", ()):
        if base not in new.get("bases", ()):
            yield Change(path, f"is no {base} any more", Level.MAJOR)
    for base in new.get("bases", ()):
        if base not in old.get("bases", ()):
            yield Change(path, f"is a {base}", Level.MINOR)
    if old.get("type") != new.get("type"):
        level = _narrowed(old.get("type", ""), new.get("type", ""))
        yield Change(path, f"is {new.get('type') or 'untyped'}, was {old.get('type') or 'untyped'}", level)
    yield from _of_calls(path, old.get("signatures", []), new.get("signatures", []))
    protocol = "protocol" in old.get("labels", ())
    yield from _of_names(old.get("members", {}), new.get("members", {}), f"{path}.", implemented=protocol)


def _listed(labels: Iterable[str] | None) -> str:
    return ", ".join(labels or ()) or "plain"


def _of_calls(path: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    """Each way in which it could be called must still be one."""
    if list(old) == list(new):
        return
    for way in old:
        if way in new:
            continue
        best = min((_of_call(way, other) for other in new), key=_worst, default=[("cannot be called", Level.MAJOR)])
        for words, level in best or [(f"is written as {new[0]}", Level.MINOR)]:
            yield Change(path, words, level)
    for way in new[len(old) :]:
        yield Change(path, f"can be called by {way}", Level.MINOR)


def _worst(found: Sequence[tuple[str, Level]]) -> tuple[int, int]:
    return max((level for _, level in found), default=Level.NONE), len(found)


def _of_call(old: str, new: str) -> list[tuple[str, Level]]:
    """How one signature differs from another."""
    before, after = _read(old), _read(new)
    found: list[tuple[str, Level]] = []
    for name, was in before.parameters.items():
        now = after.parameters.get(name)
        if now is None:
            found.append((f"takes no {name} any more", Level.MAJOR))
            continue
        if now.kind != was.kind and not (was.kind in {"k", "/"} and now.kind == "="):
            found.append((f"takes {name} in another way", Level.MAJOR))
        elif now.position != was.position and was.kind in {"/", "="}:
            found.append((f"takes {name} at another place", Level.MAJOR))
        if now.default != was.default:
            words = f"{name} is {now.default or 'required'} by default, was {was.default or 'required'}"
            found.append((words, Level.MINOR if was.default is None else Level.MAJOR))
        if now.annotation != was.annotation:
            words = f"{name} is {now.annotation or 'untyped'}, was {was.annotation or 'untyped'}"
            found.append((words, _widened(was.annotation, now.annotation)))
    for name, now in after.parameters.items():
        if name not in before.parameters:
            free = now.default is not None or now.kind in {"*", "**"}
            found.append((f"takes {name}", Level.MINOR if free else Level.MAJOR))
    if after.returns != before.returns:
        words = f"gives {after.returns or 'something untyped'}, gave {before.returns or 'something untyped'}"
        found.append((words, _narrowed(before.returns, after.returns)))
    return found


@dataclass(frozen=True, slots=True)
class _Parameter:
    kind: str
    position: int
    annotation: str
    default: str | None


@dataclass(frozen=True, slots=True)
class _Call:
    parameters: dict[str, _Parameter]
    returns: str


def _read(signature: str) -> _Call:
    tree = ast.parse(f"def f{signature}: ...").body[0]
    assert isinstance(tree, ast.FunctionDef)
    arguments = tree.args
    found: dict[str, _Parameter] = {}
    plain = [(each, "/") for each in arguments.posonlyargs] + [(each, "=") for each in arguments.args]
    missing: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults))
    for position, ((each, kind), default) in enumerate(zip(plain, [*missing, *arguments.defaults], strict=True)):
        found[each.arg] = _Parameter(kind, position, _code(each.annotation), _code(default) or None)
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found[each.arg] = _Parameter("k", -1, _code(each.annotation), _code(default) or None)
    for rest, kind in ((arguments.vararg, "*"), (arguments.kwarg, "**")):
        if rest is not None:
            found[rest.arg] = _Parameter(kind, -1, _code(rest.annotation), None)
    return _Call(found, _code(tree.returns))


def _code(node: ast.expr | None) -> str:
    return "" if node is None else ast.unparse(node)


def _widened(old: str, new: str) -> Level:
    """A parameter that takes more than before adds; anything else breaks."""
    return Level.MINOR if new == "Any" or (old and _members(old) <= _members(new)) else Level.MAJOR


def _narrowed(old: str, new: str) -> Level:
    """A result that can be less than before adds; anything else breaks."""
    return Level.MINOR if old == "Any" or (new and _members(new) <= _members(old)) else Level.MAJOR


def _members(annotation: str) -> frozenset[str]:
    """The types of a union."""
    if not annotation:
        return frozenset()
    pending, found = [ast.parse(annotation, mode="eval").body], set()
    while pending:
        node = pending.pop()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            pending += [node.left, node.right]
        else:
            found.add(ast.unparse(node))
    return frozenset(found)


def version(text: str) -> tuple[int, int]:
    """``1.4`` as numbers.

    Raises:
        ValueError: it is none.
    """
    major, dot, minor = text.partition(".")
    if not dot or not major.isdecimal() or not minor.isdecimal():
        raise ValueError(f"a version of the API is two numbers with a dot between them, got {text!r}")
    return int(major), int(minor)


def demanded(released: str, found: Iterable[Change]) -> str:
    """The least version that may follow ``released`` with these changes."""
    major, minor = version(released)
    level = max((change.level for change in found), default=Level.NONE)
    if level is Level.MAJOR:
        return f"{major + 1}.0"
    return f"{major}.{minor + 1}" if level is Level.MINOR else released

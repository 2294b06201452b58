"""Reads the source of dialogs for what a replay would do differently. Pure but for reading the plugin's own files.

A dialog runs from its start on every answer, so between two runs it must do the same: no clock, no dice, no outside
world but through ``d``. What stands in nested functions is taken for the body of a step and left alone; helpers that
are handed ``d`` are read like the dialog itself.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from bots.framework.handlers import mark_of

_NOW: Final = "use await d.now()"
_RANDOM: Final = "use await d.random()"
_STEP: Final = 'do it in a step: await d.step("name", function, …)'
_SETTINGS: Final = "read it in the constructor, or in a step"
FORBIDDEN: Final[Mapping[str, str]] = {
    "datetime.datetime.now": _NOW,
    "datetime.datetime.utcnow": _NOW,
    "datetime.datetime.today": _NOW,
    "datetime.date.today": _NOW,
    "time.time": _NOW,
    "time.time_ns": _NOW,
    "time.monotonic": _NOW,
    "time.monotonic_ns": _NOW,
    "time.perf_counter": _NOW,
    "time.localtime": _NOW,
    "time.gmtime": _NOW,
    "time.strftime": _NOW,
    "time.sleep": "nothing may block; a dialog waits by asking",
    "random": _RANDOM,
    "secrets": _RANDOM,
    "uuid.uuid1": _RANDOM,
    "uuid.uuid4": _RANDOM,
    "os.urandom": _RANDOM,
    "os.environ": _SETTINGS,
    "os.getenv": _SETTINGS,
    "os.system": _STEP,
    "os.getpid": _STEP,
    "open": _STEP,
    "input": "ask the person: await d.ask(…)",
    "subprocess": _STEP,
    "socket": _STEP,
    "requests": _STEP,
    "httpx": _STEP,
    "aiohttp": _STEP,
    "urllib.request": _STEP,
    "asyncio": "a replay must do one thing after the other; await d.… alone",
    "threading": _STEP,
}
"""What may not stand in a dialog, by its full name or the module of it, and what to do instead."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place. ``fatal``: the dialog can never work."""

    function: str
    file: str
    line: int
    code: str
    reason: str
    fatal: bool = False


def dialog_findings(cls: type, asynchronous: frozenset[str] = frozenset()) -> list[Finding]:
    """Everything that is wrong with the dialogs of a plugin's class.

    Args:
        asynchronous: the names of the dialog object's coroutine methods: calling one without ``await`` is an error.
    """
    found: list[Finding] = []
    try:
        for name in dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base)):
            function = inspect.getattr_static(cls, name)
            mark = mark_of(function)
            if mark is not None and mark.kind == "dialog":
                found += _dialog(cls, function, asynchronous)
    finally:
        _source.cache_clear()  # it takes memory, and the code may be another one the next time
    return found


def _dialog(cls: type, function: Any, asynchronous: frozenset[str]) -> list[Finding]:
    name = f"{cls.__name__}.{function.__name__}"
    code = inspect.unwrap(function).__code__
    place = partial(Finding, name, code.co_filename)
    if not inspect.iscoroutinefunction(function):
        return [place(code.co_firstlineno, "dialog_not_async", f"{name} needs “async def”: a dialog waits", fatal=True)]
    reader = _Reader(cls, name, asynchronous)
    if not reader.read(function, 1):
        return []  # without source nothing can be said
    if not reader.awaits:
        reason = f"{name} never awaits its dialog (await d.ask(…), d.choose(…), d.say(…)): it is no dialog"
        return [*reader.found, place(code.co_firstlineno, "dialog_never_awaits", reason, fatal=True)]
    return reader.found


@dataclass(slots=True)
class _Reader:
    """Reads one dialog and the helpers that it hands ``d`` to."""

    cls: type
    name: str
    asynchronous: frozenset[str]
    found: list[Finding] = field(default_factory=list)
    awaits: bool = False
    seen: set[tuple[str, int, int]] = field(default_factory=set)

    def read(self, function: Callable[..., Any], position: int) -> bool:
        """Read a function whose parameter number ``position`` is the dialog; False without its source."""
        function = inspect.unwrap(function)
        code = function.__code__
        key = (code.co_filename, code.co_firstlineno, position)
        if key in self.seen:
            return True
        self.seen.add(key)
        source = _source(code.co_filename)
        node = None if source is None else source.functions.get((code.co_name, code.co_firstlineno))
        if source is None or node is None:
            return False
        parameters = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        if position >= len(parameters):
            return True
        _Body(self, function, parameters[position], source.names).read(node)
        return True

    def note(self, file: str, line: int, code: str, reason: str, *, fatal: bool = False) -> None:
        """Keep a finding."""
        self.found.append(Finding(self.name, file, line, code, reason, fatal))


class _Body:
    """One function body. ``d`` is the name of the dialog in it."""

    def __init__(self, reader: _Reader, function: Any, d: str, names: Mapping[str, str]) -> None:
        self._reader = reader
        self._function = function
        self._file = function.__code__.co_filename
        self._d = d
        self._names = dict(names)
        self._said: list[ast.AST] = []

    def read(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Look at every statement."""
        for each in _walk(node.body):
            if isinstance(each, ast.Import | ast.ImportFrom):
                self._names |= _imported(each)
        for each in _walk(node.body):
            self._look(each)

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, ast.Await):
            self._await(node)
        elif isinstance(node, ast.AsyncFor | ast.AsyncWith):
            kind = type(node).__name__[5:].lower()
            self._note(
                node, "dialog_foreign_await", f"“async {kind}” waits for something else than the person: {_STEP}"
            )
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and self._method(node.value) is not None:
            method = self._method(node.value)
            if method in self._reader.asynchronous:
                self._note(
                    node, "dialog_not_awaited", f"{self._d}.{method}(…) is not awaited: it does nothing", fatal=True
                )
        elif isinstance(node, ast.Call):
            self._used(node.func)
        elif isinstance(node, ast.Attribute | ast.Name) and (self._full_name(node) or "").startswith("os.environ"):
            self._used(node)
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Set):
            self._note(node, "dialog_order", "the order of a set differs between runs: write a list or sorted(…)")

    def _await(self, node: ast.Await) -> None:
        value = node.value
        if not isinstance(value, ast.Call):
            self._reader.awaits |= isinstance(value, ast.Name)
            return
        if _root(value.func) == self._d:
            self._reader.awaits = True
            return
        arguments = [*value.args, *(each.value for each in value.keywords)]
        position = next((at for at, each in enumerate(arguments) if _is_name(each, self._d)), None)
        if position is not None:
            read = self._helper(value.func, position)  # may find an await itself
            self._reader.awaits |= not read
            return
        shown = ast.unparse(value.func)
        if self._forbidden(self._full_name(value.func)) is None:  # else it is said already
            self._note(node, "dialog_foreign_await", f"await {shown}(…) happens again on every replay: {_STEP}")

    def _helper(self, function: ast.expr, position: int) -> bool:
        """Read a helper that is handed the dialog; False when it cannot be found, and is trusted."""
        if isinstance(function, ast.Attribute) and _is_name(function.value, "self"):
            found = inspect.getattr_static(self._reader.cls, function.attr, None)
            if isinstance(found, staticmethod):
                return self._reader.read(found.__func__, position)
            return inspect.isfunction(found) and self._reader.read(found, position + 1)
        if isinstance(function, ast.Name):
            found = self._function.__globals__.get(function.id)
            return inspect.isfunction(found) and self._reader.read(found, position)
        return False

    def _used(self, node: ast.expr) -> None:
        advice = self._forbidden(self._full_name(node))
        if advice is not None and node not in self._said:
            self._said.append(node)
            self._note(
                node, "dialog_nondeterministic", f"{ast.unparse(node)} is another thing on every replay: {advice}"
            )

    def _forbidden(self, full: str | None) -> str | None:
        if full is None:
            return None
        parts = full.split(".")
        if full in FORBIDDEN:
            return FORBIDDEN[full]
        # The module alone is no use of it: random.choice is.
        prefixes = (".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))
        return next((FORBIDDEN[each] for each in prefixes if each in FORBIDDEN and each in _MODULES), None)

    def _full_name(self, node: ast.expr) -> str | None:
        """The name with its module, through the imports: ``dt.datetime.now`` is ``datetime.datetime.now``."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        if node.id in self._names:
            return ".".join([self._names[node.id], *reversed(parts)])
        return node.id if node.id in {"open", "input"} and not parts else None

    def _method(self, call: ast.Call) -> str | None:
        function = call.func
        return function.attr if isinstance(function, ast.Attribute) and _is_name(function.value, self._d) else None

    def _note(self, node: ast.AST, code: str, reason: str, *, fatal: bool = False) -> None:
        self._reader.note(self._file, getattr(node, "lineno", 0), code, reason, fatal=fatal)


# Of these everything is forbidden; the other entries are single names.
_MODULES: Final = frozenset(
    {"random", "secrets", "subprocess", "socket", "requests", "httpx", "aiohttp", "urllib.request", "asyncio",
     "threading", "os.environ"}
)  # fmt: skip


def _walk(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Every node in the order of the text, but not what stands in nested functions; of a chain of attributes the
    longest alone.
    """
    waiting: list[ast.AST] = list(reversed(body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        yield node
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Attribute):
            inner: ast.AST = node
            while isinstance(inner, ast.Attribute):
                inner = inner.value
            children = [] if isinstance(inner, ast.Name) else [inner]
        waiting += reversed(children)


def _root(node: ast.expr) -> str | None:
    """The name that a chain of attributes and calls begins with."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    if isinstance(node, ast.Import):
        return {each.asname or each.name.partition(".")[0]: each.name if each.asname else each.name.partition(".")[0]
                for each in node.names}  # fmt: skip
    if node.level or node.module is None:
        return {}
    return {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}


@dataclass(frozen=True, slots=True)
class _Source:
    """A module: what it imports, and its functions by their names and first lines (that of a decorator, if any)."""

    names: Mapping[str, str]
    functions: Mapping[tuple[str, int], ast.FunctionDef | ast.AsyncFunctionDef]


@lru_cache(maxsize=32)  # dialogs of one plugin share files and helpers; see where it is cleared
def _source(file: str) -> _Source | None:
    try:
        tree = ast.parse(Path(file).read_bytes(), file)
    except (OSError, SyntaxError, ValueError):
        return None
    names: dict[str, str] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            names |= _imported(statement)
    functions: dict[tuple[str, int], ast.FunctionDef | ast.AsyncFunctionDef] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            functions.setdefault((node.name, first), node)
    return _Source(names, functions)

"""Finding the texts of a package that are to be translated, by reading its code without running it."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from babel.messages.catalog import Catalog

from bots.framework.i18n.errors import TranslationError
from bots.framework.i18n.marks import PREFIX
from bots.framework.i18n.templates import BadField, parse

_COMMENT = "Translators:"
_TABLES = frozenset({"MESSAGES"})
_LISTS_OF_TABLES = frozenset({"VOCABULARIES"})
_MARKED = frozenset({"help", "summary"})
_PLACE_OF_TEXT = "msgid"

Name = tuple[str, str]
"""A module and what it defines: ``("bots.x.errors", "Refused")``, ``("bots.x.text", "Words.of")``."""


@dataclass(slots=True)
class Scan:
    """What a package's code has: its texts in the order they stand, and texts that cannot be translated as they are."""

    catalog: Catalog = field(default_factory=lambda: Catalog(charset="utf-8"))
    problems: list[TranslationError] = field(default_factory=list)


@dataclass(slots=True)
class _Module:
    name: str
    file: str
    tree: ast.Module
    comments: Mapping[int, str]
    imports: dict[str, Name] = field(default_factory=dict)


def scan(paths: Iterable[Path], root: Path | None = None) -> Scan:
    """Find the texts of packages or modules.

    A text is the literal in

    - ``translator.t("…")``, ``translator.n("…", "…", count)``, ``t("…")``, ``n("…", "…", count)`` and ``_("…")``;
    - the parameter ``msgid`` of a function or class of these packages, or one that it hands to ``t`` as it is;
    - a value of a table named ``MESSAGES``, or of one that a tuple named ``VOCABULARIES`` lists;
    - ``help=`` and ``summary=`` of a decorator, and ``summary = "…"`` in a class.

    A comment that begins with ``Translators:`` and ends on the line above goes into the catalogue.

    Args:
        paths: folders (read with everything below them) or files.
        root: file names in catalogues are relative to it; the working directory without one.
    """
    found = Scan()
    base = (root or Path.cwd()).resolve()
    modules = [
        module for path in _sources(paths) if (module := _read(path.resolve(), base, found.problems)) is not None
    ]
    carriers = {name: position for module in modules for name, position in _carriers(module)}
    tables = frozenset(name for module in modules for name in _listed_tables(module))
    for module in modules:
        _Finder(module, carriers, tables, found).visit(module.tree)
    return found


def _sources(paths: Iterable[Path]) -> list[Path]:
    files: dict[Path, None] = {}
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            files.setdefault(file)
    return list(files)


def _read(path: Path, base: Path, problems: list[TranslationError]) -> _Module | None:
    file = str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
    try:
        source = path.read_bytes()
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        problems.append(TranslationError(file, line, f"not Python: {getattr(error, 'msg', error)}"))
        return None
    except OSError as error:
        problems.append(TranslationError(file, 1, f"cannot be read: {error.strerror}"))
        return None
    parts = Path(file).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    module = _Module(name, file, tree, _comments(source))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                origin = ".".join([*above, origin] if origin else above)
            for alias in node.names:
                module.imports[alias.asname or alias.name] = (origin, alias.name)
    return module


def _comments(source: bytes) -> dict[int, str]:
    """Comments for translators, by the line that they end on."""
    found: dict[int, str] = {}
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type != tokenize.COMMENT or not token.line.lstrip().startswith("#"):
            continue
        words = token.string.lstrip("# ").rstrip()
        row = token.start[0]
        if words.startswith(_COMMENT):
            found[row] = words
        elif row - 1 in found:
            found[row] = f"{found.pop(row - 1)} {words}"
    return found


def _carriers(module: _Module) -> Iterator[tuple[Name, int]]:
    """Functions and classes that take a text to be translated, and which positional argument it is."""
    for scope, node in _definitions(module.tree):
        name = f"{scope}.{node.name}" if scope else node.name
        if isinstance(node, ast.ClassDef):
            fields = [
                each.target.id
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            ]
            if _PLACE_OF_TEXT in fields:
                yield (module.name, name), fields.index(_PLACE_OF_TEXT)
            continue
        parameters = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        if scope and not _is_static(node):
            parameters = parameters[1:]
        handed = {
            call.args[0].id
            for call in ast.walk(node)
            if isinstance(call, ast.Call) and _is_translation(call.func, "t") and call.args
            if isinstance(call.args[0], ast.Name)
        }
        for position, parameter in enumerate(parameters):
            if parameter == _PLACE_OF_TEXT or parameter in handed:
                yield (module.name, scope if node.name == "__init__" else name), position
                break


def _listed_tables(module: _Module) -> Iterator[Name]:
    for node in module.tree.body:
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AnnAssign)
            else None
        )
        if isinstance(target, ast.Name) and target.id in _LISTS_OF_TABLES:
            for each in ast.walk(node):
                if isinstance(each, ast.Name) and each is not target:
                    yield module.imports.get(each.id, (module.name, each.id))


def _definitions(
    tree: ast.Module,
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield "", node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield node.name, inner


def _is_static(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in node.decorator_list)


def _is_translation(func: ast.expr, name: str) -> bool:
    return (isinstance(func, ast.Attribute) and func.attr == name) or (isinstance(func, ast.Name) and func.id == name)


class _Finder(ast.NodeVisitor):
    def __init__(self, module: _Module, carriers: Mapping[Name, int], tables: frozenset[Name], found: Scan) -> None:
        self._module = module
        self._tables = tables
        self._carriers = carriers
        self._found = found
        self._class = ""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self._class = self._class, node.name
        for each in node.body:
            if isinstance(each, ast.Assign) and any(
                isinstance(to, ast.Name) and to.id == "summary" for to in each.targets
            ):
                self._add_each(each.value)
        self._decorators(node)
        self.generic_visit(node)
        self._class = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._decorators(node)
        self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._decorators(node)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._table(node.targets, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._table([node.target], node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if _is_translation(node.func, "n") and len(node.args) >= 2:
            self._plural(node)
        elif _is_translation(node.func, "t") and node.args:
            for text in self._add_each(node.args[0]):
                self._values(node, text, frozenset())
        elif isinstance(node.func, ast.Name) and node.func.id == "_" and node.args:
            self._add_each(node.args[0])
        elif (position := self._position(node.func)) is not None:
            given = {each.arg: each.value for each in node.keywords}
            if position < len(node.args):
                self._add_each(node.args[position])
            elif _PLACE_OF_TEXT in given:
                self._add_each(given[_PLACE_OF_TEXT])
        self.generic_visit(node)

    def _position(self, func: ast.expr) -> int | None:
        module = self._module
        if isinstance(func, ast.Name):
            name = (
                (module.name, self._class) if func.id == "cls" else module.imports.get(func.id, (module.name, func.id))
            )
        elif isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
            if func.value.id in ("self", "cls"):
                name = (module.name, f"{self._class}.{func.attr}")
            else:
                origin, owner = module.imports.get(func.value.id, (module.name, func.value.id))
                name = (origin, f"{owner}.{func.attr}")
        else:
            return None
        if name in self._carriers:
            return self._carriers[name]
        # A package hands on what its modules define.
        inside = [at for (origin, what), at in self._carriers.items() if what == name[1] and _within(origin, name[0])]
        return inside[0] if inside else None

    def _decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for each in node.decorator_list:
            if isinstance(each, ast.Call):
                for keyword in each.keywords:
                    if keyword.arg in _MARKED:
                        self._add_each(keyword.value)

    def _table(self, targets: Iterable[ast.expr], value: ast.expr | None) -> None:
        names = {each.id for each in targets if isinstance(each, ast.Name)}
        if value is not None and any(each in _TABLES or (self._module.name, each) in self._tables for each in names):
            for node in ast.walk(value):
                if isinstance(node, ast.Dict):
                    for each in node.values:
                        self._add_each(each)

    def _plural(self, node: ast.Call) -> None:
        one, many = _literal(node.args[0]), _literal(node.args[1])
        if one is None or many is None:
            if isinstance(node.args[0], ast.JoinedStr) or isinstance(node.args[1], ast.JoinedStr):
                self._problem(node, "a text to translate is no f-string: name its fields and hand over their values")
            return
        self._add(node, (one, many))
        self._values(node, many, frozenset({"count"}))

    def _add_each(self, node: ast.expr) -> list[str]:
        if isinstance(node, ast.IfExp):
            return [*self._add_each(node.body), *self._add_each(node.orelse)]
        text = _literal(node)
        if text is not None:
            self._add(node, text)
            return [text]
        if isinstance(node, ast.JoinedStr):
            self._problem(node, "a text to translate is no f-string: name its fields and hand over their values")
        return []

    def _add(self, node: ast.expr, text: str | tuple[str, str]) -> None:
        for each in (text,) if isinstance(text, str) else text:
            try:
                parse(each)
            except BadField as error:
                self._problem(node, str(error))
                return
        if not text or text == PREFIX:
            return
        comment = self._module.comments.get(node.lineno - 1)
        self._found.catalog.add(
            text, locations=[(self._module.file, node.lineno)], auto_comments=[comment] if comment else ()
        )

    def _values(self, node: ast.Call, text: str, given: frozenset[str]) -> None:
        if any(each.arg is None for each in node.keywords):
            return
        try:
            fields = parse(text).fields
        except BadField:
            return
        given |= {each.arg for each in node.keywords if each.arg is not None}
        if lost := fields - given:
            self._problem(node, f"no value is handed over for {', '.join(f'{{{each}}}' for each in sorted(lost))}")

    def _problem(self, node: ast.expr, reason: str) -> None:
        self._found.problems.append(TranslationError(self._module.file, node.lineno, reason))


def _literal(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _literal(node.left), _literal(node.right)
        return None if left is None or right is None else left + right
    return None


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")

"""Finds plugins: those that come with Rialto, those that are installed (entry points), and those in folders.

Whatever is wrong with one is a :class:`~bots.framework.problems.PluginProblem` with file and line, and never hinders
another. The code of a folder is imported under a private name, so that a plugin called ``json`` shadows nothing; within
a package write relative imports.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

from pydantic import BaseModel, SecretStr

from bots.framework.analysis import dialog_findings
from bots.framework.dialogs.dialog import Dialog
from bots.framework.handlers import mark_of
from bots.framework.plugin import Plugin
from bots.framework.problems import PluginError, PluginProblem, Sources, of_exception
from bots.framework.scopes import unknown
from bots.framework.table import HandlerTable

GROUP: Final = "rialto.plugins"
"""The group of the entry points: ``coffee = "rialto_coffee:Coffee"``."""
BUILT_IN: Final[Mapping[str, str]] = {
    "hub": "bots.hub:Hub",
    "echo": "bots.echo:Echo",
    "wallet": "bots.wallet:Wallet",
    "bills": "bots.bills:Bills",
    "shop": "bots.shop:Shop",
    "food": "bots.food:Food",
    "rides": "bots.rides:Rides",
}
"""What comes with Rialto."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PRIVATE: Final = "rialto_plugin_"
_NO_PLUGINS: Final = frozenset({"tests", "test", "conftest", "setup", "build", "dist"})

Origin = Literal["built-in", "installed", "folder"]


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin that can be used.

    Attributes:
        root: the folder of its package, or its file.
        module: the name that it is imported under.
        source: how an operator knows where it is from: ``built-in``, the distribution, the path.
        warnings: what is wrong with it and does not hinder it.
    """

    name: str
    plugin: type[Plugin]
    origin: Origin
    root: Path
    module: str
    source: str
    warnings: tuple[PluginProblem, ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether it comes with Rialto."""
        return self.origin == "built-in"

    @property
    def domain(self) -> str:
        """The name of its catalogues: that of its package."""
        if self.plugin.locales:
            return self.plugin.locales.rpartition(".")[2]
        return self.root.name if self.root.is_dir() else self.root.stem

    @property
    def locales(self) -> Path | None:
        """The folder of its translations, if it has one."""
        if self.plugin.locales:
            spec = importlib.util.find_spec(self.plugin.locales)
            places = list(spec.submodule_search_locations or ()) if spec is not None else []
            folder = Path(places[0]) / "locales" if places else None
        else:
            folder = (self.root if self.root.is_dir() else self.root.parent) / "locales"
        return folder if folder is not None and folder.is_dir() else None


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found, and what is wrong with the rest."""

    plugins: Mapping[str, Found] = field(default_factory=dict)
    problems: tuple[PluginProblem, ...] = ()

    @property
    def sources(self) -> Sources:
        """Which files belong to which plugin."""
        return Sources({str(found.root): name for name, found in self.plugins.items()})

    def why_not(self, name: str) -> str:
        """Why there is no plugin of this name; follows the key that names it."""
        from difflib import get_close_matches

        broken = [str(problem) for problem in self.problems if problem.plugin == name]
        if broken:
            return f"is {name!r}, which cannot be used: {broken[0]}"
        near = get_close_matches(name, self.plugins, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self.plugins)) or 'none'}"
        return f"is {name!r}, and there is no such plugin; {hint}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may be a plugin: its folder or file and, of a project, the object that it names."""

    root: Path
    name: str = ""
    attribute: str = ""
    """``module:Class`` within the package, from a project's entry point."""


def discover(folders: Iterable[str | Path] = (), wanted: Collection[str] | None = None) -> Discovery:
    """Find plugins.

    Args:
        folders: see :func:`candidates`.
        wanted: load of the built-in and installed ones only these; all of them unless said.
    """
    plugins: dict[str, Found] = {}
    problems: list[PluginProblem] = []

    def take(name: str, load: Callable[[], Found]) -> None:
        try:
            found = load()
        except PluginError as error:
            problems.extend(error.problems)
            return
        other = plugins.get(found.name)
        if other is None:
            plugins[found.name] = found
            return
        file, line = _place_of_class(found.plugin)
        reason = f"its name is taken: {found.name!r} is {other.source} too, which is used; give one another name"
        problems.append(PluginProblem(found.name, reason, "plugin_name_taken", file, line))

    for name, target in BUILT_IN.items():
        if wanted is None or name in wanted:
            take(name, lambda name=name, target=target: load_built_in(name, target))  # type: ignore[misc]
    for point in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        if wanted is None or point.name in wanted:
            take(point.name, lambda point=point: load_installed(point))  # type: ignore[misc]
    for folder in folders:
        try:
            found = candidates(Path(folder))
        except PluginError as error:
            problems.extend(error.problems)
            continue
        for candidate in found:
            take(candidate.root.stem, lambda candidate=candidate: load_candidate(candidate))  # type: ignore[misc]
    return Discovery(plugins, tuple(problems))


def candidates(folder: Path) -> list[Candidate]:
    """What may be a plugin at a path: a file ``NAME.py``; a package; a project, whose ``pyproject.toml`` names entry
    points of the group; or a folder that holds such.

    Raises:
        PluginError: there is nothing at the path, or a project cannot be read.
    """
    folder = folder.absolute()
    if not folder.exists():
        raise PluginError([PluginProblem(folder.name, "does not exist", "plugin_missing", str(folder))])
    own = _candidates_at(folder)
    if own:
        return own
    found: list[Candidate] = []
    for child in sorted(folder.iterdir()):
        if not child.name.startswith((".", "_", "test_")) and child.stem not in _NO_PLUGINS:
            found += _candidates_at(child)
    return found


def _candidates_at(path: Path) -> list[Candidate]:
    if path.is_file():
        return [Candidate(path)] if path.suffix == ".py" else []
    if (path / "__init__.py").is_file():
        return [Candidate(path)]
    project = path / "pyproject.toml"
    return list(_of_project(project)) if project.is_file() else []


def _of_project(file: Path) -> Iterator[Candidate]:
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        points = dict(project.get("entry-points", {}).get(GROUP, {}))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        reason = f"pyproject.toml cannot be read: {error}"
        raise PluginError([PluginProblem(file.parent.name, reason, "plugin_project", str(file))]) from None
    for name, target in points.items():
        module, _, attribute = str(target).partition(":")
        package, _, inner = module.partition(".")
        roots = [file.parent / "src" / package, file.parent / package]
        roots = [each for each in (*roots, *(root.with_suffix(".py") for root in roots)) if each.exists()]
        if not roots:
            reason = f"pyproject.toml names {target}, and there is no {package} beside it"
            raise PluginError([PluginProblem(name, reason, "plugin_project", str(file))])
        yield Candidate(roots[0], name, f"{inner}:{attribute}")


def load_built_in(name: str, target: str) -> Found:
    """One that comes with Rialto. Raises PluginError."""
    module_name, _, attribute = target.partition(":")
    root = Path(__file__).parents[1] / name
    module = _import(name, root, lambda: importlib.import_module(module_name))
    return _checked(name, getattr(module, attribute), "built-in", root, module_name, "built-in")


def load_installed(point: EntryPoint) -> Found:
    """One by its entry point, whose name is the plugin's. Raises PluginError."""
    source = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
    spec_root = _installed_root(point.module)
    loaded = _import(point.name, spec_root, point.load)
    if not (isinstance(loaded, type) and issubclass(loaded, Plugin)):
        reason = f"the entry point {point.name} = {point.value} of {source} is no Plugin class"
        raise PluginError([PluginProblem(point.name, reason, "plugin_no_class", str(spec_root))])
    found = _checked(point.name, loaded, "installed", spec_root, loaded.__module__, source)
    if found.name != point.name:
        reason = f"its entry point is called {point.name!r} and the class {found.name!r}: make them agree"
        raise PluginError([PluginProblem(point.name, reason, "plugin_name", *_place_of_class(loaded))])
    return found


def _installed_root(module: str) -> Path:
    """Where an installed module lies, found without importing it."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return Path(module)
    places = list(spec.submodule_search_locations or ())
    return Path(places[0] if places else spec.origin or module)


def load_candidate(candidate: Candidate) -> Found:
    """One from a folder, imported anew. Raises PluginError; the code of before stays imported then."""
    root = candidate.root
    label = candidate.name or root.stem
    private = private_name(root)
    with _fresh(private) as keep:
        module = _import(label, root, lambda: _import_from(root, private))
        plugin = _named_class(candidate, module, label) if candidate.attribute else _only_class(module, root, label)
        found = _checked(label, plugin, "folder", root, private, str(root))
        keep()
    return found


def private_name(root: Path) -> str:
    """The name that the code of a folder is imported under."""
    stem = re.sub(r"\W", "_", root.stem)
    return f"{_PRIVATE}{stem}_{sha256(str(root.absolute()).encode()).hexdigest()[:8]}"


@contextmanager
def _fresh(private: str) -> Iterator[Callable[[], None]]:
    """Forget a plugin's modules, and bring them back unless the new ones are to be kept."""

    def mine(name: str) -> bool:
        return name == private or name.startswith(private + ".")

    before = {name: sys.modules.pop(name) for name in list(sys.modules) if mine(name)}
    kept = False

    def keep() -> None:
        nonlocal kept
        kept = True

    try:
        yield keep
    finally:
        if not kept:
            for name in [name for name in sys.modules if mine(name)]:
                del sys.modules[name]
            sys.modules.update(before)


def _import_from(root: Path, private: str) -> ModuleType:
    file = root / "__init__.py" if root.is_dir() else root
    spec = importlib.util.spec_from_file_location(
        private, file, submodule_search_locations=[str(root)] if root.is_dir() else None
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    # A cache is trusted by the second and the size of its source: too coarse for who saves twice.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    importlib.invalidate_caches()
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def _import(name: str, root: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (Exception, SystemExit) as error:  # whatever a plugin raises is contained here
        problem = of_exception(name, error, root, "cannot be imported")
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and missing.partition(".")[0] == root.stem and root.is_dir():
            reason = f"{problem.reason}; within a plugin write “from .module import name”"
            problem = PluginProblem(name, reason, problem.code, problem.file, problem.line)
        raise PluginError([problem]) from error


def _named_class(candidate: Candidate, module: ModuleType, label: str) -> type[Plugin]:
    inner, _, attribute = candidate.attribute.partition(":")
    if inner:
        module = _import(label, candidate.root, lambda: importlib.import_module(f"{module.__name__}.{inner}"))
    found = getattr(module, attribute, None) if attribute else _only_class(module, candidate.root, label)
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        reason = f"pyproject.toml names {attribute!r}, which is no Plugin class of {module.__name__.rpartition('.')[2]}"
        raise PluginError([PluginProblem(label, reason, "plugin_no_class", module.__file__ or str(candidate.root))])
    return found


def _only_class(module: ModuleType, root: Path, label: str) -> type[Plugin]:
    """The one Plugin class of a module, its package's ``plugin`` module included; bases of another do not count."""
    found = _classes_of(module)
    if not found and root.is_dir() and (root / "plugin.py").is_file():
        found = _classes_of(_import(label, root, lambda: importlib.import_module(f"{module.__name__}.plugin")))
    if len(found) == 1:
        return found[0]
    file = module.__file__ or str(root)
    if not found:
        raise PluginError([PluginProblem(label, "has no Plugin class", "plugin_no_class", file, 1)])
    places = ", ".join(f"{each.__name__} ({Path(place[0]).name}:{place[1]})" for each in found
                       if (place := _place_of_class(each)))  # fmt: skip
    reason = f"has several Plugin classes, and needs to be one: {places}"
    raise PluginError([PluginProblem(label, reason, "plugin_several_classes", *_place_of_class(found[1]))])


def _classes_of(module: ModuleType) -> list[type[Plugin]]:
    package = module.__name__
    own = [
        each
        for each in dict.fromkeys(each for each in vars(module).values() if isinstance(each, type))
        if issubclass(each, Plugin)
        and (each.__module__ == package or each.__module__.startswith(package + "."))
        and not each.__name__.startswith("_")
    ]
    return [each for each in own if not any(other is not each and issubclass(other, each) for other in own)]


def _place_of_class(cls: type) -> tuple[str, int]:
    try:
        return inspect.getsourcefile(cls) or "", inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return "", 0


def _checked(label: str, plugin: type[Plugin], origin: Origin, root: Path, module: str, source: str) -> Found:
    """The plugin, when it can work. Raises PluginError with all that is wrong."""
    try:
        found = examine(plugin, root)
    except Exception as error:
        raise PluginError([of_exception(label, error, root, "cannot be read")]) from error
    fatal = [problem for problem in found if problem.fatal]
    if fatal:
        raise PluginError(fatal)
    return Found(plugin.plugin_name(), plugin, origin, root, module, source, tuple(found))


def examine(plugin: type[Plugin], root: Path) -> list[PluginProblem]:
    """All that is wrong with a plugin's class: name, scopes, settings, constructor, handlers, dialogs."""
    name = plugin.plugin_name()
    file, line = _place_of_class(plugin)
    problems: list[PluginProblem] = []

    def bad(code: str, reason: str, at: tuple[str, int] = (file, line), *, fatal: bool = True) -> None:
        problems.append(PluginProblem(name, reason, code, *at, fatal))

    if not isinstance(name, str) or not NAME.fullmatch(name):
        bad("plugin_name", f"its name {name!r} needs lower-case letters, digits and . _ - only, 64 at most")
    for scope in _scopes_of(plugin, bad):
        if (why := unknown(scope)) is not None:
            bad("plugin_unknown_scope", f"declares a scope that there is not: {why}")
    settings = plugin.Settings
    if settings is not None and not (isinstance(settings, type) and issubclass(settings, BaseModel)):
        bad("plugin_settings", "its Settings need to be a class of pydantic's BaseModel")
    required = [each.name for each in _required(plugin)]
    if len(required) > 1:
        bad("plugin_constructor", f"its constructor takes {', '.join(required)}; it is given a Setup, or nothing")
    before = len(problems)
    for finding in dialog_findings(plugin, DIALOG_METHODS):
        bad(finding.code, finding.reason, (finding.file, finding.line), fatal=finding.fatal)
    if not any(each.fatal for each in problems[before:]):
        problems += _handlers(plugin, name, root)
    for mark in map(mark_of, _members(plugin)):
        if mark is not None and mark.kind == "webhook" and not _is_secret(settings, mark.secret):
            bad("plugin_webhook", f"its webhook {mark.name!r} needs a setting {mark.secret!r}, which is a SecretStr")
    kinds = {mark.kind for mark in map(mark_of, _members(plugin)) if mark is not None}
    if kinds & {"location", "beacon"} and "location.read" not in plugin.scopes:
        bad("plugin_scope_missing", "has a handler for locations and does not declare the scope location.read")
    return problems


DIALOG_METHODS: Final = frozenset(
    name for name, member in inspect.getmembers(Dialog) if inspect.iscoroutinefunction(member)
)
"""The methods of a dialog that have to be awaited."""


def _handlers(plugin: type[Plugin], name: str, root: Path) -> list[PluginProblem]:
    try:
        HandlerTable(object.__new__(plugin), name)
    except Exception as error:  # noqa: BLE001 - a metaclass or a descriptor of the plugin's may raise anything
        return [of_exception(name, error, root, "its handlers cannot be read")]
    return []


def _scopes_of(plugin: type[Plugin], bad: Callable[[str, str], None]) -> Iterable[str]:
    scopes = plugin.scopes
    if isinstance(scopes, str) or not all(isinstance(each, str) for each in scopes):
        bad("plugin_unknown_scope", 'its scopes need to be a set of names: frozenset({"http"})')
        return ()
    return sorted(scopes)


def _required(plugin: type[Plugin]) -> list[inspect.Parameter]:
    plain = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    try:
        parameters = inspect.signature(plugin).parameters.values()
    except (TypeError, ValueError):
        return []
    return [each for each in parameters if each.default is inspect.Parameter.empty and each.kind in plain]


def _is_secret(settings: Any, name: str) -> bool:
    fields = settings.model_fields if isinstance(settings, type) and issubclass(settings, BaseModel) else {}
    return name in fields and fields[name].annotation is SecretStr


def _members(plugin: type) -> list[Any]:
    return [member for base in plugin.__mro__ for member in vars(base).values()]

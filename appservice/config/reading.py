"""The walk over a file's values along the models: kinds, ranges, unknown and missing keys, in plain words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from appservice.config.document import BROKEN, Value, show_name
from appservice.config.models import PLACEHOLDER, Config
from appservice.config.problems import KeyPath, Place, Places, Problem, dotted
from appservice.config.schema import Key, Kind, keys_of, nearest
from appservice.config.secrets import read_secret, readable_by_all
from appservice.redaction import HIDDEN, SHORTEST_SECRET

_WORDS: Final = {
    "string_too_long": "needs {max_length} characters or fewer",
    "greater_than": "needs more than {gt}",
    "greater_than_equal": "needs {ge} or more",
    "less_than": "needs less than {lt}",
    "less_than_equal": "needs {le} or less",
    "finite_number": "needs a finite number",
}
_GOT: Final = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})


class _BadError(Exception):
    """A value that cannot be used; the problems say why."""


@dataclass
class Reading:
    """Collects ``problems`` and ``warnings``; ``good`` holds each key's plain value that passed, defaults included.

    ``folder`` is where the relative paths of secret files start.
    """

    folder: Path
    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    good: dict[KeyPath, Any] = field(default_factory=dict)
    inline_secret: bool = False
    _places: dict[KeyPath, Place] = field(default_factory=dict)
    _secrets: set[str] = field(default_factory=set)

    def place_of(self, path: KeyPath) -> Place:
        """Where the key stands, or else the section that it belongs to."""
        return self.places.of(path)

    @property
    def places(self) -> Places:
        """Where every key stands."""
        return Places(self._places, self.folder)

    def without_secrets(self, problem: Problem) -> Problem:
        """The problem without any secret that stands in the file, should one have got into its words."""
        reason = problem.reason
        for secret in sorted(self._secrets, key=len, reverse=True):
            reason = reason.replace(secret, HIDDEN).replace(repr(secret)[1:-1], HIDDEN)
        return replace(problem, reason=reason)

    def section(self, model: type[BaseModel], value: Value, path: KeyPath) -> BaseModel | None:
        """The object of ``model``; None when anything in it was wrong. An empty section is one without keys."""
        self._places[path] = value.place
        members = {} if value.data is None else value.data
        if not isinstance(members, dict):
            self._bad(path, f"needs {Kind.SECTION.value}, got {_show(value, secret=True)}")
            return None
        keys = keys_of(model)
        before = len(self.problems)
        plain: dict[str, Any] = {}
        for name, member in members.items():
            if name in keys:
                self._places[(*path, name)] = member.place
                try:
                    plain[name] = self._plain(keys[name], member, (*path, name))
                except _BadError:
                    continue
            else:
                self.problems.append(Problem(member.place, dotted((*path, show_name(name))), _unknown(name, keys)))
        for name in keys.keys() - members.keys():
            self._missing(keys[name], value.place, (*path, name))
        built = self._validate(model, plain, keys, path)
        return built if len(self.problems) == before else None

    def _bad(self, path: KeyPath, reason: str) -> None:
        self.problems.append(Problem(self.place_of(path), dotted(path), reason))

    def _missing(self, key: Key, place: Place, path: KeyPath) -> None:
        if key.required and key.kind is Kind.SECTION and key.model is not None:
            self.section(key.model, Value(place, {}), path)
        elif key.required:
            self._bad(path, "is missing")
        elif key.model is not None:
            for name, value in key.default:
                self.good[(*path, name)] = value
        elif key.item is not None and key.item.model is not None:
            for index, entry in enumerate(key.default):
                self.good |= {(*path, str(index), name): value for name, value in entry}
        else:
            self.good[path] = key.default

    def _validate(
        self, model: type[BaseModel], plain: dict[str, Any], keys: dict[str, Key], path: KeyPath
    ) -> BaseModel | None:
        wrong: set[str] = set()
        built: BaseModel | None = None
        try:
            built = model.model_validate(plain)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                location = tuple(map(str, each["loc"]))
                if location and location[0] not in plain:
                    continue  # already reported: missing, or of the wrong kind
                wrong.add(location[0] if location else "")
                secret = bool(location) and keys[location[0]].kind is Kind.SECRET
                self._bad((*path, *location), words_of(each, secret))
        for name, value in plain.items():
            if name not in wrong and not isinstance(value, BaseModel):
                self.good[(*path, name)] = value
        return built

    def _plain(self, key: Key, value: Value, path: KeyPath) -> Any:
        """What pydantic gets for this key. Raises _BadError after noting the problem."""
        data = value.data
        if data is BROKEN:
            raise _BadError
        if key.kind is Kind.SECTION and key.model is not None:
            built = self.section(key.model, value, path)
            if built is None:
                raise _BadError
            return built
        if key.kind is Kind.FREE:
            return self._free(value, path)
        if data is None:
            self._bad(path, f"is empty, needs {'a list, [] for none' if key.item else key.kind.value}")
            raise _BadError
        if key.kind is Kind.LIST and key.item is not None:
            return self._list(key.item, value, path)
        if key.kind is Kind.SECRET:
            return self._secret(value, path)
        fits = {
            Kind.TEXT: isinstance(data, str),
            Kind.CHOICE: isinstance(data, str) and data in key.choices,
            Kind.BOOLEAN: isinstance(data, bool),
            Kind.INTEGER: isinstance(data, int) and not isinstance(data, bool),
            Kind.NUMBER: isinstance(data, int | float) and not isinstance(data, bool),
        }[key.kind]
        if fits:
            return data
        needs = f"one of {', '.join(key.choices)}" if key.choices else key.kind.value
        if key.kind is Kind.TEXT and not isinstance(data, list | dict):
            needs += " (put it in quotes)"
        self._bad(path, f"needs {needs}, got {_show(value)}")
        raise _BadError

    def _free(self, value: Value, path: KeyPath) -> dict[str, Any]:
        """Keys that somebody else knows: everything plain, and the place of each noted."""
        if value.data is None:
            return {}
        if not isinstance(value.data, dict):
            self._bad(path, f"needs {Kind.SECTION.value}, got {_show(value, secret=True)}")
            raise _BadError
        found: dict[str, Any] = self._anything(value, path)
        return found

    def _anything(self, value: Value, path: KeyPath) -> Any:
        self._places[path] = value.place
        if value.data is BROKEN:
            raise _BadError
        if isinstance(value.data, dict):
            return {name: self._anything(each, (*path, name)) for name, each in value.data.items()}
        if isinstance(value.data, list):
            return [self._anything(each, (*path, str(index))) for index, each in enumerate(value.data)]
        return value.data

    def _list(self, item: Key, value: Value, path: KeyPath) -> list[Any]:
        if not isinstance(value.data, list):
            self._bad(path, f"needs a list, got {_show(value)}")
            raise _BadError
        entries, complete = [], True
        for index, each in enumerate(value.data):
            self._places[(*path, str(index))] = each.place
            try:
                entries.append(self._plain(item, each, (*path, str(index))))
            except _BadError:
                complete = False
        if not complete:
            raise _BadError
        return entries

    def _secret(self, value: Value, path: KeyPath) -> str:
        data = value.data
        if isinstance(data, dict):
            named = data.get("file")
            if len(data) != 1 or named is None or not isinstance(named.data, str):
                self._bad(path, "needs text, or {file: PATH} with a path and nothing else")
                raise _BadError
            return self._secret_file(self.folder / named.data, path)
        if not isinstance(data, str):
            words = "a list" if isinstance(data, list) else "something else (put it in quotes)"
            self._bad(path, f"needs {Kind.SECRET.value}, got {words}")
            raise _BadError
        if len(data) >= SHORTEST_SECRET:
            self._secrets.add(data)
        if data.startswith(PLACEHOLDER):
            self._bad(path, "still holds the placeholder of the example: put the real one")
            raise _BadError
        self.inline_secret |= not value.place.variable and not data.startswith("sqlite:")
        return data

    def _secret_file(self, file: Path, path: KeyPath) -> str:
        text, problem = read_secret(file)
        if text is None:
            self._bad(path, f"is to be read from {str(file)!r}, which {problem}")
            raise _BadError
        if len(text) >= SHORTEST_SECRET:
            self._secrets.add(text)
        if readable_by_all(file):
            words = f"stands in {str(file)!r}, which every user of this machine can read: chmod 600"
            self.warnings.append(Problem(self.place_of(path), dotted(path), words))
        return text


def _unknown(name: str, keys: dict[str, Key]) -> str:
    known = nearest(name, keys)
    if known is not None:
        return f"is not known, did you mean {known}?"
    sections = [key.name for key in keys_of(Config).values() if key.model is not None and name in keys_of(key.model)]
    return f"is not known here, it belongs under {' or '.join(sections)}" if sections else "is not known"


def _show(value: Value, secret: bool = False) -> str:
    """The value in short; its kind alone when it is long, or when it may hold a secret."""
    data = value.data
    if isinstance(data, list):
        return "a list"
    if isinstance(data, dict):
        return Kind.SECTION.value
    if secret:
        return "a plain value"
    if isinstance(data, bool):
        return str(data).lower()
    text = repr(data)
    return text if len(text) <= 80 else f"{text[:76]}…"


def words_of(error: ErrorDetails, secret: bool) -> str:
    """What pydantic found, as the rest of a sentence that begins with the key."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        words = str(context["error"])
    elif kind in {"string_too_short", "too_short"}:
        least = int(context["min_length"])
        words = "must not be empty" if least == 1 else f"needs {least} characters or more"
    elif kind in _WORDS:
        words = _WORDS[kind].format_map(context)
    else:
        words = "cannot be used" if secret else error["msg"]
    return f"{words}, got {error['input']!r}" if kind in _GOT and not secret else words

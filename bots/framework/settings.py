"""A plugin's settings: the free part of the configuration, checked by the plugin's own model.

Everything that is wrong is told at once, with the file and the line of the configuration. A secret's value is in no
message, and may stand in a file of its own: ``{file: PATH}``, relative to the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from appservice import log as logs
from appservice.config import Config, Problem
from appservice.config.problems import KeyPath, dotted
from appservice.config.reading import words_of
from appservice.config.schema import nearest
from appservice.config.secrets import read_secret

M = TypeVar("M", bound=BaseModel)
_SECRETS = (SecretStr, SecretBytes)


def read_settings(
    model: type[M], data: Mapping[str, Any], config: Config, path: KeyPath
) -> tuple[M | None, list[Problem]]:
    """The settings as an object of ``model``, or None and what is wrong.

    Args:
        path: where ``data`` stands in the configuration. A validator finds the folder in which relative paths start as
            ``info.context["folder"]``.
    """
    problems: list[Problem] = []

    def bad(where: KeyPath, reason: str) -> None:
        problems.append(Problem(config.place_of(where), dotted(where), reason))

    plain = _prepared(model, data, config, path, bad)
    if problems:
        return None, problems
    try:
        settings = model.model_validate(plain, context={"folder": config.folder})
    except ValidationError as error:
        for each in error.errors(include_url=False):
            location = tuple(map(str, each["loc"]))
            bad((*path, *location), _words(each, secret=_is_secret(model, location)))
        return None, problems
    except Exception as error:  # noqa: BLE001 - a validator of the plugin's may raise anything
        bad(path, f"cannot be checked: {type(error).__name__} in {model.__module__}.{model.__qualname__}")
        return None, problems
    for secret in _secret_values(settings):
        logs.register_secret(secret)
    return settings, problems


def no_settings(data: Mapping[str, Any], config: Config, path: KeyPath) -> list[Problem]:
    """What is wrong with the settings of a plugin that takes none."""
    return [
        Problem(config.place_of((*path, name)), dotted((*path, name)), "is not known: the plugin takes no settings")
        for name in data
    ]


def _prepared(model: type[BaseModel], data: Any, config: Config, path: KeyPath, bad: Any) -> Any:
    """The data with its secrets read from their files; unknown keys are noted."""
    if not isinstance(data, Mapping):
        return data
    fields = {**model.model_fields}
    fields |= {field.alias: field for field in model.model_fields.values() if field.alias}
    plain: dict[str, Any] = {}
    for name, value in data.items():
        where = (*path, name)
        field = fields.get(name)
        if field is None:
            if model.model_config.get("extra") != "allow":
                close = nearest(name, fields)
                bad(where, f"is not known, did you mean {close}?" if close else "is not known")
            plain[name] = value
        elif _mentions(field.annotation, _SECRETS) and isinstance(value, Mapping):
            plain[name] = _from_file(value, config, where, bad)
        elif isinstance(value, list):
            inner = _model_in(field.annotation)
            plain[name] = [
                _prepared(inner, each, config, (*where, str(at)), bad) if inner else each
                for at, each in enumerate(value)
            ]
        else:
            inner = _model_in(field.annotation) if isinstance(value, Mapping) else None
            plain[name] = _prepared(inner, value, config, where, bad) if inner else value
    return plain


def _from_file(value: Mapping[str, Any], config: Config, where: KeyPath, bad: Any) -> Any:
    named = value.get("file")
    if len(value) != 1 or not isinstance(named, str):
        bad(where, "needs text, or {file: PATH} with a path and nothing else")
        return ""
    text, problem = read_secret(config.folder / named)
    if text is None:
        bad(where, f"is to be read from {named!r}, which {problem}")
        return ""
    return text


def _words(error: Any, *, secret: bool) -> str:
    if error["type"] == "missing":
        return "is missing"
    words = words_of(error, secret)
    if secret or words != error["msg"]:
        return words
    words = words.removeprefix("Input ")
    words = words.removesuffix(", unable to parse string as an integer")
    given = error["input"]
    shown = repr(given) if isinstance(given, str | int | float | bool) else type(given).__name__
    return f"{words[:1].lower()}{words[1:]}, got {shown if len(shown) <= 80 else shown[:76] + '…'}"


def _is_secret(model: type[BaseModel], location: KeyPath) -> bool:
    """Whether the value at a place may be a secret: by the type of the field, at any depth."""
    here: type[BaseModel] | None = model
    for part in location:
        if here is None or part.isdecimal():
            continue
        field = here.model_fields.get(part)
        if field is None:
            return False
        if _mentions(field.annotation, _SECRETS):
            return True
        here = _model_in(field.annotation)
    # A validator of a whole model sees its secrets too.
    return (
        here is not None and not location and any(_mentions(f.annotation, _SECRETS) for f in here.model_fields.values())
    )


def _mentions(annotation: Any, kinds: tuple[type, ...]) -> bool:
    return annotation in kinds or any(_mentions(each, kinds) for each in get_args(annotation))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation is or holds: ``M``, ``M | None``, ``list[M]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each)) is not None), None)


def _secret_values(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode(errors="replace")
    elif isinstance(value, BaseModel):
        for _, each in value:
            yield from _secret_values(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _secret_values(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _secret_values(each)

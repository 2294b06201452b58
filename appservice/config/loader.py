"""From ``config.yaml`` and the environment to a :class:`Config`, or to all that is wrong with them at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from appservice import log as logs
from appservice.config.checks import cross_check
from appservice.config.document import BROKEN, Value, parse
from appservice.config.models import Config
from appservice.config.overrides import apply_overrides
from appservice.config.problems import ConfigError, Place, Problem
from appservice.config.reading import Reading
from appservice.config.schema import Kind, leaves
from appservice.config.secrets import readable_by_all

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A valid configuration, and what is unwise about it."""

    config: Config
    warnings: tuple[Problem, ...]


def load_config(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration in the file at ``path``, with the overrides of ``environ``.

    Logs the warnings, and registers each secret with :func:`appservice.log.register_secret`.
    Raises :class:`ConfigError`, which holds all problems.
    """
    loaded = read_config(path, environ)
    for warning in loaded.warnings:
        log.warning("%s", warning)
    return loaded.config


def read_config(path: Path, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Like :func:`load_config`, but hands the warnings back instead of logging them."""
    root, problems = _read_file(path)
    if root is None:
        raise ConfigError(problems)
    reading = Reading(path.parent, problems)
    reading.problems += apply_overrides(root, Config, environ)
    config = reading.section(Config, root, ())
    reading.problems += cross_check(reading.good, reading.place_of)
    if reading.problems or not isinstance(config, Config):
        raise ConfigError(map(reading.without_secrets, reading.problems))
    config = _resolve_paths(_resolve_sqlite(config, path), path.parent.absolute()).placed(reading.places)
    for secret in secrets_of(config):
        logs.register_secret(secret)
    if reading.inline_secret and readable_by_all(path):
        words = "holds secrets and every user of this machine can read it: chmod 600"
        reading.warnings.append(Problem(Place(str(path)), "", words))
    return Loaded(config, tuple(reading.warnings))


def secrets_of(config: Config) -> list[str]:
    """The literal secrets in a configuration, and the password in the database's URL."""
    found = []
    for path, key in leaves(Config):
        value: Any = config
        for name in path:
            value = getattr(value, name)
        if isinstance(value, SecretStr):
            found.append(value.get_secret_value())
        elif key.kind is Kind.SECRET and isinstance(value, str) and "://" in value:
            password = urlsplit(value).password
            found += [password, unquote(password)] if password else []
    return found


def _read_file(path: Path) -> tuple[Value | None, list[Problem]]:
    """The file as a mapping; None with the one problem that makes it unreadable, or its syntax errors."""
    whole = Place(str(path))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None, [Problem(whole, "", "does not exist; config.example.yaml shows what it needs")]
    except IsADirectoryError:
        return None, [Problem(whole, "", "is a folder, not a file")]
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return None, [Problem(Place(str(path), line), "", "is not UTF-8")]
    except (OSError, ValueError) as error:
        return None, [Problem(whole, "", f"cannot be read: {getattr(error, 'strerror', None) or 'bad path'}")]
    value, problems = parse(text, lambda line: Place(str(path), line))
    if value is None:
        return None, problems or [Problem(whole, "", "is empty; config.example.yaml shows what it needs")]
    if value.data is BROKEN:
        return None, problems
    if not isinstance(value.data, dict):
        problems.append(Problem(value.place, "", "needs keys with values (key: value) at its top"))
        return None, problems
    return Value(Place(str(path), 1), value.data), problems


def _resolve_paths(config: Config, folder: Path) -> Config:
    """Relative paths of plugins and avatars start at the folder of the configuration file."""

    def absolute(path: str) -> str:
        return os.path.normpath(folder / path)

    bots = tuple(
        bot.model_copy(update={"avatar": absolute(bot.avatar)})
        if bot.avatar and not bot.avatar.startswith("mxc://")
        else bot
        for bot in config.bots
    )
    plugins = config.plugins.model_copy(update={"folders": tuple(map(absolute, config.plugins.folders))})
    return config.model_copy(update={"bots": bots, "plugins": plugins})


def _resolve_sqlite(config: Config, path: Path) -> Config:
    """A relative SQLite path starts at the folder of the configuration file."""
    prefix = "sqlite:///"
    if not config.database.url.startswith(prefix):
        return config
    database = path.parent.absolute() / config.database.url.removeprefix(prefix)
    update = {"url": f"{prefix}{os.path.normpath(database)}"}
    return config.model_copy(update={"database": config.database.model_copy(update=update)})

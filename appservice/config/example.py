"""Writes ``config.example.yaml`` from the models: ``python -m appservice.config.example > config.example.yaml``."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from appservice.config.models import PLACEHOLDER, Config
from appservice.config.schema import Key, Kind, keys_of

WIDTH: Final = 96
HEADER: Final = f"""\
The configuration of Rialto. This file is generated from the models in appservice/config and shows every key.

A key that is left out takes the value shown here; only those with {PLACEHOLDER} must be given. Any key can be set by an
environment variable instead: RIALTO__DATABASE__URL for database.url, RIALTO__BOTS__0__ENABLED for the first bot's.

Secrets need not stand here: write as_token: {{file: as_token.txt}} (a path relative to this file), or set
RIALTO__APPSERVICE__AS_TOKEN_FILE. Whoever can read this file with its secrets can be Rialto: chmod 600."""


def example() -> str:
    """The text of ``config.example.yaml``."""
    parts = [_comment(HEADER, "")]
    for key in keys_of(Config).values():
        parts.append("\n".join(_entry(key, key.default, "")))
    return "\n\n".join(parts) + "\n"


def _entry(key: Key, value: Any, indent: str) -> Iterator[str]:
    """The lines of one key: its comment, then the key with its value or what is under it."""
    yield _comment(key.description + _limits(key), indent)
    if key.kind is Kind.SECTION and key.model is not None:
        yield f"{indent}{key.name}:"
        for inner in keys_of(key.model).values():
            yield from _entry(inner, inner.default, indent + "  ")
    elif key.kind is Kind.LIST and key.item is not None and key.item.model is not None and value:
        yield f"{indent}{key.name}:"
        yield from _items(key.item.model, value, indent + "  ")
    else:
        yield f"{indent}{key.name}: {_scalar(PLACEHOLDER if key.required else value)}"


def _items(model: type[BaseModel], entries: tuple[BaseModel, ...], indent: str) -> Iterator[str]:
    """The entries of a list of sections; the first with a comment for each key."""
    for number, entry in enumerate(entries):
        mark = "- "
        for key in keys_of(model).values():
            if number == 0:
                yield _comment(key.description + _limits(key), indent + ("  " if mark == "  " else ""))
            value = getattr(entry, key.name)
            if number and value == key.default and not key.required:
                continue  # shown above
            yield f"{indent}{mark}{key.name}: {_scalar(value)}"
            mark = "  "


def _comment(text: str, indent: str) -> str:
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        lines += ["", *textwrap.wrap(paragraph, WIDTH - len(indent), break_on_hyphens=False)]
    del lines[0]
    return "\n".join(f"{indent}# {line}".rstrip() for line in lines)


def _limits(key: Key) -> str:
    return f" One of: {', '.join(key.choices)}." if key.choices else ""


def _scalar(value: Any) -> str:
    """A value as YAML; JSON is YAML, and text is quoted where it could be read as something else."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, SecretStr):
        value = value.get_secret_value()  # a default, so nothing secret
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, str) and value.replace("_", "").replace("-", "").isalnum() and value[0].isalpha():
        return f'"{value}"' if value.lower() in {"true", "false", "null"} else value
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(example())

"""The registration: what the homeserver is told about Rialto.

Source: Matrix application service API, "Registration".
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from appservice.local.errors import LocalError
from appservice.local.files import write_private
from appservice.local.yaml import to_yaml

if TYPE_CHECKING:
    from appservice.config import Config


def new_token() -> str:
    """A random token of 256 bits, safe in YAML and URLs."""
    return secrets.token_urlsafe(32)


def user_namespaces(server_name: str, sender_localpart: str, bots: Iterable[str]) -> list[dict[str, Any]]:
    """The users that are Rialto's alone: the steward, each bot, and everything that starts with the steward's name."""
    exact = [sender_localpart, *dict.fromkeys(bots)]
    server = re.escape(server_name)
    patterns = [f"^@{re.escape(localpart)}:{server}$" for localpart in exact]
    patterns.append(f"^@{re.escape(sender_localpart)}_.*:{server}$")
    return [{"exclusive": True, "regex": pattern} for pattern in patterns]


def registration_of(config: Config) -> dict[str, Any]:
    """The registration that fits ``config``, disabled bots included (they can be enabled without a new one)."""
    service = config.appservice
    server_name = config.homeserver.server_name
    aliases = f"^#{re.escape(service.sender_localpart)}_.*:{re.escape(server_name)}$"
    return {
        "id": service.id,
        "url": service.url,
        "as_token": service.as_token.get_secret_value(),
        "hs_token": service.hs_token.get_secret_value(),
        "sender_localpart": service.sender_localpart,
        "rate_limited": False,
        "receive_ephemeral": True,
        "namespaces": {
            "users": user_namespaces(server_name, service.sender_localpart, (bot.localpart for bot in config.users)),
            "aliases": [{"exclusive": True, "regex": aliases}],
            "rooms": [],
        },
    }


def write_registration(path: Path, registration: Mapping[str, Any]) -> None:
    """Write the registration with mode 0600 (it holds both tokens)."""
    write_private(path, to_yaml(dict(registration)))


def read_registration(path: Path) -> dict[str, Any]:
    """The registration in ``path``. Raises LocalError when it cannot be read or is not a mapping."""
    try:
        value = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LocalError(f"{path}: no such file; `rialto register` writes it") from None
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise LocalError(f"{path}: cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise LocalError(f"{path}: is not a registration: a mapping of keys is needed")
    return value


def mismatches(config: Config, registration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where the two disagree: (key of the registration, what is wrong). Secrets are never part of the text."""
    wanted = registration_of(config)
    found: list[tuple[str, str]] = []
    keys = {
        "id": "appservice.id",
        "url": "appservice.url",
        "as_token": "appservice.as_token",
        "hs_token": "appservice.hs_token",
        "sender_localpart": "appservice.sender_localpart",
    }
    for key, config_key in keys.items():
        if registration.get(key) == wanted[key]:
            continue
        if key.endswith("token"):
            found.append((key, f"is not the one in {config_key}"))
        else:
            found.append((key, f"is {registration.get(key)!r}, but {config_key} is {wanted[key]!r}"))
    if registration.get("rate_limited", True) is not False:
        found.append(("rate_limited", "must be false, or the homeserver slows the bots down"))
    if registration.get("receive_ephemeral") is not True:
        found.append(("receive_ephemeral", "must be true, or receipts and typing do not arrive"))
    found.extend(_namespace_problems(config, registration))
    return found


def _namespace_problems(config: Config, registration: Mapping[str, Any]) -> list[tuple[str, str]]:
    namespaces = registration.get("namespaces")
    if not isinstance(namespaces, dict):
        namespaces = {}
    service = config.appservice
    server = config.homeserver.server_name
    users = {f"@{name}:{server}": None for name in (service.sender_localpart, *(bot.localpart for bot in config.users))}
    # The rooms that Rialto makes are found again by their aliases: nobody else may make one.
    aliases = {f"#{service.sender_localpart}_{'a' * 24}:{server}": f"#{service.sender_localpart}_…:{server}"}
    return [
        *_uncovered("namespaces.users", namespaces.get("users"), users),
        *_uncovered("namespaces.aliases", namespaces.get("aliases"), aliases),
    ]


def _uncovered(key: str, entries: object, wanted: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Which ids the patterns do not reserve for us. ``wanted``: id to the name it goes by, if that is another."""
    if not isinstance(entries, list):
        named = ", ".join(name for name in wanted.values() if name)
        return [(key, f"is missing: it must cover {named}" if named else "is missing")]
    found: list[tuple[str, str]] = []
    patterns: list[tuple[re.Pattern[str], bool]] = []
    for number, entry in enumerate(entries):
        try:
            patterns.append((re.compile(entry["regex"]), entry.get("exclusive") is True))
        except (re.error, KeyError, TypeError, AttributeError):
            found.append((f"{key}[{number}]", "has no valid regex"))
    for name, shown in wanted.items():
        covering = [exclusive for pattern, exclusive in patterns if pattern.match(name)]
        if not covering:
            found.append((key, f"does not cover {shown or name}"))
        elif not any(covering):
            found.append((key, f"covers {shown or name}, but not exclusively"))
    return found

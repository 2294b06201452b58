"""What the homeserver's configuration says about deleted messages, where it can be read: docs/privacy.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from appservice.commands.checks import Check

LONGEST_S: Final = 300
"""Synapse looks for redacted events every five minutes: what is shorter than that makes no difference to people."""
USUAL: Final = "7d"
"""Synapse's own ``redaction_retention_period``."""
_UNITS: Final = {"": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION: Final = re.compile(r"(\d{1,15})([smhdwy]?)\Z")


def seconds(value: object) -> float | None:
    """A duration as Synapse's configuration has it: ``5m``, or milliseconds; None for what is none."""
    match = _DURATION.match(str(value).strip()) if isinstance(value, (str, int)) and value is not True else None
    return None if match is None else int(match[1]) * _UNITS[match[2]]


def problems(config: Mapping[str, Any]) -> list[str]:
    """What in a ``homeserver.yaml`` keeps deleted messages longer than it must."""
    found = []
    period = config.get("redaction_retention_period", USUAL)
    kept = None if period is None else seconds(period)
    if kept is None:
        found.append("redaction_retention_period is null: what is deleted stays for good")
    elif kept > LONGEST_S:
        found.append(f"redaction_retention_period is {period}: so long what is deleted stays")
    if config.get("enable_search", True):
        found.append("enable_search is on: its index keeps the words of deleted messages")
    return found


def check_deletion(config_path: Path) -> list[Check]:
    """The homeserver's configuration, if it is the one of ``rialto up`` beside ours; of others nothing is seen here."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from appservice.commands.checks import ok, warn
    from appservice.local.layout import Layout
    from appservice.local.synapse import CONFIG

    advice = "redaction_retention_period: 0s and enable_search: false in homeserver.yaml, see docs/privacy.md"
    path = Layout(config_path.absolute().parent).synapse / CONFIG
    try:
        config = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, YAMLError) as error:
        return [warn("deletion", f"{path} cannot be read: {type(error).__name__}", advice)]
    found = problems(config) if isinstance(config, dict) else ["it is no configuration"]
    if found:
        return [warn("deletion", f"{path}: {'; '.join(found)}", advice)]
    return [ok("deletion", "the homeserver keeps deleted messages for the shortest time there is")]

"""SQL of the switches: where a plugin is enabled and where not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, delete, select

from appservice.store.upsert import upsert
from bots.store.tables import plugin_switches

EVERYWHERE = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """What somebody decided for a plugin instance in a scope: everywhere (``""``), ``room:ID`` or ``server:NAME``."""

    plugin: str
    scope: str
    enabled: bool
    reason: str = ""
    changed_by: str = "operator"
    """A user id, or ``operator``."""
    changed_at: int = 0
    """Milliseconds since the epoch."""


def room_scope(room_id: str) -> str:
    """The scope of one room."""
    return f"room:{room_id}"


def server_scope(server: str) -> str:
    """The scope of the rooms that came to us from one server."""
    return f"server:{server}"


def load(connection: Connection, plugin: str | None = None) -> list[Switch]:
    """Every switch, or those of one plugin instance, in a fixed order."""
    query = select(plugin_switches)
    if plugin is not None:
        query = query.where(plugin_switches.c.plugin == plugin)
    found = [Switch(**row) for row in connection.execute(query).mappings()]
    return sorted(
        (replace(each, enabled=bool(each.enabled)) for each in found), key=lambda each: each.plugin + each.scope
    )


def put(connection: Connection, switch: Switch) -> None:
    """Set a switch; an earlier one of this place is replaced."""
    upsert(connection, plugin_switches, asdict(switch) | {"enabled": int(switch.enabled)})


def remove(connection: Connection, plugin: str, scope: str) -> bool:
    """Take a switch away, so that the wider one counts again; whether there was one."""
    where = (plugin_switches.c.plugin == plugin, plugin_switches.c.scope == scope)
    return connection.execute(delete(plugin_switches).where(*where)).rowcount > 0

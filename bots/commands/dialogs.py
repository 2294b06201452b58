"""``rialto dialogs``: conversations that are under way, and their journals."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from appservice.commands.common import Exit, UsageError, add_config, add_data, add_json, load, print_json, say

if TYPE_CHECKING:
    from appservice.database import Database
    from appservice.sealing import Sealer
    from bots.store.dialogs import DialogRow, EntryRow

T = TypeVar("T")


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("dialogs", help="conversations that are under way", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="those that wait for somebody", description=_list.__doc__)
    listing.add_argument("--ended", action="store_true", help="those that have ended too")
    listing.add_argument("--consumer", metavar="NAME", help="of one plugin on one bot: INSTANCE:@BOT:SERVER")
    listing.add_argument("-n", "--limit", type=int, default=100, metavar="N", help="N of them at most (100)")
    listing.set_defaults(handler=_list)
    show = actions.add_parser("show", help="one with its journal", description=_show.__doc__)
    show.add_argument("id")
    show.add_argument("--content", action="store_true", help="what people answered and what steps gave, too")
    show.set_defaults(handler=_show)
    end = actions.add_parser("end", help="end some", description=_end.__doc__)
    end.add_argument("ids", nargs="+", metavar="ID")
    end.set_defaults(handler=_end)
    for action in actions.choices.values():
        add_config(action)
        add_data(action)
        add_json(action)


def _with_store(arguments: argparse.Namespace, work: Callable[[Database, Sealer], Awaitable[T]]) -> T:
    from appservice.database import open_database
    from appservice.sealing import Sealer

    _, config = load(arguments)

    async def run() -> T:
        database = open_database(config.database.url, pool_size=1)
        await database.start()
        try:
            return await work(database, Sealer(config.encryption.pickle_key.get_secret_value(), "dialogs"))
        finally:
            await database.stop()

    return asyncio.run(run())


def _list(arguments: argparse.Namespace) -> int:
    """List dialogs, those changed last first. What was said is not shown."""
    from bots.store import dialogs as store

    async def work(database: Database, sealer: Sealer) -> list[DialogRow]:
        return await database.read(
            lambda connection: store.listed(
                connection, sealer, consumer=arguments.consumer, ended=arguments.ended, limit=arguments.limit
            )
        )

    found = _with_store(arguments, work)
    if arguments.json:
        print_json([_fields(row) for row in found])
        return Exit.OK
    for row in found:
        words = f"{row.id}  {row.state.name.lower():<9}  {_when(row.updated_at)}  {row.consumer} {row.name}"
        say(f"{words}  {row.owner}  {row.room_id}  {row.entries} entries  {row.error or ''}".rstrip())
    if not found:
        say("no dialogs")
    return Exit.OK


def _show(arguments: argparse.Namespace) -> int:
    """Show a dialog and its journal; what people said only with --content."""
    from bots.store import dialogs as store

    async def work(database: Database, sealer: Sealer) -> tuple[DialogRow | None, list[EntryRow]]:
        row = await database.read(lambda connection: store.get(connection, sealer, arguments.id))
        return row, await database.read(lambda connection: store.journal(connection, sealer, arguments.id))

    row, entries = _with_store(arguments, work)
    if row is None:
        raise UsageError(f"there is no dialog {arguments.id}")
    journal = [_entry(position, entry, arguments.content) for position, entry in enumerate(entries)]
    if arguments.json:
        print_json({**_fields(row), "journal": journal})
        return Exit.OK
    for key, value in _fields(row).items():
        say(f"{key:<12} {value}")
    say()
    for line in journal:
        value = f"  {json.dumps(line['value'], ensure_ascii=True)}" if "value" in line else ""
        say(f"{line['position']:>4}  {line['at']}  {line['kind']:<7} {line['name']}{value}")
    return Exit.OK


def _end(arguments: argparse.Namespace) -> int:
    """End dialogs without a word to the people in them. A running service notices at their next answer."""
    from dataclasses import replace

    from bots.store import dialogs as store
    from bots.store.tables import DialogState

    async def work(database: Database, sealer: Sealer) -> int:
        ended = 0
        for dialog_id in arguments.ids:
            row = await database.read(
                lambda connection, dialog_id=dialog_id: store.get(connection, sealer, dialog_id)  # type: ignore[misc]
            )
            if row is None or not row.open:
                continue
            over = replace(row, state=DialogState.CANCELLED, prompt=None, waiting=None, error="ended by the operator")
            change = store.Change(over, row.entries)
            await database.write(
                lambda connection, change=change: store.save(connection, sealer, change)  # type: ignore[misc]
            )
            ended += 1
        return ended

    ended = _with_store(arguments, work)
    if arguments.json:
        print_json({"ended": ended, "asked": len(arguments.ids)})
    else:
        say(f"ended {ended} of {len(arguments.ids)}")
    return Exit.OK if ended == len(arguments.ids) else Exit.FAILED


def _when(moment: int | None) -> str:
    return "-" if moment is None else datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _fields(row: DialogRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "state": row.state.name.lower(),
        "consumer": row.consumer,
        "dialog": row.name,
        "version": row.version,
        "owner": row.owner,
        "people": list(row.people),
        "room_id": row.room_id,
        "started_at": _when(row.started_at),
        "updated_at": _when(row.updated_at),
        "expires_at": _when(row.expires_at),
        "entries": row.entries,
        "bytes": row.size,
        "error": row.error,
    }


def _entry(position: int, entry: EntryRow, content: bool) -> dict[str, Any]:
    line = {"position": position, "at": _when(entry.at), "kind": entry.kind, "name": entry.name}
    return {**line, "value": json.loads(entry.value)} if content else line

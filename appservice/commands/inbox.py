"""``rialto inbox``: events whose handler failed for good, and those that wait for a key."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from appservice.commands.common import Exit, UsageError, add_config, add_data, add_json, load, print_json, say

if TYPE_CHECKING:
    from appservice.database import Database
    from appservice.inbox import Letter

T = TypeVar("T")


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("inbox", help="events whose handler failed for good", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the dead letters, oldest first", description=_list.__doc__)
    listing.add_argument("--parked", action="store_true", help="those that wait for their key instead")
    listing.add_argument("-n", "--limit", type=int, default=100, metavar="N", help="N of them at most (100)")
    listing.set_defaults(handler=_list)
    show = actions.add_parser("show", help="one event with its content", description=_show.__doc__)
    show.add_argument("event_id")
    show.set_defaults(handler=_show)
    for name, handler, text in (("replay", _replay, "try again"), ("drop", _drop, "give up and forget the content")):
        action = actions.add_parser(name, help=text, description=handler.__doc__)
        action.add_argument("event_ids", nargs="*", metavar="EVENT_ID")
        action.add_argument("--all", action="store_true", help="every dead letter")
        action.set_defaults(handler=handler)
    for action in actions.choices.values():
        add_config(action)
        add_data(action)
        add_json(action)


def _with_database(arguments: argparse.Namespace, work: Callable[[Database], Awaitable[T]]) -> T:
    """Open the configured database for ``work``."""
    from appservice.database import open_database

    _, config = load(arguments)

    async def run() -> T:
        database = open_database(config.database.url, pool_size=1)
        await database.start()
        try:
            return await work(database)
        finally:
            await database.stop()

    return asyncio.run(run())


def _list(arguments: argparse.Namespace) -> int:
    """List events that are not finished. Content is not shown."""
    from appservice.inbox import letters
    from appservice.store.tables import InboxState

    state = InboxState.PARKED if arguments.parked else InboxState.DEAD
    found = _with_database(arguments, lambda database: letters(database, [state], arguments.limit))
    if arguments.json:
        print_json([_fields(letter) for letter in found])
        return Exit.OK
    for letter in found:
        place = f"{letter.event_id}  {letter.room_id or '-'}"
        say(f"{_when(letter)}  {place}  {letter.attempts} attempts  {letter.error or ''}".rstrip())
    if not found:
        say("no event waits for its key" if arguments.parked else "no dead letters")
    return Exit.OK


def _show(arguments: argparse.Namespace) -> int:
    """Show one event with its content, as the homeserver sent it."""
    from appservice.inbox import show

    letter = _with_database(arguments, lambda database: show(database, arguments.event_id))
    if letter is None:
        raise UsageError(f"the inbox holds no event {arguments.event_id}")
    fields = {**_fields(letter), "event": _content(letter.payload)}
    if arguments.json:
        print_json(fields)
    else:
        for key, value in fields.items():
            say(f"{key:<12} {json.dumps(value, indent=2, ensure_ascii=True) if key == 'event' else value}")
    return Exit.OK


def _replay(arguments: argparse.Namespace) -> int:
    """Have dead letters tried again, from the first attempt on. The running service picks them up by itself."""
    from appservice.inbox import replay

    return _move(arguments, replay, "replayed")


def _drop(arguments: argparse.Namespace) -> int:
    """Give dead letters up: they are never tried again and their content is forgotten."""
    from appservice.inbox import drop

    return _move(arguments, drop, "dropped")


def _move(arguments: argparse.Namespace, move: Callable[[Database, list[str]], Awaitable[int]], done: str) -> int:
    from appservice.inbox import letters
    from appservice.store.tables import InboxState

    if bool(arguments.event_ids) == arguments.all:
        raise UsageError("name event ids, or --all")

    async def work(database: Database) -> tuple[int, int]:
        ids: list[str] = arguments.event_ids
        if arguments.all:
            ids = [letter.event_id for letter in await letters(database, [InboxState.DEAD], 1_000_000)]
        return len(ids), sum([await move(database, ids[at : at + 500]) for at in range(0, len(ids), 500)])

    asked, moved = _with_database(arguments, work)
    if arguments.json:
        print_json({done: moved, "asked": asked})
    else:
        say(f"{done} {moved} of {asked}")
    return Exit.OK if moved == asked else Exit.FAILED


def _when(letter: Letter) -> str:
    return datetime.fromtimestamp(letter.received_at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _fields(letter: Letter) -> dict[str, Any]:
    fields = asdict(letter)
    del fields["payload"]
    return {**fields, "received_at": _when(letter)}


def _content(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", errors="backslashreplace")

"""``rialto retention``: how long messages are kept, and legal holds.

It writes into the database; the service follows within a minute.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from appservice.commands.common import Exit, UsageError, add_config, add_data, add_json, load, print_json, say

if TYPE_CHECKING:
    from appservice.database import Database
    from bridge.domain.retention import Policy
    from bridge.retention.service import RetentionService
    from bridge.store.chats import Chat

T = TypeVar("T")
Work = Callable[["RetentionService", "Chat | None"], Awaitable[T]]


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("retention", help="how long messages are kept, and legal holds", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="the rule of a chat or a workspace", description=_show.__doc__)
    show.set_defaults(handler=_show)
    change = actions.add_parser("set", help="another rule", description=_set.__doc__)
    change.add_argument("days", help="1 to 36500, or “off”")
    change.set_defaults(handler=_set)
    for action in (show, change):
        which = action.add_mutually_exclusive_group()
        which.add_argument("--chat", help="a chat, by its id or its room's")
        which.add_argument("--product", help="all chats of a product; without either: all that belong to no product")
    hold = actions.add_parser("hold", help="have nothing of a chat removed", description=_hold.__doc__)
    hold.add_argument("chat", help="its id or its room's")
    hold.add_argument("reason", help="why; it is kept with the hold, and in the audit log")
    hold.set_defaults(handler=_hold)
    release = actions.add_parser("release", help="end a hold", description=_release.__doc__)
    release.add_argument("chat", help="its id or its room's")
    release.set_defaults(handler=_release)
    holds = actions.add_parser("holds", help="all holds", description=_holds.__doc__)
    holds.set_defaults(handler=_holds)
    for action in actions.choices.values():
        add_config(action)
        add_data(action)
        add_json(action)


def _with_retention(arguments: argparse.Namespace, work: Work[T], chat: str | None = None) -> T:
    from appservice.clock import SystemClock
    from appservice.database import open_database
    from appservice.homeserver import Homeserver
    from appservice.sealing import Sealer
    from bridge.audit import Audit
    from bridge.permissions import Permissions
    from bridge.retention.service import RetentionService
    from bridge.steward import Steward

    _, config = load(arguments)
    sealer = Sealer(config.encryption.pickle_key.get_secret_value(), "payments")
    server = config.homeserver.server_name
    # Never asked: Rialto itself needs nobody's leave.
    nobody = Homeserver(config.homeserver.url, "")
    steward = Steward(nobody, f"@{config.appservice.sender_localpart}:{server}", server)

    async def run() -> T:
        database = open_database(config.database.url, pool_size=1)
        await database.start()
        try:
            service = RetentionService(
                database,
                Permissions(steward),
                lambda _room_id: asyncio.Lock(),
                Audit(database, sealer),
                SystemClock(),
                None,
                None,
                everywhere=config.messenger.retention.days or None,
            )
            return await work(service, None if chat is None else await _found(database, chat))
        finally:
            await database.stop()

    return asyncio.run(run())


async def _found(database: Database, name: str) -> Chat:
    from bridge.errors import NotFound
    from bridge.store import chats as store

    find = store.by_room if name.startswith("!") else store.by_id
    chat = await database.read(lambda connection: find(connection, name))
    if chat is None or chat.deleted_at is not None:
        raise NotFound("no_such_chat", "There is no such chat.")
    return chat


def _show(arguments: argparse.Namespace) -> int:
    """For how many days messages are kept."""
    from bridge.actor import SYSTEM

    async def work(service: RetentionService, chat: Chat | None) -> Policy:
        return await service.policy(SYSTEM, chat, workspace=arguments.product)

    return _say_policy(arguments, _with_retention(arguments, work, arguments.chat))


def _set(arguments: argparse.Namespace) -> int:
    """Keep messages for so many days at the most. The shortest rule of chat, workspace and configuration applies."""
    from bridge.actor import SYSTEM

    word = arguments.days.casefold()
    if word != "off" and not word.isdecimal():
        raise UsageError("a number of days, or “off”")
    days = None if word == "off" else int(word[:10])

    async def work(service: RetentionService, chat: Chat | None) -> Policy:
        return await service.set_policy(SYSTEM, chat=chat, workspace=arguments.product, days=days)

    return _say_policy(arguments, _with_retention(arguments, work, arguments.chat))


def _say_policy(arguments: argparse.Namespace, policy: Policy) -> int:
    if arguments.json:
        print_json({"days": policy.days, "own": policy.own, "wider": policy.wider})
        return Exit.OK
    say("messages are kept for good" if policy.days is None else f"messages are kept for {policy.days} days")
    return Exit.OK


def _hold(arguments: argparse.Namespace) -> int:
    """Have nothing of a chat removed: not by timers, retention or erasures, and not by its people either."""
    from bridge.actor import SYSTEM

    async def work(service: RetentionService, chat: Chat | None) -> None:
        assert chat is not None
        await service.hold(SYSTEM, chat, arguments.reason)

    _with_retention(arguments, work, arguments.chat)
    if arguments.json:
        print_json({"held": arguments.chat})
    else:
        say("it is held; people's clients can remove nothing within a minute, while Rialto runs")
    return Exit.OK


def _release(arguments: argparse.Namespace) -> int:
    """End a hold: what should have been removed meanwhile is removed now."""
    from bridge.actor import SYSTEM

    async def work(service: RetentionService, chat: Chat | None) -> None:
        assert chat is not None
        await service.release(SYSTEM, chat)

    _with_retention(arguments, work, arguments.chat)
    if arguments.json:
        print_json({"released": arguments.chat})
    else:
        say("it is released")
    return Exit.OK


def _holds(arguments: argparse.Namespace) -> int:
    """All holds, the oldest first."""
    from bridge.actor import SYSTEM

    async def work(service: RetentionService, _: Chat | None) -> list[dict[str, Any]]:
        return [
            {"room_id": each.room_id, "product": each.workspace, "reason": each.reason, "by": each.actor,
             "since": each.since}
            for each in await service.holds(SYSTEM)
        ]  # fmt: skip

    found = _with_retention(arguments, work)
    if arguments.json:
        print_json(found)
        return Exit.OK
    if not found:
        say("nothing is held")
    for each in found:
        say(f"{datetime.fromtimestamp(each['since'] / 1000, UTC):%Y-%m-%d %H:%M}  {each['room_id']}  {each['reason']}")
    return Exit.OK

"""``rialto chat``: the terminal client."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appservice.commands.common import Exit, Unreachable, UsageError, add_data, layout_of
from appservice.errors import RialtoError

if TYPE_CHECKING:
    from appservice.local.layout import Layout

PASSWORD = "RIALTO_PASSWORD"  # noqa: S105 - the name of a variable


def add(commands: Any) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "chat",
        help="talk with a bot or a room, end-to-end encrypted",
        description=_chat.__doc__,
        epilog=(
            "When standard input is not a terminal, each line is sent and its reply awaited; lines that begin with "
            "'# ' are comments. Exit code 1: a line got no reply."
        ),
    )
    add_data(parser)
    parser.add_argument("target", nargs="?", help="@user:server, !room, #alias or a local name (default: the hub)")
    parser.add_argument("--as", dest="user", default="alice", metavar="NAME", help="the account (default: alice)")
    parser.add_argument(
        "--wait", type=float, default=1.0, metavar="SECONDS", help="quiet after the last line that ends a script (1)"
    )
    parser.add_argument(
        "--reply",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="how long a reply is awaited (15)",
    )
    parser.add_argument("--homeserver", metavar="URL", help=f"not the local stack's; the password from ${PASSWORD}")
    parser.add_argument("--demo", action="store_true", help="play a short conversation")
    parser.set_defaults(handler=_chat)


@dataclass(frozen=True)
class Who:
    """The account that talks, and with whom by default."""

    url: str
    user_id: str
    password: str = field(repr=False)
    hub: str | None
    echo: str | None = None
    bots: tuple[re.Pattern[str], ...] = ()

    def trusts(self, user_id: str) -> bool:
        """Whether invitations of this user are followed without asking: those of our own server's bots."""
        return any(pattern.match(user_id) for pattern in self.bots)


def _chat(arguments: argparse.Namespace) -> int:
    """Talk with a bot or in a room: finds or opens the encrypted direct chat with the bot. Keys stay in data/chat."""
    layout = layout_of(arguments)
    who = _remote(arguments) if arguments.homeserver else _local(arguments, layout)
    target = arguments.target or who.hub
    if target is None:
        raise UsageError("name somebody to talk with: @user:server, !room or #alias")
    if target[0] not in "@!#":
        target = f"@{target}:{who.user_id.partition(':')[2]}"
    try:
        return asyncio.run(_talk(arguments, who, target, layout.chat(who.user_id)))
    except RialtoError as error:
        if error.fields.get("status") != 0 or arguments.homeserver:
            raise
        raise Unreachable(f"{error.human.strip()}; is it running? `rialto up` starts it") from error


def _local(arguments: argparse.Namespace, layout: Layout) -> Who:
    from appservice.config import load_config
    from appservice.local.accounts import read_accounts
    from appservice.local.registration import registration_of

    if not layout.config.is_file():
        raise Unreachable(f"no local stack in {layout.data}: start one by `rialto up`, or name a --homeserver")
    config = load_config(layout.config)
    server = config.homeserver.server_name
    bots = {bot.plugin: f"@{bot.localpart}:{server}" for bot in reversed(config.users) if bot.enabled}
    accounts = read_accounts(layout)
    localpart = arguments.user.removeprefix("@").partition(":")[0]
    account = accounts.get(localpart)
    if account is None or not account.made:
        known = ", ".join(sorted(name for name, one in accounts.items() if one.made and not one.admin)) or "nobody yet"
        raise UsageError(f"{layout.accounts} knows no {localpart} (it knows {known}); `rialto user add {localpart}`")
    ours = registration_of(config)["namespaces"]["users"]
    patterns = tuple(re.compile(entry["regex"]) for entry in ours)
    return Who(config.homeserver.url, account.user_id, account.password, bots.get("hub"), bots.get("echo"), patterns)


def _remote(arguments: argparse.Namespace) -> Who:
    if not arguments.user.startswith("@") or ":" not in arguments.user:
        raise UsageError("with --homeserver, --as needs a whole user id: @name:server")
    password = os.environ.get(PASSWORD)
    if password is None:
        if not sys.stdin.isatty():
            raise UsageError(f"the password of {arguments.user} is missing: put it into ${PASSWORD}")
        password = getpass.getpass(f"password of {arguments.user}: ")
    return Who(arguments.homeserver.rstrip("/"), arguments.user, password, None)


def demo(echo: str | None) -> list[str]:
    """A short conversation with the hub, and with the echo bot where it is enabled."""
    if echo is None:
        return ["help", "services"]
    return ["help", "services", "open echo", "space", f"/join {echo}", "good morning", "good night"]


async def _talk(arguments: argparse.Namespace, who: Who, target: str, folder: Path) -> int:
    import logging

    from appservice.terminal.chat import Chat, Timing, console, lines_of, read_lines
    from appservice.terminal.prompt import Prompt
    from appservice.terminal.session import connect, find_room

    logging.getLogger("nio").setLevel(logging.CRITICAL)  # its warnings are not for people who chat
    client = await connect(who.url, who.user_id, who.password, folder)
    try:
        place = await find_room(client, target, arguments.reply)
        chat = Chat(client, place, console=console(), trusted=who.trusts)
        await chat.accept_waiting()
        timing = Timing(reply=arguments.reply, wait=arguments.wait)
        if arguments.demo:
            answered = await chat.script(lines_of(demo(who.echo)), timing, echo=True)
            if who.echo is None:
                sys.stdout.write("The demo goes on with the echo bot where that is enabled, in config.yaml.\n")
        elif sys.stdin.isatty():
            await chat.talk(Prompt(f"{who.user_id.partition(':')[0].removeprefix('@')}> "))
            answered = True
        else:
            answered = await chat.script(read_lines(sys.stdin), timing)
    finally:
        await client.close()
    return Exit.OK if answered else Exit.FAILED

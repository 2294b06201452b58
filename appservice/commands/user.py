"""``rialto user``: accounts of the homeserver."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from appservice.commands.common import Exit, Unreachable, UsageError, add_data, add_json, layout_of, print_json, say

if TYPE_CHECKING:
    from appservice.local.accounts import Administration
    from appservice.local.layout import Layout
    from appservice.local.synapse import SynapseSettings

SECRET = "RIALTO_SHARED_SECRET"  # noqa: S105 - the name of a variable
TOKEN = "RIALTO_ADMIN_TOKEN"  # noqa: S105 - the name of a variable


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser(
        "user",
        help="accounts of the homeserver",
        description=(
            "Accounts of the local stack's homeserver, or with --homeserver of another Synapse: "
            f"its registration_shared_secret (add) comes from ${SECRET}, an administrator's token from ${TOKEN}."
        ),
    )
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    adding = actions.add_parser("add", help="make an account", description=_add.__doc__)
    adding.add_argument("name", help="the localpart: alice")
    adding.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    adding.add_argument("--admin", action="store_true", help="an administrator of the homeserver")
    adding.set_defaults(handler=_add)
    listing = actions.add_parser("list", help="every account, the bots' too", description=_list.__doc__)
    listing.set_defaults(handler=_list)
    ending = actions.add_parser("deactivate", help="end an account for good", description=_deactivate.__doc__)
    ending.add_argument("name", help="alice or @alice:server")
    ending.add_argument("--erase", action="store_true", help="also hide its messages from those who join later")
    ending.set_defaults(handler=_deactivate)
    for action in actions.choices.values():
        add_data(action)
        add_json(action)
        action.add_argument("--homeserver", metavar="URL", help="a Synapse that is not the local stack's")


def _local(arguments: argparse.Namespace) -> tuple[Layout, SynapseSettings]:
    from appservice.local.synapse import CONFIG, read_settings

    layout = layout_of(arguments)
    if not (layout.synapse / CONFIG).is_file():
        raise Unreachable(f"no local stack in {layout.data}: start one by `rialto up`, or name a --homeserver")
    return layout, read_settings(layout.synapse)


def _from_environment(name: str, what: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UsageError(f"with --homeserver, {what} is needed in ${name}")
    return value


def _add(arguments: argparse.Namespace) -> int:
    """Make an account. Without --password-stdin the password is random and printed once."""
    import secrets

    from appservice.local.accounts import ensure_account, read_accounts
    from appservice.local.synapse import register_user

    given = sys.stdin.readline().rstrip("\r\n") if arguments.password_stdin else None
    if given == "":
        raise UsageError("the password on standard input is empty")
    if arguments.homeserver:
        password = given or secrets.token_urlsafe(12)
        secret = _from_environment(SECRET, "the registration_shared_secret")
        url = arguments.homeserver.rstrip("/")
        user_id = asyncio.run(register_user(url, secret, arguments.name, password, admin=arguments.admin))
    else:
        layout, settings = _local(arguments)
        if (known := read_accounts(layout).get(arguments.name)) is not None and known.made:
            raise UsageError(f"{known.user_id} exists already; its password stands in {layout.accounts}")
        account = asyncio.run(ensure_account(layout, settings, arguments.name, password=given, admin=arguments.admin))
        user_id, password = account.user_id, account.password
    shown = {} if arguments.password_stdin else {"password": password}
    if arguments.json:
        print_json({"user_id": user_id, **shown})
    else:
        say(f"{user_id}" + (f"   password: {password}" if shown else ""))
    return Exit.OK


def _administration(arguments: argparse.Namespace) -> Administration:
    from appservice.local.accounts import Administration, administrator

    if arguments.homeserver:
        return Administration(arguments.homeserver.rstrip("/"), _from_environment(TOKEN, "an administrator's token"))
    layout, settings = _local(arguments)
    return Administration(settings.url, asyncio.run(administrator(layout, settings)), log_out=True)


def _list(arguments: argparse.Namespace) -> int:
    """List every account of the homeserver, also the bots' and the ended ones."""
    from appservice.terminal.text import one_line

    administration = _administration(arguments)

    async def ask() -> list[dict[str, Any]]:
        async with administration:
            return await administration.users()

    ours = _our_users(arguments)
    users = [
        {
            "user_id": user["name"],
            "display_name": user.get("displayname"),
            "admin": bool(user.get("admin")),
            "bot": any(pattern.match(user["name"]) for pattern in ours),
            "deactivated": bool(user.get("deactivated")),
        }
        for user in asyncio.run(ask())
    ]
    if arguments.json:
        print_json(users)
        return Exit.OK
    for user in users:
        marks = [mark for mark in ("admin", "bot", "deactivated") if user[mark]]
        name = one_line(user["display_name"] or "")  # as its owner wrote it
        say(f"{user['user_id']:<32} {name:<24} {', '.join(marks)}".rstrip())
    return Exit.OK


def _our_users(arguments: argparse.Namespace) -> list[re.Pattern[str]]:
    """The users that belong to Rialto, by the local registration; none for another homeserver."""
    from appservice.local.registration import read_registration

    if arguments.homeserver:
        return []
    layout, _ = _local(arguments)
    return [re.compile(entry["regex"]) for entry in read_registration(layout.registration)["namespaces"]["users"]]


def _deactivate(arguments: argparse.Namespace) -> int:
    """End an account: all its devices are logged out, it leaves its rooms. This cannot be undone."""
    administration = _administration(arguments)
    user_id = arguments.name
    if not user_id.startswith("@"):
        if arguments.homeserver:
            raise UsageError("with --homeserver, name the whole user id: @name:server")
        user_id = f"@{user_id}:{_local(arguments)[1].server_name}"

    async def end() -> None:
        async with administration:
            await administration.deactivate(user_id, erase=arguments.erase)

    asyncio.run(end())
    if not arguments.homeserver:
        from appservice.local.accounts import forget_account

        forget_account(_local(arguments)[0], user_id)
    if arguments.json:
        print_json({"deactivated": user_id})
    else:
        say(f"{user_id} is deactivated")
    return Exit.OK

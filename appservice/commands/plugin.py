"""``rialto plugin``: write, check and try plugins; see, enable and disable those that run.

The tools themselves live with the plugin framework, in ``bots.framework.tools``; this is their command line.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from appservice.commands.common import add_config, add_data, add_json
from appservice.commands.serve import add_serve

EPILOG = """\
exit codes: 0 done, nothing is wrong; 1 something is wrong with a plugin, or there is no such instance; 2 wrong
arguments or configuration; 3 the database or the homeserver cannot be reached.
"""


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser(
        "plugin",
        help="write, check, try, enable and disable plugins",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)

    new = actions.add_parser("new", help="begin a plugin: a project that passes its own tests")
    new.add_argument("name", metavar="NAME", help="like coffee or coffee-shop")
    new.add_argument("--dir", type=Path, default=Path(), metavar="DIR", help="where its folder is made (here)")

    check = actions.add_parser("check", help="scopes, settings, handlers, dialogs and translations of a plugin")
    check.add_argument("path", type=Path, metavar="PATH", help="a project, a package, a file, or a folder of such")

    dev = actions.add_parser(
        "dev",
        help="run a plugin on the local stack, reloaded whenever a file is saved",
        description="Start the local stack's homeserver and the service with this plugin as one more bot, and load its "
        "code anew whenever a file is saved. Conversations go on where they stood. Ctrl-C ends it.",
    )
    dev.add_argument("path", type=Path, metavar="PATH", help="the plugin's project, package or file")
    dev.add_argument(
        "-s", "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the plugin; repeatable"
    )
    add_config(dev)
    add_data(dev)

    listing = actions.add_parser("list", help="the plugins there are, the instances, and what is wrong with them")
    add_config(listing)
    add_data(listing)

    for name, words in (
        ("enable", "enable a plugin again"),
        ("disable", "disable a plugin"),
    ):
        switch = actions.add_parser(
            name,
            help=f"{words}, everywhere or in a room or for a server",
            description=f"{words.capitalize()}, everywhere unless a room or a server is named. The narrowest decision "
            "counts. A running service follows within a few seconds.",
        )
        switch.add_argument("name", metavar="NAME", help="the name of the instance: `rialto plugin list`")
        place = switch.add_mutually_exclusive_group()
        place.add_argument("--room", metavar="ROOM_ID", help="in this room alone")
        place.add_argument("--server", metavar="SERVER", help="for the people of this server alone")
        switch.add_argument("--reason", default="", metavar="TEXT", help="kept with the decision")
        add_config(switch)
        add_data(switch)

    for name, action in actions.choices.items():
        if name != "dev":
            add_json(action)
        action.set_defaults(handler=_run)
    add_serve(actions)


def _run(arguments: argparse.Namespace) -> int:
    from appservice.main import plugin_command

    return plugin_command(arguments)

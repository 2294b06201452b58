"""``rialto up``, ``down``, ``status`` and ``logs``: the local stack."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from appservice.commands.common import Exit, add_data, add_json, layout_of, print_json, say

if TYPE_CHECKING:
    from appservice.local.inspect import Status


def add(commands: Any) -> None:
    """Add the parsers."""
    up = commands.add_parser("up", help="start a homeserver and Rialto on this machine", description=_up.__doc__)
    add_data(up)
    up.add_argument("--detach", action="store_true", help="leave both running in the background")
    up.add_argument("--supervise", action="store_true", help=argparse.SUPPRESS)  # the process --detach leaves
    up.set_defaults(handler=_up)
    down = commands.add_parser("down", help="stop the local stack", description=_down.__doc__)
    add_data(down)
    down.set_defaults(handler=_down)
    status = commands.add_parser("status", help="what the local stack is doing", description=_status.__doc__)
    add_data(status)
    add_json(status)
    status.set_defaults(handler=_status)
    logs = commands.add_parser("logs", help="show the logs of the local stack", description=_logs.__doc__)
    add_data(logs)
    logs.add_argument("process", nargs="?", choices=["rialto", "synapse", "supervisor"], help="of this process alone")
    logs.add_argument("-f", "--follow", action="store_true", help="go on showing what is written")
    logs.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="lines of each file to begin with")
    logs.set_defaults(handler=_logs)


def _up(arguments: argparse.Namespace) -> int:
    """Start a homeserver (Synapse) and Rialto on this machine, and on the first run make everything they need.

    Stays in the foreground until Ctrl-C, unless --detach.
    """
    from appservice.local import up

    layout = layout_of(arguments)
    if arguments.supervise:
        return asyncio.run(up.supervise(layout))
    if arguments.detach:
        return asyncio.run(up.detached(layout))
    return asyncio.run(up.foreground(layout))


def _down(arguments: argparse.Namespace) -> int:
    """Stop the local stack; running handlers finish first. Does nothing when it does not run."""
    from appservice.local.inspect import down

    layout = layout_of(arguments)
    ran = asyncio.run(down(layout))
    say(f"the stack in {layout.data} is stopped" if ran else f"no stack runs in {layout.data}")
    return Exit.OK


def _status(arguments: argparse.Namespace) -> int:
    """Say what runs. Exit code 0: all is ready; 1: something is broken; 3: nothing runs."""
    from appservice.local.inspect import status

    found = asyncio.run(status(layout_of(arguments)))
    if arguments.json:
        print_json(found.as_json())
    else:
        _show(found)
    if found.ready:
        return Exit.OK
    return Exit.UNREACHABLE if found.supervisor is None else Exit.FAILED


def _show(found: Status) -> None:
    say(f"{found.phase:<10} {found.data}" + (f"  (supervisor {found.supervisor})" if found.supervisor else ""))
    for process in found.processes:
        state = "ready" if process.pid and process.answers else "running" if process.pid else "stopped"
        pid = f"pid {process.pid}" if process.pid else ""
        restarts = f"restarted {process.restarts} times" if process.restarts else ""
        say(f"{process.name:<10} {state:<8} {process.url:<26} {pid:<12} {restarts}".rstrip())
    if found.phase == "absent":
        say("nothing was made here yet: `rialto up` does it")
    elif found.supervisor is None:
        say("start it by `rialto up`")


def _logs(arguments: argparse.Namespace) -> int:
    """Show the ends of the logs, each line with the process that wrote it; -f goes on until Ctrl-C."""
    from appservice.local.logs import follow, last_lines
    from appservice.local.supervisor import log_files
    from appservice.terminal.text import safe

    files = log_files(layout_of(arguments))
    if arguments.process is not None:
        files = {arguments.process: files[arguments.process]}
    for line in last_lines(files, arguments.lines):
        say(safe(line))
    if arguments.follow:
        for line in follow(files):
            say(safe(line))
    return Exit.OK

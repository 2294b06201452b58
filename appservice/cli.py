"""``rialto``: the command line. Exit codes: :class:`appservice.commands.common.Exit`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from appservice import __version__
from appservice.commands import run
from appservice.commands.common import Exit, Handler, Unreachable, UsageError, warn
from appservice.errors import RialtoError

EPILOG = """\
exit codes: 0 done; 1 a check failed or the work could not be done; 2 wrong arguments or configuration;
3 the homeserver, the database or the local stack cannot be reached; 130 interrupted.
"""


def parser(command: str = "") -> argparse.ArgumentParser:
    """The whole command line; for the command ``run``, whose process stays, what that one needs."""
    root = argparse.ArgumentParser(
        prog="rialto",
        description="A super-app messenger built as a Matrix application service.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"rialto {__version__}")
    commands = root.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    if command == "run":
        run.add(commands)
        return root
    from appservice.commands import chat, check, doctor, inbox, plugin, register, stack, user
    from bots.commands import audit, dialogs, ledger, payments, people, rides
    from bridge.commands import product, retention

    of_service = (stack, chat, run, check, doctor, register, user, inbox)
    of_bots = (people, product, retention, audit, payments, ledger, rides, dialogs, plugin)
    for module in (*of_service, *of_bots):
        module.add(commands)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Errors that Rialto raises on purpose become a line on standard error."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(words[0] if words else "").parse_args(words)
    handler: Handler = arguments.handler
    try:
        return int(handler(arguments))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:  # `rialto logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except RialtoError as error:
        warn(f"rialto: {error.human.strip()}")
        return exit_code(error)


def exit_code(error: RialtoError) -> Exit:
    """The exit code that an error means."""
    if isinstance(error, UsageError) or error.code.startswith("config"):
        return Exit.USAGE
    if isinstance(error, Unreachable) or error.code == "database_unavailable" or error.fields.get("status") == 0:
        return Exit.UNREACHABLE
    return Exit.FAILED


if __name__ == "__main__":
    sys.exit(main())

"""``rialto plugin serve``: a plugin in a process of its own, connected with Rialto over a WebSocket."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appservice.commands.common import Exit, UsageError

if TYPE_CHECKING:
    from bots.framework.discovery import Found

TOKEN_VARIABLE = "RIALTO_PLUGIN_TOKEN"  # noqa: S105 - the name of a variable


def add_serve(commands: Any) -> None:
    """Add ``serve`` to the subcommands of ``rialto plugin``."""
    serve = commands.add_parser("serve", help="serve a plugin from this process", description=_serve.__doc__)
    serve.add_argument("path", type=Path, metavar="PATH", help="the plugin: a file, a package, or its project")
    serve.add_argument("--url", required=True, help="where Rialto takes plugins: wss://HOST/plugins/v1")
    serve.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"holds the token of the instance, as Rialto's configuration has it (default: ${TOKEN_VARIABLE})",
    )
    serve.add_argument("--name", metavar="NAME", help="which plugin, where PATH holds several")
    serve.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    serve.add_argument("--log-format", choices=("pretty", "json"), default="pretty")
    serve.set_defaults(handler=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    """Run a plugin outside Rialto's process until SIGTERM or Ctrl-C. Rialto keeps the conversations, what the plugin
    remembers and what it sends; this process keeps the code. It connects again when the connection ends; what came
    meanwhile waits in Rialto."""
    import uvloop

    from appservice import log

    log.setup(arguments.log_level, arguments.log_format)
    token = _token(arguments.token_file)
    log.register_secret(token)
    found = _found(arguments.path, arguments.name)
    code: int = uvloop.run(_run(found, arguments.url, token))
    return code


async def _run(found: Found, url: str, token: str) -> int:
    from bots.framework.remote import Server

    server = Server(found, url, token)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.run()
    return Exit.OK


def _token(file: Path | None) -> str:
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise UsageError(f"a token is needed: --token-file FILE, or ${TOKEN_VARIABLE}")
        return token
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token cannot be read from {file}: {type(error).__name__}") from None
    if not token:
        raise UsageError(f"{file} holds no token")
    return token


def _found(path: Path, name: str | None) -> Found:
    """The plugin at a path. Raises UsageError when there are several, PluginError when it cannot be used."""
    from bots.framework.discovery import candidates, load_candidate
    from bots.framework.problems import PluginError

    problems = []
    found: list[Found] = []
    for candidate in candidates(path):
        try:
            found.append(load_candidate(candidate))
        except PluginError as error:
            problems += error.problems
    named = [each for each in found if name is None or each.name == name]
    if len(named) == 1:
        return named[0]
    if problems and not named:
        raise PluginError(problems)
    names = ", ".join(sorted(each.name for each in found)) or "none"
    raise UsageError(f"{path} holds several plugins ({names}): choose one with --name" if len(named) > 1 else
                     f"{path} holds no plugin {name or ''}; there are {names}")  # fmt: skip

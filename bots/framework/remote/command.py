"""What ``rialto plugin serve`` does."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

import uvloop

from appservice import log
from appservice.commands.common import Exit, UsageError
from appservice.commands.serve import TOKEN_VARIABLE
from bots.framework.discovery import Found, candidates, load_candidate
from bots.framework.problems import PluginError, PluginProblem
from bots.framework.remote.session import Server


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Raises:
        UsageError: there is no token, or no plugin at the path.
        PluginError: the plugin cannot be used.
        ServeError: Rialto does not take it.
    """
    log.setup(arguments.log_level, arguments.log_format)
    token = _token(arguments.token_file)
    log.register_secret(token)
    found = _found(arguments.path, arguments.name)
    code: int = uvloop.run(_serve(found, arguments.url, token))
    return code


async def _serve(found: Found, url: str, token: str) -> int:
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
    problems: list[PluginProblem] = []
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

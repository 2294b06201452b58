"""``rialto plugin serve``: a plugin in a process of its own, connected with Rialto over a WebSocket."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

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
    from appservice.main import serve_plugin

    return serve_plugin(arguments)

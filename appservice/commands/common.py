"""What the subcommands share: exit codes, options, output."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appservice.errors import RialtoError

if TYPE_CHECKING:
    from appservice.config import Config
    from appservice.local.layout import Layout

Handler = Callable[[argparse.Namespace], int]


class Exit(IntEnum):
    """The exit codes of ``rialto``, for scripts."""

    OK = 0
    FAILED = 1  # a check failed, or the work could not be done
    USAGE = 2  # wrong arguments or a wrong configuration (argparse's own code)
    UNREACHABLE = 3  # the homeserver, the database or the local stack is not there
    INTERRUPTED = 130  # Ctrl-C: 128 + SIGINT, as shells have it


class UsageError(RialtoError):
    """The command line asks for something that makes no sense."""

    code = "usage"


class Unreachable(RialtoError):
    """Something that the command needs does not answer."""

    code = "unreachable"


def add_config(parser: argparse.ArgumentParser) -> None:
    """``-c/--config``."""
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="PATH",
        help="the configuration (default: $RIALTO_CONFIG, ./config.yaml, or that of the local stack)",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the folder of the local stack (default: $RIALTO_DATA or ./data)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="write one JSON value to standard output")


def data_folder(arguments: argparse.Namespace) -> Path:
    """The folder of the local stack."""
    chosen: Path | None = getattr(arguments, "data", None)
    return chosen or Path(os.environ.get("RIALTO_DATA", "data"))


def layout_of(arguments: argparse.Namespace) -> Layout:
    """The layout of the local stack."""
    from appservice.local.layout import Layout

    return Layout.at(data_folder(arguments))


def config_path(arguments: argparse.Namespace) -> Path:
    """The configuration that is meant. Raises UsageError when there is none anywhere."""
    if arguments.config is not None:
        path: Path = arguments.config
        return path
    if named := os.environ.get("RIALTO_CONFIG"):
        return Path(named)
    tried = [Path("config.yaml"), data_folder(arguments) / "config.yaml"]
    for path in tried:
        if path.is_file():
            return path
    raise UsageError(f"no configuration: neither {tried[0]} nor {tried[1]} is there; name one by -c PATH")


def load(arguments: argparse.Namespace) -> tuple[Path, Config]:
    """The configuration that is meant, read. Raises UsageError or ConfigError."""
    from appservice.config import load_config

    path = config_path(arguments)
    return path, load_config(path)


def print_json(value: Any) -> None:
    """Write ``value`` to standard output as JSON."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def say(text: str = "") -> None:
    """Write a line for people to standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()

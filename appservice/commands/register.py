"""``rialto register``: the registration for the homeserver, and with --new the tokens and a first configuration."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import Any

from appservice.commands.common import Exit, UsageError, add_config, add_data, config_path, load, say


def add(commands: Any) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "register", help="write the registration for the homeserver", description=_register.__doc__
    )
    add_config(parser)
    add_data(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="default: registration.yaml beside the configuration"
    )
    parser.add_argument(
        "--new", action="store_true", help="make new tokens, and the configuration if there is none (at -c PATH)"
    )
    parser.add_argument("--homeserver", metavar="URL", default="http://127.0.0.1:8008", help="for a new configuration")
    parser.add_argument("--server-name", metavar="NAME", default="localhost", help="for a new configuration")
    parser.set_defaults(handler=_register)


def _register(arguments: argparse.Namespace) -> int:
    """Write the registration that fits the configuration, with mode 0600. The homeserver reads it when it starts."""
    from appservice.commands.checks import default_registration
    from appservice.local.registration import registration_of, write_registration

    if arguments.new:
        arguments.config = _new(arguments)
    path, config = load(arguments)
    output = arguments.output or default_registration(path)
    write_registration(output, registration_of(config))
    say(f"wrote {output}")
    say("now name it in app_service_config_files of the homeserver's configuration and restart the homeserver;")
    say(f"then: rialto check -c {path}")
    return Exit.OK


def _new(arguments: argparse.Namespace) -> Path:
    path = arguments.config or Path("config.yaml")
    if path.exists():
        path = config_path(arguments)
        _replace_tokens(path)
        say(f"put new tokens into {path}")
    else:
        _write_config(path, arguments)
        say(f"wrote {path}")
    return path


def _write_config(path: Path, arguments: argparse.Namespace) -> None:
    from appservice.local.files import write_private
    from appservice.local.prepare import PORTS, config_values
    from appservice.local.yaml import to_yaml

    values = config_values(PORTS, secrets.token_urlsafe(32))
    values["homeserver"] = {"url": arguments.homeserver, "server_name": arguments.server_name}
    header = (
        "# Every key: config.example.yaml. Without encryption.pickle_key the bots' devices are lost: keep a copy.\n"
    )
    write_private(path, header + to_yaml(values))


def _replace_tokens(path: Path) -> None:
    """New tokens in an existing configuration; its comments and everything else stay. Raises UsageError."""
    import io

    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from appservice.local.files import write_private
    from appservice.local.registration import new_token

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    try:
        document = yaml.load(path.read_text(encoding="utf-8"))
        service = document["appservice"]
        for key in ("as_token", "hs_token"):
            if isinstance(service.get(key), dict):
                raise UsageError(f"{path}: appservice.{key} stands in a file of its own: put the new one there")
            service[key] = new_token()
    except (OSError, YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: cannot put new tokens there: {error}") from error
    text = io.StringIO()
    yaml.dump(document, text)
    write_private(path, text.getvalue())

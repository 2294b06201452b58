"""The first run: everything that a local stack needs, made once. Every step can be repeated after a half-made run."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appservice.administration import MADE_LATER
from appservice.config import Config, load_config
from appservice.local.environment import Progress, ensure_environment, environment_path
from appservice.local.errors import LocalError
from appservice.local.files import choose_port, private_folder, write_private
from appservice.local.layout import Layout
from appservice.local.registration import new_token, registration_of, write_registration
from appservice.local.synapse import CONFIG, SynapseSettings, read_settings, write_synapse
from appservice.local.yaml import to_yaml

PORTS = {"homeserver": 8008, "appservice": 29300, "metrics": 29301, "web": 29302}
HEADER = """\
# The configuration of this local stack, made by `rialto up`. It holds secrets: keep it private, and keep a copy of
# it, because without encryption.pickle_key the bots' devices are lost. Every key: config.example.yaml.
# There are services to try: the echo bot, and a wallet with play money. Nowhere else are they enabled by default.
"""


@dataclass(frozen=True)
class Prepared:
    """A data folder that can be started."""

    layout: Layout
    config: Config
    synapse: SynapseSettings
    python: Path
    first_run: bool


async def prepare(layout: Layout, progress: Progress) -> Prepared:
    """Make what is missing in the data folder. Raises LocalError or ConfigError, each saying what to do.

    What is there stays as it is, except the registration, which follows the configuration.
    """
    private_folder(layout.data)
    private_folder(layout.logs)
    first_run = not layout.config.exists()
    if first_run:
        progress("writing config.yaml with new keys")
        _first_config(layout)
    config = load_config(layout.config)
    write_registration(layout.registration, registration_of(config))
    settings = _synapse(layout, config, progress)
    python = await ensure_environment(environment_path(layout.data), progress)
    return Prepared(layout, config, settings, python, first_run)


def _first_config(layout: Layout) -> None:
    if kept := sorted(layout.data.glob("rialto.db*")):
        raise LocalError(
            f"{kept[0]} is there, but {layout.config} is not, and with it the key that the database needs: "
            f"bring config.yaml back from a copy, or move {layout.data} away and start anew"
        )
    taken: set[int] = set()
    ports = {name: choose_port(port, taken) for name, port in PORTS.items()}
    if (layout.synapse / CONFIG).exists():  # a run that was cut off: Synapse's port stands already
        ports["homeserver"] = read_settings(layout.synapse).port
    values = config_values(ports, secrets.token_urlsafe(32), local=True)
    write_private(layout.admin_token, MADE_LATER + "\n")  # the homeserver must run before there is a token
    values["homeserver"]["admin_token"] = {"file": layout.admin_token.name}
    write_private(layout.config, HEADER + to_yaml(values))


def config_values(ports: dict[str, int], pickle_key: str, *, local: bool = False) -> dict[str, Any]:
    """The configuration of a new installation; everything else is the default.

    Args:
        local: whether it is for trying out on this machine: with the developer's example, play money, and the pages
            that it needs. ``ports`` has one for ``web`` then.
    """
    # Whoever is alone on this machine has somebody to order from.
    demo: dict[str, Any] = {"settings": {"demo": {"enabled": True}}} if local else {}
    values: dict[str, Any] = {
        "homeserver": {"url": f"http://127.0.0.1:{ports['homeserver']}", "server_name": "localhost"},
        "appservice": {
            "url": f"http://127.0.0.1:{ports['appservice']}",
            "listen": f"127.0.0.1:{ports['appservice']}",
            "as_token": new_token(),
            "hs_token": new_token(),
        },
        "database": {"url": "sqlite:///rialto.db"},
        "encryption": {"pickle_key": pickle_key},
        "bots": [
            {"plugin": "hub", "localpart": "rialto", "display_name": "Rialto"},
            {"plugin": "echo", "localpart": "echo", "display_name": "Echo", "enabled": local},
            {"plugin": "wallet", "localpart": "wallet", "display_name": "Wallet", "enabled": local},
            {"plugin": "bills", "localpart": "bills", "display_name": "Bills", "enabled": local},
            {"plugin": "shop", "localpart": "shop", "display_name": "Shop", "enabled": local, **demo},
            {"plugin": "food", "localpart": "food", "display_name": "Food", "enabled": local, **demo},
            {"plugin": "rides", "localpart": "rides", "display_name": "Rides", "enabled": local},
        ],
        "metrics": {"listen": f"127.0.0.1:{ports['metrics']}"},
    }
    if local:
        address = f"127.0.0.1:{ports['web']}"
        values["web"] = {"enabled": True, "listen": address, "public_url": f"http://{address}"}
        values["payments"] = {"providers": {"sandbox": {"enabled": True}}}
        # A product that is tried out beside it listens for webhooks on this machine.
        values["messenger"] = {"api": {"enabled": True, "webhook_networks": ["127.0.0.0/8"]}}
    return values


def _synapse(layout: Layout, config: Config, progress: Progress) -> SynapseSettings:
    url = config.homeserver.url
    if not (layout.synapse / CONFIG).exists():
        progress("writing Synapse's configuration and keys")
        host, _, port = url.removeprefix("http://").rpartition(":")
        if host not in {"127.0.0.1", "localhost"} or not port.isdigit():
            raise LocalError(
                f"{layout.config}: homeserver.url is {url}, which is not a homeserver on this machine: "
                "start Rialto alone by `rialto run`"
            )
        settings = SynapseSettings(
            folder=layout.synapse,
            port=int(port),
            server_name=config.homeserver.server_name,
            registrations=(layout.registration,),
        )
        write_synapse(settings)
        return settings
    settings = read_settings(layout.synapse)
    facts = [("url", url, settings.url), ("server_name", config.homeserver.server_name, settings.server_name)]
    for key, ours, theirs in facts:
        if ours.replace("//localhost", "//127.0.0.1") != theirs:
            raise LocalError(
                f"{layout.config}: homeserver.{key} is {ours}, but {layout.synapse / CONFIG} says {theirs}: "
                "make them agree"
            )
    return settings

"""A plugin outside the process and the service, killed in turn under load: 0 lost, 0 repeated, 0 out of order."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from ruamel.yaml import YAML

from tests.chaos.world import world
from tests.support.service_process import ROOT, free_port

KILLS = int(os.environ.get("RIALTO_CHAOS_KILLS", "6"))
TOKEN = "0123456789abcdef0123456789abcdef"


class Plugin:
    """``rialto plugin serve`` of the echo bot."""

    def __init__(self, folder: Path, port: int) -> None:
        self._arguments = [sys.executable, "-m", "appservice.cli", "plugin", "serve", str(ROOT / "bots" / "echo")]
        self._arguments += ["--url", f"ws://127.0.0.1:{port}/plugins/v1", "--token-file", str(folder / "token")]
        self._log = folder / "plugin.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._arguments, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    async def kill(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()


async def test_kills_of_either_side(tmp_path: Path) -> None:
    """The plugin dies in the middle of its work, the service too; every message has its one answer, in order."""
    seed = int(os.environ.get("RIALTO_CHAOS_SEED", str(random.randrange(2**32))))
    print(f"RIALTO_CHAOS_SEED={seed}")
    dice, port = random.Random(seed), free_port()
    sections = {"web": {"enabled": True, "listen": f"127.0.0.1:{port}"}}
    async with world(tmp_path, rooms=6, sections=sections, start=False) as place:
        (tmp_path / "token").write_text(TOKEN)
        file, yaml = tmp_path / "config.yaml", YAML()
        config = yaml.load(file)
        config["bots"][0]["remote_token_file"] = "token"
        yaml.dump(config, file)
        plugin = Plugin(tmp_path, port)
        try:
            await place.service.start_ready(place.homeserver, 60)
            await plugin.start()
            place.say(30)
            await place.homeserver.wait_all(60)
            async with place.load(60):
                for number in range(KILLS):
                    await place.answers_more(dice.randint(20, 120), 60)
                    await asyncio.sleep(dice.uniform(0, 0.02))
                    if number % 3 == 2:
                        place.service.kill()
                        await place.service.start_ready(place.homeserver, 60)
                    else:
                        await plugin.kill()
                        await plugin.start()
            await place.settle(120)
        finally:
            await plugin.kill()

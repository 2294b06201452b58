"""A real Synapse and real Rialto processes for tests. The fixtures made of them: tests/support/fixtures.py."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from appservice.local.accounts import LocalAccount, log_in
from appservice.local.environment import ensure_environment
from appservice.local.files import free_port, write_private
from appservice.local.process import Child, tail
from appservice.local.registration import new_token, user_namespaces, write_registration
from appservice.local.synapse import Account, Synapse, SynapseSettings, write_synapse
from appservice.local.yaml import to_yaml
from tests.support.forking import ForkedChild
from tests.support.human import Human

REPOSITORY = Path(__file__).resolve().parents[2]
SLOTS = 48
READY_TIMEOUT = 60.0


@dataclass
class Slot:
    """A registration that stands in the Synapse under test and that one Rialto uses. Its port is held until then."""

    name: str
    port: int
    holder: socket.socket = field(repr=False)
    as_token: str = field(default_factory=new_token, repr=False)
    hs_token: str = field(default_factory=new_token, repr=False)

    @classmethod
    def make(cls, number: int) -> Slot:
        holder = socket.socket()
        holder.bind(("127.0.0.1", 0))
        return cls(name=f"s{number:02}", port=holder.getsockname()[1], holder=holder)

    @property
    def sender_localpart(self) -> str:
        return f"_{self.name}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def registration(self, server_name: str) -> dict[str, Any]:
        """As `rialto register` writes it, with one namespace for every bot whose name starts with the slot's."""
        users = user_namespaces(server_name, self.sender_localpart, ())
        users.append({"exclusive": True, "regex": f"^@{self.name}_.*:{server_name}$"})
        aliases = [{"exclusive": True, "regex": f"^#{self.sender_localpart}_.*:{server_name}$"}]
        return {
            "id": f"rialto-{self.name}",
            "url": self.url,
            "as_token": self.as_token,
            "hs_token": self.hs_token,
            "sender_localpart": self.sender_localpart,
            "rate_limited": False,
            "receive_ephemeral": True,
            "namespaces": {"users": users, "aliases": aliases, "rooms": []},
        }


class Server(Synapse):
    """The Synapse under test: it hands out registrations, and people."""

    def __init__(self, settings: SynapseSettings, python: Path, slots: list[Slot]) -> None:
        super().__init__(settings, python)
        self._slots = slots
        self.admin_token = ""

    def take_slot(self) -> Slot:
        """A registration that nobody used yet in this run; its port is free from now on."""
        assert self._slots, f"more than {SLOTS} Rialtos in one run: raise SLOTS in tests/support/servers.py"
        slot = self._slots.pop(0)
        slot.holder.close()
        return slot

    async def make_administrator(self) -> None:
        """Make the administrator whose token Rialtos get."""
        account = await self.register("administrator", admin=True)
        local = LocalAccount(account.user_id, account.password)
        async with aiohttp.ClientSession() as session:
            self.admin_token = await log_in(session, self.url, local)

    async def new_account(self, name: str = "human") -> Account:
        """A new user whose localpart starts with ``name``."""
        return await self.register(f"{name}_{secrets.token_hex(4)}")

    async def human(self, name: str, store: Path) -> Human:
        """A new user, logged in and syncing; the caller closes it."""
        account = await self.new_account(name)
        return await Human.log_in(self.url, account.user_id, account.password, store)

    def everything_written(self) -> bytes:
        """All bytes of the database files, for looking for plaintext that must not be there."""
        return b"".join(
            path.read_bytes() for path in sorted(self.settings.folder.glob("homeserver.db*")) if path.is_file()
        )


@asynccontextmanager
async def running_synapse(
    folder: Path, *, slots: int = SLOTS, server_name: str = "localhost", port: int = 0, **extra: Any
) -> AsyncIterator[Server]:
    """A Synapse in ``folder`` with ``slots`` registrations, stopped at the end.

    ``port``: where its clients come; 0: any that is free. ``extra``: keys of homeserver.yaml.
    """
    python = await ensure_environment(progress=print)
    made = [Slot.make(number) for number in range(slots)]
    paths = []
    for slot in made:
        paths.append(folder / f"registration-{slot.name}.yaml")
        write_registration(paths[-1], slot.registration(server_name))
    settings = SynapseSettings(
        folder=folder / "synapse",
        port=port or free_port(),
        server_name=server_name,
        registrations=paths,
        bcrypt_rounds=4,
        extra=extra,
    )
    write_synapse(settings)
    server = Server(settings, python, made)
    await server.start()
    try:
        await server.make_administrator()
        yield server
    finally:
        await server.stop()
        for slot in made:
            slot.holder.close()


class RialtoProcess:
    """``rialto run`` as a process of its own, on a real homeserver."""

    def __init__(
        self,
        server: Synapse,
        slot: Slot,
        folder: Path,
        bots: Sequence[str] = ("hub", "echo"),
        database: str = "sqlite:///rialto.db",
        overrides: Mapping[str, Any] | None = None,
        *,
        forked: bool = False,
    ) -> None:
        """
        Args:
            forked: start quickly, see :mod:`tests.support.forking`; not where a start itself is measured.
        """
        self.server = server
        self.slot = slot
        self.folder = folder
        self.database_url = database
        self.health = f"http://127.0.0.1:{free_port()}"
        self.config_path = folder / "config.yaml"
        self.log = folder / "rialto.log"
        self._bots = {plugin: f"{slot.name}_{plugin}" for plugin in bots}
        self.config = self._config(dict(overrides or {}))
        folder.mkdir(parents=True, exist_ok=True)
        write_private(self.config_path, to_yaml(self.config))
        self.child = (ForkedChild if forked else Child)(
            f"rialto {slot.name}",
            [sys.executable, "-m", "appservice.cli", "run", "-c", self.config_path],
            self.log,
            cwd=REPOSITORY,
            environ={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def _config(self, overrides: dict[str, Any]) -> dict[str, Any]:
        bots = [
            {"plugin": plugin, "localpart": localpart, "display_name": plugin.title()}
            for plugin, localpart in self._bots.items()
        ]
        config: dict[str, Any] = {
            "homeserver": {
                "url": self.server.url,
                "server_name": self.server.server_name,
                "admin_token": getattr(self.server, "admin_token", ""),
            },
            "appservice": {
                "id": f"rialto-{self.slot.name}",
                "url": self.slot.url,
                "listen": f"127.0.0.1:{self.slot.port}",
                "as_token": self.slot.as_token,
                "hs_token": self.slot.hs_token,
                "sender_localpart": self.slot.sender_localpart,
            },
            "database": {"url": self.database_url},
            "encryption": {"pickle_key": new_token()},
            "bots": bots,
            "logging": {"level": "debug", "format": "json"},
            "metrics": {"listen": self.health.removeprefix("http://")},
        }
        for key, value in overrides.items():
            config[key] = {**config[key], **value} if isinstance(value, dict) and key in config else value
        return config

    def bot(self, plugin: str) -> str:
        """The user id of a bot."""
        return self.server.user_id(self._bots[plugin])

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.child.pid

    async def start(self, timeout: float = READY_TIMEOUT) -> float:
        """Start and wait for /health/ready; the seconds it took. AssertionError with the log's end when it does not."""
        begun = time.monotonic()
        self.child.start()
        await self.wait_ready(timeout)
        return time.monotonic() - begun

    async def wait_ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait for /health/ready."""
        reason = "no answer"
        try:
            async with asyncio.timeout(timeout), aiohttp.ClientSession() as session:
                while True:
                    assert self.child.running, f"rialto ended ({self.child.exit_code}):\n{tail(self.log, 40)}"
                    try:
                        async with session.get(self.health + "/health/ready") as response:
                            if response.status == 200:
                                return
                            reason = await response.text()
                    except aiohttp.ClientError:
                        pass
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not ready in {timeout:g} s ({reason}); the log:\n{tail(self.log, 40)}") from None

    async def stop(self, grace: float = 30) -> int | None:
        """SIGTERM, then wait; the exit code."""
        return await self.child.stop(grace)

    def kill(self) -> None:
        """``kill -9``."""
        self.child.kill()

    async def restart(self, *, kill: bool = False) -> float:
        """Stop (or kill) and start again; the seconds until ready."""
        if kill:
            self.kill()
        else:
            await self.stop()
        return await self.start()

    async def metrics(self) -> str:
        """What /metrics says."""
        async with aiohttp.ClientSession() as session, session.get(self.health + "/metrics") as response:
            return await response.text()

    def everything_written(self) -> bytes:
        """All bytes of its files except the configuration: databases and log (SQLite only)."""
        return b"".join(
            path.read_bytes() for path in self.folder.rglob("*") if path.is_file() and path != self.config_path
        )

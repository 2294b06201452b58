"""The supervisor of a local stack: starts Synapse and Rialto, restarts what crashes, stops both."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from appservice.local.accounts import ensure_admin_token, ensure_people
from appservice.local.environment import Progress
from appservice.local.errors import LocalError, StartFailed
from appservice.local.files import port_is_free, write_private_json
from appservice.local.layout import Layout
from appservice.local.prepare import Prepared
from appservice.local.process import Child, ProcessId, end_process
from appservice.local.synapse import OUTPUT, Synapse, answers

RIALTO_START = 60.0
BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
STEADY = 60.0  # seconds after which a process counts as healthy again
LOG_LIMIT = 20 * 1024 * 1024


@dataclass
class Watched:
    """A process under supervision."""

    name: str
    child: Child
    start: Callable[[], Awaitable[None]]
    restarts: int = 0
    since: float = field(default_factory=time.monotonic)


class Supervisor:
    """Runs the two processes of a prepared stack until it is told to stop. Holds the folder's lock meanwhile."""

    def __init__(self, prepared: Prepared, progress: Progress) -> None:
        self._layout = prepared.layout
        self._config = prepared.config
        self._progress = progress
        self._synapse = Synapse(prepared.synapse, prepared.python)
        grace = prepared.config.engine.grace
        self._grace = grace + 5
        self._rialto = Child(
            "Rialto",
            [sys.executable, "-m", "appservice", "run", "-c", prepared.layout.config],
            prepared.layout.logs / "rialto.log",
            cwd=prepared.layout.data,
            environ=python_environ(),
        )
        self._watched = [
            Watched("synapse", self._synapse.child, self._synapse.start),
            Watched("rialto", self._rialto, self._start_rialto),
        ]

    async def start(self) -> None:
        """End what an earlier supervisor left, then start both. Raises StartFailed; nothing runs then."""
        own = ProcessId.of(os.getpid())
        assert own is not None
        own.write(self._layout.pid_file("supervisor"))
        try:
            self._state("starting")
            await end_leftovers(self._layout)
            self._check_ports()
            for watched in self._watched:
                self._progress(f"starting {watched.child.name}")
                rotate(watched.child.log)
                await self._start(watched)
                if watched.name == "synapse":
                    self._progress("making the accounts")
                    await ensure_people(self._layout, self._synapse.settings, self._progress)
                    await ensure_admin_token(self._layout, self._synapse.settings)
            self._state("running")
        except BaseException as error:
            await self.stop(str(error))
            raise

    async def watch(self, stop: asyncio.Event) -> None:
        """Restart what crashes, until ``stop`` is set."""
        async with asyncio.TaskGroup() as tasks:
            watchers = [tasks.create_task(self._watch(watched)) for watched in self._watched]
            await stop.wait()
            for watcher in watchers:
                watcher.cancel()

    async def stop(self, reason: str = "") -> None:
        """Stop both, Rialto first so that it can finish its sends, and remove the pid files."""
        self._state("stopping")
        await self._rialto.stop(self._grace)
        await self._synapse.stop()
        for name in ("synapse", "rialto", "supervisor"):
            self._layout.pid_file(name).unlink(missing_ok=True)
        self._state("stopped", reason)

    async def _start(self, watched: Watched) -> None:
        await watched.start()
        watched.since = time.monotonic()
        if watched.child.pid is not None and (process := ProcessId.of(watched.child.pid)) is not None:
            process.write(self._layout.pid_file(watched.name))

    async def _start_rialto(self) -> None:
        self._rialto.start()
        try:
            await self._rialto_ready()
        except BaseException:  # nothing may outlive a failed or cancelled start
            await self._rialto.stop(self._grace)
            raise

    async def _rialto_ready(self) -> None:
        try:
            async with asyncio.timeout(RIALTO_START), aiohttp.ClientSession() as session:
                while True:
                    self._rialto.check()
                    if await rialto_ready(session, self._config.metrics.enabled, self._ready_url()):
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StartFailed(f"Rialto was not ready within {RIALTO_START:g} s; see {self._rialto.log}") from None

    def _ready_url(self) -> str:
        if self._config.metrics.enabled:
            return f"http://{self._config.metrics.listen}/health/ready"
        return f"http://{self._config.appservice.listen}/"

    async def _watch(self, watched: Watched) -> None:
        failures = 0
        while True:
            while watched.child.running:
                await asyncio.sleep(0.25)
                rotate(watched.child.log)
            if time.monotonic() - watched.since > STEADY:
                failures = 0
            wait = BACKOFF[min(failures, len(BACKOFF) - 1)]
            failures += 1
            watched.restarts += 1
            self._progress(
                f"{watched.child.name} ended with exit code {watched.child.exit_code}; starting it again in {wait:g} s"
            )
            self._state("degraded")
            await asyncio.sleep(wait)
            with contextlib.suppress(LocalError):  # seen by the next turn: it does not run
                await self._start(watched)
                self._progress(f"{watched.child.name} runs again")
            self._state("running" if all(other.child.running for other in self._watched) else "degraded")

    def _check_ports(self) -> None:
        addresses = {
            f"homeserver.url in {self._layout.config}": ("127.0.0.1", self._synapse.settings.port),
            f"appservice.listen in {self._layout.config}": _address(self._config.appservice.listen),
        }
        if self._config.metrics.enabled:
            addresses[f"metrics.listen in {self._layout.config}"] = _address(self._config.metrics.listen)
        for key, (host, port) in addresses.items():
            if not port_is_free(port, host):
                raise StartFailed(
                    f"another program listens on {host}:{port} ({key}): stop it, or choose another port "
                    f"(of the homeserver: in {self._synapse.settings.folder / 'homeserver.yaml'} too)"
                )

    def _state(self, phase: str, reason: str = "") -> None:
        processes = {
            watched.name: {"pid": watched.child.pid, "restarts": watched.restarts} for watched in self._watched
        }
        state: dict[str, Any] = {"phase": phase, "reason": reason, "supervisor": os.getpid(), "processes": processes}
        write_private_json(self._layout.state, state)


async def rialto_ready(session: aiohttp.ClientSession, has_health: bool, url: str) -> bool:
    """Whether Rialto is ready; without the health listener, whether its main listener answers anything at all."""
    if has_health:
        return await answers(session, url)
    try:
        async with session.get(url):
            return True
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def end_leftovers(layout: Layout) -> None:
    """End the processes of a supervisor that was killed, if the pid files still name the very same processes."""
    for name in ("rialto", "synapse"):
        path = layout.pid_file(name)
        if (process := ProcessId.read(path)) is not None:
            await end_process(process, 20)
        path.unlink(missing_ok=True)


def rotate(log: Path, limit: int = LOG_LIMIT) -> None:
    """Keep a log that a process appends to below ``limit`` bytes: its content moves to ``.1``, the file is emptied."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > limit:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def python_environ() -> dict[str, str]:
    """The environment of a Python process that imports the same Rialto as we do, installed or not."""
    path = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in path if part), "PYTHONUNBUFFERED": "1"}


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def log_files(layout: Layout) -> dict[str, list[Path]]:
    """The logs of each process: (prefix, files)."""
    return {
        "rialto": [layout.logs / "rialto.log"],
        "synapse": [layout.synapse / "homeserver.log", layout.synapse / OUTPUT],
        "supervisor": [layout.logs / "supervisor.log"],
    }

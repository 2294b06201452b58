"""What a local stack is doing, seen from outside: ``rialto status`` and ``rialto down``."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

from appservice.config import load_config
from appservice.local.errors import LocalError
from appservice.local.files import read_json
from appservice.local.layout import AlreadyRunning, Layout
from appservice.local.process import ProcessId, end_process
from appservice.local.supervisor import end_leftovers, rialto_ready
from appservice.local.synapse import VERSIONS, answers


@dataclass(frozen=True)
class ProcessStatus:
    """One of the two processes."""

    name: str
    url: str
    pid: int | None
    answers: bool
    restarts: int


@dataclass(frozen=True)
class Status:
    """The local stack. ``phase``: absent, stopped, starting, running, degraded, stopping."""

    data: str
    phase: str
    supervisor: int | None
    processes: tuple[ProcessStatus, ...] = ()
    bots: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether somebody can chat now."""
        return bool(self.processes) and all(process.pid and process.answers for process in self.processes)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "ready": self.ready}


async def status(layout: Layout) -> Status:
    """Ask the processes. Raises ConfigError when the configuration is broken."""
    if not layout.config.exists():
        return Status(str(layout.data), "absent", None)
    config = load_config(layout.config)
    supervisor = ProcessId.read(layout.pid_file("supervisor"))
    state = read_json(layout.state)
    state = state if isinstance(state, dict) else {}
    health = f"http://{config.metrics.listen}/health/ready"
    listener = f"http://{config.appservice.listen}/"
    async with aiohttp.ClientSession() as session:
        synapse_answers, ready = await asyncio.gather(
            answers(session, config.homeserver.url + VERSIONS),
            rialto_ready(session, config.metrics.enabled, health if config.metrics.enabled else listener),
        )
    processes = []
    for name, url, answering in (
        ("synapse", config.homeserver.url, synapse_answers),
        ("rialto", config.appservice.url, ready),
    ):
        process = ProcessId.read(layout.pid_file(name))
        restarts = int(state.get("processes", {}).get(name, {}).get("restarts", 0))
        pid = None if process is None else process.pid
        processes.append(ProcessStatus(name, url, pid, answering and pid is not None, restarts))
    phase = "stopped" if supervisor is None else str(state.get("phase", "starting"))
    bots = tuple(f"@{bot.localpart}:{config.homeserver.server_name}" for bot in config.users if bot.enabled)
    return Status(str(layout.data), phase, None if supervisor is None else supervisor.pid, tuple(processes), bots)


async def down(layout: Layout, grace: float = 60) -> bool:
    """Stop the stack: the supervisor, which stops its processes, and whatever a killed one left. Whether it ran.

    Raises LocalError when it cannot be stopped.
    """
    if not layout.lock.exists():
        return False
    supervisor = ProcessId.read(layout.pid_file("supervisor"))
    if supervisor is not None:
        await end_process(supervisor, grace)
    left = any(ProcessId.read(layout.pid_file(name)) is not None for name in ("rialto", "synapse"))
    try:
        with layout.locked():
            await end_leftovers(layout)
            layout.pid_file("supervisor").unlink(missing_ok=True)
    except AlreadyRunning:
        raise LocalError(f"somebody is starting the stack in {layout.data} just now; try again") from None
    return left or supervisor is not None

"""The real service as a process under test: its configuration, start, kill, and what it cost."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self, cast

import psutil  # type: ignore[import-untyped]  # it ships no types
from ruamel.yaml import YAML

from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_http import HttpClient
from tests.support.forking import RIALTO, nursery

ROOT = Path(__file__).parents[2]
PICKLE_KEY = "a pickle key that only tests use"  # nothing real is locked with it


def free_port() -> int:
    """A port of 127.0.0.1 that the kernel says is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_config(
    folder: Path,
    homeserver: FakeHomeserver,
    *,
    database: str | None = None,
    bots: Sequence[tuple[str, str]] = (("echo", "echo"),),
    health_port: int | None = None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write ``config.yaml`` into the folder, for the service that the homeserver pushes to.

    Args:
        database: a url; SQLite in the folder by default.
        bots: (plugin, localpart) of each.
        health_port: where /metrics and /health are served; nowhere by default.
        sections: merged in.
    """
    address = f"127.0.0.1:{homeserver.appservice_port}"
    config: dict[str, Any] = {
        "homeserver": {"url": homeserver.url, "server_name": homeserver.server_name},
        "appservice": {
            "id": homeserver.service_id,
            "url": f"http://{address}",
            "listen": address,
            "as_token": homeserver.as_token,
            "hs_token": homeserver.hs_token,
        },
        "database": {"url": database or f"sqlite:///{folder / 'rialto.db'}"},
        "encryption": {"pickle_key": PICKLE_KEY},
        "bots": [
            {"plugin": plugin, "name": localpart, "localpart": localpart, "display_name": localpart.title()}
            for plugin, localpart in bots
        ],
        "logging": {"level": "warning", "format": "json"},
        "metrics": {"enabled": health_port is not None, "listen": f"127.0.0.1:{health_port or free_port()}"},
    }
    for name, values in (sections or {}).items():
        config[name] = config.get(name, {}) | dict(values)
    path = folder / "config.yaml"
    YAML().dump(config, path)
    path.chmod(0o600)
    return path


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In the child, before it becomes the service: the kernel kills it when the test process ends, however it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its children used: CPU seconds since their start, peak resident bytes."""

    cpu: float
    peak_rss: int


def usage(pid: int) -> Usage:
    """CPU seconds so far and the peak of resident memory (VmHWM) of a process with its children."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    cpu, peak = 0.0, 0
    for member in family:
        times = member.cpu_times()
        cpu += times.user + times.system
        status = Path(f"/proc/{member.pid}/status").read_text()
        peak += int(status.split("VmHWM:")[1].split()[0]) * 1024
    return Usage(cpu, peak)


@dataclass(slots=True)
class ServiceProcess:
    """A service as a child process in its own group; as a context manager it never outlives the block."""

    arguments: Sequence[str]
    log_path: Path
    environment: dict[str, str] = field(default_factory=dict)
    health_port: int | None = None
    forked: bool = False
    """Start quickly, see :mod:`tests.support.forking`; not where a start itself is measured."""
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = None

    @classmethod
    def rialto(
        cls,
        folder: Path,
        homeserver: FakeHomeserver,
        *,
        health_port: int | None = None,
        forked: bool = False,
        **options: Any,
    ) -> Self:
        """`rialto run` with a configuration of its own in the folder; ``options`` as of :func:`write_config`."""
        config = write_config(folder, homeserver, health_port=health_port, **options)
        arguments = [sys.executable, "-m", "appservice.cli", "run", "-c", str(config)]
        return cls(arguments, folder / "service.log", health_port=health_port, forked=forked)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process id; the service must be running."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; it must not be running."""
        assert not self.running
        self._log = self.log_path.open("ab")
        environ = os.environ | {"PYTHONPATH": str(ROOT)} | self.environment
        self._process = self._forked(environ) if self.forked else None
        if self._process is None:
            self._process = subprocess.Popen(
                self.arguments,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # it takes no lock, so threads do not matter
            )
        self.starts += 1

    def _forked(self, environ: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
        made = nursery(self.arguments)
        if made is None or self._log is None:
            return None
        arguments = self.arguments[len(RIALTO) :]
        fork = made.start(arguments, self._log, cwd=ROOT, environ=environ, death=signal.SIGKILL)
        return cast("subprocess.Popen[bytes]", fork)

    async def start_ready(self, homeserver: FakeHomeserver, seconds: float = 20) -> None:
        """Start, and wait until the service made the homeserver ping it, which is the last step of its start."""
        pings = homeserver.pings
        self.start()
        await self.wait_until(lambda: homeserver.pings > pings, seconds, "a start-up ping")

    async def readiness(self) -> tuple[int, str]:
        """Status and words of /health/ready; status 0 when nobody answers."""
        assert self.health_port is not None
        client = HttpClient(self.health_port)
        try:
            status, body = await client.request("GET", "/health/ready", b"", None, 2)
            return status, body.decode()
        except (OSError, EOFError):
            return 0, ""
        finally:
            client.close()

    async def wait_readiness(self, wanted: Callable[[int, str], bool], seconds: float, what: str) -> None:
        """Wait until /health/ready answers so, while the process lives. Raises as :meth:`wait_until`."""
        async with asyncio.timeout(seconds):
            while not wanted(*await self.readiness()):
                if not self.running:
                    raise RuntimeError(f"the service ended before {what}:\n{self.log_tail()}")
                await asyncio.sleep(0.005)

    async def wait_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition while the process lives. Raises ``TimeoutError``, or ``RuntimeError`` on its end."""
        async with asyncio.timeout(seconds):
            while not condition():
                if not self.running:
                    raise RuntimeError(f"the service ended before {what}:\n{self.log_tail()}")
                await asyncio.sleep(0.005)

    def kill(self) -> None:
        """``kill -9`` for the process and its children. Harmless when it does not run."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    async def wait_exit(self, seconds: float) -> int:
        """Wait for the end; returns the exit code (negative: a signal)."""
        assert self._process is not None
        async with asyncio.timeout(seconds):
            while (code := self._process.poll()) is None:
                await asyncio.sleep(0.01)
            return code

    def log_text(self) -> str:
        """Everything the service wrote."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = 30) -> str:
        """The end of what the service wrote."""
        return "\n".join(self.log_text().splitlines()[-lines:])

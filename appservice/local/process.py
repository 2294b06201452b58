"""Processes that we start: their own session, never orphans, and pid files that cannot point at a stranger.

A pid alone says nothing: the kernel reuses them. A pid file therefore holds the process's start time too,
and a process is ours only when both match.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appservice.local.errors import LocalError, StartFailed
from appservice.local.files import read_json, write_private_json

POLL = 0.05
PR_SET_PDEATHSIG = 1  # prctl(2)


def start_time(pid: int) -> str | None:
    """When process ``pid`` started, in a form that is only good for comparing; None when there is no such process.

    Zombies count as ended. Source: proc(5), field 22 of /proc/PID/stat; ``ps -o lstart`` where there is no /proc.
    """
    if pid <= 0:
        return None
    if Path("/proc/self/stat").exists():
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()  # the command name before it may hold spaces and parentheses
        return None if fields[0] in "ZX" else fields[19]
    answer = subprocess.run(
        ["/bin/ps", "-o", "state=", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


@dataclass(frozen=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The identity of the running process ``pid``; None when there is none."""
        started = start_time(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def read(cls, path: Path) -> ProcessId | None:
        """The process that the pid file names, if it is still the one that wrote it; a stale file gives None."""
        value = read_json(path)
        if not isinstance(value, dict) or not isinstance(value.get("pid"), int):
            return None
        found = cls(value["pid"], str(value.get("started")))
        return found if found.alive() else None

    def write(self, path: Path) -> None:
        """Write the pid file."""
        write_private_json(path, {"pid": self.pid, "started": self.started})

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, if it still runs."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


async def wait_gone(process: ProcessId, timeout: float) -> bool:
    """Wait until ``process`` has ended, at most ``timeout`` seconds; whether it has."""
    deadline = asyncio.get_running_loop().time() + timeout
    while process.alive():
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(POLL)
    return True


async def end_process(process: ProcessId, grace: float) -> None:
    """SIGTERM, and SIGKILL when ``grace`` seconds did not suffice. Raises LocalError when even that did not help."""
    process.signal(signal.SIGTERM)
    if await wait_gone(process, grace):
        return
    process.signal(signal.SIGKILL)
    if not await wait_gone(process, 10):
        raise LocalError(f"process {process.pid} does not end, not even by SIGKILL", pid=process.pid)


def tail(path: Path, lines: int = 15, *, since: int = 0) -> str:
    """The last lines of a text file, of what stands after byte ``since``; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(since, path.stat().st_size - 64 * 1024))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


class Child:
    """A process of ours: its own session (Ctrl-C in the terminal reaches us alone), ended by the kernel when we die.

    Standard output and errors are appended to ``log``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._cwd = cwd
        self._environ = environ
        self._begin = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the process runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended: its code, or minus the signal's number; None while it runs or before it started."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the process. Raises LocalError when it runs already or its program is not there."""
        if self.running:
            raise LocalError(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._begin = output.tell()
            try:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=self._cwd,
                    env=None if self._environ is None else dict(self._environ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_DieWithParent() if sys.platform == "linux" else None,  # noqa: PLW1509 - one C call
                )
            except OSError as error:
                raise LocalError(f"cannot start {self.name}: {error}") from error

    def check(self) -> None:
        """Raise StartFailed with the end of the log when the process has ended."""
        if not self.running:
            raise StartFailed(
                f"{self.name} ended with exit code {self.exit_code}; the end of {self.log}:\n"
                + tail(self.log, since=self._begin),
                process=self.name,
                exit_code=self.exit_code,
            )

    async def wait(self) -> int:
        """Wait until the process ends; its exit code."""
        process = self._started()
        while (code := process.poll()) is None:  # noqa: ASYNC110 - a process sets no asyncio.Event
            await asyncio.sleep(POLL)
        return code

    async def stop(self, grace: float = 20) -> int | None:
        """SIGTERM, and SIGKILL to the group after ``grace`` seconds; the exit code, None when never started."""
        if self._process is None:
            return None
        process = self._process
        if process.poll() is None:
            process.terminate()
            try:
                async with asyncio.timeout(grace):
                    await self.wait()
            except TimeoutError:
                self._kill_group(process)
            except asyncio.CancelledError:
                self._kill_group(process)
                raise
        return await self.wait()

    def kill(self) -> None:
        """``kill -9`` now, and reap."""
        process = self._started()
        if process.poll() is None:
            self._kill_group(process)
        process.wait(10)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LocalError(f"{self.name} was never started")
        return self._process

    @staticmethod
    def _kill_group(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # start_new_session: the group's id is the child's pid


class _DieWithParent:
    """Runs in the child before exec: the kernel ends it by SIGTERM when the thread that started it ends (prctl(2))."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)  # loaded in the parent: loading after fork can deadlock

    def __call__(self) -> None:
        self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

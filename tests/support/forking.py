"""Services as forks of a process that has loaded Rialto's code: a start costs what it does, not what it imports.

Loading the code takes most of a start, and touches nothing that could be lost. The forks are processes like any other:
their own session, files and sockets, killed by ``kill -9``, and ended by the kernel when the test process ends. The
first service of a test process is always ``rialto run`` as an operator starts it.
"""

from __future__ import annotations

import array
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, cast

from appservice.local.errors import LocalError
from appservice.local.process import PR_SET_PDEATHSIG, Child

ROOT: Final = Path(__file__).parents[2]
RIALTO: Final = (sys.executable, "-m", "appservice.cli")
"""How the commands begin that can be forks."""
MOST: Final = 1 << 20
"""Bytes of a request: the environment is in it."""
START_S: Final = 60.0
LOADED: Final = (
    "appservice.cli",
    "appservice.log",
    "appservice.main",
    "appservice.postgres",
    "bots.bills",
    "bots.echo",
    "bots.framework.rights",
    "bots.hub",
    "bots.hub.appeal_page",
    "bots.hub.join_page",
    "bots.payments.approvals",
    "bots.payments.rights_bridge",
    "bots.payments.treasury",
    "bots.wallet",
    "bots.wallet.means",
    "bots.wallet.payees",
    "bots.wallet.safety",
    "bots.commerce.page.app",
    "bots.commerce.rights",
    "bridge.api.embedding",
    "uvloop",
)
LOOKED_AT: Final = ("bills", "echo", "food", "hub", "shop", "wallet")
"""Plugins. Not rides, which loads numpy: its threads do not come along into a fork."""


class Fork:
    """A fork that runs a command; as :class:`subprocess.Popen` as far as tests use it."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    @property
    def returncode(self) -> int | None:
        """As :meth:`poll` without looking."""
        return self._nursery.ended.get(self.pid)

    def poll(self) -> int | None:
        """The exit code, minus the number of the signal; None while it runs."""
        if self.returncode is None:
            self._nursery.look(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises ``TimeoutExpired``."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("a fork", timeout or 0)
            self._nursery.look(0.1)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)


class Nursery:
    """The process that forks."""

    def __init__(self) -> None:
        self.ended: dict[int, int] = {}
        """Exit codes by process id."""
        self._born: int | None = None
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Its end is the end of the forks, and the end of this socket is its own.
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.forking", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def start(
        self, arguments: Sequence[str], log: IO[bytes], *, cwd: Path | None, environ: Mapping[str, str], death: int
    ) -> Fork:
        """Run ``rialto`` with these arguments in a fork. ``death``: the signal that it gets when this process ends."""
        request = {
            "arguments": list(arguments),
            "cwd": str(cwd or Path.cwd()),
            "environ": dict(environ),
            "death": death,
        }
        self._born = None
        socket.send_fds(self._socket, [json.dumps(request).encode()], [log.fileno()])
        deadline = time.monotonic() + START_S
        while self._born is None:
            if time.monotonic() > deadline:
                raise LocalError(f"nothing was forked in {START_S:g} s")
            self.look(1)
        self.ended.pop(self._born, None)  # of an earlier process with this id
        return Fork(self, self._born)

    def look(self, seconds: float) -> None:
        """Take in what is said, and wait for it at most so long."""
        while select.select([self._socket], [], [], seconds)[0]:
            said = self._socket.recv(4096)
            if not said:
                raise LocalError("the process that forks services has ended")
            kind, pid, value = json.loads(said)
            if kind == "born":
                self._born = pid
            else:
                self.ended[pid] = value
            seconds = 0


_started: list[Nursery] = []


def nursery(command: Sequence[str]) -> Nursery | None:
    """The nursery for a command; None when the command is to be started as it stands."""
    if tuple(command[: len(RIALTO)]) != RIALTO or sys.platform != "linux":
        return None
    if not _started:
        _started.append(Nursery())  # loads while the first service starts
        return None
    return _started[0]


class ForkedChild(Child):
    """A child that is a fork, wherever that is possible."""

    def start(self) -> None:
        """Start the process. Raises LocalError when it runs already."""
        made = nursery(self._command)
        if made is None:
            super().start()
            return
        if self.running:
            raise LocalError(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environ = os.environ if self._environ is None else self._environ
        with self.log.open("ab") as output:
            self._begin = output.tell()
            arguments = self._command[len(RIALTO) :]
            fork = made.start(arguments, output, cwd=self._cwd, environ=environ, death=signal.SIGTERM)
        self._process = cast("subprocess.Popen[bytes]", fork)


# In the nursery


def _wait_for(requests: socket.socket, woken: int) -> tuple[dict[str, Any], int] | None:
    """The next request and its file; None at the end. Tells meanwhile how forks end."""
    while True:
        ready = select.select([requests.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _tell_ends(requests)
        if requests.fileno() in ready:
            said, ancillary, _, _ = requests.recvmsg(MOST, socket.CMSG_SPACE(array.array("i", [0]).itemsize))
            if not said:
                return None
            files = array.array("i")
            files.frombytes(ancillary[0][2])
            return json.loads(said), files[0]


def _tell_ends(requests: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        requests.send(json.dumps(("ended", pid, os.waitstatus_to_exitcode(status))).encode())


def _become(request: dict[str, Any], log: int, libc: ctypes.CDLL) -> None:
    """In the fork: what a process of its own would be born with."""
    os.setsid()
    libc.prctl(PR_SET_PDEATHSIG, request["death"], 0, 0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(file, place)
    os.close(nothing)
    os.close(log)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.argv = ["rialto", *request["arguments"]]


def _serve(number: int) -> bool:
    """Fork for every request. True in a fork, False at the end of the nursery."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    requests = socket.socket(fileno=number)
    while (request := _wait_for(requests, woken)) is not None:
        told, tell = os.pipe()
        pid = os.fork()
        if not pid:
            requests.close()
            _become(*request, libc)
            for end in (woken, wake, told):
                os.close(end)
            os.write(tell, b"1")
            os.close(tell)
            return True
        os.close(request[1])
        os.close(tell)
        os.read(told, 1)  # it has its session: whoever kills the group kills it
        os.close(told)
        requests.send(json.dumps(("born", pid, 0)).encode())
    return False


def _look_at_plugins() -> None:
    """What a start finds out about each plugin that comes with Rialto, once: the forks' code is the same."""
    from bots.framework import discovery

    look = vars(discovery)["load_built_in"] = cache(discovery.load_built_in)
    for name in LOOKED_AT:
        look(name, discovery.BUILT_IN[name])


def main() -> None:
    """Entry point of the nursery."""
    for name in LOADED:
        importlib.import_module(name)
    _look_at_plugins()
    gc.collect()
    gc.freeze()
    if _serve(int(sys.argv[1])):
        from appservice.cli import main as rialto

        sys.exit(rialto(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""``rialto up`` as a person has it: a real homeserver and service, from nothing, and everything around them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
import sysconfig
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appservice.local.files import PRIVATE, choose_port
from appservice.local.process import ProcessId
from tests.support.servers import REPOSITORY

LIBRARIES = sysconfig.get_paths()["platlib"]

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Stack:
    """The command line on one data folder."""

    data: Path

    async def rialto(self, *arguments: str, stdin: str = "", timeout: float = 120) -> Answer:
        """Run a command to its end."""
        process = await self.start(*arguments)
        async with asyncio.timeout(timeout):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Answer(process.returncode, out.decode(), err.decode())

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RIALTO_")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "appservice", *arguments, "--data", str(self.data)),
            cwd=REPOSITORY,
            env={**environ, "PYTHONPATH": LIBRARIES},  # which must not reach Synapse
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def status(self) -> tuple[int, dict[str, Any]]:
        """``status --json``."""
        answer = await self.rialto("status", "--json")
        return answer.code, json.loads(answer.out)

    async def pid(self, name: str) -> int:
        """The pid of ``synapse`` or ``rialto``."""
        _, status = await self.status()
        return int({process["name"]: process["pid"] for process in status["processes"]}[name])

    async def until_ready(self, timeout: float = 60) -> dict[str, Any]:
        """Wait until ``status`` says that all is ready."""
        async with asyncio.timeout(timeout):
            while True:
                code, status = await self.status()
                if code == 0:
                    return status
                await asyncio.sleep(0.2)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A data folder of the test's own; whatever runs in it is stopped at the end."""
    stack = Stack(tmp_path / "data")
    yield stack
    await stack.rialto("down")


async def test_the_whole_life_of_a_stack(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    code, status = await stack.status()
    assert (code, status["phase"]) == (3, "absent")

    first = await timed(stack, "up", "--detach")
    assert first.answer.code == 0, first.answer.err
    accounts = json.loads((stack.data / "accounts.json").read_text())
    for name in ("alice", "bob"):
        assert accounts[name]["password"] in first.answer.out
    for name in ("config.yaml", "registration.yaml", "accounts.json", "synapse/homeserver.yaml", "synapse/signing.key"):
        assert stat.S_IMODE((stack.data / name).stat().st_mode) == PRIVATE, name

    code, status = await stack.status()
    assert (code, status["ready"], status["phase"]) == (0, True, "running")

    synapse = Path(f"/proc/{await stack.pid('synapse')}/maps").read_text()
    assert f"{LIBRARIES}/" not in synapse, "our libraries in Synapse's process"

    talk = await stack.rialto("chat", stdin="help\n")
    assert (talk.code, talk.err) == (0, "")
    assert "services" in talk.out

    again = await stack.rialto("up", "--detach")
    assert again.code == 0
    assert "runs already" in again.out
    assert accounts["alice"]["password"] not in again.out, "a password is shown once"

    for command in (["check"], ["doctor"], ["inbox", "list"], ["user", "list"]):
        answer = await stack.rialto(*command, "--json")
        assert answer.code == 0, (command, answer)
        json.loads(answer.out)

    logs = await stack.rialto("logs", "-n", "3")
    assert {"rialto", "synapse"} <= {line.split(" | ")[0].strip() for line in logs.out.splitlines()}

    ended = await stack.rialto("user", "deactivate", "bob")
    assert ended.code == 0, ended
    assert (await stack.rialto("chat", "--as", "bob", stdin="help\n")).code == 2, "bob is no more"
    assert (await stack.rialto("down")).code == 0
    code, status = await stack.status()
    assert (code, status["phase"]) == (3, "stopped")
    talk = await stack.rialto("chat", stdin="help\n")
    assert talk.code == 3
    assert "`rialto up` starts it" in talk.err

    second = await timed(stack, "up", "--detach")
    assert second.answer.code == 0, second.answer.err
    assert second.seconds < 60, "far from the 10 s that a second start may take, even on a busy machine"
    demo = await stack.rialto("chat", "--demo")
    assert (demo.code, demo.err) == (0, ""), demo
    assert "Hello" not in demo.out, "the same chat goes on after a restart: no second greeting"
    assert "@_rialto:localhost invited you to Rialto" in demo.out
    assert "1. Echo" in demo.out
    assert demo.out.count("good morning") == demo.out.count("good night") == 2, "what is said, and its echo"
    with capsys.disabled():
        sys.stdout.write(f"[first up {first.seconds:.1f} s, second {second.seconds:.1f} s] ")


@dataclass(frozen=True)
class Timed:
    """A command and how long it took."""

    answer: Answer
    seconds: float


async def timed(stack: Stack, *arguments: str) -> Timed:
    """Run a command and measure."""
    begun = time.monotonic()
    answer = await stack.rialto(*arguments)
    return Timed(answer, time.monotonic() - begun)


async def test_what_crashes_is_started_again(stack: Stack) -> None:
    up = await stack.rialto("up", "--detach")
    assert up.code == 0, up.err
    before = await stack.pid("rialto")
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(60):
        while True:
            status = await stack.until_ready()
            rialto = next(process for process in status["processes"] if process["name"] == "rialto")
            if rialto["pid"] != before:
                break
            await asyncio.sleep(0.1)
    assert rialto["restarts"] == 1
    assert "ended with exit code -9" in (await stack.rialto("logs", "supervisor")).out


async def test_a_killed_supervisor_leaves_nothing_behind(stack: Stack) -> None:
    up = await stack.rialto("up", "--detach")
    assert up.code == 0, up.err
    _, status = await stack.status()
    children = [ProcessId.of(process["pid"]) for process in status["processes"]]
    os.kill(status["supervisor"], signal.SIGKILL)
    async with asyncio.timeout(40):
        while any(child is not None and child.alive() for child in children):
            await asyncio.sleep(0.1)
    again = await stack.rialto("up", "--detach")
    assert again.code == 0, again.err
    await stack.until_ready()


async def test_ctrl_c_stops_everything(stack: Stack) -> None:
    process = await stack.start("up")
    try:
        await stack.until_ready(90)
        _, status = await stack.status()
        children = [ProcessId.of(each["pid"]) for each in status["processes"]]
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(40):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert "Ctrl-C stops everything" in out.decode()
        assert all(child is not None and not child.alive() for child in children)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_first_run_that_was_cut_off_is_finished_by_the_next(stack: Stack) -> None:
    process = await stack.start("up")
    async with asyncio.timeout(60):
        while not (stack.data / "accounts.json").exists():  # written before the homeserver hears of the account
            assert process.returncode is None
            await asyncio.sleep(0.005)
    process.kill()
    await process.wait()
    up = await stack.rialto("up", "--detach")
    assert up.code == 0, up.err
    accounts = json.loads((stack.data / "accounts.json").read_text())
    assert all(accounts[name]["made"] for name in ("alice", "bob"))
    assert accounts["bob"]["password"] in up.out
    talk = await stack.rialto("chat", "--as", "bob", stdin="help\n")
    assert talk.code == 0, talk


async def test_a_lost_configuration_is_not_replaced_by_one_that_cannot_read_the_keys(stack: Stack) -> None:
    stack.data.mkdir()
    (stack.data / "rialto.db").touch()
    up = await stack.rialto("up", "--detach")
    assert up.code == 1
    assert "bring config.yaml back" in up.err
    assert "Traceback" not in up.err


async def test_taken_ports_are_avoided_on_the_first_run_and_named_later(stack: Stack) -> None:
    up = await stack.rialto("up", "--detach")
    assert up.code == 0, up.err
    await stack.rialto("down")
    _, status = await stack.status()
    port = int(status["processes"][0]["url"].rpartition(":")[2])
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    try:
        assert choose_port(port, set()) != port
        up = await stack.rialto("up", "--detach")
        assert up.code == 1
        assert f"another program listens on 127.0.0.1:{port}" in up.err
    finally:
        server.close()
        await server.wait_closed()

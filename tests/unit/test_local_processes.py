"""Processes, pid files, ports and private files of the local stack."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from appservice.local.errors import LocalError, StartFailed
from appservice.local.files import (
    choose_port,
    free_port,
    is_private,
    port_is_free,
    read_json,
    write_private,
    write_private_json,
)
from appservice.local.layout import AlreadyRunning, Layout
from appservice.local.logs import Growing, last_lines, prefixed
from appservice.local.process import Child, ProcessId, end_process, start_time, tail
from appservice.local.supervisor import end_leftovers, rotate

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def child(tmp_path: Path, code: str, name: str = "program") -> Child:
    """A Python process that runs ``code``."""
    return Child(name, [sys.executable, "-c", code], tmp_path / f"{name}.log")


async def until_written(path: Path, text: str) -> None:
    """Wait until ``text`` stands in the file."""
    async with asyncio.timeout(20):
        while text not in tail(path):
            await asyncio.sleep(0.02)


async def test_a_child_is_stopped_and_its_end_is_known(tmp_path: Path) -> None:
    process = child(tmp_path, SLEEP)
    assert process.pid is None
    process.start()
    assert process.running
    with pytest.raises(LocalError, match="runs already"):
        process.start()
    await until_written(process.log, "up")
    assert await process.stop(20) == -15
    assert not process.running


async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    process = child(tmp_path, STUBBORN)
    process.start()
    await until_written(process.log, "up")
    assert await process.stop(0.3) == -9


async def test_stopping_what_never_started_is_nothing(tmp_path: Path) -> None:
    assert await child(tmp_path, SLEEP).stop() is None


async def test_a_child_that_ended_says_why(tmp_path: Path) -> None:
    process = child(tmp_path, "import sys; print('the reason'); sys.exit(7)")
    process.start()
    assert await process.wait() == 7
    with pytest.raises(StartFailed, match=r"(?s)exit code 7.*the reason"):
        process.check()
    again = child(tmp_path, "import sys; sys.exit(8)")
    again.start()
    await again.wait()
    with pytest.raises(StartFailed, match="exit code 8") as failed:
        again.check()
    assert "the reason" not in failed.value.human, "that was said by an earlier run"


def test_a_program_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    missing = Child("nothing", [tmp_path / "nothing"], tmp_path / "log")
    with pytest.raises(LocalError, match="cannot start nothing"):
        missing.start()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import time, pathlib; from appservice.local.process import Child; import sys\n"
        f"child = Child('inner', [sys.executable, '-c', {SLEEP!r}], pathlib.Path({str(tmp_path / 'inner.log')!r}))\n"
        "child.start(); print(child.pid, flush=True); time.sleep(600)"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    inner = ProcessId.of(int(await parent.stdout.readline()))
    assert inner is not None
    await until_written(tmp_path / "inner.log", "up")
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(20):
        while inner.alive():
            await asyncio.sleep(0.02)


async def test_a_pid_file_names_only_the_process_that_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    own = ProcessId.of(os.getpid())
    assert own is not None
    own.write(path)
    assert ProcessId.read(path) == own
    # The same pid with another start time: the kernel has given it to a stranger.
    write_private_json(path, {"pid": os.getpid(), "started": "1"})
    assert ProcessId.read(path) is None


@pytest.mark.parametrize("content", ["", "12", "[]", '{"pid": "12"}', '{"pid": true', "\xff"])
def test_a_broken_pid_file_is_stale(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.pid"
    path.write_bytes(content.encode("latin-1"))
    assert ProcessId.read(path) is None


def test_a_zombie_counts_as_ended(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, but not reaped
        assert start_time(process.pid) is None
    finally:
        process.wait()


async def test_leftovers_are_ended_but_strangers_are_not(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    ours, stranger = child(tmp_path, SLEEP, "ours"), child(tmp_path, SLEEP, "stranger")
    for process in (ours, stranger):
        process.start()
    try:
        assert ours.pid is not None
        assert stranger.pid is not None
        identity = ProcessId.of(ours.pid)
        assert identity is not None
        identity.write(layout.pid_file("rialto"))
        write_private_json(layout.pid_file("synapse"), {"pid": stranger.pid, "started": "0"})
        await end_leftovers(layout)
        assert not ours.running
        assert stranger.running
        assert not layout.pid_file("rialto").exists()
        assert not layout.pid_file("synapse").exists()
    finally:
        await ours.stop()
        await stranger.stop()


async def test_ending_a_process_that_is_gone_is_nothing(tmp_path: Path) -> None:
    process = child(tmp_path, SLEEP)
    process.start()
    assert process.pid is not None
    identity = ProcessId.of(process.pid)
    assert identity is not None
    process.kill()
    await end_process(identity, 1)


def test_private_files_are_private_from_their_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    old = os.umask(0)
    try:
        write_private(path, "one")
        write_private(path, "two")
    finally:
        os.umask(old)
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_private(path)
    assert [each.name for each in tmp_path.iterdir()] == ["secret"], "no scratch file stays"
    path.chmod(0o640)
    assert not is_private(path)


def test_json_that_was_cut_off_reads_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) is None
    path.write_text('{"a": ')
    assert read_json(path) is None
    path.write_text(json.dumps({"a": 1}))
    assert read_json(path) == {"a": 1}


def test_a_taken_port_is_left_to_whom_has_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not port_is_free(port)
        chosen: set[int] = set()
        other = choose_port(port, chosen)
        assert other != port
        assert chosen == {other}
    free = free_port()
    assert choose_port(free, {other}) == free
    assert choose_port(free, {free}) != free


def test_two_stacks_in_one_folder_exclude_each_other(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "data")
    with layout.locked(), pytest.raises(AlreadyRunning), layout.locked():
        pass
    with layout.locked():
        pass


def test_logs_are_followed_across_rotation(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")
    growing = Growing(log, from_end=True)
    assert growing.lines() == []
    with log.open("a") as file:
        file.write("one\ntw")
    assert growing.lines() == ["one"]
    with log.open("a") as file:
        file.write("o\n")
    assert growing.lines() == ["two"]
    rotate(log, limit=1)
    assert (tmp_path / "a.log.1").read_text() == "old\none\ntwo\n"
    with log.open("a") as file:
        file.write("3\n")
    assert growing.lines() == ["3"]
    log.unlink()
    assert growing.lines() == []


def test_the_ends_of_the_logs_carry_their_process(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"{number}\n" for number in range(100)))
    files = {"rialto": [log, tmp_path / "none.log"]}
    assert list(last_lines(files, 2)) == [prefixed("rialto", "98"), prefixed("rialto", "99")]
    assert list(last_lines(files, 0)) == []

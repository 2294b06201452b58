"""The homeserver, the database and the disk fail for a while: afterwards nothing is lost, repeated or out of order."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.chaos.world import World, world
from tests.conftest import unavailable
from tests.support.service_process import free_port

pytestmark = pytest.mark.timeout(120)


async def _refused_and_not_accepted(place: World) -> None:
    """While the store cannot be written a transaction is refused, and none is answered 200, except the one whose
    answer was under way when the fault began."""
    homeserver = place.homeserver
    place.say(100)
    accepted, refused = homeserver.transactions, homeserver.redelivered
    await homeserver.wait_for(
        lambda: homeserver.transactions > accepted + 1 or homeserver.redelivered > refused, 30, "a refusal"
    )
    assert homeserver.transactions <= accepted + 1, "transactions were accepted that could not be stored"


@pytest.mark.parametrize("kind", ["refused", "503", "502"])
async def test_homeserver_outage(tmp_path: Path, kind: str) -> None:
    async with world(tmp_path) as place:
        async with place.load():
            for _ in range(2):
                await place.answers_more(150)
                if kind == "refused":
                    await place.homeserver.go_down()
                    await place.outage_noticed()
                    await place.homeserver.come_back()
                else:
                    place.homeserver.faults.status = int(kind)
                    await place.refused_more(40)
                    place.homeserver.faults.status = 0
            await place.answers_more(150)
        await place.settle()


@pytest.mark.parametrize("how", ["abandon", "forget"])
async def test_homeserver_stopped_before_it_pushed_what_it_had(tmp_path: Path, how: str) -> None:
    """Synapse, stopped at that moment, never pushes it: a transaction that it has stored, for it holds the service to
    be up, or events that it has queued in memory. Measured with 1.163.2. The service has to ask."""
    async with world(tmp_path) as place:
        place.say(20)
        await place.homeserver.wait_all(20)
        for _ in range(3):
            place.say(20)
            await place.homeserver.go_down(**{how: True})
            await place.outage_noticed()
            await place.homeserver.come_back()
            place.say(20)
            await place.homeserver.wait_all(20)
        await place.settle()


async def test_rate_limit_storm(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        place.homeserver.faults.limit_every = 2
        place.homeserver.faults.retry_after_ms = 20
        place.say(400)
        await place.homeserver.wait_answers(400, 60)
        place.homeserver.faults.limit_every = 0
        await place.settle()


async def test_lost_answers_and_lost_acknowledgements(tmp_path: Path) -> None:
    """Every third send is stored without an answer, every third transaction comes twice."""
    async with world(tmp_path) as place:
        place.homeserver.faults.lose_every = 3
        place.homeserver.faults.drop_ack_every = 3
        for _ in range(10):
            place.say(100)
            await place.homeserver.wait_all(30)
        report = place.homeserver.report()
        assert report.recognised_resends > 100, report
        assert report.redelivered > 3, report
        await place.settle()


KILL = pytest.mark.parametrize("kill", [False, True], ids=["alive", "killed"])
"""Whether the service is killed before the fault ends: then whatever it had accepted in memory only would be lost."""


@KILL
async def test_sqlite_file_locked_by_another_process(tmp_path: Path, kill: bool) -> None:
    async with world(tmp_path) as place:
        async with place.load():
            await place.answers_more(200)
            lock = sqlite3.connect(tmp_path / "rialto.db", timeout=10, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
            try:
                await _refused_and_not_accepted(place)
                if kill:
                    place.service.kill()
            finally:
                lock.execute("ROLLBACK")
                lock.close()
            if kill:
                await place.service.start_ready(place.homeserver, 30)
            await place.answers_more(200)
        await place.settle()


async def _refused_twice(place: World) -> None:
    target = place.homeserver.redelivered + 2
    await place.homeserver.wait_for(lambda: place.homeserver.redelivered >= target, 60, "two refusals")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"size=12m") != 0:
        unavailable(f"a tmpfs cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        libc.umount2(bytes(folder), 2)  # MNT_DETACH


@KILL
async def test_disk_full(small_disk: Path, kill: bool) -> None:
    async with world(small_disk) as place:
        async with place.load():
            await place.answers_more(200)
            ballast = small_disk / "ballast"
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            # The log of writes still has room in its file for some more; then nothing more fits.
            await _refused_twice(place)
            if kill:
                place.service.kill()
            ballast.unlink()
            if kill:
                await place.service.start_ready(place.homeserver, 30)
            await place.answers_more(200)
        await place.settle()


async def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """As a quota: every write beyond the present size of the files fails."""
    async with world(tmp_path) as place:
        async with place.load():
            await place.answers_more(200)
            largest = max(path.stat().st_size for path in tmp_path.glob("rialto.db*"))
            _, hard = resource.prlimit(place.service.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(place.service.pid, resource.RLIMIT_FSIZE, (largest // 2, hard))
            await _refused_twice(place)
            resource.prlimit(place.service.pid, resource.RLIMIT_FSIZE, (hard, hard))
            await place.answers_more(200)
        await place.settle()


class PostgresCluster:
    """A PostgreSQL server of this test's own, on a free port of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            unavailable("the PostgreSQL server's programs are not installed")
        self.programs = found[-1].parent
        self._as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    @property
    def url(self) -> str:
        """The maintenance database, which serves as well as any."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """Make the cluster's files."""
        if self._as_postgres:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "postgres", "-N")

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c shared_buffers=16MB"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Stop without a word to the clients, as after a power cut."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_postgres, str(self.programs / program), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{program}: {done.stderr.decode()}"


@pytest.fixture
async def own_postgres() -> AsyncIterator[PostgresCluster]:
    """A running cluster, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="rialto-postgres-") as name:
        cluster = PostgresCluster(Path(name))
        cluster.create()
        cluster.start()
        try:
            yield cluster
        finally:
            with contextlib.suppress(AssertionError):  # it is stopped already when the test failed in between
                cluster.stop()


@KILL
async def test_postgresql_stopped_and_started(tmp_path: Path, own_postgres: PostgresCluster, kill: bool) -> None:
    async with world(tmp_path, database=own_postgres.url) as place:
        async with place.load():
            for _ in range(2):
                await place.answers_more(150)
                own_postgres.stop()
                await _refused_and_not_accepted(place)
                if kill:
                    place.service.kill()
                own_postgres.start()
                if kill:
                    await place.service.start_ready(place.homeserver, 30)
                await place.answers_more(150)
        await place.settle()


async def test_postgresql_connections_cut(tmp_path: Path, postgres_url: str) -> None:
    """Every connection of the service is ended by the server, again and again."""
    async with world(tmp_path, database=postgres_url) as place:
        admin = await asyncpg.connect(postgres_url)
        try:
            async with place.load():
                for _ in range(8):
                    await place.answers_more(100)
                    await admin.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                await place.answers_more(100)
        finally:
            await admin.close()
        await place.settle()

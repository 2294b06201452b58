"""Group commit: one writer takes everything that is ready, of many rooms, and commits it in one transaction.

A job brings rows for a few known bulk statements, and optionally work of its own. Work of its own runs in a savepoint,
so that a job that fails (a refused transfer, a conflict) does not take the others with it; rows are gathered over all
jobs and run as one ``executemany`` each. While one transaction commits, the next batch gathers: the slower the disk,
the larger the batch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from appservice.database import Database, DatabaseError, passing, unavailable
from appservice.metrics import Metrics
from appservice.store.bulk import ORDER, Bulk, Row

log = logging.getLogger(__name__)

MAX_BATCH = 200


class Job:
    """What one caller wants committed.

    Attributes:
        rows: (statement, parameters), run in bulk with those of other jobs.
        work: runs in a savepoint before; its result is the job's. When it raises, the job fails and the others go on.
        lane: jobs of one lane (a room) keep their order even when one fails: those behind it fail too.
    """

    __slots__ = ("done", "lane", "rows", "work")

    def __init__(
        self,
        rows: Iterable[tuple[Bulk, Row]] = (),
        work: Callable[[Connection], Any] | None = None,
        lane: str | None = None,
    ) -> None:
        self.rows = list(rows)
        self.work = work
        self.lane = lane
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Writer:
    """The one writer of a shard's rows."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._jobs: list[Job] = []
        self._urgent: list[Job] = []
        self._broken: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Start to write."""
        self._task = asyncio.create_task(self._run(), name="writer")

    async def stop(self, grace: float = 30) -> None:
        """Write what was submitted, for ``grace`` seconds at most, then end."""
        self._closing = True
        self._wake.set()
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=grace)
        if not self._task.done():
            log.error("the database does not answer; what is not committed is worked at the next start")
            self._task.cancel()

    def submit(self, job: Job, *, urgent: bool = False) -> asyncio.Future[Any]:
        """Queue a job. Jobs are committed in the order of submission.

        Args:
            urgent: commit it before everything that waits: somebody else waits for it.

        Returns:
            A future: the job's result, or what its work raised, or DatabaseError (nothing kept, or outcome unknown).
        """
        if self._closing:
            job.done.set_exception(DatabaseError("the service is stopping"))
            return job.done
        (self._urgent if urgent else self._jobs).append(job)
        self._wake.set()
        return job.done

    def mend(self, lane: str) -> None:
        """A lane's jobs are taken again; every earlier one of it must be settled."""
        self._broken.discard(lane)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._urgent or self._jobs:
                if self._urgent:
                    batch, self._urgent = self._urgent, []
                else:
                    batch, self._jobs = self._jobs[:MAX_BATCH], self._jobs[MAX_BATCH:]
                if self._broken:
                    batch = self._sound(batch)
                if batch:
                    await self._commit(batch)
            if self._closing:
                return

    def _sound(self, batch: Sequence[Job]) -> list[Job]:
        """Those whose lane is not broken; the others fail."""
        for job in batch:
            if job.lane in self._broken and not job.done.done():
                job.done.set_exception(_behind())
        return [job for job in batch if job.lane not in self._broken]

    async def _commit(self, batch: Sequence[Job]) -> None:
        start = time.perf_counter()
        try:
            try:
                outcomes = await self._database.write(lambda connection: _apply(connection, batch))
            except DatabaseError:
                raise
            except Exception:  # noqa: BLE001
                # One of them is refused for what it is: each for itself, so that only that one fails.
                log.warning("a group commit was refused; its %d jobs are tried one by one", len(batch))
                outcomes = await self._database.write(lambda connection: _apply_each(connection, batch))
        except Exception as error:  # whatever it is, the waiting callers must hear of it
            if not isinstance(error, DatabaseError):
                log.exception("a group commit failed")
                error = DatabaseError("a group commit failed", cause=type(error).__name__)
            outcomes = [error] * len(batch)
        finally:
            self._metrics.commit_seconds.observe(time.perf_counter() - start)
            self._metrics.commit_units.observe(len(batch))
        for job, outcome in zip(batch, outcomes, strict=True):
            if job.lane is not None and isinstance(outcome, BaseException):
                self._broken.add(job.lane)
            if job.done.done():  # its caller was cancelled
                continue
            if isinstance(outcome, BaseException):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)


def _apply(connection: Connection, batch: Sequence[Job]) -> list[Any]:
    """All jobs in one transaction. Raises when a bulk statement does: then nothing is kept."""
    outcomes: list[Any] = []
    bulk: dict[Bulk, list[Row]] = {}
    broken: set[str | None] = set()
    for job in batch:
        if job.lane in broken:
            outcomes.append(_behind())
            continue
        outcome = _savepoint(connection, job.work) if job.work is not None else None
        outcomes.append(outcome)
        if isinstance(outcome, Exception):
            if job.lane is not None:
                broken.add(job.lane)
        else:
            for statement, row in job.rows:
                bulk.setdefault(statement, []).append(row)
    _execute(connection, bulk)
    return outcomes


def _apply_each(connection: Connection, batch: Sequence[Job]) -> list[Any]:
    """Every job, with its rows, in a savepoint of its own."""

    def one(job: Job) -> Callable[[Connection], Any]:
        def work(connection: Connection) -> Any:
            result = job.work(connection) if job.work is not None else None
            bulk: dict[Bulk, list[Row]] = {}
            for statement, row in job.rows:
                bulk.setdefault(statement, []).append(row)
            _execute(connection, bulk)
            return result

        return work

    outcomes: list[Any] = []
    broken: set[str | None] = set()
    for job in batch:
        if job.lane in broken:
            outcomes.append(_behind())
            continue
        outcome = _savepoint(connection, one(job))
        outcomes.append(outcome)
        if job.lane is not None and isinstance(outcome, Exception):
            broken.add(job.lane)
    return outcomes


def _behind() -> DatabaseError:
    return DatabaseError("an earlier commit of this room failed")


def _savepoint(connection: Connection, work: Callable[[Connection], Any]) -> Any:
    """The result of ``work``, or the exception it raised, undone."""
    # Not begin_nested(), which compiles its statements anew each time.
    connection.exec_driver_sql("SAVEPOINT unit")
    try:
        result = work(connection)
    except Exception as error:  # any error of this job is this job's alone …
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise  # … but without a connection there is nothing left to go on with
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT unit")
        return unavailable(error) if passing(error) else error
    connection.exec_driver_sql("RELEASE SAVEPOINT unit")
    return result


def _execute(connection: Connection, bulk: Mapping[Bulk, list[Row]]) -> None:
    for statement in ORDER:
        rows = bulk.get(statement)
        if rows:
            statement.run(connection, rows)

"""Gives people a copy of all that is held about them, and forgets them: each asked for once, done whatever happens.

A request is a row: after a crash it goes on. An erasure takes the homeserver first, where every step can be repeated,
and then all tables in one commit, with a random pseudonym in the person's place; so there is no half-erased person in
the database, ever. What late events bring back is swept away for a day after.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.database import INFRASTRUCTURE, Database
from appservice.errors import RialtoError
from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from appservice.sealing import Sealer
from bridge import audit as audits
from bridge.actor import Actor
from bridge.audit import ERASED, Audit, Scribe
from bridge.background import Background
from bridge.chats.plans import checked
from bridge.domain import texts
from bridge.domain.rights import SWEEPS_MS, Kind, Obstacle, State, Step, advance
from bridge.domain.ulids import ENTROPY_BYTES, ulid
from bridge.errors import NotFound, Refused, TooMany
from bridge.notices import Notices
from bridge.rights.parts import Blocked, Part, Progress, Source
from bridge.store import rights as store
from bridge.store.rights import Request

log = logging.getLogger(__name__)

DAY_MS: Final = 86_400_000
RETRY_MS: Final = 30_000
LONGEST_RETRY_MS: Final = 3_600_000
GRACE_MS: Final = 15_000
"""Between asking for an erasure and its begin: whoever was asked says farewell in a chat that is still there."""
PIECE: Final = 256 * 1024
BATCH: Final = 5
OPERATOR: Final = "operator"

if TYPE_CHECKING:
    from bridge.rights.archive import Archive

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[Any]]


Also = Callable[[Connection, Request], None]


def _nothing(_connection: Connection, _request: Request) -> None:
    """Nothing more is to be done in the transaction."""


class ErasureRefused(Refused):
    """Somebody cannot be erased now; ``obstacles`` say why."""

    def __init__(self, obstacles: Sequence[Obstacle]) -> None:
        self.obstacles = tuple(obstacles)
        super().__init__(
            "erasure_refused",
            "\n".join(each.human for each in obstacles),
            obstacles=",".join(each.code for each in obstacles),
        )


class RightsService:
    """Exports and erases. Areas :meth:`register` what they hold."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        notices: Notices,
        raise_events: RaiseEvents,
        sealer: Sealer,
        clock: Clock,
        *,
        service_users: Collection[str] = (),
        archive_days: int = 7,
        exports_per_day: int = 3,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        Args:
            sealer: for archives, and for who is being erased.
            service_users: the bots and the steward, who are nobody.
        """
        self._database = database
        self._audit = audit
        self._note = Scribe(audit, clock)
        self._notices = notices
        self._raise_events = raise_events
        self._sealer = sealer
        self._clock = clock
        self._service_users = frozenset(service_users)
        self._archive_days = archive_days
        self._exports_per_day = exports_per_day
        self._random = random
        self._parts: dict[str, Part] = {}
        self._sources: dict[str, Source] = {}
        self._blocked: list[Blocked] = []
        self._busy = asyncio.Lock()
        self.background = Background("rights", clock, self.run_due, self._upcoming)

    def register(self, part: Part, blocked: Blocked | None = None) -> None:
        """Add a part.

        Args:
            blocked: says what has to end before somebody can be erased.
        """
        if part.name in self._parts or part.name in self._sources:
            raise ValueError(f"{part.name} is registered already")
        self._parts[part.name] = part
        if blocked is not None:
            self._blocked.append(blocked)

    def register_source(self, source: Source) -> None:
        """Add a place that is not our database. Sources are erased in the order in which they came."""
        if source.name in self._parts or source.name in self._sources:
            raise ValueError(f"{source.name} is registered already")
        self._sources[source.name] = source

    def add_obstacle(self, blocked: Blocked) -> None:
        """One more reason why somebody may not be erased: a legal hold, money."""
        self._blocked.append(blocked)

    # A copy

    async def export(self, person: str, progress: Progress | None = None, by: Actor | None = None) -> bytes:
        """All that is held about a person, as a zip file. Each part is read in a transaction of its own.

        Args:
            by: who has it made, if it is not the person.

        Raises:
            ExportTooLarge: it does not fit.
            HomeserverError: the homeserver is away.
        """
        from bridge.rights.archive import Archive  # compression takes memory, and is seldom needed

        person = self._person(person)
        archive = Archive(person, self._clock.now_ms())
        total = len(self._parts) + len(self._sources)
        tell = progress or (lambda _done, _total, _what: None)
        done = 0
        for part in self._parts.values():
            tell(done, total, part.name)
            found = await self._database.read(lambda connection, part=part: _collect(part, connection, person, archive))  # type: ignore[misc]
            await asyncio.to_thread(_write, archive, found)
            done += 1
        for source in self._sources.values():
            tell(done, total, source.name)
            async for name, content in source.export(person):
                data = json.dumps(content)
                archive.admit(name, len(data))
                await asyncio.to_thread(archive.add, name, data)
            done += 1
        tell(done, total, "")
        made = await asyncio.to_thread(archive.close)
        actor = person if by is None else by.name
        await self._database.write(lambda connection: self._note(connection, actor, "rights.export", person))
        return made

    async def start_export(self, person: str, by: Actor | None = None, also: Also = _nothing) -> Request:
        """Have an archive made in the background; the person is told when it is there (``export.ready``). While one is
        being made it is that one.

        Args:
            by: who asks, if it is not the person.
            also: done in the same transaction, with the request.

        Raises:
            TooMany: who asks had several of them today.
        """
        person = self._person(person)
        now = self._clock.now_ms()
        request = Request(
            ulid(now, self._random(ENTROPY_BYTES)),
            person,
            Kind.EXPORT,
            State.WAITING,
            person if by is None else by.name,
            now,
            due_at=now,
        )

        def work(connection: Connection) -> Request:
            open_one = store.last(connection, person, Kind.EXPORT)
            if open_one is not None and open_one.state in {State.WAITING, State.RUNNING}:
                also(connection, open_one)
                return open_one
            since = now - DAY_MS
            # Who asks for others uses up what is theirs, and not the person's own.
            if store.count_since(connection, person, Kind.EXPORT, request.asked_by, since) >= self._exports_per_day:
                raise TooMany("too_many_exports", "That is enough for today. Ask again tomorrow.", retry_after=3_600)
            store.add(connection, request)
            also(connection, request)
            self._note(connection, request.asked_by, "rights.ask", person, "export")
            return request

        made = await self._database.write(work)
        self.background.wake()
        return made

    async def status(self, person: str, kind: Kind = Kind.EXPORT) -> Request | None:
        """The last request of a person: how far it is."""
        return await self._database.read(lambda connection: store.last(connection, person, kind))

    async def get(self, request_id: str) -> Request | None:
        """A request by its id: how far it is. Of an erasure that is done the person is a pseudonym."""
        return await self._database.read(lambda connection: store.get(connection, request_id))

    async def archive(self, person: str, request_id: str) -> bytes:
        """A finished archive; kept for some days.

        Raises:
            NotFound: there is none (any more), or it is somebody else's.
        """

        def read(connection: Connection) -> list[bytes] | None:
            found = store.get(connection, request_id)
            if found is None or found.person != person or found.state is not State.DONE or found.size is None:
                return None
            return list(store.pieces(connection, request_id))

        found = await self._database.read(read)
        if found is None:
            raise NotFound("no_archive", "There is no such archive (any more). Ask for a new one.")
        return b"".join(self._sealer.open(piece, f"archive:{request_id}:{seq}") for seq, piece in enumerate(found))

    async def _make(self, request: Request) -> None:
        loop = asyncio.get_running_loop()
        writing: set[asyncio.Task[None]] = set()

        def progress(done: int, total: int, what: str) -> None:
            # Shown to whoever asks; nothing depends on it.
            task = loop.create_task(self._change(request.id, done=done, total=total, stage=what))
            writing.add(task)

        try:
            archive = await self.export(request.person, progress)
        finally:
            await asyncio.gather(*writing, return_exceptions=True)
        pieces = [archive[begin : begin + PIECE] for begin in range(0, len(archive), PIECE)]

        def begin(connection: Connection) -> None:
            store.drop_archive(connection, request.id)  # of an attempt that was cut off

        await self._database.write(begin)
        for seq, piece in enumerate(pieces):
            sealed = self._sealer.seal(piece, f"archive:{request.id}:{seq}")
            await self._database.write(
                lambda connection, seq=seq, sealed=sealed: store.add_piece(connection, request.id, seq, sealed)  # type: ignore[misc]
            )
        now = self._clock.now_ms()

        def finish(connection: Connection) -> Iterable[InternalEvent]:
            after = advance(State.RUNNING, Step.END)
            store.change(connection, request.id, state=after, size=len(archive), due_at=None, finished_at=now, stage="")
            values = {"request": request.id, "size": len(archive), "until": now + self._archive_days * DAY_MS}
            return self._notices.event(f"export {request.id}", request.person, "export.ready", values)

        await self._raise_events(finish)

    # To be forgotten

    async def obstacles(self, person: str) -> list[Obstacle]:
        """What has to end before a person can be erased."""
        return await self._database.read(lambda connection: self._obstacles(connection, person))

    def _obstacles(self, connection: Connection, person: str) -> list[Obstacle]:
        return [found for blocked in self._blocked for found in blocked(connection, person)]

    async def erase(self, person: str, by: Actor | None = None, also: Also = _nothing) -> Request:
        """Have a person forgotten, everywhere: begun in some seconds, and not to be taken back. Once.

        Args:
            by: who asks, if it is not the person.
            also: done in the same transaction, with the request.

        Raises:
            ErasureRefused: something has to end before.
        """
        person = self._person(person)
        now = self._clock.now_ms()
        request_id = ulid(now, self._random(ENTROPY_BYTES))
        who = {"person": person, "pseudonym": audits.pseudonym(self._random)}
        request = Request(
            request_id,
            person,
            Kind.ERASE,
            State.WAITING,
            person if by is None else by.name,
            now,
            sealed=self._sealer.seal(json.dumps(who), f"erase:{request_id}"),
            due_at=now + GRACE_MS,
        )

        def work(connection: Connection) -> Request:
            if obstacles := self._obstacles(connection, person):
                raise ErasureRefused(obstacles)
            known = store.last(connection, person, Kind.ERASE)
            if known is not None and known.state in {State.WAITING, State.RUNNING}:
                also(connection, known)
                return known
            store.add(connection, request)
            also(connection, request)
            self._note(connection, request.asked_by, "rights.ask", person, "erase")
            return request

        made = await self._database.write(work)
        self.background.wake()
        return made

    async def _forget(self, request: Request) -> None:
        who = self._who(request)
        person, pseudonym = who["person"], who["pseudonym"]
        obstacles = await self.obstacles(person)
        if obstacles:
            await self._obstructed(request, obstacles)
            return
        problems: list[str] = []
        total = len(self._sources) + 1
        for done, source in enumerate(self._sources.values()):
            await self._change(request.id, done=done, total=total, stage=source.name)
            problems += await source.erase(person)
        now = self._clock.now_ms()

        def work(connection: Connection) -> Sequence[Obstacle]:
            if late := self._obstacles(connection, person):
                return late
            self._erase_all(connection, person, pseudonym)
            after = advance(State.RUNNING, Step.FINISH)
            values = {"done": total, "total": total, "stage": "", "problem": ",".join(problems) or None}
            store.change(connection, request.id, state=after, due_at=now + SWEEPS_MS[0], attempts=0, **values)
            self._audit.erase(connection, person, pseudonym)
            actor = pseudonym if request.asked_by == person else request.asked_by
            details = {"problems": problems}
            self._note(connection, actor, ERASED, pseudonym, details=details)
            return ()

        late = await self._database.write(work)
        if late:
            await self._obstructed(request, late)
        else:
            log.info("somebody was erased", extra={"request": request.id, "problems": problems})

    def _erase_all(self, connection: Connection, person: str, pseudonym: str) -> None:
        for part in self._parts.values():
            part.erase(connection, person, pseudonym)

    async def _obstructed(self, request: Request, obstacles: Sequence[Obstacle]) -> None:
        """It was allowed when it was asked for, and is not any more: a hold came, or money."""
        now = self._clock.now_ms()
        codes = ",".join(each.code for each in obstacles)[:500]

        def work(connection: Connection) -> Iterable[InternalEvent]:
            after = advance(State.RUNNING, Step.FAIL)
            store.change(
                connection, request.id, state=after, problem=codes, due_at=None, finished_at=now, sealed=None, stage=""
            )
            self._note(connection, request.asked_by, "rights.erase_refused", request.person, "refused")
            values = {"reason": "\n".join(each.human for each in obstacles)}
            return self._notices.event(f"erase {request.id}", request.person, "erase.refused", values)

        await self._raise_events(work)

    async def _sweep(self, request: Request) -> None:
        """Erase once more what has come since: departures that the homeserver told of, what was on its way."""
        who = self._who(request)
        for source in self._sources.values():
            await source.erase(who["person"])
        last = request.attempts + 1 >= len(SWEEPS_MS) or "account_open" in (request.problem or "")
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            self._erase_all(connection, who["person"], who["pseudonym"])
            self._audit.erase(connection, who["person"], who["pseudonym"])
            if last:
                after = advance(State.SWEEPING, Step.END)
                store.change(connection, request.id, state=after, due_at=None, finished_at=now, sealed=None)
            else:
                following = now + SWEEPS_MS[request.attempts + 1]
                store.change(connection, request.id, due_at=following, attempts=request.attempts + 1)

        await self._database.write(work)

    def _who(self, request: Request) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._sealer.open(request.sealed or b"", f"erase:{request.id}"))
        return found

    # What goes on by itself

    async def run_due(self) -> int:
        """Go on with what was asked for, one after the other; forget old archives. How much was done."""
        async with self._busy:
            now = self._clock.now_ms()
            done = 0
            for request in await self._database.read(lambda connection: store.due(connection, now, BATCH)):
                await self._go_on(request)
                done += 1
            before = now - self._archive_days * DAY_MS
            for request_id in await self._database.read(lambda it: store.old_archives(it, before, BATCH)):
                await self._database.write(lambda it, which=request_id: store.drop_archive(it, which))  # type: ignore[misc]
                done += 1
            return done

    async def carry_out(self, request_id: str) -> None:
        """Do at once what was asked for, where no service runs that would."""
        async with self._busy:
            request = await self.get(request_id)
            if request is not None and request.state in {State.WAITING, State.RUNNING}:
                await self._go_on(request)

    async def _go_on(self, request: Request) -> None:
        try:
            if request.state is State.SWEEPING:
                await self._sweep(request)
                return
            await self._change(request.id, state=advance(request.state, Step.BEGIN))
            await (self._make(request) if request.kind is Kind.EXPORT else self._forget(request))
        except HomeserverError as error:
            if not error.temporary:
                await self._failed(request, error.code)
                return
            await self._later(request)
            log.warning("a request of a person waits: %s", error, extra={"request": request.id})
        except INFRASTRUCTURE:
            raise
        except RialtoError as error:
            await self._failed(request, error.code)
        except Exception:
            # A defect of one part must not keep others' requests from being done, nor end this one for good.
            log.exception("a request of a person failed", extra={"request": request.id})
            await self._later(request)

    async def _later(self, request: Request) -> None:
        pause = min(RETRY_MS * 2 ** min(request.attempts, 10), LONGEST_RETRY_MS)
        # Of a sweep the attempts are how many there were.
        attempts = request.attempts if request.state is State.SWEEPING else request.attempts + 1
        await self._change(request.id, due_at=self._clock.now_ms() + pause, attempts=attempts)

    async def _failed(self, request: Request, code: str) -> None:
        now = self._clock.now_ms()

        def work(connection: Connection) -> Iterable[InternalEvent]:
            after = advance(State.RUNNING, Step.FAIL)
            store.change(connection, request.id, state=after, problem=code, due_at=None, finished_at=now, stage="")
            what = "export.failed" if request.kind is Kind.EXPORT else "erase.refused"
            return self._notices.event(f"{what} {request.id}", request.person, what, {"reason": code})

        await self._raise_events(work)
        log.warning("a request of a person failed", extra={"request": request.id, "problem": code})

    async def _change(self, request_id: str, **values: Any) -> None:
        await self._database.write(lambda connection: store.change(connection, request_id, **values))

    async def _upcoming(self) -> int | None:
        return await self._database.read(store.next_due)

    def _person(self, person: str) -> str:
        with checked():
            person = texts.user_id(person)
        if person in self._service_users:
            raise Refused("not_a_person", "That is Rialto itself, and nobody.")
        return person


def _collect(part: Part, connection: Connection, person: str, archive: Archive) -> list[tuple[str, bytes]]:
    found = []
    for name, content in part.export(connection, person):
        data = json.dumps(content)
        archive.admit(name, len(data))
        found.append((name, data))
    return found


def _write(archive: Archive, found: list[tuple[str, bytes]]) -> None:
    for name, data in found:
        archive.add(name, data)

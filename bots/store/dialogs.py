"""Dialogs and their journals. What people said and what plugins know of them is sealed on the way in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, or_, select, update

from appservice.errors import RialtoError
from appservice.sealing import Sealer
from appservice.store.tables import OutboxState, outbox
from bots.store.tables import DialogState, dialog_journal, dialog_people, dialogs

ANYBODY = "*"
PARAMETERS = 10_000
"""Of one statement; SQLite and PostgreSQL take about 32,000."""
OPEN = (int(DialogState.RUNNING), int(DialogState.WAITING))


# Made once: to put one together takes longer than to run it.
_ONE = select(dialogs).where(dialogs.c.id == bindparam("dialog_id"))
_ACTIVE = (
    select(dialogs)
    .join(dialog_people, dialog_people.c.dialog_id == dialogs.c.id)
    .where(dialog_people.c.consumer == bindparam("consumer"), dialog_people.c.room_id == bindparam("room_id"))
    .distinct()
    .order_by(dialogs.c.started_at.desc(), dialogs.c.id.desc())
)
_ACTIVE_FOR = _ACTIVE.where(or_(dialog_people.c.user_id == bindparam("person"), dialog_people.c.user_id == ANYBODY))
_JOURNAL = (
    select(dialog_journal)
    .where(dialog_journal.c.dialog_id == bindparam("dialog_id"))
    .order_by(dialog_journal.c.position)
)
_PEOPLE = select(dialog_people.c.user_id).where(dialog_people.c.dialog_id == bindparam("of"))
_PEOPLE_OF = select(dialog_people.c.dialog_id, dialog_people.c.user_id).where(
    dialog_people.c.dialog_id.in_(bindparam("of", expanding=True))
)
_CHANGE = update(dialogs).where(dialogs.c.id == bindparam("dialog_id"), dialogs.c.revision == bindparam("before"))
_MAKE, _ADMIT, _RECORD = insert(dialogs), insert(dialog_people), insert(dialog_journal)
_FORGET_PEOPLE = delete(dialog_people).where(dialog_people.c.dialog_id == bindparam("of"))


class DialogConflict(RialtoError):
    """A dialog was changed by somebody else meanwhile."""

    code = "dialog_conflict"


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry of a journal; ``value`` is JSON."""

    kind: str
    name: str
    value: bytes
    prompt: str | None
    at: int


@dataclass(slots=True)
class DialogRow:
    """One dialog. ``arguments`` and ``waiting`` are JSON; what nobody has looked at yet may lie sealed, as what opens
    it: read :attr:`given` and :attr:`known`.
    """

    id: str
    consumer: str
    room_id: str
    owner: str
    name: str
    version: str
    arguments: bytes | Callable[[], bytes]
    state: DialogState
    cause: str
    started_at: int
    updated_at: int
    people: tuple[str, ...] = ()
    """Who may answer; ``*`` is everybody in the room."""
    prompt: str | None = None
    waiting: bytes | Callable[[], bytes] | None = None
    epoch: int = 0
    entries: int = 0
    size: int = 0
    revision: int = 0
    error: str | None = None
    expires_at: int | None = None

    @property
    def given(self) -> bytes:
        """The arguments.

        Raises:
            SealBroken: they do not open.
        """
        if callable(self.arguments):
            self.arguments = self.arguments()
        return self.arguments

    @property
    def known(self) -> bytes:
        """What the open question knows.

        Raises:
            SealBroken: it does not open.
        """
        if callable(self.waiting):
            self.waiting = self.waiting()
        return self.waiting or b"{}"

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return int(self.state) in OPEN


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit does to a dialog: ``row`` as it is after, with the revision before."""

    row: DialogRow
    first: int
    """Position of the first of ``entries``; what lies at it and behind is replaced."""
    entries: Sequence[EntryRow] = field(default_factory=tuple)
    cut: bool = False
    """Whether there may be something behind ``first`` to remove."""


def save(connection: Connection, sealer: Sealer, change: Change) -> None:
    """Make or change a dialog.

    Raises:
        DialogConflict: it is not at the revision that the change was made from.
    """
    row = change.row
    values = {
        "state": int(row.state),
        "cause": row.cause,
        "prompt": row.prompt,
        "waiting": None if row.waiting is None else sealer.seal(row.known, f"dialog:{row.id}:waiting"),
        "epoch": row.epoch,
        "entries": row.entries,
        "size": row.size,
        "version": row.version,
        "revision": row.revision + 1,
        "error": row.error,
        "updated_at": row.updated_at,
        "expires_at": row.expires_at,
    }
    if row.revision == 0:
        _make(connection, sealer, row, values)
    else:
        before = {"dialog_id": row.id, "before": row.revision}
        if connection.execute(_CHANGE, values | before).rowcount != 1:
            raise DialogConflict("a dialog was changed meanwhile", dialog=row.id)
    if change.cut:
        connection.execute(
            delete(dialog_journal).where(
                dialog_journal.c.dialog_id == row.id, dialog_journal.c.position >= change.first
            )
        )
    if change.entries:
        connection.execute(
            _RECORD,
            [
                {
                    "dialog_id": row.id,
                    "position": position,
                    "kind": entry.kind,
                    "name": entry.name,
                    "value": sealer.seal(entry.value, f"dialog:{row.id}:{position}"),
                    "prompt": entry.prompt,
                    "at": entry.at,
                }
                for position, entry in enumerate(change.entries, change.first)
            ],
        )
    if not row.open:
        connection.execute(_FORGET_PEOPLE, {"of": row.id})


def _make(connection: Connection, sealer: Sealer, row: DialogRow, values: dict[str, object]) -> None:
    fixed = {
        "id": row.id,
        "consumer": row.consumer,
        "room_id": row.room_id,
        "owner": row.owner,
        "name": row.name,
        "arguments": sealer.seal(row.given, f"dialog:{row.id}:arguments"),
        "started_at": row.started_at,
    }
    connection.execute(_MAKE, fixed | values)
    connection.execute(
        _ADMIT,
        [
            {"consumer": row.consumer, "room_id": row.room_id, "user_id": user_id, "dialog_id": row.id}
            for user_id in dict.fromkeys(row.people)
        ],
    )


def active(
    connection: Connection, sealer: Sealer, consumer: str, room_id: str, person: str | None = None
) -> list[DialogRow]:
    """The open dialogs of a room that a person may answer (None: all of the room), the newest first."""
    who = {"consumer": consumer, "room_id": room_id}
    if person is None:
        rows = connection.execute(_ACTIVE, who).mappings().all()
    else:
        rows = connection.execute(_ACTIVE_FOR, {**who, "person": person}).mappings().all()
    answering = _people(connection, [row["id"] for row in rows])
    return [_row(sealer, row, answering.get(row["id"], ())) for row in rows]


def get(connection: Connection, sealer: Sealer, dialog_id: str) -> DialogRow | None:
    """One dialog."""
    row = connection.execute(_ONE, {"dialog_id": dialog_id}).mappings().one_or_none()
    return None if row is None else _row(sealer, row, _people(connection, [dialog_id]).get(dialog_id, ()))


def worked(connection: Connection, consumers: Sequence[str], event_id: str) -> bool:
    """Whether one of these consumers has worked a dialog for an event to an end, its last one so far."""
    query = select(dialogs.c.id).where(
        dialogs.c.consumer.in_(consumers), dialogs.c.cause == event_id, dialogs.c.state != int(DialogState.RUNNING)
    )
    return connection.execute(query.limit(1)).first() is not None


def listed(connection: Connection, sealer: Sealer, *, consumer: str | None, ended: bool, limit: int) -> list[DialogRow]:
    """Dialogs for the operator, those changed last first."""
    query = select(dialogs)
    if consumer is not None:
        query = query.where(dialogs.c.consumer == consumer)
    if not ended:
        query = query.where(dialogs.c.state.in_(OPEN))
    rows = connection.execute(query.order_by(dialogs.c.updated_at.desc()).limit(limit)).mappings().all()
    answering = _people(connection, [row["id"] for row in rows])
    return [_row(sealer, row, answering.get(row["id"], ())) for row in rows]


def journal(connection: Connection, sealer: Sealer, dialog_id: str) -> list[EntryRow]:
    """A dialog's journal, in order."""
    return [
        EntryRow(
            kind=row["kind"],
            name=row["name"],
            value=sealer.open(bytes(row["value"]), f"dialog:{dialog_id}:{row['position']}"),
            prompt=row["prompt"],
            at=row["at"],
        )
        for row in connection.execute(_JOURNAL, {"dialog_id": dialog_id}).mappings()
    ]


def event_ids(connection: Connection, txn_ids: Iterable[str]) -> dict[str, str]:
    """The events that messages of ours became, by transaction id, as far as they are remembered; an empty one of those
    that are still being sent.
    """
    wanted = list(txn_ids)
    if not wanted:
        return {}
    query = select(outbox.c.txn_id, outbox.c.event_id, outbox.c.state).where(outbox.c.txn_id.in_(wanted))
    rows = connection.execute(query).all()
    return {row.txn_id: row.event_id or "" for row in rows if row.event_id or row.state == OutboxState.PENDING}


def purge(connection: Connection, before: int) -> int:
    """Forget dialogs that ended before ``before`` (ms), and their journals; how many."""
    over = select(dialogs.c.id).where(dialogs.c.state.not_in(OPEN), dialogs.c.updated_at < before).limit(1_000)
    ids = list(connection.execute(over).scalars())
    if ids:
        connection.execute(delete(dialog_journal).where(dialog_journal.c.dialog_id.in_(ids)))
        connection.execute(delete(dialogs).where(dialogs.c.id.in_(ids)))
    return len(ids)


def _people(connection: Connection, dialog_ids: Sequence[str]) -> dict[str, list[str]]:
    """Who may answer each of these dialogs."""
    found: dict[str, list[str]] = {}
    if len(dialog_ids) == 1:
        people = connection.execute(_PEOPLE, {"of": dialog_ids[0]}).scalars()
        return {dialog_ids[0]: list(people)}
    for start in range(0, len(dialog_ids), PARAMETERS):
        some = dialog_ids[start : start + PARAMETERS]
        for row in connection.execute(_PEOPLE_OF, {"of": list(some)}):
            found.setdefault(row.dialog_id, []).append(row.user_id)
    return found


def _row(sealer: Sealer, row: RowMapping, people: Iterable[str]) -> DialogRow:
    dialog_id, arguments, waiting = row["id"], bytes(row["arguments"]), row["waiting"]
    return DialogRow(
        id=dialog_id,
        consumer=row["consumer"],
        room_id=row["room_id"],
        owner=row["owner"],
        name=row["name"],
        version=row["version"],
        arguments=lambda: sealer.open(arguments, f"dialog:{dialog_id}:arguments"),
        state=DialogState(row["state"]),
        cause=row["cause"],
        started_at=row["started_at"],
        updated_at=row["updated_at"],
        people=tuple(sorted(people)),
        prompt=row["prompt"],
        waiting=None if waiting is None else lambda: sealer.open(bytes(waiting), f"dialog:{dialog_id}:waiting"),
        epoch=row["epoch"],
        entries=row["entries"],
        size=row["size"],
        revision=row["revision"],
        error=row["error"],
        expires_at=row["expires_at"],
    )

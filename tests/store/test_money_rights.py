"""Money as a part of all that is held about a person: given out with the rest, and erased in the same commit."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from sqlalchemy import Connection

from appservice.database import Database
from appservice.sealing import Sealer
from bots.framework.clock import ManualClock
from bots.payments.rights_bridge import MoneyPart
from bots.store.tables import metadata
from bridge.domain.rights import State
from bridge.notices import Notices
from bridge.rights.engine import AuditPart
from bridge.rights.own import RequestsPart
from bridge.rights.service import ErasureRefused, RightsService
from tests.store.harness import rows
from tests.store.test_rights import ALICE, BOB, Desk


class Office:
    """Rights over the desk's books."""

    def __init__(self, database: Database) -> None:
        self.desk = Desk(database)
        self.clock: ManualClock = self.desk.clock
        self.part = MoneyPart(self.desk.rights)
        self.rights = RightsService(
            database, self.desk.audit, Notices("", ""), self._raise, Sealer("key", "rights"), self.clock
        )
        self.rights.register(self.part, self.part.blocked)
        self.rights.register(RequestsPart())
        self.rights.register(AuditPart(self.desk.audit))
        self._database = database

    async def _raise(self, work: Any) -> None:
        def run(connection: Connection) -> None:
            assert not list(work(connection))

        await self._database.write(run)

    async def erase(self, person: str) -> None:
        await self.rights.erase(person)
        for _ in range(6):
            self.clock.advance(days=1)
            await self.rights.run_due()


@pytest.fixture
async def office(database: Database) -> Office:
    made = Office(database)
    await made.desk.begin()
    return made


async def test_money_is_in_the_archive(office: Office) -> None:
    with zipfile.ZipFile(io.BytesIO(await office.rights.export(ALICE))) as file:
        found = {name: json.loads(file.read(name)) for name in file.namelist() if name.endswith(".json")}
    assert [line["amount"] for line in found["money/ledger/statement.json"]] == ["-30.00", "30.00"]
    assert found["money/guard/movements.json"][0]["counterpart"] == BOB
    assert "payment.confirm" in [each["action"] for each in found["audit/entries.json"]]


async def test_who_has_money_is_not_erased(office: Office) -> None:
    with pytest.raises(ErasureRefused) as caught:
        await office.erase(BOB)
    assert [each.code for each in caught.value.obstacles] == ["rights.balance"]


async def test_who_has_none_is_erased_and_swept_again_and_again(office: Office) -> None:
    await office.erase(ALICE)
    assert ALICE not in repr([await rows(office.desk.database, table) for table in metadata.sorted_tables])
    assert (await office.desk.audit.verify()).whole
    (request,) = await rows(office.desk.database, metadata.tables["rights_requests"])
    assert request["state"] == State.DONE.value
    # Bob's side of the payment stands.
    (account,) = await office.desk.ledger.accounts(BOB)
    assert account.balance.minor == 30_00


async def test_somebody_without_a_wallet_leaves_no_trace_of_one(office: Office) -> None:
    await office.erase("@carol:localhost")
    guard = await rows(office.desk.database, metadata.tables["guard_people"])
    assert not [row for row in guard if str(row["person"]).startswith("erased")]

"""The fake homeserver itself: it must see what a careless service loses, repeats or disorders."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.fake_client_api import Device
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_http import HttpClient, HttpServer, Request

BOT, OTHER, HUMAN = "@echo:localhost", "@other:localhost", "@alice:localhost"


class Stub:
    """An application service that notes transactions and answers as it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.status = 200
        self.server = HttpServer(self._handle)

    def _handle(self, request: Request) -> None:
        if "transactions" in request.path:
            self.seen.append((request.path.rsplit("/", 1)[1], request.json()["events"]))
        request.respond(self.status, {})


class Scene:
    """A homeserver with one room, a stub, and a client that acts for the service."""

    def __init__(self, stub: Stub, homeserver: FakeHomeserver) -> None:
        self.stub, self.homeserver = stub, homeserver
        self.client = HttpClient(homeserver.port)
        self.room = homeserver.add_room([HUMAN, BOT, OTHER]).room_id
        for user in (BOT, OTHER):
            homeserver.api.account(user).devices["D"] = Device("D")

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request with the service's token."""
        status, answer = await self.client.request(
            method, path, json.dumps(body or {}).encode(), self.homeserver.as_token
        )
        return status, json.loads(answer)

    async def send(self, txn_id: str, body: str, user: str = BOT, device: str | None = "D") -> tuple[int, Any]:
        """Send a text as a bot."""
        query = f"?user_id={user}" + (f"&device_id={device}" if device else "")
        path = f"/_matrix/client/v3/rooms/{self.room}/send/m.room.message/{txn_id}{query}"
        return await self.call("PUT", path, {"msgtype": "m.text", "body": body})


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    stub = Stub()
    await stub.server.open()
    homeserver = FakeHomeserver(appservice_port=stub.server.port, backoff=30, backoff_max=30)
    await homeserver.start()
    made = Scene(stub, homeserver)
    try:
        yield made
    finally:
        made.client.close()
        await homeserver.stop()
        await stub.server.close()


async def test_a_send_is_recognised_per_device_for_ever(scene: Scene) -> None:
    _, first = await scene.send("t1", "a")
    assert (await scene.send("t1", "a"))[1] == first
    await scene.homeserver.go_down()
    await scene.homeserver.come_back()
    assert (await scene.send("t1", "a"))[1] == first
    assert len(scene.homeserver.record.sent) == 1
    assert scene.homeserver.report().recognised_resends == 2


async def test_without_a_device_a_restart_repeats(scene: Scene) -> None:
    scene.homeserver.say(scene.room, "a")
    _, first = await scene.send("t1", "a", device=None)
    assert (await scene.send("t1", "a", device=None))[1] == first
    await scene.homeserver.go_down()
    await scene.homeserver.come_back()
    assert (await scene.send("t1", "a", device=None))[1] != first
    assert scene.homeserver.report().repeated == 1


async def test_two_bots_with_one_transaction_id_collide(scene: Scene) -> None:
    _, first = await scene.send("t1", "a")
    _, second = await scene.send("t1", "b", user=OTHER)
    assert second == first
    assert scene.homeserver.report().collisions == 1


async def test_loss_repetition_and_disorder_are_counted(scene: Scene) -> None:
    for body in ("a", "b", "c", "d"):
        scene.homeserver.say(scene.room, body)
    for txn_id, body in (("1", "b"), ("2", "a"), ("3", "c"), ("4", "c")):
        await scene.send(txn_id, body)
    report = scene.homeserver.report()
    assert (report.lost, report.out_of_order, report.repeated) == (1, 1, 1)
    assert not report.clean
    assert scene.homeserver.record.missing() == ["d"]


async def test_transactions_come_one_at_a_time_with_100_events_and_again_unchanged(scene: Scene) -> None:
    homeserver = scene.homeserver
    scene.stub.status = 500
    for number in range(150):
        homeserver.say(scene.room, f"m{number}")
    await homeserver.wait_for(lambda: homeserver.redelivered == 1, 5, "a refusal")
    scene.stub.status = 200
    await scene.call("POST", "/_matrix/client/v1/appservice/rialto/ping", {"transaction_id": "x"})
    await homeserver.wait_for(lambda: homeserver.accepted == 150, 5, "everything accepted")
    sizes = [(txn_id, len(events)) for txn_id, events in scene.stub.seen]
    assert sizes == [("1", 100), ("1", 100), ("2", 50)]
    assert scene.stub.seen[0] == scene.stub.seen[1]
    assert homeserver.pings == 1


async def test_refusals(scene: Scene) -> None:
    scene.homeserver.faults.limit_every = 1
    status, answer = await scene.send("t", "a")
    assert (status, answer["errcode"], answer["retry_after_ms"]) == (429, "M_LIMIT_EXCEEDED", 50)
    scene.homeserver.faults.limit_every = 0
    assert (await scene.send("t", "a", user="@stranger:localhost", device=None))[0] == 403
    assert (await scene.send("t", "a", device="GONE"))[1]["errcode"] == "M_UNKNOWN_DEVICE"
    assert (await scene.call("GET", "/_matrix/client/v3/nothing"))[1]["errcode"] == "M_UNRECOGNIZED"
    assert (await scene.call("DELETE", "/_matrix/client/v3/joined_rooms"))[0] == 405


async def test_to_device_messages_wait_until_they_are_acknowledged(scene: Scene) -> None:
    who = f"?user_id={BOT}&device_id=D"
    _, first = await scene.call("GET", f"/_matrix/client/v3/sync{who}")
    message = {"messages": {BOT: {"D": {"n": 1}}}}
    await scene.call("PUT", f"/_matrix/client/v3/sendToDevice/m.test/1?user_id={OTHER}", message)
    since = first["next_batch"]
    for _ in range(2):  # unacknowledged: it comes again
        _, got = await scene.call("GET", f"/_matrix/client/v3/sync{who}&since={since}&timeout=1000")
        assert [event["content"] for event in got["to_device"]["events"]] == [{"n": 1}]
    _, after = await scene.call("GET", f"/_matrix/client/v3/sync{who}&since={got['next_batch']}&timeout=20")
    assert "to_device" not in after


async def test_an_abandoned_transaction_comes_only_after_a_failure_and_first(scene: Scene) -> None:
    homeserver = scene.homeserver
    homeserver.say(scene.room, "a")
    await homeserver.go_down(abandon=True)
    await homeserver.come_back()
    homeserver.say(scene.room, "b")
    await homeserver.wait_for(lambda: homeserver.accepted == 1, 5, "the later transaction")
    scene.stub.status = 503
    homeserver.say(scene.room, "c")
    await homeserver.wait_for(lambda: homeserver.redelivered == 1, 5, "a refusal")
    scene.stub.status = 200
    await scene.call("POST", "/_matrix/client/v1/appservice/rialto/ping", {"transaction_id": "x"})
    await homeserver.wait_for(lambda: homeserver.accepted == 3, 5, "all of them")
    assert [txn_id for txn_id, _ in scene.stub.seen] == ["2", "3", "1", "3"]

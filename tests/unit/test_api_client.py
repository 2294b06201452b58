"""The client: what it sends again, and what it makes of answers that are none."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web

from bridge.api.endpoints import PARAMETERS
from bridge.api.models.people import ExportView
from bridge.client import ApiError, RialtoClient
from bridge.client.areas import Area, Retention
from tests.support.api import ApiWorld

PRODUCT = {
    "name": "shop",
    "title": "Shop",
    "key": {"id": "a", "label": "", "scopes": [], "created_at": 1, "expires_at": None},
}
PERSON = {
    "external_id": "ada",
    "user_id": "@a:b",
    "managed": True,
    "display_name": "",
    "created_at": 1,
    "deactivated_at": None,
}


class Server:
    """Answers as told, and keeps what came."""

    def __init__(self) -> None:
        self.answers: list[Callable[[web.Request], Awaitable[web.StreamResponse]] | web.Response] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.pauses: list[float] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.rel_url.raw_path_qs, dict(request.headers), body))
        answer = self.answers.pop(0)
        return answer if isinstance(answer, web.Response) else await answer(request)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def answered(status: int, body: Any, **headers: str) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


def problem(status: int, code: str, **headers: str) -> web.Response:
    return answered(status, {"code": code, "detail": "A sentence.", "status": status}, **headers)


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[RialtoClient]:
    async with RialtoClient(server.url + "/", "a key", sleep=server.sleep) as made:
        yield made


async def test_a_write_is_sent_again_with_the_same_key(server: Server, client: RialtoClient) -> None:
    server.answers = [
        problem(503, "database_unavailable", **{"Retry-After": "7"}),
        hangs_up,
        problem(409, "request_in_progress", **{"Retry-After": "2"}),
        answered(201, PERSON),
    ]
    assert (await client.people.create("ada")).user_id == "@a:b"
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in server.requests}) == 1
    assert len({body for *_, body in server.requests}) == 1
    assert server.pauses == [7, 1, 2]


async def test_each_write_has_a_key_of_its_own_unless_told(server: Server, client: RialtoClient) -> None:
    server.answers = [answered(201, PERSON) for _ in range(3)]
    await client.people.create("ada")
    await client.people.create("ada")
    await client.people.create("ada", key="mine")
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in server.requests]
    assert len(set(keys)) == 3 and keys[2] == "mine"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "x"), (401, "x"), (403, "x"), (404, "x"), (409, "taken"), (422, "x")]
)
async def test_what_is_refused_is_not_sent_again(server: Server, client: RialtoClient, status: int, code: str) -> None:
    server.answers = [problem(status, code)]
    with pytest.raises(ApiError) as refused:
        await client.people.get("ada")
    assert (refused.value.status, refused.value.code, refused.value.detail) == (status, code, "A sentence.")
    assert server.pauses == []


async def test_it_gives_up_in_the_end(server: Server, client: RialtoClient) -> None:
    server.answers = [problem(429, "too_many", **{"Retry-After": "1"}) for _ in range(4)]
    with pytest.raises(ApiError) as refused:
        await client.people.get("ada")
    assert refused.value.code == "too_many" and server.pauses == [1, 1, 1]


async def test_nobody_is_there() -> None:
    async def sleep(_seconds: float) -> None:
        """Not in tests."""

    async with RialtoClient("http://127.0.0.1:1", "k", sleep=sleep) as client:
        with pytest.raises(ApiError) as refused:
            await client.product.get()
    assert (refused.value.status, refused.value.code) == (0, "unreachable")


@pytest.mark.parametrize("body", ["<html>", "[]", '{"error": "busy", "message": "too many"}', ""])
async def test_errors_that_are_no_problems(server: Server, client: RialtoClient, body: str) -> None:
    server.answers = [web.Response(status=418, text=body)]
    with pytest.raises(ApiError) as refused:
        await client.product.get()
    assert refused.value.status == 418


async def test_an_answer_that_makes_no_sense(server: Server, client: RialtoClient) -> None:
    server.answers = [answered(200, {"name": 5})]
    with pytest.raises(ApiError, match="unexpected"):
        await client.product.get()


async def test_ids_are_parts_of_paths_and_nothing_else(server: Server, client: RialtoClient) -> None:
    server.answers = [answered(200, PERSON)]
    await client.people.get("@a/../b?c#d:e")
    assert server.requests[0][1] == "/api/v1/people/%40a%2F..%2Fb%3Fc%23d%3Ae"


async def test_pages_follow_each_other(server: Server, client: RialtoClient) -> None:
    server.answers = [
        answered(200, {"items": [PERSON], "next": "c+1"}),
        answered(200, {"items": [PERSON, PERSON], "next": None}),
    ]
    assert len([person async for person in client.people.all()]) == 3
    assert server.requests[1][1] == "/api/v1/people?limit=200&after=c%2B1"


async def test_the_key_is_not_shown(server: Server, client: RialtoClient) -> None:
    server.answers = [answered(200, PRODUCT)]
    await client.product.get()
    assert server.requests[0][2]["Authorization"] == "Bearer a key"
    assert "a key" not in repr(client) + repr(vars(client))
    async with RialtoClient(server.url) as nobody:
        server.answers = [answered(200, PRODUCT)]
        await nobody.product.get()
    assert "Authorization" not in server.requests[1][2]


SENT: dict[str, Any] = {
    "accept": True, "action": "dismiss", "chat": "01JM3ZK8V4T9N2Q6R7S8T9V0WX", "days": 5, "display_name": "Ada",
    "erasure": "01JM3ZK8V4T9N2Q6R7S8T9V0WX", "event_id": "$event", "events": ["ping"], "external_id": "ada",
    "group": None, "kind": "group", "link": "01JM3ZK8V4T9N2Q6R7S8T9V0WX", "message": "01JM3ZK8V4T9N2Q6R7S8T9V0WX",
    "name": "Tea", "openid_token": "token", "person": "ada", "reason": "why", "report": "01JM3ZK8V4T9N2Q6R7S8T9V0WX",
    "role": "writer", "seconds": 60, "text": "words", "token": "token", "url": "https://example.org/",
    "webhook": "01JM3ZK8V4T9N2Q6R7S8T9V0WX",
}  # fmt: skip
"""What a method is given for each parameter that must be."""
EXPORT = {
    "id": "01JM3ZK8V4T9N2Q6R7S8T9V0WX", "state": "done", "done": 1, "total": 1, "problem": None, "created_at": 1,
    "finished_at": 2, "size": 3, "url": f"https://x/{PARAMETERS['archive'].example}", "url_expires_at": 3,
}  # fmt: skip


async def test_the_client_has_every_operation(server: Server) -> None:
    """Each method asks for an operation that there is, and each operation is asked for by a method."""
    async with ApiWorld() as world, RialtoClient(server.url, "key", attempts=1) as client:

        def pattern(path: str) -> re.Pattern[str]:
            return re.compile(re.sub(r"{(\w+)}", lambda found: f"({PARAMETERS[found[1]].pattern})", path))

        left = {(each.method, pattern(each.path)) for each in world.embedding.api.endpoints}
        wanted = set(left)
        for area in [value for value in vars(client).values() if isinstance(value, Area)]:
            for name, method in inspect.getmembers(area, inspect.ismethod):
                if name.startswith("_"):
                    continue
                for retention_of in ({}, {"chat": SENT["chat"]}) if type(area) is Retention else ({},):
                    seen = len(server.requests)
                    await _called(server, method, **retention_of)
                    for verb, raw, _, _ in server.requests[seen:]:
                        path = unquote(raw.partition("?")[0]).removeprefix("/api/v1")
                        found = {each for each in wanted if each[0] == verb and each[1].fullmatch(path)}
                        assert len(found) == 1, (name, verb, path)
                        left -= found
        assert not left


async def _called(server: Server, method: Any, **more: Any) -> None:
    """Call a method of the client; what it makes of the answer is another matter."""
    parameters = inspect.signature(method).parameters.values()
    values = {each.name: SENT[each.name] for each in parameters if each.default is each.empty and each.name != "export"}
    if "export" in inspect.signature(method).parameters:
        wants_view = "View" in str(inspect.signature(method).parameters["export"].annotation)
        values["export"] = ExportView(**EXPORT) if wants_view else EXPORT["id"]
    values |= {name: value for name, value in more.items() if name in inspect.signature(method).parameters}
    server.answers = [answered(200, EXPORT), problem(404, "nothing")]
    try:
        made = method(**values)
        await (anext(made) if inspect.isasyncgen(made) else made)
    except ApiError:
        return

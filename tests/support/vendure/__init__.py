"""Answers of a real Vendure 3.5.2, and a server that gives them again. ``shop.js`` says how to run the real one."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

ANSWERS = Path(__file__).with_name("answers.json")


def asked(body: dict[str, Any]) -> str:
    """What a question is known by: its name and its variables."""
    name = re.search(r"query (\w+)", body["query"])
    assert name is not None
    return f"{name[1]} {json.dumps(body['variables'], sort_keys=True)}"


@asynccontextmanager
async def replayed() -> AsyncIterator[str]:
    """The URL of a server that gives the recorded answers; a question that was not recorded is refused."""
    answers = json.loads(ANSWERS.read_text())

    async def answer(request: web.Request) -> web.Response:
        assert request.query == {"languageCode": "en", "currencyCode": "USD"}
        body = await request.json()
        return web.json_response(answers.get(asked(body), {"errors": [{"message": "not recorded"}], "data": None}))

    async with serving(answer) as url:
        yield url


@asynccontextmanager
async def recording(real: str) -> AsyncIterator[str]:
    """The URL of a server that asks the real one, and writes down what it answers."""
    answers: dict[str, Any] = {}

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        async with ClientSession() as session, session.post(real, params=request.query, json=body) as response:
            answers[asked(body)] = await response.json()
        return web.json_response(answers[asked(body)])

    async with serving(answer) as url:
        yield url
    ANSWERS.write_text(json.dumps(answers, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


@asynccontextmanager
async def serving(answer: Any, pictures: Any = None) -> AsyncIterator[str]:
    """The URL of a Shop API that one function answers for, and another one for what lies below ``/assets/``."""
    app = web.Application()
    app.router.add_post("/shop-api", answer)
    if pictures is not None:
        app.router.add_get("/assets/{name}", pictures)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/shop-api"))
    finally:
        await server.close()

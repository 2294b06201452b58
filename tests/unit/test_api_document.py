"""The API against its own OpenAPI document: schemathesis asks what the document allows, and what it does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.api import ApiWorld

EXAMPLES = 8
LONGEST_QUERY = 4_000
"""A request line of more than 8 KiB is refused by the HTTP server before it comes to the API."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@dataclass(slots=True)
class Served:
    """The API in a thread of its own: schemathesis blocks."""

    url: str
    key: str
    document: dict[str, Any]
    known: dict[str, str]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    ready: Future[Served] = Future()
    stop: Future[None] = Future()

    async def run() -> None:
        rates = {"reads_per_minute": 1_000_000, "writes_per_minute": 1_000_000}
        async with ApiWorld(api=rates) as world:
            shop = await world.product("shop")

            async def owner(_token: str) -> str | None:
                return None

            world.embedding.people._openid = owner
            # What the paths of examples may find: some of it is there.
            await shop.client.people.create("customer-4711", display_name="Ada")
            chat = await shop.client.chats.create("channel", "News", public=True, external_id="n")
            hook = await shop.client.webhooks.create("https://example.org/", ["ping"])
            message = await shop.client.messages.send(chat.id, "Hello")
            await world.settle()
            await world.embedding.settle()
            sent = await shop.client.messages.get(chat.id, message.id)
            known = {"chat": chat.id, "person": "customer-4711", "webhook": hook.id, "message": message.id}
            known["event"] = sent.event_id or ""
            for name in ("alice", "bob"):
                await world.person(name).joins(chat.room_id)
            known["report"] = (await world.messenger.moderation.report("@bob:world", chat.room_id, "@alice:world")).id
            async with world.session.get(f"{world.url}/api/v1/openapi.json") as response:
                document = await response.json()
            document["servers"] = [{"url": f"{world.url}/api/v1"}]
            ready.set_result(Served(f"{world.url}/api/v1", shop.key, document, known))
            await asyncio.wrap_future(stop)
            world.failures.clear()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    yield ready.result(60)
    stop.set_result(None)
    thread.join(30)


def tried(operation: Any, served: Served, mode: GenerationMode) -> None:
    """Ask for an operation in many ways, and hold each answer against the document."""

    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any, real: bool) -> None:
        if real and operation.method != "delete" and mode is GenerationMode.POSITIVE:
            # What is there, so that more than the way to 404 is tried.
            found = {name: served.known.get(name, value) for name, value in (case.path_parameters or {}).items()}
            case.path_parameters = found
        assume(len(urlencode(case.query or {}, doseq=True)) < LONGEST_QUERY)
        if operation.label == "POST /product/key/rotate":
            case.body = {"overlap": 2_592_000}  # the key of these tests stays good
        case.call_and_validate(headers={"Authorization": f"Bearer {served.key}"}, checks=CHECKS)

    ask()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_as_documented(served: Served, mode: GenerationMode, subtests: pytest.Subtests) -> None:
    schema = schemathesis.openapi.from_dict(served.document)
    schema.config.update(base_url=served.url)
    count = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        count += 1
        with subtests.test(operation.label):
            try:
                tried(operation, served, mode)
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # there is no wrong way to ask for it
    assert count == sum(len(item) for item in served.document["paths"].values())


def test_the_document_is_complete(served: Served) -> None:
    """Every operation has a summary, a tag that is explained, and problems; every reference leads somewhere."""
    document = served.document
    tags = {tag["name"] for tag in document["tags"]}
    names = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"] and set(operation["tags"]) <= tags, (method, path)
            assert {"429", "500", "503"} <= set(operation["responses"])
            names.add(operation["operationId"])
            given = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert given == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            keyed = any(each["name"] == "Idempotency-Key" for each in operation["parameters"])
            assert keyed == (method != "get" and bool(operation["security"]))
    assert len(names) == sum(len(item) for item in document["paths"].values())
    for reference in _references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)

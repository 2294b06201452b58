"""What is kept of a person for embedding products: handed out, and erased."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.sealing import SealBroken, Sealer
from bridge.store import api_requests, product_people
from bridge.store import webhooks as hooks
from bridge.store.api_requests import PURPOSE as REQUESTS
from bridge.store.webhooks import PURPOSE as WEBHOOKS

BATCH: Final = 200
GONE: Final = 410
_ERASED: Final = {
    "type": "urn:rialto:problem:erased",
    "title": "Gone",
    "status": GONE,
    "detail": "What this request came to was about somebody who was erased.",
    "code": "erased",
}


class Part:
    """Products' part of a person's rights."""

    name = "products"

    def __init__(self, pickle_key: str) -> None:
        self._hooks = Sealer(pickle_key, WEBHOOKS)
        self._requests = Sealer(pickle_key, REQUESTS)

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """What products call them. Times in ms."""
        rows = [
            {
                "product": each.product,
                "external_id": each.external_id,
                "display_name": each.display_name,
                "managed": each.managed,
                "created_at": each.created_at,
                "deactivated_at": each.deactivated_at,
            }
            for each in product_people.of_user(connection, person)
        ]
        yield "products/known-as.json", rows

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """No product knows them any more; what waits to be told of them is not, and kept answers say nothing."""
        product_people.forget_user(connection, person)
        self._erase_deliveries(connection, person)
        self._erase_answers(connection, person)

    def _erase_deliveries(self, connection: Connection, person: str) -> None:
        after = 0
        while found := hooks.pending(connection, after, BATCH):
            after = found[-1].seq
            for each in found:
                if _mentions(self._hooks, each.payload, each.id, person):
                    hooks.give_up(connection, each.id, 0, each.created_at)

    def _erase_answers(self, connection: Connection, person: str) -> None:
        after = ("", "")
        while found := api_requests.answered(connection, after, BATCH):
            after = found[-1][:2]
            for product, key, answer in found:
                context = f"{product}\0{key}"
                if _mentions(self._requests, answer, context, person):
                    sealed = self._requests.seal(json.dumps(_ERASED) + b"\n", context)
                    api_requests.settle(connection, product, key, GONE, sealed)


def _mentions(sealer: Sealer, sealed: bytes, context: str, person: str) -> bool:
    try:
        return json.dumps(person) in sealer.open(sealed, context)
    except SealBroken:
        return True  # what cannot be read cannot be told either

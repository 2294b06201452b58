"""What the API is made of: endpoints, and the calls that their handlers get."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel
from sqlalchemy import Connection

from bridge.actor import Actor
from bridge.store.products import Product, ProductKey

B = TypeVar("B")
Q = TypeVar("Q")

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of a path. ``pattern`` is a regular expression that Python and ECMAScript read alike."""

    pattern: str
    description: str
    example: str

    def matches(self, value: str) -> bool:
        """Whether a path may hold this."""
        return re.fullmatch(self.pattern, value) is not None


_ULID: Final = "[0-9A-HJKMNP-TV-Z]{26}"
PARAMETERS: Final[Mapping[str, Parameter]] = {
    "chat": Parameter(
        r"[0-9A-HJKMNP-TV-Z]{26}|![!-.0-9:-~]{1,254}|ext:[A-Za-z0-9][A-Za-z0-9._~:=+-]{0,127}",
        "A chat: its id, the id of its room, or `ext:` and the product's own id of it.",
        "01JM3ZK8V4T9N2Q6R7S8T9V0WX",
    ),
    "person": Parameter(
        r"@[!-.0-9;-~]{1,200}:[A-Za-z0-9.:\[\]-]{1,230}|[A-Za-z0-9][A-Za-z0-9._~:=+-]{0,127}",
        "Somebody: the product's own id of them, or a Matrix user id.",
        "customer-4711",
    ),
    "link": Parameter(r"[A-Za-z0-9_-]{1,128}", "The id of an invite link.", "01JM3ZK8V4T9N2Q6R7S8T9V0WX"),
    "event": Parameter(r"\$[!-.0-9:-~]{1,254}", "The id of an event of the room.", "$abc"),
    "message": Parameter(_ULID, "The id of a message of the product's.", "01JM3ZK8V4T9N2Q6R7S8T9V0WX"),
    "webhook": Parameter(_ULID, "The id of a webhook.", "01JM3ZK8V4T9N2Q6R7S8T9V0WX"),
    "delivery": Parameter("[a-z2-7]{32}", "The id of a delivery.", "a" * 32),
    "report": Parameter(_ULID, "The id of a report.", "01JM3ZK8V4T9N2Q6R7S8T9V0WX"),
    "export": Parameter(_ULID, "The id of an export.", "01JM3ZK8V4T9N2Q6R7S8T9V0WX"),
    "erasure": Parameter(_ULID, "The id of an erasure.", "01JM3ZK8V4T9N2Q6R7S8T9V0WX"),
    "archive": Parameter(
        r"[0-9A-HJKMNP-TV-Z]{26}\.[0-9]{13}\.[A-Za-z0-9_-]{22}",
        "Which archive, until when, and a signature.",
        f"01JM3ZK8V4T9N2Q6R7S8T9V0WX.1767225600000.{'a' * 22}",
    ),
}
"""What stands in braces in paths."""


@dataclass(frozen=True, slots=True)
class Binary:
    """An answer that is no JSON. ``name``: of the file that it is saved as; '': it is to be shown."""

    kind: str
    data: bytes = field(repr=False)
    name: str = ""


def _nothing(_connection: Connection, _answer: BaseModel | None) -> None:
    """There is no key by which the answer could be asked for again."""


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """One request, checked.

    Attributes:
        actor: the product; nobody's for an endpoint without a key.
        params: the parts of the path.
        once: stable for the idempotency key of a write: effects are made with it.
        media: which of the endpoint's content types the answer is to be of.
        done: keeps the answer in the transaction that holds the effect, for a write that knows nothing else to be done
            once by.
    """

    product: Product
    key: ProductKey
    actor: Actor
    params: Mapping[str, str]
    body: B
    query: Q
    once: str
    now: int
    media: str = ""
    done: Callable[[Connection, BaseModel | None], None] = field(default=_nothing, repr=False)


Handler: TypeAlias = Callable[[Call[Any, Any]], Awaitable[BaseModel | Binary | None]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API.

    Attributes:
        name: the operation's id in the OpenAPI document.
        path: below ``/api/v1``; its parameters are in :data:`PARAMETERS`.
        scope: what the key must hold; '' for any key; None: no key is asked for.
        body: model of the request's body, if it has one.
        query: model of the query, if it has one.
        answer: model of the answer; None: 204 without a body, or of ``media``.
        media: content types of an answer that is no JSON, the usual one first; of reads only.
        status: of the answer.
        problems: statuses of problems that it may answer beyond those that every endpoint may.
        keyed: an ``Idempotency-Key`` is a must.
    """

    name: str
    method: str
    path: str
    summary: str
    handler: Handler = field(repr=False)
    tag: str
    scope: str | None
    answer: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    status: int = 200
    problems: tuple[int, ...] = ()
    media: tuple[str, ...] = ()
    description: str = ""

    @property
    def parameters(self) -> list[str]:
        """The names in its path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method in WRITES

    @property
    def keyed(self) -> bool:
        """Whether an idempotency key is a must: where the same request twice is not the same as once."""
        return self.method == "POST" and self.scope is not None

"""What the models share. Times are integers: milliseconds since the epoch, UTC."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from bridge.api.endpoints import PARAMETERS
from bridge.domain.product_names import EXTERNAL_ID

T = TypeVar("T")

# Control characters and surrogates.
_CONTROL: Final = "\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff"
_TURNS: Final = "\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069"
"""Separators of lines and paragraphs, and what turns the direction of all that follows."""
_IN_TEXT: Final = "\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\ud800-\\udfff" + _TURNS
_LINE: Final = re.compile(f"[^{_CONTROL}{_TURNS}]*")
_TEXT: Final = re.compile(f"[^{_IN_TEXT}]*")
LARGEST: Final = 2**53 - 1
"""Integers of JSON that every reader reads alike."""


class Body(BaseModel):
    """What a product sends: nothing but what is known, and of the very type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Query(BaseModel):
    """The query of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class View(BaseModel):
    """What a product is shown."""

    model_config = ConfigDict(frozen=True)


def _line(value: str) -> str:
    if not _LINE.fullmatch(value):
        raise ValueError("must be one line without control characters")
    return value


def _visible(value: str) -> str:
    if not _line(value).strip():
        raise ValueError("must hold more than spaces")
    return value


def _text(value: str) -> str:
    if not _TEXT.fullmatch(value):
        raise ValueError("must hold no control characters")
    return value


def _visible_text(value: str) -> str:
    if not _text(value).strip():
        raise ValueError("must hold more than spaces")
    return value


def line(longest: int, *, blank: bool = False) -> Any:
    """The type of one line of text."""
    anything = f"[^{_CONTROL}{_TURNS}]"
    pattern = f"^{anything}*$" if blank else f"^{anything}*[^{_CONTROL}{_TURNS}\\s]{anything}*$"
    schema: dict[str, Any] = {"type": "string", "maxLength": longest, "pattern": pattern}
    if not blank:
        schema["minLength"] = 1
    bounds = Field(min_length=0 if blank else 1, max_length=longest)
    return Annotated[str, bounds, AfterValidator(_line if blank else _visible), WithJsonSchema(schema)]


def text(longest: int, *, blank: bool = False) -> Any:
    """The type of a text of several lines."""
    anything = f"[^{_IN_TEXT}]"
    pattern = f"^{anything}*$" if blank else f"^{anything}*[^{_IN_TEXT}\\s]{anything}*$"
    schema: dict[str, Any] = {"type": "string", "maxLength": longest, "pattern": pattern}
    if not blank:
        schema["minLength"] = 1
    bounds = Field(min_length=0 if blank else 1, max_length=longest)
    return Annotated[str, bounds, AfterValidator(_text if blank else _visible_text), WithJsonSchema(schema)]


ExternalId = Annotated[str, Field(pattern=f"^{EXTERNAL_ID.pattern}$")]
PersonRef = Annotated[
    str,
    Field(
        pattern=f"^({PARAMETERS['person'].pattern})$",
        description="The product's own id of a person, or a Matrix user id.",
    ),
]
ChatRef = Annotated[
    str,
    Field(
        pattern=f"^({PARAMETERS['chat'].pattern})$",
        description="A chat: its id, the id of its room, or `ext:` and the product's own id of it.",
    ),
]
Mxc = Annotated[str, Field(pattern=r"^mxc://[A-Za-z0-9.:\[\]-]{1,230}/[A-Za-z0-9_-]{1,200}$")]
EventId = Annotated[str, Field(pattern=r"^\$[!-.0-9:-~]{1,254}$")]
Moment = Annotated[int, Field(ge=0, le=LARGEST, description="Milliseconds since the epoch, UTC.")]
Seconds = Annotated[int, Field(ge=1, le=366 * 86_400, description="Seconds.")]
Cursor = Annotated[str, Field(min_length=1, max_length=1_000, description="`next` of the page before.")]


class PageQuery(Query):
    """Where a page begins and how long it is."""

    after: Cursor | None = None
    limit: int = Field(50, ge=1, le=200, description="Items at most.")


class Page(View, Generic[T]):
    """A page of a list."""

    items: list[T]
    next: str | None = Field(None, description="The cursor of the next page; null: this is the last one.")


class Done(View):
    """It is so."""

    done: bool = True

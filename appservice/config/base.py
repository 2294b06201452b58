"""What the models of the configuration share."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"needs http:// or https://, got {value!r}")
    try:
        parts = urlsplit(value)
        port_is_zero = parts.port == 0
    except ValueError:
        raise ValueError(f"needs a URL with a valid host and port, got {value!r}") from None
    if not parts.hostname or port_is_zero or re.search(r"\s", value):
        raise ValueError(f"needs a URL with a valid host and port, got {value!r}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("needs a URL without user, query or fragment")
    return value.rstrip("/")


def _optional_http_url(value: str) -> str:
    return _http_url(value) if value else value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
OptionalHttpUrl = Annotated[str, AfterValidator(_optional_http_url)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

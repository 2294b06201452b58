"""mautrix's client, speaking through Rialto's one HTTP client, always as one bot and its device."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from typing import Any, Protocol, cast

import aiohttp
from mautrix.api import HTTPAPI, Method, PathBuilder
from mautrix.client import Client
from mautrix.errors import MatrixConnectionError, make_request_error
from mautrix.types import (
    CrossSigningKeys,
    DeviceID,
    DeviceKeys,
    QueryKeysResponse,
    SyncToken,
    UnsignedDeviceInfo,
    UserID,
)

from appservice.homeserver import HomeserverError

log = logging.getLogger(__name__)

OLM_KEY = re.compile(r"[A-Za-z0-9+/]{43}")
LONGEST_ID = 255


class Requester(Protocol):
    """The part of :class:`appservice.homeserver.Homeserver` that encryption uses."""

    url: str

    async def request(
        self,
        method: str,
        path: str,
        *,
        user_id: str | None = None,
        device_id: str | None = None,
        query: Mapping[str, str] | None = None,
        body: object | None = None,
        timeout: float | None = None,
    ) -> Any: ...


class Poller(Requester, Protocol):
    """A requester that knows when the homeserver can be reached."""

    async def wait_reachable(self) -> None:
        """Wait until it can be reached."""


class MautrixAPI(HTTPAPI):
    """mautrix's HTTP layer on ours: every request carries ``user_id`` and ``device_id``, and nothing is logged."""

    def __init__(self, homeserver: Requester, user_id: str, device_id: str) -> None:
        super().__init__(
            homeserver.url,
            # Never used: request() goes through `homeserver`. Without one, mautrix would open a session of its own.
            client_session=cast(aiohttp.ClientSession, homeserver),
            as_user_id=UserID(user_id),
            default_retry_count=0,
        )
        self._homeserver = homeserver
        self._device_id = device_id

    async def request(  # type: ignore[override]
        self,
        method: Method,
        path: PathBuilder | str,
        content: Any = None,
        headers: dict[str, str] | None = None,
        query_params: Mapping[str, str] | None = None,
        **_: Any,
    ) -> Any:
        """One request; mautrix's error classes, with the HomeserverError as their cause."""
        body = None if method == Method.GET else content or {}
        try:
            return await self._homeserver.request(
                str(method),
                "/" + str(path).removeprefix("/"),
                user_id=self.as_user_id,
                device_id=self._device_id,
                query={key: str(value) for key, value in (query_params or {}).items() if value is not None},
                body=body,
            )
        except HomeserverError as error:
            if error.status == 0:
                raise MatrixConnectionError(str(error)) from error
            raise make_request_error(error.status, str(error), error.errcode, str(error)) from error

    def get_txn_id(self) -> str:
        """Random: Synapse's cache knows transaction ids by path and service, not by bot."""
        return secrets.token_urlsafe(16)


class BotClient(Client):
    """mautrix's client for one bot's device. Reads what other servers and users wrote with care."""

    async def query_keys(
        self,
        device_keys: Any,
        token: SyncToken = SyncToken(""),  # noqa: B008 - a NewType of str
        timeout: int = 10_000,
    ) -> QueryKeysResponse:
        """``POST /keys/query``; malformed devices and keys are left out, they do not spoil the rest."""
        wanted = device_keys if isinstance(device_keys, dict) else {user_id: [] for user_id in device_keys}
        raw = await self.api.request(
            Method.POST, "_matrix/client/v3/keys/query", {"timeout": timeout, "device_keys": wanted}
        )
        return parse_query(raw, set(wanted))


def parse_query(raw: Any, wanted: set[Any]) -> QueryKeysResponse:
    """The answer of ``/keys/query``, of the ``wanted`` users alone, without its malformed parts."""
    response = QueryKeysResponse()
    if not isinstance(raw, dict):
        return response
    for user_id, devices in _items(raw.get("device_keys")):
        if user_id not in wanted:
            continue
        parsed = response.device_keys[UserID(user_id)] = {}
        for device_id, keys in _items(devices):
            device = _parse(DeviceKeys, keys)
            if device is not None and _sound(device_id, device.ed25519, device.curve25519):
                device.unsigned = UnsignedDeviceInfo()
                parsed[DeviceID(device_id)] = device
    for name in ("master_keys", "self_signing_keys", "user_signing_keys"):
        for user_id, keys in _items(raw.get(name)):
            key = _parse(CrossSigningKeys, keys)
            if user_id in wanted and key is not None and _sound("", key.first_ed25519_key):
                getattr(response, name)[UserID(user_id)] = key
    failures = raw.get("failures")
    response.failures = failures if isinstance(failures, dict) else {}
    return response


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _sound(name: str, *keys: Any) -> bool:
    """Whether a database can hold the name, and the keys look like keys."""
    return (
        len(name) <= LONGEST_ID
        and "\x00" not in name
        and all(isinstance(key, str) and OLM_KEY.fullmatch(key) for key in keys)
    )


def _parse(kind: Any, value: Any) -> Any:
    try:
        return kind.deserialize(value)
    except Exception:  # noqa: BLE001 - what strangers wrote can fail mautrix's parser in any way
        log.debug("left out malformed keys from /keys/query")
        return None

"""Synapse's admin API with an administrator's token: what the application service's own token may not do.

Endpoints: https://element-hq.github.io/synapse/latest/usage/administration/admin_api/. Without a token nothing here is
``available``, and every call says so. Each may be repeated without harm, but for :meth:`Administration.login_token`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from appservice.errors import RialtoError
from appservice.homeserver import Homeserver, HomeserverError, path

ADMIN: Final = "/_synapse/admin"
CONNECTIONS: Final = 8
PAGE: Final = 100
MADE_LATER: Final = "made-by-rialto-up"
"""Stands in a local stack's token file until its homeserver has run: no token, but the file must be there."""


class NoAdministration(RialtoError):
    """``homeserver.admin_token`` is not set, or the homeserver does not take it."""

    code = "no_administration"


@dataclass(frozen=True, slots=True)
class LoginToken:
    """What one device logs in with, once (``m.login.token``)."""

    token: str
    expires_in_ms: int

    def __repr__(self) -> str:
        return "LoginToken(…)"


@dataclass(frozen=True, slots=True)
class Device:
    """A device of an account, as the homeserver knows it.

    Attributes:
        name: what its client calls it; its id when it calls itself nothing.
        seen_at: when it last asked for anything, ms since the epoch; None when the homeserver does not say.
        ip: from where, as the homeserver saw it.
    """

    device_id: str
    name: str
    seen_at: int | None
    ip: str
    user_agent: str

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read one entry of the homeserver's list."""
        device_id, name, seen = str(raw.get("device_id", "")), raw.get("display_name"), raw.get("last_seen_ts")
        return cls(
            device_id,
            name if isinstance(name, str) and name else device_id,
            seen if isinstance(seen, int) and seen > 0 else None,
            str(raw.get("last_seen_ip") or ""),
            str(raw.get("last_seen_user_agent") or ""),
        )


class LoginTokens(Protocol):
    """Who makes login tokens: :class:`appservice.synapse_module.SynapseModule`."""

    async def login_token(self, user_id: str, valid_ms: int) -> str | None:
        """A token; None when nobody there makes them."""


class Administration:
    """The homeserver's administrator. ``start`` and ``stop`` it with the service."""

    def __init__(self, url: str, token: str, *, tokens: LoginTokens | None = None, timeout: float = 30) -> None:
        """
        Args:
            url: base URL of the homeserver; its admin API must be reachable there.
            token: an access token of an administrator's account; '' for none.
            tokens: makes login tokens, when the homeserver has our module.
        """
        self.available = bool(token) and token != MADE_LATER
        """Whether there is a token at all."""
        self._client = Homeserver(url, token, timeout=timeout, connections=CONNECTIONS)
        self._tokens = tokens

    async def start(self) -> None:
        """Open the connection pool."""
        await self._client.start()

    async def stop(self) -> None:
        """Close the connection pool."""
        await self._client.stop()

    async def whoami(self) -> str:
        """The user id of the token."""
        answer = await self._request("GET", "/_matrix/client/v3/account/whoami")
        return str(answer["user_id"])

    # Devices

    async def devices(self, user_id: str) -> list[Device]:
        """The devices of an account of this homeserver, the one that was used last first."""
        answer = await self._request("GET", path(f"{ADMIN}/v2/users", user_id, "devices"))
        found = [Device.parse(raw) for raw in answer.get("devices", []) if isinstance(raw, dict)]
        return sorted(found, key=lambda device: (-(device.seen_at or 0), device.device_id))

    async def delete_device(self, user_id: str, device_id: str) -> None:
        """Sign a device out: its token ends, its keys are forgotten, others stop encrypting for it."""
        await self._request("DELETE", path(f"{ADMIN}/v2/users", user_id, "devices", device_id))

    # Accounts

    async def user(self, user_id: str) -> dict[str, Any] | None:
        """What the homeserver keeps of an account; None when there is none."""
        try:
            answer = await self._request("GET", path(f"{ADMIN}/v2/users", user_id))
        except HomeserverError as error:
            if error.status == 404:
                return None
            raise
        return dict(answer)

    async def put_user(self, user_id: str, **values: Any) -> dict[str, Any]:
        """Make an account, or change one: ``displayname``, ``avatar_url``, ``password``, ``external_ids``, …"""
        answer = await self._request("PUT", path(f"{ADMIN}/v2/users", user_id), dict(values))
        return dict(answer)

    async def deactivate(self, user_id: str, erase: bool = False) -> None:
        """End an account: devices, memberships, profile. It cannot be undone.

        Args:
            erase: hide its messages from who was not there, as if they were redacted (GDPR erasure).
        """
        await self._request("POST", path(f"{ADMIN}/v1/deactivate", user_id), {"erase": erase})

    async def suspend(self, user_id: str, suspended: bool) -> None:
        """Let an account read and leave only, or lift that."""
        await self._request("PUT", path(f"{ADMIN}/v1/suspend", user_id), {"suspend": suspended})

    async def login_token(self, user_id: str, valid_ms: int = 120_000) -> LoginToken:
        """A token with which one device of an account logs in by ``m.login.token``, so that it makes its own keys.

        Our module in the homeserver makes it; without the module a session of the person is made and ended for it, and
        the homeserver must have ``login_via_existing_session`` on, ``require_ui_auth: false``.

        Raises:
            NoAdministration: neither is there.
        """
        token = None if self._tokens is None else await self._tokens.login_token(user_id, valid_ms)
        if token is not None:
            return LoginToken(token, valid_ms)
        session = await self._request("POST", path(f"{ADMIN}/v1/users", user_id, "login"), {})
        person = Homeserver(self._client.url, str(session["access_token"]), connections=1)
        await person.start()
        try:
            answer = await person.request("POST", "/_matrix/client/v1/login/get_token", body={})
            return LoginToken(str(answer["login_token"]), int(answer.get("expires_in_ms", valid_ms)))
        except HomeserverError as error:
            if error.temporary and error.status != 401:
                raise
            raise NoAdministration(
                "the homeserver makes no login tokens: install Rialto's module there (docs/privacy.md)"
            ) from error
        finally:
            try:
                await person.request("POST", "/_matrix/client/v3/logout", body={})
            finally:
                await person.stop()

    # Media, rooms, reports

    async def delete_media(self, server: str, media_id: str) -> bool:
        """Remove a file and its thumbnails from the homeserver's disk; False when it has none such (any more)."""
        try:
            await self._request("DELETE", path(f"{ADMIN}/v1/media", server, media_id))
        except HomeserverError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def media_of(self, user_id: str) -> AsyncIterator[dict[str, Any]]:
        """The files that an account has uploaded: ``media_id``, ``created_ts``, ``media_length``, …"""
        start = "0"
        while True:
            query = {"from": start, "limit": str(PAGE), "order_by": "created_ts", "dir": "f"}
            answer = await self._request("GET", path(f"{ADMIN}/v1/users", user_id, "media"), query=query)
            for raw in answer.get("media", []):
                if isinstance(raw, dict):
                    yield raw
            if "next_token" not in answer:
                return
            start = str(answer["next_token"])

    async def delete_room(self, room_id: str, *, block: bool = True) -> str:
        """Have everybody of this homeserver leave a room and its content purged, in the background; the id of that.

        Args:
            block: nobody of this homeserver joins it again.
        """
        body = {"block": block, "purge": True}
        answer = await self._request("DELETE", path(f"{ADMIN}/v2/rooms", room_id), body)
        return str(answer["delete_id"])

    async def event_reports(self, start: int = 0, limit: int = PAGE) -> tuple[list[dict[str, Any]], int | None]:
        """Reports of people's clients, the oldest first, and where the next page starts (None: there is none yet).

        Args:
            start: how many of the oldest to pass over.
        """
        query = {"from": str(start), "limit": str(limit), "dir": "f"}
        answer = await self._request("GET", f"{ADMIN}/v1/event_reports", query=query)
        reports = [raw for raw in answer.get("event_reports", []) if isinstance(raw, dict)]
        after = answer.get("next_token")
        return reports, after if isinstance(after, int) else None

    async def user_reports(self, start: int = 0, limit: int = PAGE) -> tuple[list[dict[str, Any]], int | None]:
        """Reports of people as such, likewise. A homeserver that is older than this has none."""
        query = {"from": str(start), "limit": str(limit), "dir": "f"}
        try:
            answer = await self._request("GET", f"{ADMIN}/v1/user_reports", query=query)
        except HomeserverError as error:
            if error.status != 404:
                raise
            return [], None
        reports = [raw for raw in answer.get("user_reports", []) if isinstance(raw, dict)]
        after = answer.get("next_token")
        return reports, after if isinstance(after, int) else None

    async def _request(
        self, method: str, url: str, body: object | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        if not self.available:
            raise NoAdministration("the operator has not set homeserver.admin_token")
        try:
            return await self._client.request(method, url, body=body, query=query)
        except HomeserverError as error:
            if error.status == 401 or (error.status == 403 and error.errcode == "M_FORBIDDEN"):
                # A token that ended, or of an account that is no administrator: waiting does not help.
                raise NoAdministration(
                    "the homeserver does not take homeserver.admin_token as an administrator's", status=error.status
                ) from error
            raise

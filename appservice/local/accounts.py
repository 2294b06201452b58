"""The accounts of a local stack: two people to try it with, and an administrator for ``rialto user``."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from appservice.administration import MADE_LATER
from appservice.local.environment import Progress
from appservice.local.errors import LocalError
from appservice.local.files import read_json, write_private, write_private_json
from appservice.local.layout import Layout
from appservice.local.synapse import SynapseSettings, register_user, request_json, user_path

PEOPLE = ("alice", "bob")
ADMINISTRATOR = "stack-admin"
WHOAMI = "/_matrix/client/v3/account/whoami"
TIMEOUT = aiohttp.ClientTimeout(total=60)


@dataclass(frozen=True)
class LocalAccount:
    """An account whose password stands in accounts.json. ``made``: the homeserver has it; ``shown``: printed."""

    user_id: str
    password: str = field(repr=False)
    admin: bool = False
    made: bool = False
    shown: bool = False


def read_accounts(layout: Layout) -> dict[str, LocalAccount]:
    """The accounts by localpart; empty before the first run."""
    value = read_json(layout.accounts)
    if not isinstance(value, dict):
        return {}
    return {name: LocalAccount(**entry) for name, entry in value.items()}


def write_accounts(layout: Layout, accounts: dict[str, LocalAccount]) -> None:
    """Write accounts.json with mode 0600."""
    write_private_json(layout.accounts, {name: vars(account) for name, account in accounts.items()})


async def ensure_account(
    layout: Layout, settings: SynapseSettings, localpart: str, *, password: str | None = None, admin: bool = False
) -> LocalAccount:
    """Make an account unless accounts.json says that it is made. Raises LocalError when the name is somebody else's.

    The password is written down before the homeserver hears of it: a run that is cut off between can go on.
    """
    accounts = read_accounts(layout)
    account = accounts.get(localpart)
    if account is not None and account.made:
        return account
    if account is None:
        user_id = f"@{localpart}:{settings.server_name}"
        account = LocalAccount(user_id, password or secrets.token_urlsafe(12), admin)
        write_accounts(layout, {**accounts, localpart: account})
    try:
        await register_user(settings.url, settings.shared_secret, localpart, account.password, admin=account.admin)
    except LocalError as error:
        if error.fields.get("errcode") != "M_USER_IN_USE" or not await _logs_in(settings.url, account):
            write_accounts(layout, accounts)
            raise
    made = replace(account, made=True)
    write_accounts(layout, {**read_accounts(layout), localpart: made})
    return made


async def ensure_people(layout: Layout, settings: SynapseSettings, progress: Progress) -> None:
    """Make the accounts that a new stack has. A name that is taken (its account was ended, say) stops nothing."""
    for name in PEOPLE:
        try:
            await ensure_account(layout, settings, name)
        except LocalError as error:
            if error.fields.get("errcode") != "M_USER_IN_USE":
                raise
            progress(f"{name} exists, but {layout.accounts} does not hold its password: it stays as it is")


def take_unshown(layout: Layout) -> list[LocalAccount]:
    """The people whose passwords nobody saw yet; from now on they count as shown."""
    accounts = read_accounts(layout)
    fresh = {name: one for name, one in accounts.items() if one.made and not one.shown and not one.admin}
    if fresh:
        write_accounts(layout, {**accounts, **{name: replace(one, shown=True) for name, one in fresh.items()}})
    return list(fresh.values())


async def _logs_in(url: str, account: LocalAccount) -> bool:
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            token = await log_in(session, url, account)
            await request_json(session, "POST", f"{url}/_matrix/client/v3/logout", token=token, body={})
    except LocalError:
        return False
    return True


async def log_in(
    session: aiohttp.ClientSession, url: str, account: LocalAccount, device: str = "rialto user", device_id: str = ""
) -> str:
    """Log in by password; the access token. Raises LocalError.

    Args:
        device: what the device is called. ``device_id``: replace the session of this device, if there is one.
    """
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": account.user_id},
        "password": account.password,
        "initial_device_display_name": device,
    }
    if device_id:
        body["device_id"] = device_id
    answer = await request_json(session, "POST", f"{url}/_matrix/client/v3/login", body=body)
    return str(answer["access_token"])


async def administrator(layout: Layout, settings: SynapseSettings) -> str:
    """A token of the stack's administrator, whose account is made when it is first needed; Administration ends it."""
    account = await ensure_account(layout, settings, ADMINISTRATOR, admin=True)
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        return await log_in(session, settings.url, account)


async def ensure_admin_token(layout: Layout, settings: SynapseSettings) -> None:
    """Have a token of the administrator in its file (mode 0600) that the homeserver takes. Raises LocalError.

    A new one takes the place of the last, on the same device: none stays behind.
    """
    try:
        token = layout.admin_token.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        token = ""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        if token and token != MADE_LATER:
            try:
                await request_json(session, "GET", f"{settings.url}{WHOAMI}", token=token)
            except LocalError as error:
                if error.fields.get("status") != 401:
                    raise
            else:
                return
        account = await ensure_account(layout, settings, ADMINISTRATOR, admin=True)
        token = await log_in(session, settings.url, account, "Rialto's administration", "RIALTOADMIN")
        write_private(layout.admin_token, token + "\n")


def forget_account(layout: Layout, user_id: str) -> None:
    """Remove an account that is no more from accounts.json."""
    accounts = read_accounts(layout)
    write_accounts(layout, {name: one for name, one in accounts.items() if one.user_id != user_id})


class Administration:
    """Synapse's admin API with an administrator's token. An async context manager.

    ``log_out``: the token is one that was made for this, and ends with it.
    """

    def __init__(self, url: str, token: str, *, log_out: bool = False) -> None:
        self._url = url
        self._token = token
        self._log_out = log_out
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Administration:
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._log_out:
                await self._request("POST", "/_matrix/client/v3/logout", {})
        finally:
            await self._session.close()

    async def users(self) -> list[dict[str, Any]]:
        """Every account of the homeserver, the bots' too: name, displayname, admin, deactivated, appservice_id."""
        users: list[dict[str, Any]] = []
        start = "0"
        while True:
            page = await self._request("GET", f"/_synapse/admin/v2/users?deactivated=true&limit=500&from={start}")
            users.extend(page["users"])
            if "next_token" not in page:
                return users
            start = str(page["next_token"])

    async def deactivate(self, user_id: str, *, erase: bool = False) -> None:
        """End an account: its devices, its memberships. Cannot be undone. Raises LocalError."""
        await self._request("POST", f"/_synapse/admin/v1/deactivate/{user_path(user_id)}", {"erase": erase})

    async def _request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return await request_json(self._session, method, self._url + path, token=self._token, body=body)

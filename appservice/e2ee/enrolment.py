"""A bot's user, device and identity on the homeserver: made once, checked at every start, mended when one is gone.

``docs/keys.md`` tells the same to operators.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from mautrix.crypto.cross_signing_key import CrossSigningPrivateKeys, CrossSigningSeeds
from mautrix.crypto.signature import sign_olm, verify_signature_json
from mautrix.crypto.ssss.key import Key as RecoveryKey
from mautrix.errors import MatrixError
from mautrix.types import DeviceID, KeyID, SigningKey, UserID
from mautrix.util.async_db import Database

from appservice.e2ee.api import Requester
from appservice.e2ee.errors import CryptoStartError
from appservice.homeserver import HomeserverError
from appservice.sealing import SealBroken, Sealer

if TYPE_CHECKING:
    from appservice.e2ee.bot import BotDevice
    from appservice.e2ee.machine import BotMachine

log = logging.getLogger(__name__)

CLIENT = "/_matrix/client/v3"
DEVICE_PREFIX = "RIALTO"
DEVICE_NAME = "Rialto"
QUERY_USERS = 200
CHECK_NAME = "pickle_check"
CHECK_TEXT = b"rialto pickle key check"


@dataclass(frozen=True)
class ServerKeys:
    """What the homeserver publishes for one user, as raw objects of ``/keys/query``."""

    devices: dict[str, Any] = field(default_factory=dict)
    master: str | None = None
    self_signing: str | None = None

    def has_device(self, machine: BotMachine) -> bool:
        """Whether our device is there, with our keys."""
        keys = self.devices.get(machine.client.device_id, {}).get("keys", {})
        return machine.account.identity_key in keys.values() and machine.account.signing_key in keys.values()

    def device_is_signed(self, machine: BotMachine) -> bool:
        """Whether the user's self-signing key has signed our device."""
        device = self.devices.get(machine.client.device_id)
        if self.self_signing is None or not isinstance(device, dict) or "signatures" not in device:
            return False
        return verify_signature_json(
            cast(Any, device), machine.client.mxid, self.self_signing, SigningKey(self.self_signing)
        )


class Enrolment:
    """Makes and mends users, devices and identities."""

    def __init__(self, homeserver: Requester, db: Database, pickle_key: str, server_name: str) -> None:
        self._homeserver = homeserver
        self._db = db
        self._sealer = Sealer(pickle_key, "e2ee")
        self._server_name = server_name

    # -- the pickle key -------------------------------------------------------------------------------------------

    async def check_pickle_key(self) -> None:
        """Open the sealed check value, if it was made.

        Raises:
            CryptoStartError: ``pickle_key_wrong``.
        """
        value = await self._db.fetchval("SELECT value FROM e2ee_meta WHERE name=$1", CHECK_NAME)
        if value is None:
            return
        try:
            self._sealer.open(bytes(value), CHECK_NAME)
        except SealBroken:
            raise wrong_pickle_key() from None

    async def keep_pickle_key(self) -> None:
        """Make the check value, once every stored account has been opened with the key."""
        q = "INSERT INTO e2ee_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
        await self._db.execute(q, CHECK_NAME, self._sealer.seal(CHECK_TEXT, CHECK_NAME))

    # -- what the homeserver knows --------------------------------------------------------------------------------

    async def look(self, user_ids: Sequence[str]) -> dict[str, ServerKeys]:
        """The published keys of ``user_ids``, asked for as the steward.

        Raises:
            HomeserverError: no answer.
        """
        result: dict[str, ServerKeys] = {}
        for start in range(0, len(user_ids), QUERY_USERS):
            part = user_ids[start : start + QUERY_USERS]
            body = {"device_keys": {user_id: [] for user_id in part}, "timeout": 10_000}
            answer = await self._homeserver.request("POST", f"{CLIENT}/keys/query", body=body)
            for user_id in part:
                result[user_id] = ServerKeys(
                    dict(answer.get("device_keys", {}).get(user_id, {})),
                    _public_key(answer.get("master_keys", {}).get(user_id)),
                    _public_key(answer.get("self_signing_keys", {}).get(user_id)),
                )
        return result

    async def clear_steward(self) -> int:
        """Delete whatever devices the steward has; it must be unable to read anything. Returns how many there were.

        Raises:
            HomeserverError: no answer.
        """
        answer = await self._homeserver.request("GET", f"{CLIENT}/devices")
        devices = [device["device_id"] for device in answer.get("devices", [])]
        for device_id in devices:
            await self._homeserver.request("DELETE", f"{CLIENT}/devices/{quote(device_id, safe='')}")
            log.warning("the steward had a device: deleted", extra={"device_id": device_id})
        return len(devices)

    # -- one bot --------------------------------------------------------------------------------------------------

    async def settle(self, bot: BotDevice, known: ServerKeys | None) -> None:
        """Bring one bot to a working, signed device with published keys.

        Raises:
            CryptoStartError: the bot's user is not ours to use.
            HomeserverError, MatrixError: try again later.
        """
        if known is None:
            known = (await self.look([bot.user_id]))[bot.user_id]
        machine = bot.loaded
        if machine is None:
            existed = await self._register(bot)
            if existed and known.devices:
                log.warning(
                    "keys lost: the bot has devices on the homeserver but none here; it gets a new device",
                    extra={"user_id": bot.user_id},
                )
            machine = await self._new_device(bot)
        elif not known.has_device(machine):
            machine = await self._mend(bot, machine, known)
        await self._name(bot)
        fresh = not machine.account.shared
        if fresh:
            await machine.publish_keys(0, fallback_used=True)
        if fresh or not known.device_is_signed(machine):
            await self._sign(bot, machine, known)
        stale = [name for name in known.devices if name.startswith(DEVICE_PREFIX) and name != machine.client.device_id]
        await self._delete(bot.user_id, stale)

    async def _mend(self, bot: BotDevice, machine: BotMachine, known: ServerKeys) -> BotMachine:
        device_id = machine.client.device_id
        url = f"{CLIENT}/devices/{quote(device_id, safe='')}"
        try:
            await self._homeserver.request("GET", url, user_id=bot.user_id)
        except HomeserverError as error:
            if error.temporary:
                raise
            await self._register(bot)
            if not machine.account.shared:  # The last start did not come to the end of it.
                await self._put_device(bot.user_id, device_id)
                return machine
            log.warning(
                "the bot's device was deleted on the homeserver: it gets a new one",
                extra={"user_id": bot.user_id, "device_id": device_id},
            )
            return await self._new_device(bot)
        if device_id in known.devices:
            log.warning(
                "the bot's device has other keys on the homeserver: it gets a new one",
                extra={"user_id": bot.user_id, "device_id": device_id},
            )
            return await self._new_device(bot)
        machine.account.shared = False
        return machine

    async def _register(self, bot: BotDevice) -> bool:
        """Make the user; whether it existed before."""
        localpart = bot.user_id[1:].partition(":")[0]
        body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        try:
            await self._homeserver.request("POST", f"{CLIENT}/register", body=body)
        except HomeserverError as error:
            if error.errcode == "M_USER_IN_USE":
                return True
            if error.errcode in {"M_EXCLUSIVE", "M_INVALID_USERNAME"}:
                raise CryptoStartError(
                    "bot_outside_namespace",
                    f"the homeserver refuses {bot.user_id}: is it in the registration's namespaces? ({error.errcode})",
                    user_id=bot.user_id,
                ) from error
            raise
        return False

    async def _name(self, bot: BotDevice) -> None:
        q = "SELECT display_name FROM e2ee_bot WHERE user_id=$1"
        if await self._db.fetchval(q, bot.user_id) == bot.display_name:
            return
        url = f"{CLIENT}/profile/{quote(bot.user_id, safe='')}/displayname"
        await self._homeserver.request("PUT", url, user_id=bot.user_id, body={"displayname": bot.display_name})
        q = """
        INSERT INTO e2ee_bot (user_id, display_name) VALUES ($1, $2)
        ON CONFLICT (user_id) DO UPDATE SET display_name=excluded.display_name
        """
        await self._db.execute(q, bot.user_id, bot.display_name)

    async def _put_device(self, user_id: str, device_id: str) -> None:
        url = f"{CLIENT}/devices/{quote(device_id, safe='')}"
        await self._homeserver.request("PUT", url, user_id=user_id, body={"display_name": DEVICE_NAME})

    async def _new_device(self, bot: BotDevice) -> BotMachine:
        """A device with a new id and a new account. An id never comes back: clients refuse one whose keys changed."""
        device_id = DEVICE_PREFIX + "".join(secrets.choice(string.ascii_uppercase) for _ in range(10))
        machine = await bot.open_new(DeviceID(device_id))
        await self._put_device(bot.user_id, device_id)
        log.info("device made", extra={"user_id": bot.user_id, "device_id": device_id})
        return machine

    async def _delete(self, user_id: str, device_ids: Sequence[str]) -> None:
        """Delete devices that Rialto made and lost the keys of. Devices that somebody else made are left alone."""
        for device_id in device_ids:
            url = f"{CLIENT}/devices/{quote(device_id, safe='')}"
            await self._homeserver.request("DELETE", url, user_id=user_id)
            log.info("stale device deleted", extra={"user_id": user_id, "device_id": device_id})

    # -- cross-signing --------------------------------------------------------------------------------------------

    async def _sign(self, bot: BotDevice, machine: BotMachine, known: ServerKeys) -> None:
        recovery_key = await self._recovery_key(bot.user_id)
        keys = None
        if recovery_key is not None:
            keys = await self._restore(machine, recovery_key, known)
        if keys is None:
            if known.master is not None:
                log.warning(
                    "the bot's identity cannot be recovered: it gets a new one, people will see it change",
                    extra={"user_id": bot.user_id},
                )
            keys = await self._new_identity(bot.user_id, machine)
        await self._sign_device(machine, keys)

    async def _recovery_key(self, user_id: str) -> str | None:
        sealed = await self._db.fetchval("SELECT recovery_key FROM e2ee_bot WHERE user_id=$1", user_id)
        if sealed is None:
            return None
        try:
            return self._sealer.open(bytes(sealed), user_id).decode()
        except SealBroken:
            log.error("the stored recovery key does not open", extra={"user_id": user_id})
            return None

    async def _restore(
        self, machine: BotMachine, recovery_key: str, known: ServerKeys
    ) -> CrossSigningPrivateKeys | None:
        """The private cross-signing keys from secret storage; None when they are missing or not the published ones."""
        try:
            key_id, metadata = await machine.ssss.get_default_key_data()
            seeds = await machine._fetch_cross_signing_keys_from_ssss(
                metadata.verify_recovery_key(key_id, recovery_key)
            )
        except (MatrixError, ValueError, KeyError, AttributeError) as error:
            cause = error.__cause__
            if isinstance(cause, HomeserverError) and cause.temporary:
                raise
            log.warning("the recovery key opens nothing on the homeserver", extra={"user_id": machine.client.mxid})
            return None
        keys: CrossSigningPrivateKeys = seeds.to_keys()
        public = keys.public_keys
        if known.master is None:
            await machine._publish_cross_signing_keys(keys)
        elif (public.master_key, public.self_signing_key) != (known.master, known.self_signing):
            return None
        return keys

    async def _new_identity(self, user_id: str, machine: BotMachine) -> CrossSigningPrivateKeys:
        """New cross-signing keys. The recovery key is stored before anything is published."""
        key, seeds = RecoveryKey.generate(), CrossSigningSeeds.generate()
        q = """
        INSERT INTO e2ee_bot (user_id, recovery_key) VALUES ($1, $2)
        ON CONFLICT (user_id) DO UPDATE SET recovery_key=excluded.recovery_key
        """
        await self._db.execute(q, user_id, self._sealer.seal(key.recovery_key.encode(), user_id))
        await asyncio.gather(
            machine.ssss.set_key_data(key.id, key.metadata),
            machine._upload_cross_signing_keys_to_ssss(key, seeds),
        )
        await machine.ssss.set_default_key_id(key.id)
        keys: CrossSigningPrivateKeys = seeds.to_keys()
        await machine._publish_cross_signing_keys(keys)
        return keys

    async def _sign_device(self, machine: BotMachine, keys: CrossSigningPrivateKeys) -> None:
        """Sign our device with the self-signing key and publish the signature."""
        user_id, device_id = machine.client.mxid, machine.client.device_id
        signer = keys.self_signing_key
        device = machine.account.get_device_keys(user_id, device_id)
        device.signatures = {user_id: {KeyID.ed25519(signer.public_key): sign_olm(device, signer)}}
        answer = await self._homeserver.request(
            "POST",
            f"{CLIENT}/keys/signatures/upload",
            user_id=user_id,
            body={user_id: {device_id: device.serialize()}},
        )
        failures = answer.get("failures") or {}
        if failures.get(user_id):
            raise HomeserverError(
                502, "SIGNATURE_REFUSED", f"the homeserver refused the signature of {user_id}'s device"
            )


def wrong_pickle_key() -> CryptoStartError:
    """The stored keys were encrypted with another pickle key."""
    return CryptoStartError(
        "pickle_key_wrong",
        "encryption.pickle_key is not the one that the stored keys were encrypted with: put the old one back, "
        'or give the bots new devices (docs/keys.md, "The pickle key")',
    )


def _public_key(keys: Any) -> str | None:
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), dict):
        return None
    return next((str(value) for name, value in keys["keys"].items() if name.startswith("ed25519:")), None)


def user(value: str) -> UserID:
    """A user id for mautrix."""
    return UserID(value)

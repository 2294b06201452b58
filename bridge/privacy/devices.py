"""A person's devices: what the homeserver knows of them, and signing one out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from sqlalchemy import Connection

from appservice.administration import Administration, Device, NoAdministration
from appservice.clock import Clock
from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from bridge.audit import Audit
from bridge.errors import NotFound, Refused
from bridge.notices import Notices

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Any]
CODE: Final = "device.signed_out"


class DeviceService:
    """Needs ``homeserver.admin_token``: the homeserver tells the devices of a person to nobody else."""

    def __init__(
        self,
        administration: Administration,
        notices: Notices,
        raise_events: RaiseEvents,
        audit: Audit,
        clock: Clock,
        *,
        server_name: str,
        service_users: Collection[str],
    ) -> None:
        self._administration = administration
        self._notices = notices
        self._raise_events = raise_events
        self._audit = audit
        self._clock = clock
        self._server_name = server_name
        self._service_users = frozenset(service_users)

    async def list(self, user_id: str) -> list[Device]:
        """Their devices, the one that was used last first.

        Raises:
            Refused: the homeserver cannot be asked, or is not theirs.
        """
        self._require(user_id)
        try:
            return await self._administration.devices(user_id)
        except NoAdministration as error:
            raise _unavailable() from error
        except HomeserverError as error:
            if error.status == 404:
                return []
            raise

    async def sign_out(self, user_id: str, device_id: str) -> Device:
        """Sign one device out: its session ends, it gets no message more, and its keys are forgotten by everybody.

        What it has stored stays on it. The person is told, so that it is nobody else's doing.

        Raises:
            NotFound: they have no such device.
            Refused: the homeserver cannot be asked, or is not theirs.
        """
        device = next((one for one in await self.list(user_id) if one.device_id == device_id), None)
        if device is None:
            raise NotFound("no_such_device", "There is no such device.")
        try:
            await self._administration.delete_device(user_id, device_id)
        except NoAdministration as error:
            raise _unavailable() from error
        now = self._clock.now_ms()

        def work(connection: Connection) -> Iterable[InternalEvent]:
            self._audit.append(
                connection,
                at=now,
                actor=user_id,
                action="device.sign_out",
                subject=user_id,
                outcome="done",
                details={"device": device_id},
            )
            values = {"device": device.name, "id": device_id}
            return self._notices.event(f"device:{user_id}:{device_id}:{now}", user_id, CODE, values)

        await self._raise_events(work)
        return device

    def _require(self, user_id: str) -> None:
        if user_id.partition(":")[2] != self._server_name or user_id in self._service_users:
            raise Refused("not_our_account", "Devices are kept by the homeserver of the account; it is another one.")
        if not self._administration.available:
            raise _unavailable()


def _unavailable() -> Refused:
    return Refused(
        "no_administration", "Devices cannot be shown here: the operator has not set a valid homeserver.admin_token."
    )

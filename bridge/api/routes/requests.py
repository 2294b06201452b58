"""What products ask for about their people: suspensions, copies of all that is held, erasure."""

from __future__ import annotations

from typing import Any, Final

from bridge.api.endpoints import Binary, Call, Endpoint
from bridge.api.models.people import ErasureView, ExportView, NewSuspension, Proof, SuspensionView
from bridge.api.routes.base import Base
from bridge.domain.rights import Kind
from bridge.errors import NotFound
from bridge.moderation.suspensions import Suspended
from bridge.store.rights import Request

ZIP: Final = "application/zip"


class SuspensionRoutes:
    """Handlers."""

    def __init__(self, base: Base) -> None:
        self._people = base.people
        self._suspensions = base.services.suspensions

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        path = "/people/{person}/suspension"
        return [
            Endpoint(
                "getSuspension", "GET", path, "Get the product's suspension of a person", self.get, "People",
                "people.read", SuspensionView,
            ),
            Endpoint(
                "suspendPerson", "PUT", path, "Suspend a person", self.suspend, "People", "people.suspend",
                SuspensionView, body=NewSuspension,
                description="Their account reads and leaves, and does nothing else, in all chats. Only accounts that "
                "were made for the product.",
            ),
            Endpoint(
                "unsuspendPerson", "DELETE", path, "Lift a suspension", self.lift, "People", "people.suspend",
                description="The product's own; the account stays suspended as long as moderators say so.",
            ),
        ]  # fmt: skip

    async def get(self, call: Call[None, None]) -> SuspensionView:
        """As it is."""
        person = await self._people.get(call.product.name, call.params["person"])
        found = await self._suspensions.get(call.product.name, person.user_id)
        if found is None:
            raise NotFound("not_suspended", "The product has not suspended them.")
        return _suspension(found)

    async def suspend(self, call: Call[NewSuspension, None]) -> SuspensionView:
        """Suspended."""
        product = call.product.name
        person = await self._people.managed(product, call.params["person"])
        return _suspension(await self._suspensions.suspend(product, person.user_id, call.body.reason))

    async def lift(self, call: Call[None, None]) -> None:
        """Not any more."""
        product = call.product.name
        person = await self._people.managed(product, call.params["person"])
        await self._suspensions.lift(product, person.user_id, lambda connection: call.done(connection, None))


class DataRequestRoutes:
    """Handlers."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._requests = base.requests

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        linked = "Of a linked account, which is the person's own, only when they show by `openid_token` that they ask."
        return [
            Endpoint(
                "startExport", "POST", "/people/{person}/exports", "Have a copy of a person's data made", self.export,
                "People", "people.export", ExportView, body=Proof, status=202,
                description=f"Of all that Rialto holds about them, in the background. They are told of it. {linked}",
            ),
            Endpoint(
                "getExport", "GET", "/exports/{export}", "Get an export's state", self.get_export, "People",
                "people.export", ExportView,
            ),
            Endpoint(
                "getArchive", "GET", "/archives/{archive}", "Fetch an archive", self.fetch, "People", None,
                media=(ZIP,), problems=(404,),
                description="By the `url` of an export; no key is asked for.",
            ),
            Endpoint(
                "startErasure", "POST", "/people/{person}/erasures", "Have a person erased", self.erase, "People",
                "people.erase", ErasureView, body=Proof, status=202,
                description="Everywhere, and their account is closed: it begins in some seconds, and there is no way "
                f"back. Refused while a legal hold or money of theirs is in the way. {linked}",
            ),
            Endpoint(
                "getErasure", "GET", "/erasures/{erasure}", "Get an erasure's state", self.get_erasure, "People",
                "people.erase", ErasureView,
            ),
        ]  # fmt: skip

    async def export(self, call: Call[Proof, None]) -> ExportView:
        """Begun."""
        made = await self._requests.export(
            call.actor,
            call.params["person"],
            call.body.openid_token,
            lambda connection, request: call.done(connection, self._export(request)),
        )
        return self._export(made)

    async def get_export(self, call: Call[None, None]) -> ExportView:
        """How far it is."""
        return self._export(await self._requests.get(call.actor, Kind.EXPORT, call.params["export"]))

    async def fetch(self, call: Call[None, None]) -> Binary:
        """The file."""
        return Binary(ZIP, await self._requests.fetch(call.params["archive"]), "data.zip")

    async def erase(self, call: Call[Proof, None]) -> ErasureView:
        """Begun."""
        made = await self._requests.erase(
            call.actor,
            call.params["person"],
            call.body.openid_token,
            lambda connection, request: call.done(connection, ErasureView(**_request(request))),
        )
        return ErasureView(**_request(made))

    async def get_erasure(self, call: Call[None, None]) -> ErasureView:
        """How far it is."""
        found = await self._requests.get(call.actor, Kind.ERASE, call.params["erasure"])
        return ErasureView(**_request(found))

    def _export(self, request: Request) -> ExportView:
        found = self._requests.link(request)
        word, until = (None, None) if found is None else found
        url = None if word is None else f"{self._base.url}/archives/{word}"
        return ExportView(**_request(request), size=request.size, url=url, url_expires_at=until)


def _request(request: Request) -> dict[str, Any]:
    return {
        "id": request.id,
        "state": request.state.value,
        "done": request.done,
        "total": request.total,
        "problem": request.problem,
        "created_at": request.created_at,
        "finished_at": request.finished_at,
    }


def _suspension(suspended: Suspended) -> SuspensionView:
    return SuspensionView(state=suspended.state.value, reason=suspended.reason, since=suspended.since)

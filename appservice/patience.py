"""How long a message is tried that the homeserver refuses for now, again and again, while it does its other work."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from time import monotonic

from appservice.homeserver import Homeserver, HomeserverError, path

log = logging.getLogger(__name__)

# Any filter will do. Synapse looks it up in its database each time, and keeps one however often it is uploaded.
PROBE_FILTER = {"room": {"timeline": {"limit": 1}}}


@dataclass(slots=True)
class Refusals:
    """What one message has met. Times are seconds."""

    seconds: float = 0.0
    """For how long it has been refused by a homeserver that otherwise worked."""
    last: float | None = None
    """When it was refused last; None when something else has happened since."""


class Patience:
    """Counts for each message how long it has been refused; an outage of the homeserver does not count.

    The time between two refusals counts when another message was sent in it. When none was, for there was perhaps none
    to send, the homeserver is asked for something that needs its database. A rate limit (429) asks for patience, and
    a homeserver that cannot be reached refuses nothing: neither counts.
    """

    def __init__(self, homeserver: Homeserver, limit: float) -> None:
        """
        Args:
            limit: seconds (``engine.send_give_up``).
        """
        self._homeserver = homeserver
        self._limit = limit
        self._sent = monotonic()

    def sent(self) -> None:
        """A message was sent: the homeserver works."""
        self._sent = monotonic()

    async def over(self, refusals: Refusals, user_id: str, problem: BaseException) -> bool:
        """Note that a message of ``user_id`` met ``problem``; whether it has been refused for long enough."""
        if not isinstance(problem, HomeserverError) or problem.status == 429 or problem.errcode == "UNREACHABLE":
            refusals.last = None
            return False
        last, refusals.last = refusals.last, monotonic()
        if last is None or not (self._sent > last or await self._answers(user_id)):
            return False
        refusals.seconds += refusals.last - last
        return refusals.seconds >= self._limit

    async def _answers(self, user_id: str) -> bool:
        try:
            await self._homeserver.request(
                "POST", path("/_matrix/client/v3/user", user_id, "filter"), user_id=user_id, body=PROBE_FILTER
            )
        except HomeserverError as error:
            log.debug("the homeserver does not answer other requests either: %s", error)
            return False
        return True

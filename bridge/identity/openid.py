"""Whose an OpenID token is, by our own homeserver: no other is asked (specification, "OpenID")."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from appservice import json
from appservice.homeserver import Homeserver, HomeserverError

USERINFO: Final = "/_matrix/federation/v1/openid/userinfo"


class OpenId:
    """Asks the homeserver."""

    def __init__(self, homeserver: Homeserver) -> None:
        self._homeserver = homeserver

    async def owner(self, token: str) -> str | None:
        """The user id of a token's owner; None when it is not good.

        Raises:
            HomeserverError: the homeserver does not answer.
        """
        url = URL(f"{self._homeserver.url}{USERINFO}?{urlencode({'access_token': token})}", encoded=True)
        try:
            # Without the service's own token: Synapse takes an Authorization header there for another server's, and
            # refuses it (403, seen with 1.163.2).
            async with self._homeserver.session.get(url) as response:
                raw = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise HomeserverError(0, "BROKEN", f"the homeserver did not answer: {type(error).__name__}") from error
        if status == 429 or status >= 500:
            raise HomeserverError(status, "UNKNOWN", f"HTTP {status}")
        if status != 200:
            return None
        try:
            answer = json.loads(raw)
        except json.JSONError:
            return None
        found = answer.get("sub") if isinstance(answer, dict) else None
        return found if isinstance(found, str) else None

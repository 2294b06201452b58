"""The people of products: accounts made for them or linked, and signing in without Rialto holding a key.

Signing in takes three steps. The product's backend makes a token for a person; the person's device hands it to Rialto
and gets a login token of the homeserver; with that the device logs in at the homeserver itself. So the access token,
the device and its keys are the device's alone: Rialto never sees them. Each token is good once and for minutes.
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from appservice.clock import Clock
from appservice.database import Database
from appservice.errors import RialtoError
from appservice.sealing import derived_key
from bridge.audit import Audit
from bridge.domain.product_names import USER_ID, localpart
from bridge.errors import Conflict, NotFound, Refused
from bridge.store import product_people as store
from bridge.store.product_people import ProductPerson, SignIn

log = logging.getLogger(__name__)

TOKEN_BYTES: Final = 32
OPENID_MS: Final = 3_600_000
"""How long an OpenID token of the homeserver is good (Synapse: ``OPENID_TOKEN_VALID``)."""
_SIGNATURE: Final = 16
_TOKEN: Final = re.compile("[A-Za-z0-9_-]{64}")


class LoginToken(Protocol):
    """What a device logs in with at the homeserver, once."""

    @property
    def token(self) -> str: ...

    @property
    def expires_in_ms(self) -> int: ...


class Accounts(Protocol):
    """What is needed of :class:`appservice.administration.Administration`."""

    @property
    def available(self) -> bool: ...

    async def put_user(self, user_id: str, **values: Any) -> dict[str, Any]: ...

    async def deactivate(self, user_id: str, erase: bool = False) -> None: ...

    async def login_token(self, user_id: str) -> LoginToken: ...


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The login token of a person's device."""

    user_id: str
    token: str
    expires_in_ms: int

    def __repr__(self) -> str:
        return f"SignedIn({self.user_id})"


class People:
    """Makes, links and deactivates the people of products."""

    def __init__(
        self,
        database: Database,
        openid: Callable[[str], Awaitable[str | None]],
        accounts: Accounts,
        audit: Audit,
        clock: Clock,
        *,
        server_name: str,
        pickle_key: str,
        service_users: Callable[[], frozenset[str]] = frozenset,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        Args:
            openid: whose an OpenID token is: :meth:`bridge.identity.openid.OpenId.owner`.
            service_users: the bots and the steward: nobody's accounts.
        """
        self._database = database
        self._openid = openid
        self._accounts = accounts
        self._audit = audit
        self._clock = clock
        self._server_name = server_name
        self._key = derived_key(pickle_key, "product-people")
        self._tokens = derived_key(pickle_key, "sign-in-tokens")
        self._service_users = service_users
        self._random = random

    async def create(self, product: str, external_id: str, display_name: str) -> ProductPerson:
        """A person with a new account; the same one when it was made before.

        Raises:
            Refused: accounts cannot be made here.
            Conflict: the product links somebody else by this id, or has deactivated them.
        """
        self._require_accounts()
        user_id = f"@{localpart(self._key, product, external_id)}:{self._server_name}"
        now = self._clock.now_ms()
        person = ProductPerson(product, external_id, user_id, True, display_name, False, now)

        def intend(connection: Connection) -> ProductPerson:
            return person if store.add(connection, person) else self._existing(connection, product, external_id)

        found = await self._database.write(intend)
        if not found.managed or found.deactivated_at is not None:
            raise Conflict("person_exists", "There is a person with this id already.")
        if found.ready:
            return found
        # The row comes first: after a crash the same request finds it and goes on here.
        await self._accounts.put_user(found.user_id, displayname=found.display_name or found.external_id)

        def done(connection: Connection) -> ProductPerson:
            store.change(connection, product, external_id, ready=True)
            self._told(connection, found, "person.create")
            return self._existing(connection, product, external_id)

        return await self._database.write(done)

    async def link(self, product: str, external_id: str, openid_token: str) -> ProductPerson:
        """A person who has an account, as an OpenID token of theirs shows.

        Raises:
            Refused: the token shows nothing.
            Conflict: the product has somebody else by this id, or knows this user by another.
        """
        user_id = await self._shown(openid_token)
        now = self._clock.now_ms()
        person = ProductPerson(product, external_id, user_id, False, "", True, now)

        def work(connection: Connection) -> ProductPerson:
            self._spent(connection, product, user_id, openid_token)
            if store.add(connection, person):
                self._told(connection, person, "person.link")
                return person
            found = store.find(connection, product, external_id)
            if found is None or found.user_id != user_id:
                raise Conflict("person_exists", "There is a person with this id, or of this account, already.")
            return found

        try:
            return await self._database.write(work)
        except IntegrityError:  # somebody else linked the same user at the same moment
            raise Conflict("person_exists", "There is a person of this account already.") from None

    async def get(self, product: str, reference: str) -> ProductPerson:
        """A person by the product's own id, or by user id.

        Raises:
            NotFound: the product has none such.
        """

        def work(connection: Connection) -> ProductPerson | None:
            if reference.startswith("@"):
                return store.by_user(connection, product, reference)
            return store.find(connection, product, reference)

        found = await self._database.read(work)
        if found is None:
            raise NotFound("no_such_person", "There is no such person.")
        return found

    async def page(self, product: str, after: tuple[int, str] | None, limit: int) -> list[ProductPerson]:
        """A page of a product's people, those made last first."""
        return await self._database.read(lambda connection: store.page(connection, product, after=after, limit=limit))

    async def resolve(self, product: str, reference: str) -> str:
        """The user id that a reference means: a Matrix user id is its own.

        Raises:
            NotFound: the product has nobody by this id, or has deactivated them.
        """
        if reference.startswith("@"):
            if not USER_ID.fullmatch(reference):
                raise NotFound("no_such_person", "There is no such person.")
            return reference
        found = await self.get(product, reference)
        if found.deactivated_at is not None or not found.ready:
            raise NotFound("no_such_person", "There is no such person.")
        return found.user_id

    async def names(self, product: str, user_ids: set[str]) -> dict[str, str]:
        """User id to the product's own id, of those it knows."""
        return await self._database.read(lambda connection: store.names(connection, product, user_ids))

    async def proven(
        self, product: str, reference: str, openid_token: str | None
    ) -> tuple[ProductPerson, Callable[[Connection], None]]:
        """Somebody about whom a product asks for all: one whose account was made for it, or one whose own account it
        links and who shows by an OpenID token that they ask. To be called in the transaction of what they ask for: it
        uses the token up.

        Raises:
            NotFound: the product has none such.
            Refused: the account is the person's own, and the token shows nothing, is somebody else's, or was used.
        """
        found = await self.get(product, reference)
        if not found.ready:
            raise NotFound("no_such_person", "There is no such person.")
        if found.managed:
            return found, lambda _connection: None
        if openid_token is None:
            raise Refused("person_linked", "This account is the person's own: they show that they ask by openid_token.")
        if await self._shown(openid_token) != found.user_id:
            raise Refused("openid_token_invalid", "The OpenID token is somebody else's.")

        def use(connection: Connection) -> None:
            if not self._spent(connection, product, found.user_id, openid_token):
                raise Refused("openid_token_used", "The OpenID token was used before: each is good for one request.")

        return found, use

    async def rename(self, product: str, reference: str, display_name: str) -> ProductPerson:
        """Change what others see of a person whose account is the product's.

        Raises:
            NotFound: there is none such.
            Refused: the account is the person's own.
        """
        found = await self.managed(product, reference)
        await self._accounts.put_user(found.user_id, displayname=display_name)

        def work(connection: Connection) -> ProductPerson:
            store.change(connection, product, found.external_id, display_name=display_name)
            return self._existing(connection, product, found.external_id)

        return await self._database.write(work)

    async def deactivate(self, product: str, reference: str) -> None:
        """End a person's account; one that is the person's own is unlinked only.

        Raises:
            NotFound: there is none such.
        """
        found = await self.get(product, reference)
        if found.managed and found.deactivated_at is None:
            self._require_accounts()
            # Repeating it does no harm, so that a crash after it is nothing.
            await self._accounts.deactivate(found.user_id, False)

        def work(connection: Connection) -> None:
            store.withdraw_tokens(connection, product, found.user_id)
            if found.managed:
                if found.deactivated_at is None:
                    now = self._clock.now_ms()
                    store.change(connection, product, found.external_id, deactivated_at=now)
                    self._told(connection, found, "person.deactivate")
            elif store.remove(connection, product, found.external_id):
                self._told(connection, found, "person.unlink")

        await self._database.write(work)

    async def sign_in(self, product: str, reference: str, expires_in: int) -> tuple[str, int]:
        """A token with which one device of a person signs in, and when it is over (ms).

        Raises:
            NotFound: there is none such, or they are deactivated.
            Refused: the account is the person's own: they sign in by themselves.
        """
        found = await self.managed(product, reference)
        now = self._clock.now_ms()
        random = self._random(TOKEN_BYTES)
        token = base64.urlsafe_b64encode(random + self._signature(random)).decode()
        until = now + expires_in * 1000

        def work(connection: Connection) -> None:
            store.add_token(connection, _digest(token), SignIn(product, found.user_id, now, until))
            self._told(connection, found, "person.sign_in_token")

        await self._database.write(work)
        return token, until

    async def exchange(self, token: str) -> SignedIn:
        """A login token of the homeserver for a sign-in token, which is used up.

        Raises:
            NotFound: it is unknown, used, or over.
        """
        digest, now = _digest(token), self._clock.now_ms()
        sign_in: SignIn | None = None
        if self._genuine(token):  # what was not made here is refused without asking the database
            sign_in = await self._database.write(lambda connection: store.use_token(connection, digest, now))
        if sign_in is None:
            raise NotFound("sign_in_token_invalid", "The token is unknown, used, or over.")
        try:
            made = await self._accounts.login_token(sign_in.user_id)
        except RialtoError:
            # No login token came of it: the person's device may try again.
            await self._database.write(lambda connection: store.renew_token(connection, digest))
            raise
        return SignedIn(sign_in.user_id, made.token, made.expires_in_ms)

    async def purge(self) -> int:
        """Forget sign-in tokens that are over; how many."""
        before = self._clock.now_ms() - 3_600_000
        return await self._database.write(lambda connection: store.purge_tokens(connection, before))

    def _genuine(self, token: str) -> bool:
        if not _TOKEN.fullmatch(token):
            return False
        both = base64.urlsafe_b64decode(token)
        return hmac.compare_digest(both[TOKEN_BYTES:], self._signature(both[:TOKEN_BYTES]))

    def _signature(self, random: bytes) -> bytes:
        return hmac.digest(self._tokens, random, "sha256")[:_SIGNATURE]

    async def managed(self, product: str, reference: str) -> ProductPerson:
        """A person whose account was made for the product.

        Raises:
            NotFound: there is none such, or they are deactivated.
            Refused: the account is the person's own.
        """
        found = await self.get(product, reference)
        if found.deactivated_at is not None or not found.ready:
            raise NotFound("no_such_person", "There is no such person.")
        if not found.managed:
            raise Refused("person_linked", "This account is the person's own; the product cannot use it.")
        self._require_accounts()
        return found

    async def _shown(self, openid_token: str) -> str:
        """Whose token it is."""
        user_id = await self._openid(openid_token)
        if user_id is None:
            raise Refused("openid_token_invalid", "The OpenID token is not good.")
        if not user_id.endswith(f":{self._server_name}"):
            raise Refused("openid_token_invalid", "The OpenID token is of another server.")
        if user_id in self._service_users():
            raise Refused("openid_token_invalid", "The OpenID token is nobody's.")
        return user_id

    def _spent(self, connection: Connection, product: str, user_id: str, openid_token: str) -> bool:
        """Remember that a token was used; False when it was before."""
        now = self._clock.now_ms()
        digest = _digest(f"openid\0{openid_token}")
        return store.spend_openid(connection, digest, SignIn(product, user_id, now, now + OPENID_MS, now))

    def _existing(self, connection: Connection, product: str, external_id: str) -> ProductPerson:
        found = store.find(connection, product, external_id)
        if found is None:
            raise Conflict("person_exists", "There is a person of this account already.")
        return found

    def _require_accounts(self) -> None:
        if not self._accounts.available:
            raise Refused(
                "no_administration",
                "Accounts cannot be made here: the operator has not set homeserver.admin_token.",
            )

    def _told(self, connection: Connection, person: ProductPerson, action: str) -> None:
        self._audit.append(
            connection,
            at=self._clock.now_ms(),
            actor=f"product:{person.product}",
            action=action,
            subject=person.user_id,
            outcome="done",
            details={"external_id": person.external_id},
        )


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()

"""The product, its key and its people."""

from __future__ import annotations

from bridge.api.endpoints import Call, Endpoint
from bridge.api.models.common import PageQuery
from bridge.api.models.people import (
    NewPerson,
    NewSignIn,
    PeoplePage,
    PersonChange,
    PersonView,
    SignedIn,
    SignIn,
    SignInToken,
)
from bridge.api.models.products import KeyView, ProductView, RotatedKey, Rotation
from bridge.api.routes.base import Base
from bridge.store.product_people import ProductPerson

PEOPLE = "people"


class PeopleRoutes:
    """Handlers."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._people = base.people

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        return [
            Endpoint(
                "getProduct", "GET", "/product", "The product and the key", self.product, "Product", "", ProductView
            ),
            Endpoint(
                "rotateKey",
                "POST",
                "/product/key/rotate",
                "Rotate the key",
                self.rotate,
                "Product",
                "keys.write",
                RotatedKey,
                body=Rotation,
                problems=(404, 409),
                description="A new key with the same scopes; the one that asks stays good for a while.",
            ),
            Endpoint(
                "listPeople", "GET", "/people", "List people", self.page, "People", "people.read", PeoplePage,
                query=PageQuery,
            ),
            Endpoint(
                "createPerson",
                "POST",
                "/people",
                "Create or link a person",
                self.create,
                "People",
                "people.write",
                PersonView,
                body=NewPerson,
                status=201,
                description="The same `external_id` again gives the same person.",
            ),
            Endpoint(
                "getPerson", "GET", "/people/{person}", "Get a person", self.get, "People", "people.read", PersonView
            ),
            Endpoint(
                "changePerson", "PATCH", "/people/{person}", "Change a person", self.change, "People", "people.write",
                PersonView, body=PersonChange,
            ),
            Endpoint(
                "deactivatePerson",
                "DELETE",
                "/people/{person}",
                "Deactivate or unlink a person",
                self.deactivate,
                "People",
                "people.write",
                description="An account that was made for the product ends; a linked one is unlinked and stays.",
            ),
            Endpoint(
                "createSignIn",
                "POST",
                "/people/{person}/sign-in",
                "Make a sign-in token",
                self.sign_in,
                "People",
                "people.sign_in",
                SignInToken,
                body=NewSignIn,
                status=201,
            ),
            Endpoint(
                "signIn",
                "POST",
                "/sign-in",
                "Exchange a sign-in token",
                self.exchange,
                "People",
                None,
                SignedIn,
                body=SignIn,
                problems=(404, 409),
                description="For the person's device; no key is asked for. The token is used up.",
            ),
        ]  # fmt: skip

    async def product(self, call: Call[None, None]) -> ProductView:
        """Who asks."""
        key = call.key
        shown = KeyView(
            id=key.id,
            label=key.label,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
        return ProductView(name=call.product.name, title=call.product.title, key=shown)

    async def rotate(self, call: Call[Rotation, None]) -> RotatedKey:
        """A new key."""
        overlap = call.body.overlap
        made = await self._base.products.rotate(
            call.key.id, overlap, actor=call.actor.name, product=call.product.name, cause=call.once
        )
        return RotatedKey(key=made.text, id=made.key.id, old_expires_at=call.now + overlap * 1000)

    async def page(self, call: Call[None, PageQuery]) -> PeoplePage:
        """A page of people."""
        after = self._base.after(PEOPLE, call.query.after)
        limit = call.query.limit
        found = await self._people.page(call.product.name, after, limit + 1)
        shown, following = self._base.page(PEOPLE, found, limit, lambda each: (each.created_at, each.external_id))
        return PeoplePage(items=[_view(each) for each in shown], next=following)

    async def create(self, call: Call[NewPerson, None]) -> PersonView:
        """Somebody new, or linked."""
        body = call.body
        if body.openid_token is not None:
            return _view(await self._people.link(call.product.name, body.external_id, body.openid_token))
        return _view(await self._people.create(call.product.name, body.external_id, body.display_name.strip()))

    async def get(self, call: Call[None, None]) -> PersonView:
        """One person."""
        return _view(await self._people.get(call.product.name, call.params["person"]))

    async def change(self, call: Call[PersonChange, None]) -> PersonView:
        """Another name."""
        if call.body.display_name is None:
            return await self.get(call)  # type: ignore[arg-type]
        name = call.body.display_name.strip()
        return _view(await self._people.rename(call.product.name, call.params["person"], name))

    async def deactivate(self, call: Call[None, None]) -> None:
        """No more."""
        await self._people.deactivate(call.product.name, call.params["person"])

    async def sign_in(self, call: Call[NewSignIn, None]) -> SignInToken:
        """A token for one device."""
        token, until = await self._people.sign_in(call.product.name, call.params["person"], call.body.expires_in)
        return SignInToken(token=token, expires_at=until)

    async def exchange(self, call: Call[SignIn, None]) -> SignedIn:
        """The homeserver's own token for it."""
        made = await self._people.exchange(call.body.token)
        return SignedIn(
            homeserver_url=self._base.homeserver_url,
            user_id=made.user_id,
            type="m.login.token",
            login_token=made.token,
            expires_in_ms=made.expires_in_ms,
        )


def _view(person: ProductPerson) -> PersonView:
    return PersonView(
        external_id=person.external_id,
        user_id=person.user_id,
        managed=person.managed,
        display_name=person.display_name,
        created_at=person.created_at,
        deactivated_at=person.deactivated_at,
    )

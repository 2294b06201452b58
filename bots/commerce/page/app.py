"""The mini app of one bot over HTTP; :class:`bots.commerce.page.apps.MiniApps` has them all.

Whatever is shown is read at that moment, and whatever is changed names the version of the cart that it was seen in: so
a page and a conversation that are open at the same time never undo each other. A change from the page is told in the
chat by the bot itself, once it has been quiet for a moment (:data:`CART_TIMER`).
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from sqlalchemy import Connection

from appservice import json
from appservice.database import Database, DatabaseError
from appservice.errors import RialtoError
from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from bots.commerce.baskets import Baskets
from bots.commerce.engines.base import EngineFailed
from bots.commerce.page.access import Access, Session, TokenRefused
from bots.commerce.page.filled import chosen_in, elsewhere, json_answer, line_of, sentence_of, whole
from bots.commerce.page.pictures import Elsewhere
from bots.commerce.page.rendering import Renderer
from bots.commerce.page.together import Shared, Together
from bots.commerce.page.views import Chosen, Views
from bots.commerce.page.visits import Bot, KnowsPeople, KnowsRooms, PageHand, Thumbnails, Visit
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.domain.carts import Cart, CartError
from bots.domain.catalogue import Product
from bots.domain.errors import DomainError
from bots.domain.merchants import Merchant, MerchantState
from bots.framework.clock import Clock
from bots.framework.context import TIMER_FIRED
from bots.framework.limits import Limited, RateLimit, RateLimiter
from bots.pages.app import accepted_languages
from bots.pages.forms import Form, FormRefused, Origin, read_form
from bots.pages.links import LinkInvalid, Links

__all__ = ["CART_TIMER", "CHECKOUT_TIMER", "PREFIX", "PURPOSE", "MiniApp", "link_subject"]

log = logging.getLogger(__name__)

PREFIX: Final = "/app"
PURPOSE: Final = "mini-app"
"""Of the links that open it."""
CART_TIMER: Final = "app_cart"
"""Fires in the chat after the cart was changed on the page."""
CHECKOUT_TIMER: Final = "app_checkout"
"""Fires in the chat when somebody goes on to pay."""
LOOKS: Final = RateLimit(240, 60)
SENDS: Final = RateLimit(60, 60)
ENTRIES: Final = RateLimit(60, 60)
BODY_MAX: Final = 4096
IMAGE_S: Final = 86_400
PAGE_SIZE: Final = 10
MERCHANTS: Final = 20
SHOWN: Final = (MerchantState.ACTIVE, MerchantState.PAUSED)


ROUTES: Final = (
    ("GET", "/enter/{token}", "enter"),
    ("POST", "/enter/{token}", "open"),
    ("GET", "/widget", "widget"),
    ("POST", "/openid", "openid"),
    ("GET", "/page.js", "script"),
    ("GET", "/", "home"),
    ("GET", "/m/{slug}", "merchant"),
    ("GET", "/m/{slug}/p/{key}", "product"),
    ("POST", "/m/{slug}/p/{key}", "add"),
    ("GET", "/m/{slug}/p/{key}/image", "image"),
    ("GET", "/cart", "cart"),
    ("POST", "/cart", "change"),
    ("GET", "/cart/version", "version"),
)
"""Method, path and answer."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def link_subject(bot: str, room_id: str) -> str:
    """What a link that opens the page is about."""
    return f"{bot} {room_id}"


class MiniApp:
    """The pages of one bot."""

    def __init__(
        self,
        bot: Bot,
        access: Access,
        links: Links,
        sellers: Sellers,
        shelf: Shelf,
        baskets: Baskets,
        renderer: Renderer,
        origin: Origin,
        *,
        database: Database,
        raise_events: Callable[[Callable[[Connection], list[InternalEvent]]], Awaitable[None]],
        people: KnowsPeople,
        rooms: KnowsRooms,
        thumbnails: Thumbnails,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bot = bot
        self._access = access
        self._links = links
        self._sellers = sellers
        self._shelf = shelf
        self._baskets = baskets
        self._lists = baskets.lists
        self._renderer = renderer
        self._origin = origin
        self._database = database
        self._raise = raise_events
        self._people = people
        self._rooms = rooms
        self._thumbnails = thumbnails
        self._elsewhere = Elsewhere(shelf.engine)
        self._clock = clock
        self._monotonic = monotonic
        self.together: Together | None = None
        """Rooms that order together, where the bot knows of such."""
        self._base = f"{PREFIX}/{quote(bot.instance)}"
        self._looks, self._sends, self._entries = RateLimiter(LOOKS), RateLimiter(SENDS), RateLimiter(ENTRIES)
        self._answers: dict[str, Answer] = {
            "enter": self._safely(self._enter),
            "open": self._safely(self._open),
            "widget": self._safely(self._widget),
            "openid": self._openid,
            "script": self._script,
            "home": self._known(self._home),
            "merchant": self._known(self._merchant),
            "product": self._known(self._product),
            "add": self._known(self._add),
            "image": self._known(self._image),
            "cart": self._known(self._cart),
            "change": self._known(self._change),
            "version": self._known(self._version),
        }

    @property
    def prefix(self) -> str:
        """Where its addresses begin."""
        return self._base

    def answer(self, name: str, request: web.Request) -> Awaitable[web.StreamResponse]:
        """The answer of one of :data:`ROUTES`."""
        return self._answers[name](request)

    # Frame

    def _safely(self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Answer:
        async def handle(request: web.Request) -> web.StreamResponse:
            words = self._renderer.translation(accepted_languages(request))
            try:
                return await answer(request)
            except LinkInvalid as invalid:
                return self._renderer.over(words, self._bot.name, used=invalid.why == "used")
            except FormRefused as refused:
                log.info("a form was not taken: %s", refused.code)
                told = words.t("That could not be taken. Please open the page from the chat again.")
                return self._renderer.told(words, self._bot.name, told, status=refused.status)
            except _TooOften as often:
                told = often.verdict.explain(words)
                return self._renderer.told(words, self._bot.name, told, status=429)
            except (DatabaseError, EngineFailed) as error:
                log.error("a page has to wait: %s", error)
                told = words.t("Something on our side does not answer. Please try again in a moment.")
                return self._renderer.told(words, self._bot.name, told, status=503)

        return handle

    def _known(self, answer: Callable[[web.Request, Visit], Awaitable[web.StreamResponse]]) -> Answer:
        async def handle(request: web.Request) -> web.StreamResponse:
            session = await self._access.session(request, self._bot.instance)
            if session is None:
                words = self._renderer.translation(accepted_languages(request))
                told = words.t("Please open this page from your chat with {bot}.", bot=self._bot.name)
                return self._renderer.told(words, self._bot.name, told, status=401)
            self._limit(self._sends if request.method == "POST" else self._looks, session.person)
            return await answer(request, await self._visit(request, session))

        return self._safely(handle)

    async def _visit(self, request: web.Request, session: Session) -> Visit:
        person = await self._people.get(session.person)
        wanted = [*([person.language] if person.language else ()), *accepted_languages(request)]
        words = self._renderer.translation(wanted, person.zone)
        hand = PageHand(self._database, self._clock.now_ms())
        shared = await self._shared(hand, session)
        cart = await self._baskets.get(hand, session.person if shared is None else shared.owner)
        return Visit(session, hand, cart, words, Views(words, self._base, session.csrf, hand.now()), shared)

    async def _shared(self, hand: PageHand, session: Session) -> Shared | None:
        """What the room that the page belongs to orders together, if the person is still in it."""
        found = None if self.together is None else await self.together.of_room(hand, session.room_id)
        if found is None:
            return None
        try:
            members = await self._rooms.members(session.room_id)
        except HomeserverError:
            return None
        return found if members.get(session.person) == "join" else None

    async def _own_prices(self, visit: Visit, products: Iterable[tuple[str, Product]]) -> None:
        """Have the pages show what these products, by merchant, cost this reader."""
        if visit.shared is not None:
            return
        found = {(merchant, product.key): product for merchant, product in products}
        visit.views.lists = await self._lists.of_products(visit.hand, visit.session.person, found)

    def _limit(self, limiter: RateLimiter, name: str) -> None:
        verdict = limiter.check(name, self._monotonic())
        if isinstance(verdict, Limited):
            raise _TooOften(verdict)

    def _show(
        self, visit: Visit, template: str, view: Mapping[str, Any], *, notice: str = "", bad: bool = False,
        status: int = 200,
    ) -> web.Response:  # fmt: skip
        whole = {**visit.views.common(visit.cart, notice, bad), **view}
        return self._renderer.page(
            template,
            whole,
            visit.words,
            base=self._base,
            name=self._bot.name,
            framed=visit.session.framed,
            status=status,
        )

    async def _form(self, request: web.Request, visit: Visit) -> Form:
        self._origin.check_headers(request)
        form = await read_form(request)
        if not hmac.compare_digest(form["csrf"].encode(), visit.session.csrf.encode()):
            raise FormRefused("cross_site", 403)
        return form

    # Coming in

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        """Behind a link from the chat. Looking at it uses nothing up: clients fetch previews."""
        token = request.match_info["token"]
        words = self._renderer.translation(accepted_languages(request))
        self._limit(self._entries, self._links.digest(token, PURPOSE))
        now = self._clock.now_ms()
        claim = await self._database.read(lambda connection: self._links.peek(connection, token, PURPOSE, now))
        visitor = self._origin.visitor(request)
        view = {
            "title": self._bot.name,
            "lead": words.t("For {person}.", person=claim.person),
            "button": words.t("Open"),
            "csrf": self._origin.secret(visitor, claim.digest),
            "notice": "",
        }
        response = self._renderer.page("enter.html", view, words, base=self._base, name=self._bot.name)
        self._origin.remember(request, response, visitor)
        return response

    async def _open(self, request: web.Request) -> web.StreamResponse:
        token = request.match_info["token"]
        self._limit(self._entries, self._links.digest(token, PURPOSE))
        self._origin.check_headers(request)
        form = await read_form(request)
        self._origin.check(request, form, self._links.digest(token, PURPOSE))
        now, cookie = self._clock.now_ms(), self._access.new_cookie()

        def work(connection: Connection) -> list[InternalEvent]:
            claim = self._links.redeem(connection, token, PURPOSE, now)
            bot, _, room_id = claim.subject.partition(" ")
            if bot != self._bot.instance:
                raise LinkInvalid("unknown")
            self._access.begin(connection, cookie, bot=bot, person=claim.person, room_id=room_id, framed=False)
            return []

        await self._raise(work)
        response = elsewhere(f"{self._base}/")
        self._access.remember(response, cookie, self._base, framed=False)
        return response

    async def _widget(self, request: web.Request) -> web.StreamResponse:
        """Where a client opens it beside the room: its script asks the client who the person is."""
        words = self._renderer.translation(accepted_languages(request))
        view = {
            "title": self._bot.name,
            "lead": words.t("One moment: your client is asked who you are."),
            "blocked": words.t("You have not allowed it. Open the page again to be asked once more."),
            "failed": words.t("That did not work here. Write “app” to {bot} for a link.", bot=self._bot.name),
            "without": words.t("This needs a script. Write “app” to {bot} for a link.", bot=self._bot.name),
            "notice": "",
        }
        return self._renderer.page("widget.html", view, words, base=self._base, name=self._bot.name, framed=True)

    async def _openid(self, request: web.Request) -> web.StreamResponse:
        """Exchanges what a widget's client vouches with for a session."""
        try:
            self._origin.check_headers(request)
            self._limit(self._entries, request.remote or "")
            if (request.content_length or 0) > BODY_MAX:
                return json_answer(413, {"error": "too_large"})
            given = json.loads((await request.content.read(BODY_MAX + 1))[:BODY_MAX])
            token, server, room = (given[name] for name in ("access_token", "matrix_server_name", "room_id"))
            if not all(isinstance(each, str) for each in (token, server, room)):
                raise TypeError
            person = await self._access.vouched(token, server)
            await self._check_room(person, room)
        except FormRefused as refused:
            return json_answer(refused.status, {"error": refused.code})
        except _TooOften:
            return json_answer(429, {"error": "too_often"})
        except TokenRefused as refused:
            log.info("a widget's token was not taken: %s", refused.code)
            return json_answer(403, {"error": "token_refused"})
        except (ValueError, KeyError, TypeError):
            return json_answer(400, {"error": "unreadable"})
        cookie = self._access.new_cookie()

        def work(connection: Connection) -> list[InternalEvent]:
            bot = self._bot.instance
            self._access.begin(connection, cookie, bot=bot, person=person, room_id=room, framed=True)
            return []

        try:
            await self._raise(work)
        except DatabaseError as error:
            log.error("a page waits for the database: %s", error)
            return json_answer(503, {"error": "unavailable"})
        response = json_answer(200, {"status": "open"})
        self._access.remember(response, cookie, self._base, framed=True)
        return response

    async def _check_room(self, person: str, room_id: str) -> None:
        """A browser can name any room: it must be one that the person and the bot are in.

        Raises:
            TokenRefused: it is not.
        """
        try:
            members = await self._rooms.members(room_id) if room_id.startswith("!") else {}
        except HomeserverError:
            members = {}
        if members.get(person) != "join" or members.get(self._bot.user_id) != "join":
            raise TokenRefused("room")

    async def _script(self, _: web.Request) -> web.StreamResponse:
        return self._renderer.script()

    # Looking

    async def _home(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        query, after = request.query.get("q", "")[:100].strip(), request.query.get("after", "")[:200]
        merchant_id = "" if visit.shared is None else visit.shared.merchant
        if not query and merchant_id:
            merchant = await self._sellers.get(visit.hand, merchant_id)
            return self._gone(visit) if merchant is None else elsewhere(visit.views.merchant_url(merchant))
        if not query:
            there = await self._sellers.list(visit.hand, SHOWN, after, MERCHANTS + 1)
            return self._show(visit, "home.html", visit.views.merchants(there[:MERCHANTS], more=len(there) > MERCHANTS))
        language = visit.words.language
        found = await self._shelf.search(
            visit.hand, query, merchant_id=merchant_id, language=language, after=after, limit=PAGE_SIZE
        )
        of = await self._sellers.many(visit.hand, {each.merchant_id for each in found.items})
        await self._own_prices(visit, [(each.merchant_id, each.product) for each in found.items])
        return self._show(visit, "home.html", visit.views.found(found, of, query))

    async def _merchant(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        merchant = await self._merchant_of(request, visit)
        if merchant is None:
            return self._gone(visit)
        category, after = request.query.get("c", "")[:64], request.query.get("after", "")[:200]
        categories = await self._shelf.categories(visit.hand, merchant.id)
        page = await self._shelf.browse(visit.hand, merchant.id, category=category, after=after, limit=PAGE_SIZE)
        await self._own_prices(visit, [(merchant.id, each.product) for each in page.items])
        return self._show(visit, "merchant.html", visit.views.merchant(merchant, categories, category, page))

    async def _product(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        merchant, product = await self._product_of(request, visit)
        if merchant is None or product is None:
            return self._gone(visit)
        left = await self._shelf.left(visit.hand, merchant.id, product.key)
        await self._own_prices(visit, [(merchant.id, product)])
        return self._show(visit, "product.html", visit.views.product(merchant, product, left, Chosen()))

    async def _image(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """The picture of a product: of nothing else, so that nobody reads other files of the homeserver here."""
        merchant, product = await self._product_of(request, visit)
        if merchant is None or product is None or not (product.images or product.picture):
            raise web.HTTPNotFound
        try:
            if product.images:
                data, kind = await self._thumbnails(product.images[0])
            else:
                data, kind = await self._elsewhere(visit.hand, merchant.id, product)
        except RialtoError as error:
            log.info("a picture could not be had: %s", error.code)
            raise web.HTTPNotFound from None
        if kind not in {"image/jpeg", "image/png", "image/webp", "image/gif"}:
            raise web.HTTPNotFound
        headers = {"Cache-Control": f"private, max-age={IMAGE_S}", "Content-Disposition": "inline"}
        return web.Response(body=data, content_type=kind, headers=headers)

    async def _cart(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        notice = visit.words.t("It is in your cart.") if "added" in request.query else ""
        return await self._cart_page(visit, notice)

    async def _cart_page(self, visit: Visit, notice: str = "", *, bad: bool = False) -> web.Response:
        priced = await self._baskets.priced(visit.hand, visit.cart, visit.session.person)
        of = await self._sellers.many(visit.hand, set(visit.cart.merchants))
        status = 409 if bad else 200
        names = {} if visit.shared is None else await self._names(visit)
        view = visit.views.cart(priced, of, names, visit.person)
        return self._show(visit, "cart.html", view, notice=notice, bad=bad, status=status)

    async def _names(self, visit: Visit) -> dict[str, str]:
        """What those are called who have put something into the cart."""
        found = {}
        for person in {line.person for line in visit.cart.lines}:
            shown = await self._rooms.display_name(visit.session.room_id, person)
            found[person] = shown or person[1:].partition(":")[0]
        return found

    async def _version(self, _: web.Request, visit: Visit) -> web.StreamResponse:
        return json_answer(200, {"version": visit.cart.version})

    def _gone(self, visit: Visit) -> web.Response:
        view = {"title": visit.words.t("Not there any more"), "lead": "", "button": ""}
        return self._show(visit, "enter.html", view, status=404)

    # Changing

    async def _add(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        form = await self._form(request, visit)
        merchant, product = await self._product_of(request, visit)
        if merchant is None or product is None:
            return self._gone(visit)
        chosen = chosen_in(product, form)
        try:
            await self._own_prices(visit, [(merchant.id, product)])
            if visit.shared is not None and merchant.id != visit.shared.merchant:
                raise CartError("cart.elsewhere")
            line = line_of(merchant, product, chosen, visit.hand.now(), visit.views.lists.get(merchant.id, ""))
            await self._put(visit, visit.cart.add(replace(line, person=visit.person)))
        except DomainError as error:
            left = await self._shelf.left(visit.hand, merchant.id, product.key)
            view = visit.views.product(merchant, product, left, chosen, [sentence_of(visit.words, error)])
            return self._show(visit, "product.html", view, status=422)
        return elsewhere(f"{self._base}/cart?added")

    async def _change(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        form = await self._form(request, visit)
        number, quantity = whole(form["number"]), whole(form["quantity"])
        try:
            cart = visit.cart.at(whole(form["version"]))
            if form.action == "checkout" and visit.shared is None:
                return await self._checkout(visit)
            if cart.line(number).person != visit.person:
                raise CartError("cart.not_yours")
            after = cart.remove(number) if form.action == "remove" else cart.set_quantity(number, quantity)
            await self._put(visit, after)
        except DomainError as error:
            return await self._cart_page(visit, sentence_of(visit.words, error), bad=True)
        return elsewhere(f"{self._base}/cart")

    async def _checkout(self, visit: Visit) -> web.StreamResponse:
        if not visit.cart.lines:
            raise CartError("cart.empty")
        await self._tell(visit, CHECKOUT_TIMER, f"checkout/{visit.session.person}/{visit.cart.version}")
        view = {
            "title": visit.words.t("Go on in the chat"),
            "lead": visit.words.t("{bot} has written to you there.", bot=self._bot.name),
            "button": "",
        }
        return self._show(visit, "enter.html", view)

    async def _put(self, visit: Visit, after: Cart) -> None:
        """Store the cart and have the chat told. Raises DomainError: it was changed meanwhile, or cannot be now."""
        if visit.shared is not None and self.together is not None:
            await self.together.changing(visit.hand, visit.session.room_id, visit.session.person)
        self._baskets.put(visit.hand, visit.owner, visit.cart, after)
        try:
            await self._tell(visit, CART_TIMER, f"cart/{visit.owner}/{after.version}")
        except RialtoError as error:
            if isinstance(error, DatabaseError):
                raise
            raise CartError("cart.changed") from error

    async def _tell(self, visit: Visit, timer: str, key: str) -> None:
        session = visit.session
        name, fired = f"app/{self._bot.instance}/{key}", {"name": timer, "data": {"person": visit.owner}}
        # As a schedule of the bot's fires: the same handlers take it.
        content = {"schedule": name, "due": visit.hand.now_ms(), "data": fired}
        event = InternalEvent(name, self._bot.consumer, session.room_id, TIMER_FIRED, content, session.person)

        def work(connection: Connection) -> list[InternalEvent]:
            for write in visit.hand.writes:
                write(connection)
            return [event]

        await self._raise(work)

    # Reading

    async def _merchant_of(self, request: web.Request, visit: Visit) -> Merchant | None:
        found = await self._sellers.by_slug(visit.hand, request.match_info["slug"][:64])
        return found if found is not None and found.state in SHOWN else None

    async def _product_of(self, request: web.Request, visit: Visit) -> tuple[Merchant | None, Product | None]:
        merchant = await self._merchant_of(request, visit)
        if merchant is None:
            return None, None
        product = await self._shelf.product(visit.hand, merchant.id, request.match_info["key"][:64])
        return merchant, product if product is not None and product.active else None


class _TooOften(Exception):
    def __init__(self, verdict: Limited) -> None:
        self.verdict = verdict

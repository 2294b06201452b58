"""``rialto product``: embedding products and their keys."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from appservice.commands.common import Exit, UsageError, add_config, add_data, add_json, load, print_json, say

if TYPE_CHECKING:
    from bridge.identity.products import MadeKey, Products
    from bridge.store.products import Product, ProductKey

T = TypeVar("T")


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("product", help="embedding products and their keys", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    adding = actions.add_parser("add", help="a new product with its first key", description=_add.__doc__)
    adding.add_argument("name", help="lower-case letters and digits; the name of its workspace, too")
    adding.add_argument("--title", help="what people see (the name unless told)")
    adding.set_defaults(handler=_add)
    listing = actions.add_parser("list", help="products and their keys", description=_list.__doc__)
    listing.set_defaults(handler=_list)
    key = actions.add_parser("key", help="a further key of a product", description=_key.__doc__)
    key.add_argument("name", help="the product")
    key.add_argument("--label", default="", help="what it is for")
    key.set_defaults(handler=_key)
    for action in (adding, key):
        action.add_argument(
            "--scope",
            action="append",
            metavar="SCOPE",
            help="what the key may do: chats.read, chats.*, *.read; several times. Everything unless told",
        )
    rotate = actions.add_parser("rotate", help="a new key in the place of one", description=_rotate.__doc__)
    rotate.add_argument("key", help="the id of the key: what stands between the underscores")
    rotate.add_argument("--overlap", type=float, default=24.0, metavar="HOURS", help="the old one stays good (24)")
    rotate.set_defaults(handler=_rotate)
    revoke = actions.add_parser("revoke", help="a key is good no more", description=_revoke.__doc__)
    revoke.add_argument("key", help="the id of the key")
    revoke.set_defaults(handler=_revoke)
    for action in actions.choices.values():
        add_config(action)
        add_data(action)
        add_json(action)


def _with_products(arguments: argparse.Namespace, work: Callable[[Products], Awaitable[T]]) -> T:
    from appservice.clock import SystemClock
    from appservice.database import open_database
    from appservice.sealing import Sealer
    from bridge.audit import Audit
    from bridge.identity.products import Products

    _, config = load(arguments)
    pickle_key = config.encryption.pickle_key.get_secret_value()

    async def run() -> T:
        database = open_database(config.database.url, pool_size=1)
        await database.start()
        try:
            audit = Audit(database, Sealer(pickle_key, "payments"))
            return await work(Products(database, audit, SystemClock(), pickle_key))
        finally:
            await database.stop()

    return asyncio.run(run())


def _add(arguments: argparse.Namespace) -> int:
    """A new product, whose chats and people are apart from all others'. Its first key is shown this once."""
    scopes = _scopes(arguments)
    title = arguments.title or arguments.name
    return _show(arguments, _with_products(arguments, lambda products: products.add(arguments.name, title, scopes)))


def _key(arguments: argparse.Namespace) -> int:
    """A further key of a product, shown this once."""
    scopes = _scopes(arguments)
    made = _with_products(arguments, lambda products: products.add_key(arguments.name, scopes, arguments.label))
    return _show(arguments, made)


def _rotate(arguments: argparse.Namespace) -> int:
    """A new key with the scopes of one, shown this once; the old one stays good for a while."""
    overlap = arguments.overlap * 3600
    return _show(arguments, _with_products(arguments, lambda products: products.rotate(arguments.key, overlap)))


def _revoke(arguments: argparse.Namespace) -> int:
    """A key is good no more, a second from now at the latest."""
    _with_products(arguments, lambda products: products.revoke(arguments.key))
    if arguments.json:
        print_json({"revoked": arguments.key})
    else:
        say(f"the key {arguments.key} is revoked")
    return Exit.OK


def _list(arguments: argparse.Namespace) -> int:
    """All products with their keys. Nobody can show a key again."""
    found: list[tuple[Product, list[ProductKey]]] = _with_products(arguments, lambda products: products.list())
    if arguments.json:
        print_json([_product(product, keys) for product, keys in found])
        return Exit.OK
    if not found:
        say("there are no products; `rialto product add NAME` makes one")
    now = round(datetime.now(UTC).timestamp() * 1000)
    for product, keys in found:
        say(f"{product.name}: {product.title}")
        for key in keys:
            say(f"  {key.id}  {_state(key, now)}{f'  {key.label}' if key.label else ''}")
            say(f"    {' '.join(sorted(key.scopes))}")
    return Exit.OK


def _scopes(arguments: argparse.Namespace) -> frozenset[str]:
    from bridge.domain.scopes import matching

    try:
        return matching(arguments.scope or ["*"])
    except ValueError as error:
        raise UsageError(f"{error}; docs/api.md names them") from None


def _show(arguments: argparse.Namespace, made: MadeKey) -> int:
    if arguments.json:
        print_json(
            {"product": made.key.product, "id": made.key.id, "key": made.text, "scopes": sorted(made.key.scopes)}
        )
    else:
        say(f"the key of {made.key.product} (note it, it is shown this once):")
        say(made.text)
    return Exit.OK


def _state(key: ProductKey, now: int) -> str:
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is not None:
        return f"{'expired' if key.expires_at <= now else 'good until'} {_day(key.expires_at)}"
    used = "never used" if key.used_at is None else f"used {_day(key.used_at)}"
    return f"good, {used}"


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d %H:%M}"


def _product(product: Product, keys: list[ProductKey]) -> dict[str, Any]:
    return {
        "name": product.name,
        "title": product.title,
        "created_at": product.created_at,
        "keys": [
            {
                "id": key.id,
                "label": key.label,
                "scopes": sorted(key.scopes),
                "created_at": key.created_at,
                "expires_at": key.expires_at,
                "revoked_at": key.revoked_at,
                "used_at": key.used_at,
            }
            for key in keys
        ],
    }

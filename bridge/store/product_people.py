"""The people of products, and the tokens they sign in with. Plain functions on a connection; times are ms."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, tuple_, update
from sqlalchemy.engine import RowMapping

from appservice.database import insert_ignore
from bridge.store.product_tables import product_people, sign_in_tokens


@dataclass(frozen=True, slots=True)
class ProductPerson:
    """Somebody of a product.

    Attributes:
        managed: the account was made for the product; a linked one is the person's own.
        ready: the account is there (its making may have been cut off).
    """

    product: str
    external_id: str
    user_id: str
    managed: bool
    display_name: str
    ready: bool
    created_at: int
    deactivated_at: int | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a sign-in token was made for."""

    product: str
    user_id: str
    created_at: int
    expires_at: int
    used_at: int | None = None


def add(connection: Connection, person: ProductPerson) -> bool:
    """Keep a new person; False when the product has one with this id, or with this user, already."""
    row = {name: getattr(person, name) for name in ProductPerson.__slots__}
    if by_user(connection, person.product, person.user_id) is not None:
        return False
    return connection.execute(insert_ignore(connection, product_people, "product", "external_id"), row).rowcount == 1


def find(connection: Connection, product: str, external_id: str) -> ProductPerson | None:
    """The person that a product calls so."""
    where = (product_people.c.product == product, product_people.c.external_id == external_id)
    return _person(connection.execute(select(product_people).where(*where)).mappings().first())


def by_user(connection: Connection, product: str, user_id: str) -> ProductPerson | None:
    """The person of a product who is this user."""
    where = (product_people.c.product == product, product_people.c.user_id == user_id)
    return _person(connection.execute(select(product_people).where(*where)).mappings().first())


def of_user(connection: Connection, user_id: str) -> list[ProductPerson]:
    """What all products call a user."""
    query = select(product_people).where(product_people.c.user_id == user_id).order_by(product_people.c.product)
    return [ProductPerson(**row) for row in connection.execute(query).mappings()]


def names(connection: Connection, product: str, user_ids: Collection[str]) -> dict[str, str]:
    """User id to the product's own id, of those that the product knows."""
    if not user_ids:
        return {}
    table = product_people.c
    query = select(table.user_id, table.external_id).where(table.product == product, table.user_id.in_(user_ids))
    return {row.user_id: row.external_id for row in connection.execute(query)}


def page(connection: Connection, product: str, *, after: tuple[int, str] | None, limit: int) -> list[ProductPerson]:
    """A page of a product's people, the newest first.

    Args:
        after: ``created_at`` and ``external_id`` of the last one of the page before.
    """
    table = product_people.c
    query = select(product_people).where(table.product == product)
    if after is not None:
        query = query.where(tuple_(table.created_at, table.external_id) < after)
    query = query.order_by(table.created_at.desc(), table.external_id.desc()).limit(limit)
    return [ProductPerson(**row) for row in connection.execute(query).mappings()]


def change(connection: Connection, product: str, external_id: str, **values: Any) -> bool:
    """Set columns of a person; whether there is one."""
    where = (product_people.c.product == product, product_people.c.external_id == external_id)
    return connection.execute(update(product_people).where(*where).values(**values)).rowcount == 1


def remove(connection: Connection, product: str, external_id: str) -> bool:
    """The product does not know them any more."""
    where = (product_people.c.product == product, product_people.c.external_id == external_id)
    return connection.execute(delete(product_people).where(*where)).rowcount == 1


def forget_user(connection: Connection, user_id: str) -> None:
    """Nothing of a user is left here."""
    connection.execute(delete(product_people).where(product_people.c.user_id == user_id))
    connection.execute(delete(sign_in_tokens).where(sign_in_tokens.c.user_id == user_id))


# Sign-in tokens


def add_token(connection: Connection, digest: str, sign_in: SignIn) -> None:
    """Keep a new token."""
    row = {name: getattr(sign_in, name) for name in SignIn.__slots__}
    connection.execute(insert(sign_in_tokens), row | {"digest": digest})


def spend_openid(connection: Connection, digest: str, sign_in: SignIn) -> bool:
    """An OpenID token has shown who somebody is; False when it has done so before."""
    row = {name: getattr(sign_in, name) for name in SignIn.__slots__} | {"digest": digest}
    return connection.execute(insert_ignore(connection, sign_in_tokens, "digest"), row).rowcount == 1


def use_token(connection: Connection, digest: str, now: int) -> SignIn | None:
    """Use a token up; None when it is unknown, used, or over. Of several at the same time one can."""
    table = sign_in_tokens.c
    where = (table.digest == digest, table.used_at.is_(None), table.expires_at > now)
    if connection.execute(update(sign_in_tokens).where(*where).values(used_at=now)).rowcount != 1:
        return None
    row = connection.execute(select(sign_in_tokens).where(table.digest == digest)).mappings().one()
    return SignIn(**{name: row[name] for name in SignIn.__slots__})


def renew_token(connection: Connection, digest: str) -> None:
    """What a token was used for did not come about: it may be tried again."""
    connection.execute(update(sign_in_tokens).where(sign_in_tokens.c.digest == digest).values(used_at=None))


def withdraw_tokens(connection: Connection, product: str, user_id: str) -> None:
    """No token of a product's person is good any more."""
    where = (sign_in_tokens.c.product == product, sign_in_tokens.c.user_id == user_id)
    connection.execute(delete(sign_in_tokens).where(*where))


def purge_tokens(connection: Connection, before: int, limit: int = 1000) -> int:
    """Forget up to ``limit`` tokens that were over before a time; how many."""
    old = select(sign_in_tokens.c.digest).where(sign_in_tokens.c.expires_at < before).limit(limit)
    return connection.execute(delete(sign_in_tokens).where(sign_in_tokens.c.digest.in_(old))).rowcount


def _person(row: RowMapping | None) -> ProductPerson | None:
    return None if row is None else ProductPerson(**row)

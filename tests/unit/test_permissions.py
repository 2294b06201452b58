"""Roles and permissions."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bots.framework.permissions import Permissions, Roles, split_user_id

ALL = ("admin", "operator", "user", "guest")


def permissions(**roles: Any) -> Permissions:
    rules = roles.pop("rules", {})
    return Permissions.model_validate({"roles": roles, "rules": rules})


def test_roles_are_ordered() -> None:
    given = permissions(admin=["@a:x.org"], operator=["@o:x.org"], user=["x.org"], guest=["*"])
    assert given.roles_of("@a:x.org") == ALL
    assert given.roles_of("@o:x.org") == ALL[1:]
    assert given.roles_of("@u:x.org") == ALL[2:]
    assert given.roles_of("@g:y.org") == ALL[3:]


def test_without_a_word_everybody_is_a_user() -> None:
    assert Permissions().roles_of("@anyone:anywhere.org") == ("user", "guest")
    assert permissions(user=[]).roles_of("@anyone:anywhere.org") == ()


@pytest.mark.parametrize(
    ("pattern", "user", "is_member"),
    [
        ("@admin:good.org", "@admin:good.org", True),
        ("@admin:good.org", "@admin:evil.org", False),
        ("@admin:good.org", "@Admin:good.org", False),
        ("@admin:good.org", "@admin:GOOD.org", False),
        ("@admin:good.org", "@admin:good.org.", False),
        ("@admin:good.org", "@admin:good.org.evil.org", False),
        ("@admin:good.org", "@admin:good.org:8448", False),
        ("@admin:good.org", "@admin:evil.org:good.org", False),
        ("@admin:good.org", " @admin:good.org", False),
        ("@admin:good.org", "@admin:good.org\n", False),
        ("@admin:good.org", "@admin:good.org\x00", False),
        ("@admin:good.org", "@admin\u200b:good.org", False),
        ("@admin:good.org", "@\u0430dmin:good.org", False),
        ("@admin:good.org", "@admin:g\u043e\u043ed.org", False),
        ("@admin:good.org", "admin:good.org", False),
        ("@admin:good.org", "", False),
        ("@*:good.org", "@any:good.org", True),
        ("good.org", "@any:good.org", True),
        ("good.org", "@Historic Name:good.org", False),
        ("good.org", "@Historic~Näme:good.org", True),
        ("good.org", "@any:sub.good.org", False),
        ("good.org", "@any:evilgood.org", False),
        ("good.org", "@good.org:evil.org", False),
        ("good.org", "@x:evil.org/good.org", False),
        ("good.org", "@x:good.org:8448", False),
        ("good.org", "@" + "x" * 260 + ":good.org", False),
        ("@*:good.org:8448", "@x:good.org:8448", True),
        ("@*:[::1]:8448", "@x:[::1]:8448", True),
        ("@*:127.0.0.1", "@x:127.0.0.1", True),
        ("@*:localhost", "@x:localhost", True),
        ("@*:*.good.org", "@x:a.good.org", True),
        ("@*:*.good.org", "@x:b.a.good.org", True),
        ("@*:*.good.org", "@x:good.org", False),
        ("@*:*.good.org", "@x:evilgood.org", False),
        ("@*:*.good.org", "@x:.good.org", False),
        ("@*:*.good.org", "@x:a.good.org.evil.org", False),
        ("@*:*.good.org", "@x:a.good.org:8448", False),
        ("@telegram_*:good.org", "@telegram_1:good.org", True),
        ("@telegram_*:good.org", "@telegram_1:evil.org", False),
        ("@telegram_*:good.org", "@x_telegram_1:good.org", False),
        ("@Old:good.org", "@Old:good.org", True),
        ("@Old:good.org", "@old:good.org", False),
    ],
)
def test_patterns(pattern: str, user: str, is_member: bool) -> None:
    assert ("admin" in permissions(admin=[pattern], user=[]).roles_of(user)) is is_member


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("alice", "needs the whole user id, @alice:server"),
        ("@alice", "needs a server name after the name"),
        ("@alice:", "needs a server name like"),
        ("@:good.org", "needs a name"),
        ("@admin:*", "anybody can have this name"),
        ("@*:*", "anybody can have this name"),
        ("@ad*min:good.org", "alone or at the end"),
        ("@*min:good.org", "alone or at the end"),
        ("@**:good.org", "alone or at the end"),
        ("@admin:go*d.org", "needs a server name like"),
        ("@admin:good.*", "needs a server name like"),
        ("@*:*.org", "two parts or more"),
        ("@*:*good.org", "needs a server name like"),
        ("@*:a.*.good.org", "needs a server name like"),
        ("@admin:*.good.org", "needs a server name without *"),
        ("*.good.org", "needs @*:*.good.org"),
        ("@admin:good.org.", "needs a server name like"),
        ("@admin:good..org", "needs a server name like"),
        ("@admin:g\u043e\u043ed.org", "needs a server name like"),
        ("@admin:https://good.org", "needs a server name like"),
        ("@ad min:good.org", "needs a name without spaces"),
        ("good org", "needs @name:server"),
        ("", "needs @name:server"),
        ("*", "must not have *"),
    ],
)
def test_patterns_that_are_refused(pattern: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Roles.model_validate({"admin": [pattern]})
    assert says in caught.value.errors()[0]["msg"]


def test_a_single_pattern_needs_no_list() -> None:
    assert permissions(admin="@a:x.org").roles_of("@a:x.org") == ALL


def test_unknown_keys_and_roles() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Roles.model_validate({"adnim": ["@a:x.org"]})
    with pytest.raises(ValidationError, match="did you mean 'operator'"):
        permissions(rules={"coffee": "operater"})
    with pytest.raises(ValidationError, match="which is not there"):
        permissions(rules={"coffee": "zzz"})
    with pytest.raises(ValidationError, match="lower case with dots"):
        permissions(rules={"coffee.*": "user"})
    with pytest.raises(ValidationError, match="no built-in role"):
        permissions(groups={"admin": ["@a:x.org"]})
    with pytest.raises(ValidationError):
        permissions(rules={"coffee": []})


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Permissions().roles.admin = ("@a:x.org",)  # type: ignore[misc]


def test_rules() -> None:
    given = permissions(
        admin="@a:x.org",
        operator="@o:x.org",
        user="x.org",
        guest="*",
        groups={"kitchen": ["@k:y.org"]},
        rules={"coffee": "guest", "coffee.refund": ["operator", "kitchen"], "*": "user", "closed": "admin"},
    )
    assert given.roles_of("@k:y.org") == ("guest", "kitchen")

    def who(permission: str, default: str = "user") -> str:
        people = ("@a:x.org", "@o:x.org", "@u:x.org", "@g:z.org", "@k:y.org")
        return "".join(user[1] for user in people if given.allows(user, permission, default=default))

    assert who("coffee") == "aougk"
    assert who("coffee.order", "guest") == "aougk"
    assert who("coffee.refund") == "aok"
    assert who("coffee.refund.all") == "ao"
    assert who("tea", "guest") == "aou"
    assert who("closed") == who("closed.really") == "a"
    # What a plugin asks for is not undone by opening the plugin as a whole, but by a rule of its own.
    assert who("coffee.stock", "operator") == "ao"
    assert who("coffee.stock", "kitchen") == "ak"
    assert who("tea", "operator") == "ao"
    assert not given.allows("nobody", "coffee", default="guest")


def test_without_rules_the_plugin_decides() -> None:
    given = permissions(operator="@o:x.org")
    assert given.allows("@u:x.org", "coffee")
    assert not given.allows("@u:x.org", "coffee.refund", default="operator")
    assert given.allows("@o:x.org", "coffee.refund", default="operator")


@pytest.mark.parametrize(
    ("user", "parts"),
    [
        ("@a:x.org", ("a", "x.org")),
        ("@:x.org", ("", "x.org")),
        ("@a:[2001:db8::1]:8448", ("a", "[2001:db8::1]:8448")),
        ("@a:-x.org", None),
        ("@a:x.org:", None),
        ("@a:x.org:123456", None),
        ("@a:", None),
        ("@a", None),
        ("@\ud800:x.org", None),
    ],
)
def test_user_ids(user: str, parts: tuple[str, str] | None) -> None:
    assert split_user_id(user) == parts

"""Who may do what: roles given to people by patterns, and the least role that a command needs. Pure.

User ids are compared as they stand: localparts of older accounts and server names are case-sensitive, and a server name
with a trailing dot is another server (specification, appendices, "User identifiers" and "Server name").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

MAX_USER_ID: Final = 255  # bytes
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS: Final = rf"{_LABEL}(?:\.{_LABEL})*"
_SERVER: Final = re.compile(rf"(?:{_DNS}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?")
_SUBDOMAINS: Final = re.compile(rf"\*\.{_LABEL}(?:\.{_LABEL})+")
# What stands between @ and : in accounts of any age; new ones are lower case, digits and . _ = / + - only.
_LOCALPART: Final = re.compile(r"[^:\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]*")
_PERMISSION: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_GROUP: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class Role(StrEnum):
    """The built-in roles; each may do what those after it may."""

    ADMIN = "admin"
    OPERATOR = "operator"
    USER = "user"
    GUEST = "guest"


ROLES: Final = tuple(Role)
"""From the highest to the lowest."""


def split_user_id(user_id: str) -> tuple[str, str] | None:
    """Localpart and server name of a user id; None when it is none."""
    if not user_id.startswith("@") or len(user_id.encode("utf-8", "replace")) > MAX_USER_ID:
        return None
    localpart, colon, server = user_id[1:].partition(":")
    if not colon or not _LOCALPART.fullmatch(localpart) or not _SERVER.fullmatch(server):
        return None
    return localpart, server


def _pattern(value: str) -> str:
    if value == "*":
        return value
    if not value.startswith("@"):
        if "*" in value:
            raise ValueError(f"needs @*:{value} for people of several servers, got {value!r}")
        if not _SERVER.fullmatch(value):
            raise ValueError(f"needs @name:server, a server name or *, got {value!r}")
        # A name without its server would be taken for a server.
        if not re.search(r"[.:\[]", value):
            raise ValueError(f"needs the whole user id, @{value}:server, or @*:{value} for a server, got {value!r}")
        return f"@*:{value}"
    return _user_pattern(value)


def _user_pattern(value: str) -> str:
    localpart, colon, server = value[1:].partition(":")
    if not colon:
        raise ValueError(f"needs a server name after the name, @{localpart}:server, got {value!r}")
    if "*" in localpart[:-1]:
        raise ValueError(f"needs * alone or at the end of the name, got {value!r}")
    if not _LOCALPART.fullmatch(localpart) or not localpart:
        raise ValueError(f"needs a name without spaces and control characters after @, got {value!r}")
    if server == "*":
        raise ValueError(f"needs a server name: anybody can have this name on a server of their own, got {value!r}")
    if server.startswith("*."):
        if localpart != "*":
            raise ValueError(f"needs a server name without *, or @*:{server} for everybody there, got {value!r}")
        if not _SUBDOMAINS.fullmatch(server):
            raise ValueError(f"needs *. and a domain of two parts or more, such as *.example.org, got {value!r}")
    elif not _SERVER.fullmatch(server):
        raise ValueError(f"needs a server name like example.org or example.org:8448, got {value!r}")
    return value


def _privileged(value: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in value:
        raise ValueError("must not have *: that is everybody, on every server")
    return value


def _permission(value: str) -> str:
    if value != "*" and not _PERMISSION.fullmatch(value):
        raise ValueError(f"needs names in lower case with dots between them, like coffee.refund, or *, got {value!r}")
    return value


def _group(value: str) -> str:
    if not _GROUP.fullmatch(value) or value in ROLES:
        raise ValueError(f"needs a name in lower case that is no built-in role, got {value!r}")
    return value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Pattern: TypeAlias = Annotated[str, AfterValidator(_pattern)]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], BeforeValidator(_listed)]
PrivilegedPatterns: TypeAlias = Annotated[Patterns, AfterValidator(_privileged)]
PermissionName: TypeAlias = Annotated[str, AfterValidator(_permission)]
GroupName: TypeAlias = Annotated[str, AfterValidator(_group)]
RoleNames: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class _Members:
    """The people whom some patterns mean."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._everybody = False
        self._people: set[str] = set()
        self._servers: set[str] = set()
        self._domains: list[str] = []
        self._prefixes: list[tuple[str, str]] = []
        for pattern in patterns:
            localpart, _, server = pattern[1:].partition(":")
            if pattern == "*":
                self._everybody = True
            elif server.startswith("*."):
                self._domains.append(server[1:])
            elif localpart == "*":
                self._servers.add(server)
            elif localpart.endswith("*"):
                self._prefixes.append((localpart[:-1], server))
            else:
                self._people.add(pattern)

    def include(self, user_id: str, localpart: str, server: str) -> bool:
        """Whether a person is one of them."""
        return (
            self._everybody
            or user_id in self._people
            or server in self._servers
            or any(server.endswith(domain) for domain in self._domains)
            or any(server == where and localpart.startswith(start) for start, where in self._prefixes)
        )


class Roles(_Model):
    """Who has which role. A pattern is one of

    - ``@alice:example.org``: this person;
    - ``@*:example.org`` or ``example.org``: everybody of this server, and of no subdomain;
    - ``@*:*.example.org``: everybody of its subdomains, at any depth, but not of ``example.org`` itself;
    - ``@telegram_*:example.org``: whose name on this server begins so;
    - ``*``: everybody; not for admins and operators.

    A ``*`` at another place is refused. Who has a role has the lower ones too; who matches nothing has none.
    """

    admin: PrivilegedPatterns = Field((), description="May do everything.")
    operator: PrivilegedPatterns = Field((), description="May do what operators of the service do.")
    user: Patterns = Field(("*",), description="May use the bots.")
    guest: Patterns = Field((), description="May do what is open to guests.")
    groups: dict[GroupName, Patterns] = Field({}, description="Further roles, without an order: staff, kitchen.")

    _members: dict[str, _Members] = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Sort the patterns, once."""
        named = {**{role.value: getattr(self, role.value) for role in ROLES}, **self.groups}
        self._members = {name: _Members(patterns) for name, patterns in named.items()}

    def of(self, user_id: str) -> tuple[str, ...]:
        """The roles of a person, the built-in ones from the highest down, then the groups by name.

        Empty for somebody without any and for what is no user id.
        """
        parts = split_user_id(user_id)
        if parts is None:
            return ()
        highest = next(
            (at for at, role in enumerate(ROLES) if self._members[role].include(user_id, *parts)), len(ROLES)
        )
        groups = sorted(name for name in self.groups if self._members[name].include(user_id, *parts))
        return (*(role.value for role in ROLES[highest:]), *groups)


class Permissions(_Model):
    """Roles, and which of them a permission needs.

    A permission is a name with dots: ``coffee`` for a plugin, ``coffee.refund`` for a command of it. A rule for
    ``coffee`` holds for everything below it, the one with the longest name counts, ``*`` is for the rest. A rule names
    a role or several of which one is enough; admins need none.
    """

    roles: Roles = Field(Roles(), description="Who has which role.")
    rules: dict[PermissionName, RoleNames] = Field({}, description="The role that a plugin or command needs.")

    @model_validator(mode="after")
    def _known(self) -> Permissions:
        known = [*(role.value for role in ROLES), *self.roles.groups]
        for permission, names in self.rules.items():
            for name in names:
                if name not in known:
                    near = get_close_matches(name, known, 1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise ValueError(f"rules.{permission} names the role {name!r}, which is not there{hint}")
        return self

    def roles_of(self, user_id: str) -> tuple[str, ...]:
        """The roles of a person; see :meth:`Roles.of`."""
        return self.roles.of(user_id)

    def allows(self, user_id: str, permission: str, *, default: str = Role.USER) -> bool:
        """Whether a person has a permission.

        ``default`` is the role that the plugin itself asks for. Only a rule for exactly this permission can ask for
        less: a rule that opens a plugin to guests does not open its operators' commands with it.
        """
        roles = self.roles_of(user_id)
        if Role.ADMIN in roles:
            return True
        rule = self.rules.get(permission)
        if rule is None:
            if default not in roles:
                return False
            rule = self._inherited(permission)
        return rule is None or any(name in roles for name in rule)

    def _inherited(self, permission: str) -> tuple[str, ...] | None:
        parent = permission.rpartition(".")[0]
        while parent:
            if parent in self.rules:
                return self.rules[parent]
            parent = parent.rpartition(".")[0]
        return self.rules.get("*")

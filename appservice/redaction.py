"""What logs must not hold: tokens, passwords, keys, message bodies.

Two guards. :class:`Redactor` goes over every text. :func:`render_error` decides whether the message of an exception
may be written at all: ``int(text)`` and ``f"bad {text}"`` quote what a person wrote, so only messages of errors that
are known not to are written; of the others type and traceback are.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from appservice.errors import RialtoError

SHORTEST_SECRET: Final = 6
HIDDEN: Final = "***"
WITHHELD: Final = "(message withheld: it may quote what a person wrote)"

_PATTERNS: Final = (
    # access_token=…, as_token: …, "hs_token": "…", also inside JSON strings where quotes carry a backslash
    re.compile(
        r"""(?P<keep>\b(?:access_token|as_token|hs_token|refresh_token|login_token|pickle_key|passphrase|password)\b"""
        r"""(?:\\*["'])?(?:\s*[=:]\s*|%3[dD]))(?:(?P<quote>\\*["'])(?:(?!(?P=quote)).)*(?P=quote)|[^\s&"'\\,;)}\]>]+)""",
    ),
    re.compile(
        r"""(?P<keep>\bAuthorization\b(?:\\*["'])?\s*[=:,]\s*(?:\\*["'])?\s*(?:(?:Bearer|Basic|X-Matrix|Digest)\s+)?)"""
        r"""[^\s"'\\,)}\]>]+""",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<keep>\bBearer\s+)[^\s\"'\\,)}\]>]+", re.IGNORECASE),
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@\"']*:)[^\s/@\"']+(?=@)", re.IGNORECASE),
)
_HINTS: Final = ("token", "pickle_key", "passphrase", "password", "authorization", "bearer", "://")
WITHHELD_FIELDS: Final = frozenset(
    {"access_token", "as_token", "hs_token", "refresh_token", "login_token", "token", "pickle_key", "passphrase"}
    | {"password", "authorization", "Authorization", "secret", "session_key", "recovery_key"}
    | {"body", "formatted_body", "content", "ciphertext"},
)


class Redactor:
    """Callable: a line in, the same line without secrets out."""

    def __init__(self) -> None:
        self.values: frozenset[str] = frozenset()
        self._longest_first: tuple[str, ...] = ()

    def add(self, value: str) -> None:
        """Hide ``value`` from now on, in the forms that a log line may hold it in."""
        if len(value) >= SHORTEST_SECRET:
            forms = {value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1], repr(value)[1:-1]}
            self.replace(self.values | forms)

    def replace(self, values: Iterable[str]) -> None:
        """Hide exactly these from now on."""
        self.values = frozenset(values)
        self._longest_first = tuple(sorted(self.values, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for value in self._longest_first:
            if value in text:
                text = text.replace(value, HIDDEN)
        lower = text.lower()
        for hint in _HINTS:
            if hint in lower:
                for pattern in _PATTERNS:
                    text = pattern.sub(_hide, text)
                break
        return text


def _hide(match: re.Match[str]) -> str:
    mark = match.groupdict().get("quote") or ""
    return f"{match['keep']}{mark}{HIDDEN}{mark}"


_TRUSTED: Final = (
    RialtoError,
    OSError,
    TimeoutError,
    ImportError,
    AttributeError,
    NameError,
    TypeError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    MemoryError,
)
_TRUSTED_MODULES: Final = ("aiohttp", "asyncio", "sqlite3", "ssl", "alembic", "sqlalchemy", "asyncpg")
# SQLAlchemy appends the bound values, PostgreSQL the failing row.
_VALUES: Final = re.compile(r"\[parameters: .*|^\s*DETAIL: .*|Failing row contains .*", re.DOTALL | re.MULTILINE)


def render_error(error: BaseException, show: bool = False) -> str:
    """``Type: message``, the message only if ``show`` or if errors of this type are known not to quote people."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    message = str(error)
    if not message:
        return name
    if show:
        return f"{name}: {message}"
    if not (isinstance(error, _TRUSTED) or kind.__module__.partition(".")[0] in _TRUSTED_MODULES):
        return f"{name}: {WITHHELD}"
    return f"{name}: {_VALUES.sub('[values withheld]', message)}"


def render_traceback(error: BaseException, show: bool = False) -> str:
    """The traceback with its causes, without local variables; messages as :func:`render_error` allows."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        lines = "".join(traceback.format_tb(current.__traceback__)).rstrip("\n")
        if isinstance(current, BaseExceptionGroup):
            inner = "\n".join(render_traceback(each, show) for each in current.exceptions)
            lines += "\n" + "\n".join(f"  | {line}" for line in inner.splitlines())
        parts.append("\n".join(filter(None, (lines, render_error(current, show)))))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\ncaused\n".join(reversed(parts))


def hide_reprs(text: str) -> str:
    """The text without the arguments of an exception in the ``repr`` of a task or future."""
    return re.sub(r"exception=([\w.]+)\(.*\)>", r"exception=\1(…)>", text, flags=re.DOTALL)

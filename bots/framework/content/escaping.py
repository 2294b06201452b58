"""People's words in an author's Markdown or HTML: escaped, so that they are read and never obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from typing import Any, SupportsIndex
from urllib.parse import quote

from bots.framework.content.characters import clean
from bots.framework.content.errors import ContentError

# Written as numeric references, they are plain text to Markdown and to HTML alike.
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
_LEADING = re.compile(r"\A[ \t]")
_USER_ID = re.compile(r"@[^:\s\x00]{1,254}:[^\s/?#]{1,254}")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.\-]{1,40}")


class Safe(str):
    """Markup that is as it shall be, and whom it mentions: ``user_ids``, or with ``room`` everybody. Joining two keeps
    the mentions of both.
    """

    user_ids: tuple[str, ...]
    room: bool

    def __new__(cls, markup: str = "", user_ids: Iterable[str] = (), room: bool = False) -> Safe:
        """
        Args:
            markup: Markdown or HTML that the author vouches for.
            user_ids: who is mentioned.
            room: whether the whole room is.
        """
        self = super().__new__(cls, markup)
        self.user_ids = tuple(dict.fromkeys(user_ids))
        self.room = room
        return self

    def __add__(self, other: str) -> Safe:
        return Safe(str(self) + str(other), *_mentioned([self, other]))

    def __radd__(self, other: str) -> Safe:
        return Safe(str(other) + str(self), *_mentioned([other, self]))

    def join(self, parts: Iterable[str], /) -> Safe:
        """The parts with this between them."""
        parts = list(parts)
        return Safe(str(self).join(map(str, parts)), *_mentioned([self, *parts]))

    def __mul__(self, count: SupportsIndex) -> Safe:
        return Safe(str(self) * count, self.user_ids, self.room)


def safe(template: str, /, **values: Any) -> Safe:
    """Fill people's words into a template of Markdown or HTML, as ``str.format`` does, escaped.

    ``{name}`` becomes text whatever is in it, and its line breaks become breaks. What is :class:`Safe` already (another
    ``safe``, a ``mention``, a ``link``) goes in as it is. Not for use between backticks, where Markdown shows
    everything as it stands: that is what :func:`code` is for.

    Raises:
        KeyError: the template names a value that is not given.
    """
    formatter = _Escaper()
    filled = formatter.vformat(template, (), values)
    return Safe(filled, *_mentioned([template, *formatter.seen]))


def escaped(text: str) -> Safe:
    """A text as it is, in Markdown or HTML."""
    text = _LEADING.sub(lambda match: f"&#{ord(match[0])};", _PUNCTUATION.sub(_reference, clean(text)))
    return Safe(text.replace("\n", "<br>"))


def mention(user_id: str, name: str | None = None) -> Safe:
    """A person's name as a pill, who is notified (specification, "User and room mentions").

    Raises:
        ContentError: it is no user id.
    """
    if not _USER_ID.fullmatch(user_id) or clean(user_id) != user_id:
        raise ContentError("only a user id can be mentioned")
    shown = clean(name).replace("\n", " ").strip() if name else ""
    address = f"https://matrix.to/#/{quote(user_id, safe='@:')}"
    return Safe(f'<a href="{address}">{escaped(shown or user_id)}</a>', (user_id,))


def mention_room() -> Safe:
    """ "@room": everybody in the room is notified, if the bot may do that."""
    return Safe("@room", room=True)


def link(address: str, text: str = "") -> Safe:
    """A link; one to an address that cannot be linked shows both as text."""
    return Safe(f'<a href="{_attribute(address)}">{escaped(text or address)}</a>')


def code(text: str) -> Safe:
    """A piece of code within a line."""
    return Safe(f"<code>{escaped(text.replace(chr(10), ' '))}</code>")


def code_block(text: str, language: str = "") -> Safe:
    """Lines of code, highlighted as ``language`` where clients can. It begins a line of its own."""
    marked = f' class="language-{language}"' if _LANGUAGE.fullmatch(language) else ""
    lines = _PUNCTUATION.sub(_reference, clean(text)).replace("\n", "&#10;")
    return Safe(f"<pre><code{marked}>{lines}</code></pre>")


def spoiler(text: str, reason: str = "") -> Safe:
    """Text that is shown when the reader wants it (specification, "Spoiler messages"). The plain body hides it."""
    shown = text if isinstance(text, Safe) else escaped(text)
    return Safe(f'<span data-mx-spoiler="{_attribute(reason)}">{shown}</span>', *_mentioned([text]))


def maths(latex: str, *, block: bool = False) -> Safe:
    """A formula in LaTeX (specification, "Mathematical messages"); clients that cannot show it show its source."""
    tag = "div" if block else "span"
    return Safe(f'<{tag} data-mx-maths="{_attribute(latex)}">{code(latex)}</{tag}>')


class _Escaper(Formatter):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Safe) and not format_spec:
            self.seen.append(value)
            return str(value)
        return str(escaped(format(value, format_spec)))

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs[str(key)]


def _mentioned(parts: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    marked = [part for part in parts if isinstance(part, Safe)]
    return tuple(user_id for part in marked for user_id in part.user_ids), any(part.room for part in marked)


def _attribute(text: str) -> str:
    return _PUNCTUATION.sub(_reference, clean(text)).replace("\n", " ")


def _reference(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"

"""HTML that may be sent: the tags and attributes of the specification, nothing else, whatever was given."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from bots.framework.content import tree
from bots.framework.content.characters import clean
from bots.framework.content.errors import ContentTooLong

if TYPE_CHECKING:
    import nh3

# An event holds 65,536 bytes (specification, "Size limits"), the plain body among them.
MAX_CHARACTERS = 65_536
REMEMBERED_LENGTH = 16_384
# HTML's own repairs can change what they repaired; a text that does not come to rest is shown as text.
_ROUNDS = 5
# These vanish with all that is in them; of other tags that are not allowed the text stays.
_VANISH = frozenset(
    "script style title iframe object embed applet noscript noembed noframes template svg "  # noqa: SIM905
    "math textarea select button audio video canvas head mx-reply".split()
)


def sanitise(html: str) -> str:
    """HTML with the permitted tags and attributes only (specification, "m.room.message msgtypes").

    Links go to ``https``, ``http``, ``ftp``, ``mailto``, ``magnet`` and ``matrix``; images are ``mxc://`` only; tags
    are nested 100 deep at most; text keeps no control character and no bidirectional override. The output is well
    formed, and its own sanitised form.

    Raises:
        ContentTooLong: more characters than an event holds.
    """
    return _remembered(html) if len(html) <= REMEMBERED_LENGTH else tree.written(sanitised(html))


@lru_cache(32)
def _remembered(html: str) -> str:
    """Pages of help are the same for everybody, and long."""
    return tree.written(sanitised(html))


def sanitised(html: str) -> tree.Node:
    """:func:`sanitise`, as a tree."""
    check_length(html)
    root = tree.parse(_cleaner().clean(clean(html)))
    before = tree.written(root)
    for _ in range(_ROUNDS):
        root = tree.parse(_cleaner().clean(before))
        after = tree.written(root)
        if after == before:
            return root
        before = after
    return tree.Node("", {}, ["".join(root.texts())])


def check_length(text: str) -> None:
    """Raise ContentTooLong for more characters than an event holds."""
    if len(text) > MAX_CHARACTERS:
        raise ContentTooLong("the message is too long for one event", length=len(text), limit=MAX_CHARACTERS)


@cache
def _cleaner() -> nh3.Cleaner:
    import nh3

    return nh3.Cleaner(
        tags=tree.TAGS,
        clean_content_tags=_VANISH,
        attributes=tree.ATTRIBUTES,
        attribute_filter=tree.permitted,
        strip_comments=True,
        link_rel=None,
        url_schemes=tree.SCHEMES | {"mxc"},
        url_relative="deny",
    )

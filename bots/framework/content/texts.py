"""Text messages: plain, from Markdown, from HTML. Each has a body that is complete in itself, and mentions nobody."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from bots.framework.content import tree
from bots.framework.content.characters import clean
from bots.framework.content.escaping import Safe
from bots.framework.content.plain import plain
from bots.framework.content.relations import mentioning
from bots.framework.content.sanitising import check_length, sanitised
from bots.framework.i18n import English, Translator

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline

_HTML = "org.matrix.custom.html"


def text(body: str, *, notice: bool = True) -> dict[str, Any]:
    """A text as it stands; ``notice`` marks it as a bot's (``m.notice``), which other bots do not answer."""
    return _content(clean(body), None, body, notice)


def markdown(source: str, *, notice: bool = True, translator: Translator | None = None) -> dict[str, Any]:
    """A message written in Markdown: CommonMark with tables, ``~~deleted~~``, ``||spoilers||``, and HTML.

    A line break is one. People's words belong through :func:`safe` into it. Who is mentioned, only ``mention`` and
    ``mention_room`` say.

    Args:
        source: at most 65,536 characters, as much as an event could hold.
        notice: mark it as a bot's, which other bots do not answer.
        translator: gives the words of the plain body that stand for what has none: a spoiler, a picture.

    Raises:
        ContentTooLong: it is longer.
    """
    check_length(source)
    return _formatted(_parser().render(clean(source)), source, notice, translator)


def html(source: str, *, notice: bool = True, translator: Translator | None = None) -> dict[str, Any]:
    """A message written in HTML, of which what Matrix permits is kept; otherwise as :func:`markdown`."""
    return _formatted(source, source, notice, translator)


def _formatted(markup: str, source: str, notice: bool, translator: Translator | None) -> dict[str, Any]:
    root = sanitised(markup)
    _unwrap(root)
    body = plain(root, translator or English())
    formatted = tree.written(root).strip()
    if not body:
        # Nothing that can be seen was left of it: then what was written is shown, as text.
        shown = clean(source)
        return _content(shown if shown.strip() else "\N{REPLACEMENT CHARACTER}", None, source, notice)
    return _content(body, None if formatted == escape(body, quote=False) else formatted, source, notice)


def _content(body: str, formatted: str | None, source: str, notice: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"msgtype": "m.notice" if notice else "m.text", "body": body, "m.mentions": {}}
    if formatted is not None:
        content |= {"format": _HTML, "formatted_body": formatted}
    if isinstance(source, Safe):
        return mentioning(content, *source.user_ids, room=source.room)
    return content


def _unwrap(root: tree.Node) -> None:
    """A single paragraph needs no tag (specification: no "extra paragraph tags surrounding text")."""
    seen = [child for child in root.children if not isinstance(child, str) or child.strip()]
    if len(seen) == 1 and isinstance(seen[0], tree.Node) and seen[0].tag == "p":
        root.children = seen[0].children


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # HTML is let through here, for the sanitiser sees all of it.
    parser = MarkdownIt("commonmark", {"html": True, "breaks": True}).enable(["table", "strikethrough"])
    parser.inline.add_terminator_char("|")
    parser.inline.ruler.before("emphasis", "spoiler", _spoiler)
    return parser


def _spoiler(state: StateInline, silent: bool) -> bool:
    """``||hidden||``, as other messengers write it; Markdown within it counts."""
    start, most = state.pos, state.posMax
    if not state.src.startswith("||", start):
        return False
    end = state.src.find("||", start + 2, most)
    if end <= start + 2 or not state.src[start + 2 : end].strip():
        return False
    if not silent:
        opened = state.push("spoiler_open", "span", 1)
        opened.attrs = {"data-mx-spoiler": ""}
        state.pos, state.posMax = start + 2, end
        state.md.inline.tokenize(state)
        state.posMax = most
        state.push("spoiler_close", "span", -1)
    state.pos = end + 2
    return True

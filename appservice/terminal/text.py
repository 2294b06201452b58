"""Text of strangers on a terminal: nothing in it may move the cursor, change colours or ring the bell."""

from __future__ import annotations

import re
import unicodedata

# CSI, OSC (ended by BEL or ST) and other escape sequences: ECMA-48, sections 5.3 to 5.6.
ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_].*?(?:\x1b\\|\x07|\x9c|$)"
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
LENGTH = 20_000
# Invisible characters that turn the direction of text (CVE-2021-42574); emoji need the joiner, so that one stays.
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def safe(text: str) -> str:
    """``text`` without escape sequences and control characters, except newline; a tab becomes a space."""
    text = ESCAPES.sub("", text[:LENGTH]).replace("\t", " ").replace("\r\n", "\n")
    return "".join(
        character
        for character in text
        if character == "\n" or (unicodedata.category(character) not in {"Cc", "Cs"} and character not in TURNING)
    )


def one_line(text: str) -> str:
    """:func:`safe`, on one line: for names and titles."""
    return " ".join(safe(text).split())

"""Characters that do something instead of being read: controls, bidirectional overrides, halves of surrogate pairs."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Embeddings and overrides turn the text around them too; Unicode recommends isolates in their place (UAX #9, 2.1).
_OVERRIDES = re.compile("[\u202a-\u202e]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LINE_ENDS = re.compile("\r\n?")
_ISOLATES = "\u2066\u2067\u2068"
_END = "\u2069"


def clean(text: str) -> str:
    """Text without characters that no reader sees but that hide or turn what stands beside them.

    Control characters but for tab and line feed go, and bidirectional embeddings and overrides (UAX #9). Isolates stay,
    each closed within its line and none closed that was not opened, so that no text reaches beyond itself.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
    text = _OVERRIDES.sub("", _CONTROLS.sub("", text))
    if _END in text or any(mark in text for mark in _ISOLATES):
        text = "\n".join(map(_balanced, text.split("\n")))
    return text


def _balanced(line: str) -> str:
    kept: list[str] = []
    depth = 0
    for character in line:
        if character in _ISOLATES:
            depth += 1
        elif character == _END:
            if depth == 0:
                continue
            depth -= 1
        kept.append(character)
    return "".join(kept) + _END * depth

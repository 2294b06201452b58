"""How a prompt looks: one message for every client."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from bots.framework.choices.options import FEW, ChoicePrompt, Option
from bots.framework.choices.text import PREVIOUS, words
from bots.framework.i18n.marks import WORDS
from bots.framework.i18n.translator import Translator

CHOICES: Final = "app.rialto.choices"
VERSION: Final = 1
MAX_POLL_ANSWERS: Final = 20  # MSC3381: further answers are cut off
SIZE: Final = 44_000
"""Bytes of one prompt: with Megolm and base64 it is a third more, and an event has 65,536."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message.

    Attributes:
        body: complete in itself; numbered lines.
        html: the same as ``formatted_body``; everything people wrote is escaped.
        content: further keys of the event's content: ``app.rialto.choices`` (see :func:`render`).
        reactions: keys that the bot puts under the message for people to press; empty for many options.
    """

    body: str
    html: str
    content: Mapping[str, Any]
    reactions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """One answer of a poll; ``id`` is the option's value."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Poll:
    """What a poll event (MSC3381) is built from."""

    question: str
    answers: tuple[PollAnswer, ...]
    max_selections: int


def render(prompt: ChoicePrompt, translator: Translator) -> Rendered:
    """The prompt as one message.

    ``content["app.rialto.choices"]`` is for Rialto's own clients, which draw buttons from it::

        {
          "version": 1,
          "prompt": "…",             the prompt's id, to be repeated in the answer
          "multiple": false,
          "minimum": 1, "maximum": 1,
          "page": 1, "pages": 3,     "total": 25 options on all pages
          "options": [               those of this page
            {"number": 1, "value": "flat-white", "label": "Flat white", "description": "…", "key": "1️⃣"}
          ],                         description and key are there when there is one
          "chosen": []               values ticked so far
        }

    An answer is any message whose content has ``"app.rialto.choice": {"prompt": "…", "values": ["flat-white"]}``, or
    ``{"prompt": "…", "page": 2}`` to turn the page. Readers ignore keys that they do not know; ``version`` goes up when
    the meaning of a known one changes.

    Descriptions are left out when the message would otherwise be too large for an event.
    """
    rendered = _render(prompt, translator, descriptions=True)
    if _size(rendered) > SIZE:
        rendered = _render(prompt, translator, descriptions=False)
    return rendered


def _render(prompt: ChoicePrompt, translator: Translator, *, descriptions: bool) -> Rendered:
    hints = _hints(prompt, translator)
    first = prompt.shown[0][0]
    lines = [prompt.question, ""]
    items = []
    for number, option in prompt.shown:
        text = _tick(prompt, option) + option.label
        more = option.description if descriptions else ""
        lines.append(f"{number}. {text} – {more}" if more else f"{number}. {text}")
        items.append(f"<li>{escape(text)}{f'<br><em>{escape(more)}</em>' if more else ''}</li>")
    lines += ["", *hints]
    start = f' start="{first}"' if first > 1 else ""
    html = f"<p>{_html(prompt.question)}</p><ol{start}>{''.join(items)}</ol><p>{'<br>'.join(map(escape, hints))}</p>"
    return Rendered("\n".join(lines), html, {CHOICES: _structured(prompt, descriptions)}, _reactions(prompt))


def _size(rendered: Rendered) -> int:
    content = json.dumps(rendered.content, ensure_ascii=False)
    return sum(len(part.encode()) for part in (rendered.body, rendered.html, content))


def _tick(prompt: ChoicePrompt, option: Option) -> str:
    if not prompt.chosen:
        return ""
    return "[x] " if option.value in prompt.chosen else "[ ] "


def _html(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def _hints(prompt: ChoicePrompt, translator: Translator) -> list[str]:
    t = translator.t
    hints = [_how(prompt, translator)]
    if prompt.multiple and 0 < prompt.minimum == prompt.most < len(prompt.options):
        hints.append(translator.n("Choose {count} option.", "Choose {count} options.", prompt.minimum))
    elif prompt.multiple and (prompt.minimum > 1 or prompt.most < len(prompt.options)):
        hints.append(
            t("Choose {minimum} to {maximum} options.", minimum=prompt.minimum, maximum=prompt.most)
            if prompt.minimum
            else translator.n("Choose up to {count} option.", "Choose up to {count} options.", prompt.most)
        )
    if prompt.minimum == 0:
        hints.append(t("Write “{word}” for none of them.", word=words(translator, WORDS["none"])[0]))
    if prompt.chosen:
        hints.append(t("Write “{word}” when you are done.", word=words(translator, WORDS["done"])[0]))
    if prompt.pages > 1:
        hints.append(_paging(prompt, translator))
    return hints


def _how(prompt: ChoicePrompt, translator: Translator) -> str:
    if not prompt.multiple:
        return translator.t("Answer with a number or a name.")
    if prompt.most == len(prompt.options) > 1:
        word = words(translator, WORDS["all"])[0]
        return translator.t("Answer with numbers or names, such as “1, 2”, or with “{word}”.", word=word)
    return translator.t("Answer with numbers or names, such as “1, 2”.")


def _paging(prompt: ChoicePrompt, translator: Translator) -> str:
    more, back = words(translator, WORDS["more"])[0], words(translator, PREVIOUS)[0]
    values: dict[str, Any] = {"page": prompt.page, "pages": prompt.pages, "more": more, "back": back}
    if prompt.page == 1:
        return translator.t("Page {page} of {pages}. Write “{more}” for the next options.", **values)
    if prompt.page == prompt.pages:
        return translator.t("Page {page} of {pages}. Write “{back}” for the options before.", **values)
    return translator.t(
        "Page {page} of {pages}. Write “{more}” for the next options, “{back}” for those before.", **values
    )


def _structured(prompt: ChoicePrompt, descriptions: bool) -> dict[str, Any]:
    options = []
    for number, option in prompt.shown:
        entry: dict[str, Any] = {"number": number, "value": option.value, "label": option.label}
        if option.description and descriptions:
            entry["description"] = option.description
        key = prompt.key_of(number)
        if key is not None:
            entry["key"] = key
        options.append(entry)
    shown = {option.value for _, option in prompt.shown}
    return {
        "version": VERSION,
        "prompt": prompt.id,
        "multiple": prompt.multiple,
        "minimum": prompt.minimum,
        "maximum": prompt.most,
        "page": prompt.page,
        "pages": prompt.pages,
        "total": len(prompt.options),
        "options": options,
        # Those of this page: a thousand ticks would not fit into an event.
        "chosen": [value for value in prompt.chosen if value in shown],
    }


def _reactions(prompt: ChoicePrompt) -> tuple[str, ...]:
    if len(prompt.options) > FEW or prompt.pages > 1:
        return ()
    keys = [prompt.key_of(number) for number, _ in prompt.shown]
    return tuple(key for key in (*keys, prompt.done_key) if key is not None)


def render_chosen(prompt: ChoicePrompt, values: Sequence[str], translator: Translator) -> Rendered:
    """The prompt as it stands when the choice is made: what was chosen, and nothing that invites an answer.

    ``content["app.rialto.choices"]`` is then ``{"version": 1, "prompt": "…", "closed": true, "chosen": [values]}``.
    At most 20 labels are named; the rest is counted.
    """
    chosen = [prompt.by_value[value] for value in prompt.in_order(values)]
    labels = ", ".join(option.label for option in chosen[:MAX_POLL_ANSWERS])
    rest = len(chosen) - MAX_POLL_ANSWERS
    if rest > 0:
        said = translator.n(
            "Chosen: {labels} and {count} more", "Chosen: {labels} and {count} more", rest, labels=labels
        )
    elif chosen:
        said = translator.t("Chosen: {labels}", labels=labels)
    else:
        said = translator.t("Nothing chosen")
    named = [option.value for option in chosen[:MAX_POLL_ANSWERS]]
    return Rendered(
        f"{prompt.question}\n\n{said}",
        f"<p>{_html(prompt.question)}</p><p>{escape(said)}</p>",
        {CHOICES: {"version": VERSION, "prompt": prompt.id, "closed": True, "chosen": named}},
    )


def as_poll(prompt: ChoicePrompt) -> Poll | None:
    """The prompt as a poll; None when it has more options than the 20 answers of a poll (MSC3381)."""
    if len(prompt.options) > MAX_POLL_ANSWERS:
        return None
    answers = tuple(PollAnswer(option.value, option.label) for option in prompt.options)
    return Poll(prompt.question, answers, prompt.most)

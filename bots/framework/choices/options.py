"""Options, and the prompt that offers them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from appservice.errors import RialtoError
from bots.framework.choices.text import clean, fold, fold_key, fold_symbols, words
from bots.framework.i18n.marks import WORDS, split_words
from bots.framework.i18n.translator import Translator

# A full page stays under the 65,536 bytes of an event (specification, "Size limits"), also when it is encrypted: see
# rendering.SIZE.
MAX_QUESTION: Final = 1_000
MAX_LABEL: Final = 100
MAX_DESCRIPTION: Final = 200
MAX_VALUE: Final = 64
MAX_KEY: Final = 32
MAX_ALIASES: Final = 40
MAX_OPTIONS: Final = 1_000
MAX_PAGE_SIZE: Final = 20

FEW: Final = 5
"""So many options get reactions to press."""

DONE_KEYS: Final = ("✅", "☑️", "🆗")


class InvalidChoices(RialtoError):
    """A plugin offers options that cannot be offered."""

    code = "choices_invalid"


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        value: what code and journals know it by; unique in a prompt and stable while the prompt is open.
        label: what people read. One line: control and direction characters are taken out, the length is bounded.
        description: more about it, on the same line; treated as the label is.
        key: the reaction that chooses it; without one the keycap of its number does.
        aliases: other words that choose it when written in full.
    """

    value: str
    label: str
    description: str = ""
    key: str | None = None
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.value or len(self.value) > MAX_VALUE or clean(self.value, MAX_VALUE) != self.value:
            raise InvalidChoices(f"An option's value needs 1 to {MAX_VALUE} visible characters in one line.")
        object.__setattr__(self, "label", clean(self.label, MAX_LABEL))
        object.__setattr__(self, "description", clean(self.description, MAX_DESCRIPTION))
        object.__setattr__(self, "aliases", tuple(self.aliases))
        if not fold(self.label):
            raise InvalidChoices("An option's label needs visible text.", value=self.value)
        if len(self.aliases) > MAX_ALIASES:
            raise InvalidChoices(f"An option has at most {MAX_ALIASES} aliases.", value=self.value)
        key = self.key
        if key is not None and (not fold_key(key) or len(key) > MAX_KEY or clean(key, MAX_KEY) != key):
            raise InvalidChoices(f"An option's reaction needs 1 to {MAX_KEY} visible characters.", value=self.value)


def options_of(items: Iterable[str | Option]) -> tuple[Option, ...]:
    """Options from labels; a value is made of the label, so that it stays the same when the order changes.

    Of labels that give the same value the later ones get ``-2``, ``-3``; a label without letters gets its position.
    """
    items = tuple(items)
    taken = {item.value for item in items if isinstance(item, Option)}
    found: list[Option] = []
    for number, item in enumerate(items, 1):
        if isinstance(item, str):
            base = fold_symbols(clean(item, MAX_LABEL)).replace(" ", "-")[: MAX_VALUE - 8].rstrip("-")
            base = base or f"option-{number}"
            value, count = base, 1
            while value in taken:
                count += 1
                value = f"{base}-{count}"
            taken.add(value)
            found.append(Option(value, item))
        else:
            found.append(item)
    return tuple(found)


def keycap(number: int) -> str:
    """The emoji of a number from 1 to 10."""
    return "🔟" if number == 10 else f"{number}\ufe0f\u20e3"


@dataclass(frozen=True, slots=True)
class ChoicePrompt:
    """A question with options. Numbers count through all pages, from 1.

    Attributes:
        question: may have several lines.
        options: at most 1,000; :func:`options_of` makes them of labels.
        multiple: whether several may be chosen.
        minimum: so many must be chosen; 0 makes an answer of ``none`` possible.
        maximum: at most so many, as many as there are if None. Without ``multiple`` it is 1.
        page: the page that is shown, from 1.
        page_size: options on a page, at most 20.
        allow_more: whether there may be further pages; without, all options must fit on one.
        id: what structured answers know the prompt by.
        chosen: values that are ticked so far (by reactions, with ``multiple``); they count when the person is done.
    """

    question: str
    options: Sequence[Option]
    multiple: bool = False
    minimum: int = 1
    maximum: int | None = None
    page: int = 1
    page_size: int = 10
    allow_more: bool = True
    id: str = ""
    chosen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "question", clean(self.question, MAX_QUESTION, lines=True))
        object.__setattr__(self, "options", tuple(self.options))
        if not self.question:
            raise InvalidChoices("A choice needs a question.")
        self._check_options()
        if not self.multiple:
            object.__setattr__(self, "maximum", 1)
        elif self.maximum is None:
            object.__setattr__(self, "maximum", len(self.options))
        if not 0 <= self.minimum <= self.most <= len(self.options) or not self.most:
            raise InvalidChoices(
                f"A choice needs 0 <= minimum <= maximum <= {len(self.options)} (its options), maximum at least 1.",
                minimum=self.minimum,
                maximum=self.maximum,
            )
        if not 1 <= self.page_size <= MAX_PAGE_SIZE:
            raise InvalidChoices(f"A page has 1 to {MAX_PAGE_SIZE} options.", page_size=self.page_size)
        if not self.allow_more:
            if len(self.options) > MAX_PAGE_SIZE:
                raise InvalidChoices(f"A choice of one page has at most {MAX_PAGE_SIZE} options.")
            object.__setattr__(self, "page_size", MAX_PAGE_SIZE)
        if not 1 <= self.page <= self.pages:
            raise InvalidChoices(f"This choice has pages 1 to {self.pages}.", page=self.page)
        values = self.by_value
        unknown = [value for value in self.chosen if value not in values]
        if unknown:
            raise InvalidChoices("What is ticked must be among the options.", count=len(unknown))
        object.__setattr__(self, "chosen", self.in_order(self.chosen))

    def _check_options(self) -> None:
        if not 1 <= len(self.options) <= MAX_OPTIONS:
            raise InvalidChoices(f"A choice needs 1 to {MAX_OPTIONS} options.", count=len(self.options))
        if len(self.by_value) != len(self.options):
            raise InvalidChoices("Two options have the same value.")
        if len(self.keys) != sum(1 for number in range(1, len(self.options) + 1) if self.key_of(number)):
            raise InvalidChoices("Two options have the same reaction.")

    @property
    def most(self) -> int:
        """The greatest number of options that may be chosen."""
        return len(self.options) if self.maximum is None else self.maximum

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return -(-len(self.options) // self.page_size)

    @property
    def shown(self) -> tuple[tuple[int, Option], ...]:
        """The options of the page with their numbers."""
        first = (self.page - 1) * self.page_size
        return tuple(enumerate(self.options[first : first + self.page_size], first + 1))

    @property
    def by_value(self) -> dict[str, Option]:
        """The options by their values."""
        return {option.value: option for option in self.options}

    def in_order(self, values: Iterable[str]) -> tuple[str, ...]:
        """``values`` that are options, each once, in the order of the options."""
        wanted = set(values)
        return tuple(option.value for option in self.options if option.value in wanted)

    def key_of(self, number: int) -> str | None:
        """The reaction of an option: its own, or the keycap of a number up to 10."""
        return self.options[number - 1].key or (keycap(number) if number <= 10 else None)

    @property
    def keys(self) -> dict[str, Option]:
        """The options by their reactions, as :func:`fold_key` writes them."""
        found = {}
        for number, option in enumerate(self.options, 1):
            key = self.key_of(number)
            if key is not None:
                found[fold_key(key)] = option
        return found

    @property
    def done_key(self) -> str | None:
        """The reaction that ends ticking; None when an answer is one option only."""
        if not self.multiple:
            return None
        keys = self.keys
        return next((key for key in DONE_KEYS if fold_key(key) not in keys), None)


def confirm(question: str, translator: Translator, *, id: str = "") -> ChoicePrompt:
    """A question for yes or no; the values are ``yes`` and ``no``.

    Words of the person's language count, and the English ones unless they mean the opposite there.
    """
    yes, no = WORDS["yes"], WORDS["no"]
    own_yes, own_no = split_words(translator.t(yes)), split_words(translator.t(no))
    return ChoicePrompt(
        question,
        (
            Option(
                "yes", translator.t("Yes"), key="✅", aliases=(*_without(words(translator, yes), own_no), "👍", "✔️")
            ),
            Option("no", translator.t("No"), key="❌", aliases=(*_without(words(translator, no), own_yes), "👎", "✖️")),
        ),
        id=id,
    )


def _without(listed: Iterable[str], other: frozenset[str]) -> tuple[str, ...]:
    return tuple(word for word in listed if fold(word) not in other)

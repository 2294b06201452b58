"""What people write of money: whom, how much, what for. Pure: the moment and the message come in ``env``.

“pay @bob 20 EUR for lunch”, “request 12 EUR from @a”, “split 90 EUR with @a @b”: the order of people and amount does
not matter, what follows “for” is the memo, and a name alone is only somebody whom the person has saved under it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bots.domain.money import Money
from bots.framework import InvalidValue, ParseEnv, UserID
from bots.framework.arguments import ArgumentError, fold, money, user
from bots.framework.arguments.identifiers import linked_identifier
from bots.framework.arguments.mentions import mentioned, place_pills
from bots.framework.arguments.scalars import money_words
from bots.framework.arguments.tokens import Token, skip_space, token_at
from bots.framework.content import clean
from bots.framework.i18n import _

WORDS: Final[Mapping[str, str]] = {
    "to": _("to"),
    "from": _("from|of"),
    "with": _("with"),
    "between": _("between|among"),
    "and": _("and|&"),
    "for": _("for"),
    "by": _("by|via"),
    "as": _("as"),
}
"""The words between: those of the person's language are understood beside the English ones."""
VOCABULARIES: Final = (WORDS,)

MOST_PEOPLE: Final = 50
"""People in one message at most."""
MEMO: Final = 140
"""Characters of a memo at most: what a bank transfer's remittance information holds."""
_AMOUNT_WORDS: Final = 5
_BEHIND: Final = 2 * MOST_PEOPLE + 1
"""Words behind a memo that may be people: each with an “and” before it."""
_BEFORE: Final = frozenset({"to", "from", "with", "and"})
_LEADING: Final = frozenset({"to", "from", "with", "between"})
"""What people behind a memo begin with: an “and” stands among them, and cuts none of them off."""
_NUMBER: Final = re.compile(r"#?(\d{1,4})")
_ULID: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}", re.IGNORECASE)
_TOKEN: Final = re.compile(r"(?:^|[?&])token=([0-9A-HJKMNP-TV-Z]{26})(?:$|[&#\s])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants to do with money.

    ``alone``: the people who are named share among themselves (“between @a and @b”), whoever asks takes no share.
    """

    people: tuple[UserID, ...] = ()
    amount: Money | None = None
    memo: str = ""
    alone: bool = False


def order(text: str, env: ParseEnv, names: Mapping[str, str], without: str = "") -> Order:
    """The order in a text.

    Args:
        names: saved payees: user ids by folded name.
        without: the wallet itself, which a message may mention.

    Raises:
        InvalidValue: an amount that is none, too many people, or words that lead nowhere.
        ArgumentError: a quotation that does not end.
    """
    return _Reading(text, env, names, without).run()


def number_of(text: str) -> int | None:
    """The number of a request: “3”, “#3”."""
    found = _NUMBER.fullmatch(text.strip())
    return int(found[1]) if found else None


def token_of(text: str) -> str | None:
    """The payment that a text leads to: its token as such, or in a link of a QR code."""
    text = text.strip()
    if _ULID.fullmatch(text):
        return text.upper()
    found = _TOKEN.search(text)
    return found[1].upper() if found else None


class _Reading:
    def __init__(self, text: str, env: ParseEnv, names: Mapping[str, str], without: str) -> None:
        self._text = text
        self._env = env
        self._names = names
        self._without = without
        self._words = env.vocabulary(WORDS)
        self._pills = place_pills(text, env.content)
        self._at = 0
        self._people: list[UserID] = []
        self._amount: Money | None = None
        self._alone = False

    def run(self, *, behind: bool = True) -> Order:
        """The order. ``behind``: people may stand behind the memo."""
        memo = ""
        while (at := skip_space(self._text, self._at)) < len(self._text):
            self._at = at
            try:
                token = token_at(self._text, at, self._pills)
            except ArgumentError:
                if self._amount is None:
                    raise
                memo = self._rest(at)
                break
            word = token.text.rstrip(",;:").lower() if not token.quoted else ""
            name = self._words.get(word) if word else None
            if name == "for" and (self._people or self._amount is not None):
                memo = self._rest(token.end)
                break
            if name in _BEFORE or name == "between" or token.text in {",", ";"}:
                self._alone = self._alone or name == "between"
                self._at = token.end
            elif not (self._take_person(token) or self._take_amount(token)):
                if self._amount is None:
                    raise InvalidValue(
                        "wallet.unclear", _("I do not understand “{given}”."), given=clean(token.text)[:60]
                    )
                memo = self._rest(at)
                break
        if behind and not self._people and memo:
            memo = self._people_behind(memo)
        return Order(tuple(dict.fromkeys(self._people)), self._amount, memo_of(memo), self._alone)

    def _rest(self, at: int) -> str:
        self._at = len(self._text)
        return self._text[at:].strip()

    def _take_person(self, token: Token) -> bool:
        found = self._person(token)
        if found is None:
            return False
        if found != self._without:
            if len(self._people) >= MOST_PEOPLE:
                raise InvalidValue("wallet.too_many_people", _("That is too many people at once."), clear=True)
            self._people.append(found)
        self._at = token.end
        return True

    def _person(self, token: Token) -> UserID | None:
        if token.mention is not None:
            return user(token.mention, self._env)
        word = token.text.rstrip(",;")
        if word.startswith("@") or (linked_identifier(word) or "").startswith("@"):
            return user(word.rstrip(":"), self._env)
        saved = self._names.get(fold(word))
        if saved is not None:
            return UserID(saved)
        bare = word.casefold()
        if any(each.partition(":")[0].casefold() == "@" + bare for each in mentioned(self._env.content)):
            return user(word, self._env)
        return None

    def _take_amount(self, first: Token) -> bool:
        """The longest run of words from here that is an amount."""
        if self._amount is not None or first.quoted or not self._begins_amount(first):
            return False
        run = [first]
        while len(run) < _AMOUNT_WORDS and (at := skip_space(self._text, run[-1].end)) < len(self._text):
            if self._text[at] in '@"“„«' or any(pill.at == at for pill in self._pills):
                break
            run.append(token_at(self._text, at))
        problems: list[InvalidValue] = []
        for count in range(len(run), 0, -1):
            text = self._text[first.start : run[count - 1].end].rstrip(",;:")
            try:
                if count > 1 and not money_words(text, self._env):
                    continue
                amount = money(text, self._env)
            except InvalidValue as problem:
                problems.append(problem)
                if problem.clear:
                    break
                continue
            if count < len(run):
                self._refuse_unknown_currency(text, run[count])
            if amount.minor <= 0:
                raise InvalidValue("wallet.nothing", _("An amount has to be more than nothing."), clear=True)
            self._amount, self._at = amount, run[count - 1].end
            return True
        raise next((each for each in problems if each.clear), problems[-1])

    def _begins_amount(self, token: Token) -> bool:
        if any(char.isdecimal() for char in token.text):
            return not token.text[0].isalpha() or _is_currency(re.split(r"\d", token.text, maxsplit=1)[0])
        following = skip_space(self._text, token.end)
        return _is_currency(token.text) and following < len(self._text) and self._text[following].isdecimal()

    def _refuse_unknown_currency(self, amount: str, after: Token) -> None:
        """“20 XYZ” and “20 dollars” must not become 20 of the usual currency for “XYZ” and “dollars”."""
        if not amount[-1].isdecimal() or not amount[0].isdecimal() or after.quoted:
            return
        word = after.text.rstrip(",;:.")
        if not word or self._words.get(word) is not None or self._person(after) is not None:
            return
        if re.fullmatch("[A-Z]{3}", word) or unicodedata.category(word[0]) == "Sc":
            money(f"{amount} {word}", self._env)  # raises, and says which currency was probably meant
        raise InvalidValue(
            "wallet.no_currency",
            _("Is “{given}” a currency? Write its code, such as 20 EUR, and “for” before what the money is for."),
            clear=True,
            given=clean(word)[:40],
        )

    def _people_behind(self, memo: str) -> str:
        """“20 EUR for lunch to @bob”: people who stand behind the memo are no part of it."""
        words = memo.split()
        # A text of some length must not keep everybody waiting: each tail is read once, and not the tails within it.
        for cut in range(len(words) - 1, max(len(words) - _BEHIND, 0), -1):
            if self._words.get(words[cut - 1]) in _LEADING:
                tail = " ".join(words[cut:])
                try:
                    behind = _Reading(tail, self._env, self._names, self._without).run(behind=False)
                except (InvalidValue, ArgumentError):
                    continue
                if behind.people and behind.amount is None and not behind.memo:
                    self._people += behind.people
                    self._alone = self._words.get(words[cut - 1]) == "between"
                    return " ".join(words[: cut - 1])
        return memo


def memo_of(text: str) -> str:
    """A memo as it is kept: one clean line.

    Raises:
        InvalidValue: it is too long.
    """
    line = " ".join(clean(text).split())
    if len(line) > MEMO:
        raise InvalidValue(
            "wallet.memo_long", _("The words behind “for” are too long: {most} letters at most."), clear=True, most=MEMO
        )
    return line


def _is_currency(word: str) -> bool:
    """Whether a word before a number may be a currency or a sign: EUR, €, US$, -. “bob” is a name, and BOB is none."""
    word = word.strip()
    return (
        re.fullmatch("[A-Z]{3}", word) is not None
        or any(unicodedata.category(char) == "Sc" for char in word)
        or word in {"-", "+", "−"}
    )

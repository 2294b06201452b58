"""What is said when a text is not what a command or a question asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appservice.errors import RialtoError
from bots.domain.money import MoneyError
from bots.framework.i18n import English, Translator


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is put into words later: an English msgid with ``{named}`` fields, whose values may be texts too."""

    msgid: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def say(self, translator: Translator) -> str:
        """The text in the translator's language."""
        return translator.t(
            self.msgid,
            **{key: value.say(translator) if isinstance(value, Text) else value for key, value in self.values.items()},
        )


class InvalidValue(ValueError):
    """A text that is not a value of the kind asked for. What converters raise.

    ``code`` is stable. ``clear`` says that the text was understood and is wrong (31 February), so that no shorter
    part of it is tried. ``msgid`` with ``values`` is the sentence for the person, ``nearest`` what was probably meant.
    ``str()`` never holds what the person wrote.
    """

    def __init__(
        self, code: str, msgid: str, /, *, clear: bool = False, nearest: str | None = None, **values: Any
    ) -> None:
        super().__init__(code)
        self.code = code
        self.msgid = msgid
        self.values = values
        self.clear = clear
        self.nearest = nearest

    @classmethod
    def of(cls, given: str, expected: Text, *, nearest: str | None = None) -> InvalidValue:
        """The plain case: “given” is not what is expected."""
        return cls(
            "argument.invalid", "“{given}” is not {expected}.", nearest=nearest, given=shorten(given), expected=expected
        )

    @classmethod
    def of_money(cls, error: MoneyError) -> InvalidValue:
        """An amount that is none."""
        vague = {
            "money.not_an_amount",
            "money.unknown_currency",
            "money.unknown_currency_near",
            "money.missing_currency",
        }
        values = {key: shorten(value) if key == "given" else value for key, value in error.values.items()}
        return cls(error.code, error.msgid, clear=error.code not in vague, **values)

    @property
    def text(self) -> Text:
        """The sentence, without the nearest choice."""
        return Text(self.msgid, self.values)

    def say(self, translator: Translator) -> str:
        """The whole message in the translator's language."""
        sentence = self.text.say(translator)
        if self.nearest is not None:
            sentence += " " + translator.t("Did you mean “{nearest}”?", nearest=self.nearest)
        return sentence

    @property
    def human(self) -> str:
        """The whole message in English."""
        return self.say(English())


class ArgumentError(RialtoError):
    """The text behind a command does not fit its parameters.

    ``argument`` is the parameter's name ("" when it is about none). ``values`` fill ``msgid`` and may quote the person;
    ``fields`` and ``str()`` never do. ``say(translator)`` is the sentence for people, ``human`` the same in English.
    """

    def __init__(
        self,
        code: str,
        msgid: str,
        /,
        *,
        argument: str = "",
        nearest: str | None = None,
        problem: InvalidValue | None = None,
        **values: Any,
    ) -> None:
        self.code = code
        self.argument = argument
        self.msgid = msgid
        self.values = values
        self.nearest = nearest
        self.problem = problem
        super().__init__("", argument=argument, **({"problem": problem.code} if problem is not None else {}))
        self.human = self.say(English())

    @classmethod
    def of(cls, argument: str, label: str, problem: InvalidValue) -> ArgumentError:
        """A value that is wrong, and which argument it was for."""
        return cls(
            "argument.invalid",
            "{argument}: {problem}",
            argument=argument,
            nearest=problem.nearest,
            problem=problem,
            label=label,
        )

    def say(self, translator: Translator) -> str:
        """The sentence in the translator's language."""
        values = dict(self.values)
        if self.problem is not None:
            return translator.t(
                self.msgid, argument=translator.t(values["label"]), problem=self.problem.say(translator)
            )
        if "label" in values:
            values["argument"] = translator.t(values.pop("label"))
        sentence = Text(self.msgid, values).say(translator)
        if self.nearest is not None:
            sentence += " " + translator.t("Did you mean “{nearest}”?", nearest=self.nearest)
        return sentence

    def __str__(self) -> str:
        return f"{self.code} {self.argument}".rstrip()


class SignatureError(RialtoError):
    """A handler whose parameters no text can be parsed into. ``human`` names class, function, file and line, and what
    would be right."""

    code = "signature.impossible"


def shorten(text: str, limit: int = 60) -> str:
    """A text for quoting: one line, not longer than ``limit``."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"

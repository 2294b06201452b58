"""The text behind a command becomes the arguments of its handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bots.framework.arguments.definition import Definition, Kind, Parameter
from bots.framework.arguments.environment import ParseEnv
from bots.framework.arguments.errors import ArgumentError, InvalidValue, shorten
from bots.framework.arguments.mentions import Pill, place_pills
from bots.framework.arguments.tokens import Token, key_at, skip_space, token_at
from bots.framework.arguments.words import nearest
from bots.framework.i18n import English, Translator

MOST: Final = 100
"""Values of a list: a bound on the work for one message."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a handler that people fill in. Made once, by :meth:`of`."""

    parameters: tuple[Parameter, ...]

    @classmethod
    def of(cls, function: Callable[..., Any], owner: type | None = None) -> Signature:
        """The signature of ``async def handler(self, ctx, …)``, a bound method or a plain function.

        Raises :class:`~bots.framework.arguments.errors.SignatureError` for a handler that no text can be parsed for.
        """
        return cls(Definition(function, owner).parameters())

    def parse(self, text: str, env: ParseEnv) -> dict[str, Any]:
        """The value of every parameter by its name, defaults included; ``*args`` are a tuple. Raises
        :class:`ArgumentError`."""
        return _Parse(self, text, env).run()

    def parse_structured(self, given: Mapping[str, Any], env: ParseEnv) -> dict[str, Any]:
        """The same from the arguments of a structured command (MSC4391). Nothing in them is trusted. Raises
        :class:`ArgumentError`."""
        values: dict[str, Any] = {}
        for key, value in given.items():
            parameter = self.by_key(key)
            if parameter is None:
                raise unknown_option(key, self)
            if value is None:
                continue
            items = value if isinstance(value, list) and parameter.several else [value]
            if len(items) > MOST:
                raise too_many_values(parameter)
            read = [_convert(parameter, _as_text(parameter, item), env) for item in items]
            values[parameter.name] = read if parameter.several else read[0]
        return self.complete(values, env)

    def complete(self, values: dict[str, Any], env: ParseEnv) -> dict[str, Any]:
        """The values with those that are not given: from the message's content, or their defaults."""
        complete: dict[str, Any] = {}
        for parameter in self.parameters:
            name, converter = parameter.name, parameter.converter
            if name in values:
                complete[name] = values[name]
            elif (
                converter.shared is not None
                and not parameter.several
                and (shared := converter.shared(env.content)) is not None
            ):
                complete[name] = shared
            elif parameter.required:
                raise ArgumentError(
                    "argument.missing",
                    "“{argument}” is missing: expected {expected}.",
                    argument=name,
                    label=parameter.label,
                    expected=converter.expected,
                )
            elif parameter.kind is not Kind.VARARGS:
                complete[name] = parameter.default
            if parameter.kind is Kind.VARARGS:
                complete[name] = tuple(complete.get(name, ()))
        return complete

    def arguments(self, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The values as ``(args, kwargs)`` for the call ``handler(ctx, *args, **kwargs)``."""
        positional = [parameter for parameter in self.parameters if parameter.kind is not Kind.KEYWORD]
        if not any(parameter.kind is Kind.VARARGS for parameter in positional):
            return (), dict(values)
        args = [values[parameter.name] for parameter in positional[:-1]]
        names = {parameter.name for parameter in positional}
        return (*args, *values[positional[-1].name]), {
            name: value for name, value in values.items() if name not in names
        }

    def by_key(self, key: str) -> Parameter | None:
        """The parameter that people mean by a name."""
        wanted = key.replace("_", "-").strip("-").casefold()
        return next((parameter for parameter in self.parameters if parameter.label.casefold() == wanted), None)

    def usage(self, name: str, translator: Translator | None = None) -> str:
        """How the command is written: ``pay <to> <amount> [memo…]``."""
        say = (translator or English()).t
        parts = [name]
        for parameter in self.parameters:
            label = say(parameter.label) + ("…" if parameter.several or parameter.converter.rest else "")
            if parameter.kind is Kind.KEYWORD:
                part = f"--{parameter.label}" + ("" if parameter.converter.flag else f" <{label}>")
                parts.append(part if parameter.required else f"[{part}]")
            else:
                parts.append(f"<{label}>" if parameter.required else f"[{label}]")
        return " ".join(parts)


@dataclass(slots=True)
class _Parse:
    """One text being parsed."""

    signature: Signature
    text: str
    env: ParseEnv
    at: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    by_name: bool = True
    """Whether names are looked for; not any more behind a lone ``--``."""
    pills: Sequence[Pill] = ()

    def run(self) -> dict[str, Any]:
        self.pills = place_pills(self.text, self.env.content)
        while (at := skip_space(self.text, self.at)) < len(self.text):
            self.at = at
            if not (self._separator() or self._option()):
                self._positional()
        return self.signature.complete(self.values, self.env)

    def _next(self) -> Parameter | None:
        """The positional parameter whose turn it is."""
        for parameter in self.signature.parameters:
            if parameter.kind is not Kind.KEYWORD and (parameter.name not in self.values or parameter.several):
                return parameter
        return None

    def _separator(self) -> bool:
        """A lone ``--``: what follows is no name. Before a rest of text only where it is needed, since that stays as
        it is."""
        end = self.at + 2
        if not self.by_name or self.text[self.at : end] != "--" or not self.text[end : end + 1].isspace():
            return False
        following = self._next()
        if following is not None and following.converter.rest and self._key(skip_space(self.text, end)) is None:
            return False
        self.by_name, self.at = False, end
        return True

    def _key(self, at: int) -> tuple[str, Parameter, bool, int] | None:
        """The parameter that is named at this place: the form, the parameter, whether it is “--no-…”, and where the
        name ends."""
        if not self.by_name or (key := key_at(self.text, at)) is None:
            return None
        form, name, end = key
        parameter = self.signature.by_key(name)
        if parameter is not None:
            return form, parameter, False, end
        if form == "--" and name.casefold().startswith("no-"):
            parameter = self.signature.by_key(name[3:])
            if parameter is not None and parameter.converter.flag:
                return form, parameter, True, end
        return None

    def _option(self) -> bool:
        """A parameter by its name."""
        following = self._next()
        into_rest = following is not None and following.converter.rest
        named = self._key(self.at)
        if named is None:
            key = key_at(self.text, self.at) if self.by_name else None
            if key is not None and key[0].startswith("--") and not into_rest:
                raise unknown_option(key[1], self.signature)
            return False
        form, parameter, negated, end = named
        if parameter.name in self.values and not parameter.several:
            if into_rest:
                return False
            raise ArgumentError(
                "argument.repeated", "“{argument}” is given twice.", argument=parameter.name, label=parameter.label
            )
        self.at = end
        if form == "--" and parameter.converter.flag:
            self._put(parameter, not negated)
            return True
        start = end if form.endswith("=") else skip_space(self.text, end)
        if start >= len(self.text) or self.text[start].isspace() or (form == "--" and self._key(start) is not None):
            raise ArgumentError(
                "argument.needs_value",
                "“{argument}” needs a value: {expected}.",
                argument=parameter.name,
                label=parameter.label,
                expected=parameter.converter.expected,
            )
        self.at = start
        self._put(parameter, self._value(parameter))
        return True

    def _positional(self) -> None:
        parameter = self._next()
        if parameter is None:
            raise ArgumentError(
                "argument.too_many",
                "I do not know what to do with “{given}”: that is more than I expected.",
                given=shorten(self.text[self.at :]),
            )
        self._put(parameter, self._value(parameter))

    def _put(self, parameter: Parameter, value: Any) -> None:
        if parameter.several:
            values = self.values.setdefault(parameter.name, [])
            if len(values) == MOST:
                raise too_many_values(parameter)
            values.append(value)
        else:
            self.values[parameter.name] = value

    def _value(self, parameter: Parameter) -> Any:
        """The value that stands here, and behind it."""
        converter = parameter.converter
        if converter.rest:
            rest, self.at = self.text[self.at :].rstrip(), len(self.text)
            return _convert(parameter, rest, self.env)
        first = token_at(self.text, self.at, self.pills)
        if first.quoted or converter.words == 1:
            self.at = first.end
            return _convert(parameter, first.mention if converter.mention and first.mention else first.text, self.env)
        return self._longest(parameter, self._run(first, converter.words))

    def _run(self, first: Token, limit: int) -> list[Token]:
        """The words from here on that may belong to one value: plain ones, up to the next name."""
        run = [first]
        while len(run) < limit:
            at = skip_space(self.text, run[-1].end)
            if at >= len(self.text) or self._key(at) is not None or self.text[at] in '"“„«':
                break
            token = token_at(self.text, at, self.pills)
            if token.quoted:
                break
            run.append(token)
        return run

    def _longest(self, parameter: Parameter, run: list[Token]) -> Any:
        """The value of as many words as make one. Words that are understood and wrong are an error, not tried
        shorter."""
        converter = parameter.converter
        problems: list[InvalidValue] = []
        for count in range(len(run), 0, -1):
            text = self.text[run[0].start : run[count - 1].end]
            try:
                if count > 1 and converter.span is not None and not converter.span(text, self.env):
                    continue
                value = converter.convert(text, self.env)
            except InvalidValue as problem:
                problems.append(problem)
                if problem.clear:
                    break
                continue
            self.at = run[count - 1].end
            return value
        helpful = next((problem for problem in problems if problem.nearest is not None), problems[-1])
        raise ArgumentError.of(parameter.name, parameter.label, helpful)


def too_many_values(parameter: Parameter) -> ArgumentError:
    """More values than a list takes."""
    msgid = "“{argument}” takes at most {most} values."
    return ArgumentError("argument.too_many_values", msgid, argument=parameter.name, label=parameter.label, most=MOST)


def unknown_option(key: str, signature: Signature) -> ArgumentError:
    """A name that no parameter has."""
    labels = [parameter.label for parameter in signature.parameters]
    near = nearest(key, labels)
    return ArgumentError(
        "argument.unknown_option",
        "There is no option “--{given}”.",
        given=shorten(key),
        nearest=f"--{near}" if near is not None else None,
    )


def _convert(parameter: Parameter, text: str, env: ParseEnv) -> Any:
    try:
        return parameter.converter.convert(text, env)
    except InvalidValue as problem:
        raise ArgumentError.of(parameter.name, parameter.label, problem) from problem


def _as_text(parameter: Parameter, value: Any) -> str:
    """A value of a structured command as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (str, int)):
        return str(value)
    problem = InvalidValue.of(type(value).__name__, parameter.converter.expected)
    raise ArgumentError.of(parameter.name, parameter.label, problem)

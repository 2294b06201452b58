"""Logs: standard library logging, written as JSON or for people, with the fields of the work at hand on every line.

``log = logging.getLogger(__name__)`` everywhere; fields by ``extra={"room_id": …}`` or, for all that happens inside a
piece of work, by :func:`bound`. What is written passes :mod:`appservice.redaction`: no token, key or message body.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TextIO

import orjson

from appservice.errors import RialtoError
from appservice.redaction import HIDDEN, WITHHELD_FIELDS, Redactor, hide_reprs, render_error, render_traceback

__all__ = [
    "JsonFormatter",
    "PrettyFormatter",
    "bind",
    "bound",
    "current",
    "register_secret",
    "setup",
    "unbind",
]

OWN_LOGGERS: Final = ("appservice", "bridge", "bots")
_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_RESERVED: Final = frozenset({"time", "level", "logger", "message", "error", "traceback"})
_fields: ContextVar[Mapping[str, Any]] = ContextVar("rialto_log_fields", default=_EMPTY)
_redactor: Final = Redactor()


def register_secret(value: str) -> None:
    """Never write ``value`` (nor its URL or JSON encoded form) to any log of this process from now on.

    Values under :data:`appservice.redaction.SHORTEST_SECRET` characters are left alone: hiding them would garble logs.
    """
    _redactor.add(value)


def bind(**fields: Any) -> Token[Mapping[str, Any]]:
    """Put ``fields`` on every line of this context from now on; give the token to :func:`unbind`."""
    return _fields.set({**_fields.get(), **fields})


def unbind(token: Token[Mapping[str, Any]]) -> None:
    """Take back what :func:`bind` put on."""
    _fields.reset(token)


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Put ``fields`` on every line written inside the block (and in the tasks that it starts)."""
    token = _fields.set({**_fields.get(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def current() -> Mapping[str, Any]:
    """The fields bound right now."""
    return _fields.get()


class _Formatter(logging.Formatter):
    """What both forms share: where fields come from, and that every text in them is safe to write."""

    def __init__(self, *, show_errors: bool = False, redactor: Redactor = _redactor) -> None:
        super().__init__()
        self._show_errors = show_errors
        self._redact = redactor

    def _message(self, record: logging.LogRecord) -> str:
        """The message with its arguments; an exception among them is written as :func:`render_error` allows."""
        message, args = record.msg, record.args
        if isinstance(args, tuple):
            args = tuple(self._error(each) if isinstance(each, BaseException) else each for each in args)
        text = self._error(message) if isinstance(message, BaseException) else str(message)
        if args:
            text = text % args
        if not self._show_errors and "exception=" in text:
            text = hide_reprs(text)  # "Task exception was never retrieved" quotes the exception
        return self._redact(text)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Bound fields, then those of ``extra``, then the code and fields of a RialtoError; all safe to write."""
        fields = dict(_fields.get())
        for key, value in record.__dict__.items():
            if key not in _STANDARD:
                fields[key] = value
        if record.exc_info and isinstance(record.exc_info[1], RialtoError):
            error = record.exc_info[1]
            for key, value in (("code", error.code), *error.fields.items()):
                fields.setdefault(key, value)
        return {key: self._safe(key, value) for key, value in fields.items()}

    def _safe(self, key: str, value: object, depth: int = 0) -> Any:
        """The value as plain data without secrets and bodies; what is nested too deeply is cut."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if key in WITHHELD_FIELDS:
            return HIDDEN
        if isinstance(value, BaseException):
            return self._redact(self._error(value))
        if isinstance(value, bytes):
            value = value.decode(errors="backslashreplace")
        if isinstance(value, str) or depth >= 5:
            return self._redact(str(value))
        if isinstance(value, Mapping):
            return {str(name): self._safe(str(name), each, depth + 1) for name, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._safe("", each, depth + 1) for each in value]
        return self._redact(str(value))

    def _error(self, error: BaseException) -> str:
        return error.human if isinstance(error, RialtoError) else render_error(error, self._show_errors)

    def _traceback(self, record: logging.LogRecord) -> str:
        if not record.exc_info or record.exc_info[1] is None:
            return ""
        return self._redact(render_traceback(record.exc_info[1], self._show_errors))


class JsonFormatter(_Formatter):
    """One JSON object a line: time (UTC, RFC 3339), level, logger, message, then the fields, then the error."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a field named like one of the line's own gets a ``_`` behind its name."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        for key, value in self._fields(record).items():
            line[f"{key}_" if key in _RESERVED else key] = value
        if traceback := self._traceback(record):
            line["error"] = self._redact(render_error(record.exc_info[1], self._show_errors))  # type: ignore[index,arg-type]
            line["traceback"] = traceback
        try:
            return orjson.dumps(line).decode()
        except TypeError:  # integers over 64 bits, lone surrogates
            return json.dumps(line, default=str)


_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0)) if code not in (9, 10)}
_CONTROL.update({code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))})


class PrettyFormatter(_Formatter):
    """``2026-01-31 12:03:04.567 INFO    appservice.worker  Message  room_id=!r:s``, with colours when asked.

    Control characters are written as ``\\x1b``, and further lines of a message are indented: nobody forges a line.
    """

    def __init__(self, *, colour: bool = False, show_errors: bool = False, redactor: Redactor = _redactor) -> None:
        super().__init__(show_errors=show_errors, redactor=redactor)
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback indented under it."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        time = f"{moment:%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d}"
        level = f"{record.levelname:<7}"
        fields = " ".join(f"{_short(key)}={_short(value)}" for key, value in self._fields(record).items())
        if self._colour:
            time = f"\x1b[2m{time}\x1b[0m"
            level = f"\x1b[{_COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
            fields = fields and f"\x1b[36m{fields}\x1b[0m"
        text = f"{time} {level} {record.name}  {_indented(self._message(record))}" + (f"  {fields}" if fields else "")
        if traceback := self._traceback(record):
            text += f"\n    {_indented(traceback)}"
        return text


def _indented(text: str) -> str:
    return text.translate(_CONTROL).replace("\n", "\n    ")


def _short(value: object) -> str:
    """A field's value without spaces, or in quotes."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = text.translate(_CONTROL).replace("\n", "\\n").replace("\t", "\\t")
    quoted = isinstance(value, str) and (not text or any(each in text for each in ' "='))
    return json.dumps(text, ensure_ascii=False).replace("\\\\", "\\") if quoted else text


class Handler(logging.StreamHandler[TextIO]):
    """Writes to the stream; a line that cannot be formatted is replaced by a word about it, not by its content."""

    def handleError(self, record: logging.LogRecord) -> None:
        """The standard one would print the arguments, which may hold anything."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError | ValueError) and getattr(self.stream, "closed", False):
            return
        try:
            self.stream.write(
                f"A log line of {record.name}:{record.lineno} could not be written: {type(error).__name__}\n"
            )
        except (OSError, ValueError):
            return  # the stream itself is gone (a closed pipe): there is nowhere left to say so


def setup(
    level: str,
    fmt: Literal["pretty", "json"],
    stream: TextIO | None = None,
    *,
    show_errors: bool = False,
) -> None:
    """Send all logs of this process to ``stream`` (standard error unless told). Calling it again replaces the first.

    ``level`` holds for Rialto's own loggers. Libraries are a level quieter, and never write their debug lines: these
    hold request bodies. ``show_errors`` also writes the messages of unexpected exceptions, which may quote what
    people wrote.
    """
    stream = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = Handler(stream)
    if fmt == "json":
        handler.setFormatter(JsonFormatter(show_errors=show_errors))
    else:
        handler.setFormatter(PrettyFormatter(colour=stream.isatty(), show_errors=show_errors))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(min(number + 10, logging.ERROR))
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(True)

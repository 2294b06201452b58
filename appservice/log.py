"""Logs: standard library logging, written as JSON or for people, with the fields of the work at hand on every line.

``log = logging.getLogger(__name__)`` everywhere; fields by ``extra={"room_id": …}`` or, for all that happens inside a
piece of work, by :func:`bound`. What is written passes :mod:`appservice.redaction` first: no token, key or message body.
"""

from __future__ import annotations

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
from appservice.redaction import Redactor, render_error, render_traceback

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

    Values under :data:`appservice.redaction.SHORTEST_SECRET` characters are left alone: hiding them would garble the logs.
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


def _collect(record: logging.LogRecord) -> dict[str, Any]:
    """Bound fields, then those of ``extra``, then the code and fields of a RialtoError."""
    fields = dict(_fields.get())
    for key, value in record.__dict__.items():
        if key not in _STANDARD:
            fields[key] = value
    if record.exc_info and isinstance(record.exc_info[1], RialtoError):
        error = record.exc_info[1]
        for key, value in (("code", error.code), *error.fields.items()):
            fields.setdefault(key, value)
    return fields


def _message(record: logging.LogRecord, show_errors: bool) -> str:
    """The message with its arguments; an exception among them is written as :func:`render_error` allows."""
    args = record.args
    if isinstance(args, tuple) and any(isinstance(arg, BaseException) for arg in args):
        args = tuple(render_error(arg, show_errors) if isinstance(arg, BaseException) else arg for arg in args)
    elif isinstance(record.msg, BaseException):
        return render_error(record.msg, show_errors)
    message = str(record.msg)
    return message % args if args else message


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, RFC 3339), level, logger, message, then the fields."""

    def __init__(self, *, show_errors: bool = False, redactor: Redactor = _redactor) -> None:
        super().__init__()
        self._show_errors = show_errors
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """One line; nothing in it breaks it."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record, self._show_errors),
        }
        for key, value in _collect(record).items():
            line[f"{key}_" if key in _RESERVED else str(key)] = value
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = render_error(record.exc_info[1], self._show_errors)
            line["traceback"] = render_traceback(record.exc_info[1], self._show_errors)
        text = orjson.dumps(line, default=self._other, option=orjson.OPT_NON_STR_KEYS).decode()
        return self._redactor(text)

    def _other(self, value: object) -> str:
        return render_error(value, self._show_errors) if isinstance(value, BaseException) else str(value)


_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0)) if code not in (9, 10)}


class PrettyFormatter(logging.Formatter):
    """``12:03:04.567 INFO  appservice.worker  Message  room_id=!r:s event_id=$e``, with colours when asked.

    Control characters are written as ``\\x1b``, and further lines of a message are indented: nobody forges a line.
    """

    def __init__(self, *, colour: bool = False, show_errors: bool = False, redactor: Redactor = _redactor) -> None:
        super().__init__()
        self._colour = colour
        self._show_errors = show_errors
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback indented under it."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        time = f"{moment:%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d}"
        level = f"{record.levelname:<7}"
        fields = " ".join(f"{key}={self._value(value)}" for key, value in _collect(record).items())
        message = self._clean(_message(record, self._show_errors))
        if self._colour:
            time = f"\x1b[2m{time}\x1b[0m"
            level = f"\x1b[{_COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
            fields = fields and f"\x1b[36m{fields}\x1b[0m"
        text = f"{time} {level} {record.name}  {message}" + (f"  {fields}" if fields else "")
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n    " + self._clean(render_traceback(record.exc_info[1], self._show_errors))
        return self._redactor(text)

    def _clean(self, text: str) -> str:
        return text.translate(_CONTROL).replace("\n", "\n    ")

    def _value(self, value: object) -> str:
        text = render_error(value, self._show_errors) if isinstance(value, BaseException) else str(value)
        text = text.translate(_CONTROL).replace("\n", "\\n")
        return f'"{text}"' if " " in text or not text else text


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

    ``level`` holds for Rialto's own loggers. Libraries write from ``info`` up at most: their debug lines hold request
    bodies. ``show_errors`` also writes the messages of unexpected exceptions, which may quote what people wrote.
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
    root.setLevel(max(number, logging.INFO))
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(True)

"""Logs: fields on every line, no secrets, no bodies, no forged lines, and cheap."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
import timeit
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from appservice import log as logs
from appservice.errors import RialtoError
from appservice.redaction import Redactor, hide_reprs

log = logging.getLogger("appservice.test_log")


class PaymentRefusedError(RialtoError):
    code = "payment_refused"


class Capture:
    def __init__(self, fmt: Literal["pretty", "json"], level: str = "debug", **options: Any) -> None:
        self.stream = io.StringIO()
        logs.setup(level, fmt, self.stream, **options)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture(autouse=True)
def _leave_as_found() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, secrets = root.handlers[:], root.level, logs._redactor.values
    own = {name: logging.getLogger(name).level for name in logs.OWN_LOGGERS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, number in own.items():
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(False)
    logs._redactor.replace(secrets)


def test_json_line_has_time_level_logger_message_and_fields() -> None:
    capture = Capture("json")
    log.info("Sent %d messages to %s", 3, "Ann", extra={"room_id": "!r:x", "took": 0.25})
    (line,) = capture.lines
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "appservice.test_log",
        "message": "Sent 3 messages to Ann",
        "room_id": "!r:x",
        "took": 0.25,
    }


def test_bound_fields_are_on_every_line_inside_and_none_outside() -> None:
    capture = Capture("json")
    with logs.bound(request_id="r1", room_id="!a"):
        log.info("one")
        with logs.bound(event_id="$e", room_id="!b"):
            log.info("two")
            logging.getLogger("library").warning("three", extra={"room_id": "!c"})
        log.info("four")
        assert logs.current() == {"request_id": "r1", "room_id": "!a"}
    log.info("five")
    picked = [{key: line.get(key) for key in ("request_id", "room_id", "event_id")} for line in capture.lines]
    assert picked == [
        {"request_id": "r1", "room_id": "!a", "event_id": None},
        {"request_id": "r1", "room_id": "!b", "event_id": "$e"},
        {"request_id": "r1", "room_id": "!c", "event_id": "$e"},
        {"request_id": "r1", "room_id": "!a", "event_id": None},
        {"request_id": None, "room_id": None, "event_id": None},
    ]


async def test_tasks_inherit_the_fields_and_do_not_share_them() -> None:
    capture = Capture("json")

    async def work(name: str) -> None:
        with logs.bound(consumer=name):
            await asyncio.sleep(0)
            log.info(name)

    with logs.bound(request_id="r"):
        await asyncio.gather(work("a"), work("b"))
    token = logs.bind(consumer="c")
    log.info("c")
    logs.unbind(token)
    log.info("none")
    assert [(line.get("consumer", "none"), line.get("request_id")) for line in capture.lines] == [
        ("a", "r"),
        ("b", "r"),
        ("c", None),
        ("none", None),
    ]
    assert all(line["message"] == line.get("consumer", "none") for line in capture.lines)


def test_a_field_cannot_take_the_place_of_the_lines_own() -> None:
    capture = Capture("json")
    with logs.bound(level="loud", time="never"):
        log.info("x")
    assert (capture.lines[0]["level"], capture.lines[0]["level_"], capture.lines[0]["time_"]) == (
        "info",
        "loud",
        "never",
    )


def test_levels_hold_for_own_loggers_and_libraries_are_a_level_quieter() -> None:
    capture = Capture("json", "debug")
    log.debug("own")
    logging.getLogger("mau.http").debug("PUT /send/m.room.message {'body': 'hello'}")
    logging.getLogger("bots.echo").debug("bot")
    assert [line["message"] for line in capture.lines] == ["own", "bot"]
    logging.getLogger("library").info("library")
    assert [line["message"] for line in capture.lines] == ["own", "bot", "library"]
    capture = Capture("json", "info")
    logging.getLogger("library").info("library")
    log.info("own")
    logging.getLogger("library").warning("library")
    assert [line["message"] for line in capture.lines] == ["own", "library"]
    capture = Capture("json", "warning")
    logging.getLogger("library").warning("library")
    logging.getLogger("library").error("library")
    assert len(capture.lines) == 1
    capture = Capture("json", "error")
    log.warning("own")
    logging.getLogger("library").warning("library")
    assert capture.text == ""


def test_setup_again_replaces_and_leaves_the_handlers_of_others() -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    first, second = Capture("json"), Capture("pretty")
    log.info("once")
    assert first.text == ""
    assert second.text.count("once") == 1
    assert other in logging.getLogger().handlers


def test_pretty_line() -> None:
    capture = Capture("pretty")
    log.warning("Cannot reach %s", "it", extra={"room_id": "!r:x", "reason": "no route", "empty": "", "tries": [1, 2]})
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARNING appservice\.test_log  Cannot reach it  "
        r'room_id=!r:x reason="no route" empty="" tries=\[1, 2\]\n',
        capture.text,
    )


def test_pretty_has_colours_on_a_terminal_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logs.setup("info", "pretty", stream)
    log.error("red", extra={"a": 1})
    assert "\x1b[31mERROR" in stream.getvalue()
    assert "\x1b[36ma=1\x1b[0m" in stream.getvalue()


@pytest.mark.parametrize("fmt", ["pretty", "json"])
def test_nobody_forges_a_line(fmt: Literal["pretty", "json"]) -> None:
    capture = Capture(fmt)
    log.info("name: %s", "x\n2026-01-01 00:00:00.000 ERROR root  forged\r\x1b[2J\u2028", extra={"who": "a\nb\x1b[1m"})
    text = capture.text
    assert "\x1b" not in text
    assert "\r" not in text
    assert not any(line.startswith("2026-01-01 00:00:00.000 ERROR") for line in text.splitlines())
    assert fmt == "json" or "\u2028" not in text


def test_rialto_errors_speak_twice() -> None:
    capture = Capture("json")
    try:
        raise PaymentRefusedError("Not enough money.", account="a1", needed=500)
    except PaymentRefusedError as error:
        log.exception("Payment failed")
        log.warning("Refused: %s", error)
    first, second = capture.lines
    assert (first["code"], first["account"], first["needed"]) == ("payment_refused", "a1", 500)
    assert first["error"].endswith("PaymentRefusedError: Not enough money.")
    assert "in test_rialto_errors_speak_twice" in first["traceback"]
    assert second["message"] == "Refused: Not enough money."


BODY = "my doctor says it is serious"


def _raise_like_a_handler(kind: str) -> None:
    match kind:
        case "int":
            int(BODY)
        case "key":
            {}[BODY]  # type: ignore[index]
        case "format":
            raise RuntimeError(f"bad text: {BODY}")
        case "chain":
            try:
                int(BODY)
            except ValueError as error:
                raise PaymentRefusedError("Refused.") from error
        case "context":
            try:
                int(BODY)
            except ValueError:
                raise OSError("disk full")  # noqa: B904
        case "group":
            raise ExceptionGroup(BODY, [ValueError(BODY)])
        case "pydantic":
            from appservice.config.models import Engine

            Engine.model_validate({"attempts": BODY})
        case "sql":
            from sqlalchemy import create_engine, text

            with create_engine("sqlite://").connect() as connection:
                connection.execute(text("insert into nothing values (:body)"), {"body": BODY})
        case "detail":
            from asyncpg.exceptions import UniqueViolationError

            raise UniqueViolationError(f"duplicate key\nDETAIL:  Failing row contains ({BODY}).")
        case "note":
            noted = TypeError("no")
            noted.add_note(BODY)
            raise noted


@pytest.mark.parametrize(
    "kind", ["int", "key", "format", "chain", "context", "group", "pydantic", "sql", "detail", "note"]
)
@pytest.mark.parametrize("fmt", ["pretty", "json"])
def test_tracebacks_never_quote_what_people_wrote(fmt: Literal["pretty", "json"], kind: str) -> None:
    capture = Capture(fmt)
    try:
        _raise_like_a_handler(kind)
    except Exception as error:
        log.exception("Handler failed: %s", error, extra={"cause": error})
    assert BODY not in capture.text
    assert "_raise_like_a_handler" in capture.text  # the traceback is there


def test_error_messages_can_be_switched_on_for_development() -> None:
    capture = Capture("pretty", show_errors=True)
    try:
        int(BODY)
    except ValueError:
        log.exception("Handler failed")
    assert BODY in capture.text


async def test_a_lost_task_does_not_quote_its_error() -> None:
    capture = Capture("json")

    async def fail() -> None:
        raise ValueError(BODY)

    task = asyncio.get_running_loop().create_task(fail())
    await asyncio.wait([task])
    asyncio.get_running_loop().call_exception_handler({"message": "Task exception was never retrieved", "future": task})
    task.exception()
    assert BODY not in capture.text
    assert hide_reprs("<Task exception=ValueError('a) b')> x") == "<Task exception=ValueError(…)> x"


@pytest.mark.parametrize(
    "key", ["body", "formatted_body", "content", "ciphertext", "as_token", "Authorization", "session_key"]
)
def test_fields_named_like_bodies_and_keys_are_withheld(key: str) -> None:
    capture = Capture("json")
    log.info("x", extra={key: BODY, "event": {"type": "m.room.message", key: {"a": [BODY]}}, "list": [{key: BODY}]})
    assert BODY not in capture.text
    assert capture.lines[0]["event"]["type"] == "m.room.message"


SECRET = "s3cr3t-abcdef"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /_matrix/client/v3/sync?access_token={SECRET}&since=1 HTTP/1.1",
        f"GET /?since=1&access_token={SECRET} HTTP/1.1",
        f"/transactions/1?access_token={SECRET}",
        f"access_token%3D{SECRET}",
        f"{{'Authorization': 'Bearer {SECRET}'}}",
        f'{{"Authorization": "Bearer {SECRET}"}}',
        f"Authorization: Bearer {SECRET}\r\nHost: x",
        f"authorization: basic {SECRET}",
        f"<CIMultiDict('Authorization': 'Bearer {SECRET}', 'Host': 'x')>",
        f"sent Bearer {SECRET}",
        f"as_token: {SECRET}",
        f'as_token: "{SECRET} with spaces"',
        f"{{'hs_token': '{SECRET}', 'id': 1}}",
        f"{{\"as_token\": \"{SECRET}\"}}",
        f"hs_token={SECRET}",
        f"postgresql://rialto:{SECRET}@db/rialto",
        f"password='{SECRET}'",
    ],
)  # fmt: skip
@pytest.mark.parametrize("fmt", ["pretty", "json"])
def test_tokens_are_hidden_in_any_text(fmt: Literal["pretty", "json"], text: str) -> None:
    capture = Capture(fmt)
    log.info(text)
    log.info("%s", text)
    log.info("x", extra={"text": text, "nested": {"deep": [text]}})
    try:
        raise OSError(text)
    except OSError:
        log.exception("x")
    assert SECRET not in capture.text
    assert capture.text.count("***") >= 5


@pytest.mark.parametrize(
    "text", ["the token 5 was fine", "https://example.org/a?b=c", "Authorization is needed", "room !a:b"]
)
def test_other_text_stays(text: str) -> None:
    assert Redactor()(text) == text


def test_registered_secrets_are_hidden_in_every_form() -> None:
    secret = 'p/w "x"\\ü+1'
    logs.register_secret(secret)
    logs.register_secret("abc")  # too short: would garble the logs
    for fmt in ("pretty", "json"):
        capture = Capture(fmt)
        log.info(f"raw {secret} url p%2Fw%20%22x%22%5C%C3%BC%2B1 repr {secret!r} json {json.dumps(secret)} abc")
        log.info("x", extra={"it": secret, "bytes": secret.encode()})
        assert capture.text.count("***") >= 5
        assert "p/w" not in capture.text
        assert "p%2Fw" not in capture.text
        assert "abc" in capture.text


async def test_real_access_log_of_aiohttp_holds_no_token() -> None:
    capture = Capture("json", "debug")

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    async def fail(_: web.Request) -> web.Response:
        raise ValueError(BODY)

    app = web.Application()
    app.router.add_put("/_matrix/app/v1/transactions/{txn}", answer)
    app.router.add_get("/fail", fail)
    server = TestServer(app, host="127.0.0.1", access_log=logging.getLogger("aiohttp.access"))
    await server.start_server()
    try:
        async with ClientSession() as session:
            headers = {"Authorization": f"Bearer {SECRET}", "Referer": f"http://x/?access_token={SECRET}"}
            url = server.make_url(f"/_matrix/app/v1/transactions/1?access_token={SECRET}")
            assert (await session.put(url, headers=headers, json={})).status == 200
            assert (await session.get(server.make_url("/fail"), headers=headers)).status == 500
    finally:
        await server.close()
    assert "/_matrix/app/v1/transactions/1?access_token=***" in capture.text
    assert SECRET not in capture.text
    assert BODY not in capture.text


def test_mautrix_logs_pass_the_same_filter() -> None:
    capture = Capture("json")
    from mautrix.util.logging import TraceLogger

    logger = logging.getLogger("mau.client")
    assert isinstance(logger, TraceLogger | logging.Logger)
    logger.error("Failed: %s", f"https://hs/_matrix/media/v3/upload?access_token={SECRET}")
    assert SECRET not in capture.text
    assert capture.lines[0]["logger"] == "mau.client"


def test_a_line_that_cannot_be_formatted_is_told_without_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    capture = Capture("json")
    record = log.makeRecord(log.name, logging.INFO, __file__, 7, "%d messages", (BODY,), None)
    next(each for each in logging.getLogger().handlers if isinstance(each, logs.Handler)).handle(record)
    assert re.fullmatch(r"A log line of appservice\.test_log:\d+ could not be written: TypeError\n", capture.text)
    assert BODY not in capsys.readouterr().err


def test_a_closed_stream_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    capture = Capture("json")
    capture.stream.close()
    log.info("nobody hears")
    assert capsys.readouterr().err == ""


@given(st.text(), st.dictionaries(st.text(min_size=1).map("f_".__add__), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)))  # fmt: skip
def test_any_fields_make_one_valid_line(message: str, fields: dict[str, Any]) -> None:
    capture = Capture("json")
    log.info(message.replace("%", ""), extra=fields)
    (line,) = capture.text.rstrip("\n").split("\n")
    assert json.loads(line)["level"] == "info"
    capture = Capture("pretty")
    log.info("fixed", extra=fields)
    assert capture.text.count("\n") == 1


@given(st.text(st.sampled_from("as_token=:'\"\\ &Bearer{}%x://@\n")))
def test_redaction_never_breaks_a_line(text: str) -> None:
    capture = Capture("json")
    log.info("%s", text, extra={"a": text, "after": "kept"})
    assert capture.lines[0]["after"] == "kept"


def test_surrogates_and_big_integers_are_written() -> None:
    capture = Capture("json")
    log.info("\ud800", extra={"big": 1 << 80})
    assert capture.lines[0]["big"] == 1 << 80
    assert capture.lines[0]["message"] == "\ud800"


def test_a_disabled_level_costs_next_to_nothing_and_a_line_little() -> None:
    """Generous bounds: 0.15 µs and 10 µs were measured."""
    logs.setup("info", "json", io.StringIO())
    for name in ("as-token-0123456789", "hs-token-0123456789", "pickle-key-0123456789"):
        logs.register_secret(name)
    with logs.bound(request_id="r", event_id="$e", room_id="!r:x"):
        disabled = min(timeit.repeat(lambda: log.debug("x %s", 1), number=10_000, repeat=5)) / 10_000
        line = min(timeit.repeat(lambda: log.info("Sent %s", "x", extra={"took": 1}), number=500, repeat=5)) / 500
    assert disabled < 5e-6
    assert line < 500e-6


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "pretty")
    log.info("hello")
    assert "hello" in capsys.readouterr().err
    assert sys.stderr is not None

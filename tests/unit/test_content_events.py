"""Replies, threads, edits, polls, places and media messages: in the form that clients read, and read back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.framework import content
from bots.framework.content import Answer, GeoPoint, Poll, Vote

HELLO = content.text("Hello")


def test_a_reply_quotes_nothing_and_notifies_only_when_told_to() -> None:
    made = content.reply_to(HELLO, "$event")
    assert made == {**HELLO, "m.relates_to": {"m.in_reply_to": {"event_id": "$event"}}}
    assert "m.relates_to" not in HELLO
    assert content.reply_to(HELLO, "$event", mention="@a:x")["m.mentions"] == {"user_ids": ["@a:x"]}


def test_threads() -> None:
    relation = content.in_thread(HELLO, "$root", "$last")["m.relates_to"]
    assert relation == {
        "rel_type": "m.thread",
        "event_id": "$root",
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": "$last"},
    }
    assert content.in_thread(HELLO, "$root")["m.relates_to"]["m.in_reply_to"] == {"event_id": "$root"}
    answer = content.in_thread(HELLO, "$root", "$last", reply="$one")["m.relates_to"]
    assert (answer["is_falling_back"], answer["m.in_reply_to"]) == (False, {"event_id": "$one"})
    both = content.reply_to(content.in_thread(HELLO, "$root"), "$one")["m.relates_to"]
    assert (both["rel_type"], both["m.in_reply_to"]) == ("m.thread", {"event_id": "$one"})


def test_an_edit_notifies_only_those_who_are_new() -> None:
    new = content.mentioning(content.in_thread(content.markdown("**b**"), "$root"), "@old:x", "@new:x")
    edit = content.replacement(new, "$event", mentioned=["@old:x"])
    assert edit["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$event"}
    assert (edit["body"], edit["formatted_body"]) == ("* b", "* <strong>b</strong>")
    assert edit["m.mentions"] == {"user_ids": ["@new:x"]}
    assert edit["m.new_content"]["m.mentions"] == {"user_ids": ["@old:x", "@new:x"]}
    assert "m.relates_to" not in edit["m.new_content"]
    assert content.replacement(HELLO, "$event")["m.mentions"] == {}


def test_mentions_add_up() -> None:
    once = content.mentioning(HELLO, "@a:x")
    assert content.mentioning(once, "@b:x", "@a:x", room=True)["m.mentions"] == {
        "user_ids": ["@a:x", "@b:x"],
        "room": True,
    }


@pytest.mark.parametrize(
    ("body", "rest"),
    [
        ("> <@a:x> old\n> more\n\nnew", "new"),
        ("> old\n\nnew\n> kept", "new\n> kept"),
        (">\n> a\n\nnew", "new"),
        ("no quote", "no quote"),
        ("> only a quote", "> only a quote"),
        (">:) a face", ">:) a face"),
        ("", ""),
    ],
)
def test_the_quote_of_an_older_reply_goes(body: str, rest: str) -> None:
    assert content.strip_reply_fallback(body) == rest


def test_the_quote_in_html_goes() -> None:
    assert content.strip_reply_fallback_html("<mx-reply><b>old</b></mx-reply>new") == "new"
    assert content.strip_reply_fallback_html("a<mx-reply>b</mx-reply>") == "a<mx-reply>b</mx-reply>"


LUNCH = content.poll("Lunch?", ["Pizza", "Soup", Answer("r", "Rice")], max_selections=2)


def test_a_poll_as_element_reads_it() -> None:
    made = content.poll_start(LUNCH)
    poll = made["org.matrix.msc3381.poll.start"]
    assert content.POLL_START == "org.matrix.msc3381.poll.start"
    assert poll["question"]["org.matrix.msc1767.text"] == "Lunch?"
    assert (poll["kind"], poll["max_selections"]) == ("org.matrix.msc3381.poll.disclosed", 2)
    assert poll["answers"][2] == {"id": "r", "org.matrix.msc1767.text": "Rice"}
    assert made["org.matrix.msc1767.text"] == made["body"] == "Lunch?\n1. Pizza\n2. Soup\n3. Rice"
    assert content.parse_poll(made) == LUNCH


def test_a_poll_in_the_form_of_the_proposal() -> None:
    made = {
        "m.text": [{"body": "Lunch? 1. Pizza"}],
        "m.poll": {
            "kind": "m.undisclosed",
            "max_selections": 9,
            "question": {"m.text": [{"mimetype": "text/plain", "body": "Lunch?"}]},
            "answers": [{"m.id": "pizza", "m.text": [{"body": "Pizza"}]}],
        },
    }
    assert content.parse_poll(made) == Poll("Lunch?", (Answer("pizza", "Pizza"),), 1, disclosed=False)


@pytest.mark.parametrize("key", ["m.poll.response", "org.matrix.msc3381.poll.response", "m.response"])
def test_responses_in_every_form(key: str) -> None:
    relation = {"m.relates_to": {"rel_type": "m.reference", "event_id": "$poll"}}
    assert content.parse_poll_response({**relation, key: {"answers": ["1"]}}) == ("$poll", ("1",))
    assert content.parse_poll_response({**relation, key: {}}) == ("$poll", ())
    assert content.parse_poll_response({**relation, "m.selections": ["1", "r"]}) == ("$poll", ("1", "r"))
    assert content.parse_poll_response(content.poll_response("$poll", ["r"])) == ("$poll", ("r",))


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"m.selections": ["1"]},
        {"m.selections": ["1"], "m.relates_to": {"rel_type": "m.thread", "event_id": "$p"}},
        {"m.selections": [1], "m.relates_to": {"rel_type": "m.reference", "event_id": "$p"}},
        {"m.selections": "1", "m.relates_to": {"rel_type": "m.reference", "event_id": "$p"}},
        {"m.selections": ["1"], "m.relates_to": {"rel_type": "m.reference", "event_id": 7}},
        {"m.relates_to": {"rel_type": "m.reference", "event_id": "$p"}},
    ],
)
def test_what_is_no_response(made: dict[str, Any]) -> None:
    assert content.parse_poll_response(made) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["m.poll", "m.text", "answers", "question", "id", "m.id", "body", "uri", "m.location"])
            | st.sampled_from([content.POLL_START, content.POLL_RESPONSE, "m.relates_to", "m.selections", "geo_uri"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["m.poll", content.POLL_START, "m.relates_to", "m.location"]), JSON, max_size=4))
def test_no_content_whatever_breaks_a_parser(made: dict[str, Any]) -> None:
    content.parse_poll(made)
    content.parse_poll_response(made)
    with pytest.raises(content.ContentError):
        content.parse_location(made)


def test_the_end_of_a_poll() -> None:
    made = content.poll_end("$poll", "Pizza it is.")
    assert made["org.matrix.msc3381.poll.end"] == {}
    assert made["body"] == made["org.matrix.msc1767.text"] == "Pizza it is."
    assert content.parse_poll_reference(made) == "$poll"
    assert content.poll_end("$poll")["body"] == "The poll has ended."


def test_of_each_person_the_latest_vote_counts() -> None:
    votes = [
        Vote("@a:x", ("1",), 10),
        Vote("@a:x", ("2", "2", "1"), 20),  # cut to two selections, of which one is a repetition
        Vote("@b:x", ("1", "nobody knows"), 10),  # spoiled
        Vote("@c:x", ("r",), 10),
        Vote("@c:x", (), 30),  # taken back
        Vote("@d:x", ("r",), 10),
        Vote("@d:x", ("1",), 99),  # too late
        Vote("@a:x", ("r",), 5),  # arrived late, was earlier
    ]
    assert content.count_votes(LUNCH, votes, closed_at=50) == {"1": [], "2": ["@a:x"], "r": ["@d:x"]}


@pytest.mark.parametrize(
    ("question", "answers", "most"),
    [("", ["a"], 1), ("q", [], 1), ("q", ["a"] * 21, 1), ("q", ["a"], 0), ("q", ["a"], 2), ("q", ["a", " "], 1)],
)
def test_polls_that_cannot_be(question: str, answers: list[str], most: int) -> None:
    with pytest.raises(content.ContentError):
        content.poll(question, answers, max_selections=most)
    with pytest.raises(content.ContentError):
        content.poll("q", [Answer("1", "a"), Answer("1", "b")])


@pytest.mark.parametrize(
    ("uri", "point"),
    [
        ("geo:52.5186,13.4081", GeoPoint(52.5186, 13.4081)),
        ("GEO:-33.9,18.4,10.5;U=35", GeoPoint(-33.9, 18.4, 10.5, 35.0)),
        ("geo:0,0;crs=WGS84;u=0.5;name=x", GeoPoint(0, 0, None, 0.5)),
        ("geo:90,0", GeoPoint(90, 0)),
    ],
)
def test_geo_uris(uri: str, point: GeoPoint) -> None:
    assert content.parse_geo_uri(uri) == point


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "geo:",
        "geo:1",
        "geo:1,2,3,4",
        "geo:91,0",
        "geo:0,180.5",
        "geo:1e5,0",
        "geo:nan,0",
        "geo:1,2;crs=moon",
        "1,2",
        "geo:1,2;u=-3",
        "geo:1,2;u=x",
        "geo:1,2;u=1;u=2",
        "geo:1, 2",
        "geo:1,2\n",
        "geo:" + "1" * 600 + ",2",
        "geo:+1,2",
    ],
)
def test_what_is_no_geo_uri(uri: str) -> None:
    with pytest.raises(content.ContentError):
        content.parse_geo_uri(uri)


@given(
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.none() | st.floats(-1e4, 1e5),
    st.none() | st.floats(0, 1e6),
)
def test_a_place_comes_back(lat: float, lon: float, altitude: float | None, uncertainty: float | None) -> None:
    read = content.parse_geo_uri(GeoPoint(lat, lon, altitude, uncertainty).uri)
    assert abs(read.latitude - lat) < 1e-6
    assert abs(read.longitude - lon) < 1e-6 or lon <= -179.99 or abs(lat) > 89.99
    assert (read.altitude is None) == (altitude is None)
    assert (read.uncertainty is None) == (uncertainty is None)


@pytest.mark.parametrize("numbers", [(91, 0), (0, 181), (float("nan"), 0), (float("inf"), 0), (0, 0, 0, -1)])
def test_there_is_no_such_place(numbers: tuple[float, ...]) -> None:
    with pytest.raises(content.ContentError):
        GeoPoint(*numbers)


def test_the_poles_and_the_date_line_are_written_in_one_way() -> None:
    assert GeoPoint(90, 17).uri == "geo:90,0"
    assert GeoPoint(-0.00000001, -180).uri == "geo:0,180"


def test_a_location_with_all_that_clients_read() -> None:
    made = content.location(GeoPoint(52.5, 13.4, uncertainty=20), "The café", timestamp=1000)
    assert made["geo_uri"] == "geo:52.5,13.4;u=20"
    assert made["org.matrix.msc3488.location"] == {"uri": "geo:52.5,13.4;u=20", "description": "The café"}
    assert made["org.matrix.msc3488.asset"] == {"type": "m.pin"}
    assert made["org.matrix.msc3488.ts"] == 1000
    assert made["body"] == "The café (geo:52.5,13.4;u=20)"
    read = content.parse_location(made)
    assert (read.point, read.description, read.own) == (GeoPoint(52.5, 13.4, uncertainty=20), "The café", False)
    assert content.parse_location(content.location(GeoPoint(1, 2), own=True)).own


def test_a_location_of_the_older_kind() -> None:
    read = content.parse_location({"msgtype": "m.location", "body": "Here\x00", "geo_uri": "geo:1,2"})
    assert (read.point, read.description, read.own) == (GeoPoint(1, 2), "Here", True)


STORED = {"url": "mxc://x/y", "info": {"mimetype": "image/png", "size": 3}}


def test_media_messages() -> None:
    made = content.image(STORED, "cat.png", caption=content.markdown("a **cat**"))
    assert made == {
        "msgtype": "m.image",
        "body": "a cat",
        "format": "org.matrix.custom.html",
        "formatted_body": "a <strong>cat</strong>",
        "filename": "cat.png",
        "url": "mxc://x/y",
        "info": {"mimetype": "image/png", "size": 3},
        "m.mentions": {},
    }
    assert content.file(STORED, "a\nb\x00.txt")["body"] == "a b.txt"
    assert content.audio(STORED, "", caption="song")["body"] == "song"
    film = content.video({"file": {"url": "mxc://x/y"}}, "v.mp4", width=4, height=3, duration=9)
    assert film["info"] == {"w": 4, "h": 3, "duration": 9}
    assert film["file"] == {"url": "mxc://x/y"}
    for stored in ({}, {"url": "mxc://x/y", "file": {}}):
        with pytest.raises(content.ContentError):
            content.image(stored, "x")


def test_a_voice_note_as_element_reads_it() -> None:
    stored = {"url": "mxc://x/y", "info": {"mimetype": "audio/ogg", "duration": 1500}}
    made = content.voice(stored, waveform=[0, 5000, -3, 1024])
    assert made["org.matrix.msc3245.voice"] == {}
    assert made["org.matrix.msc1767.audio"] == {"duration": 1500, "waveform": [0, 1024, 0, 1024]}
    assert (made["msgtype"], made["body"], "filename" in made) == ("m.audio", "Voice message", False)
    assert content.voice(STORED, duration=7)["info"]["duration"] == 7

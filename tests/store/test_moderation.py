"""Reports and what becomes of them, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import func, select

from appservice.administration import NoAdministration
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bots.store.tables import metadata
from bridge.actor import SYSTEM, Actor
from bridge.domain.kinds import Kind
from bridge.domain.moderation import Action, AppealState, State
from bridge.domain.roles import Role
from bridge.errors import BridgeError, Conflict, NotAllowed, NotFound, Refused, TooMany
from bridge.moderation.words import Evidence
from bridge.store.moderation_tables import moderation_reports
from tests.store.harness import rows
from tests.support.messenger import HUB, STEWARD, Person
from tests.support.moderation import MIA, MO, ModerationWorld

SECRET = "the quick brown secret"
AWAY = HomeserverError(503, "M_UNKNOWN", "away (test)")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ModerationWorld]:
    async with ModerationWorld(database) as made:
        yield made


@asynccontextmanager
async def refused(code: str, kind: type[BridgeError] = Refused) -> AsyncIterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code == code


def actor(person: Person | str) -> Actor:
    return Actor.person(str(person))


async def everything(database: Database) -> str:
    """All rows of all tables."""
    return repr([await rows(database, table) for table in metadata.sorted_tables])


async def actions(world: ModerationWorld, prefix: str = "") -> list[tuple[str, str, str]]:
    """The audit log: who did what, and how it ended; the first first."""
    found = await world.messenger.audit.list(limit=500)
    return [(each.actor, each.action, each.outcome) for each in found[::-1] if each.action.startswith(prefix)]


def metric(world: ModerationWorld, name: str, **labels: str) -> float:
    return world.metrics.registry.get_sample_value(f"rialto_{name}", labels) or 0


# Reporting


async def test_a_flag_is_a_report_and_goes_at_once(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob")
    alice, bob = world.person("alice"), world.person("bob")
    await world.moderator()
    said = await bob.says(chat.room_id, "something nasty")
    flag = await alice.reacts(chat.room_id, said, "🚩️")
    flagged = world.room(chat.room_id).event(flag)
    assert flagged is not None and flagged["content"] == {}
    assert flagged["unsigned"]["redacted_because"]["sender"] == STEWARD
    (case,) = (await world.moderation.queue(actor(MO))).items
    assert (case.subject, case.event_id, case.room_id, case.state) == (str(bob), said, chat.room_id, State.OPEN)
    assert case.reporters == (str(alice),) and case.evidence == ()
    (told,) = world.told_to(alice)
    assert told.code == "report.ask" and told.values["event"] == said and told.values["room"] == chat.room_id
    assert not world.told_to(bob)
    (asked,) = world.queue
    assert asked.code == "queue.report" and asked.values["report"] == case.short
    assert asked.values["subject"] == str(bob) and asked.values["chat"] == "Tea"
    assert metric(world, "reports_total", source="person") == 1 and metric(world, "reports_open") == 1


async def test_other_reactions_are_none(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob")
    alice, bob = world.person("alice"), world.person("bob")
    said = await bob.says(chat.room_id, "hello")
    await alice.reacts(chat.room_id, said, "👍")
    await alice.sends(chat.room_id, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "key": "🚩"}})
    await alice.sends(chat.room_id, "m.reaction", {"m.relates_to": "🚩"})
    mine = await alice.says(chat.room_id, "mine")
    await alice.reacts(chat.room_id, mine, "🚩")
    assert not (await world.moderation.queue(SYSTEM)).items
    assert world.codes(alice) == ["report.refused"]


async def test_words_follow_and_are_sealed(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob")
    alice, bob = world.person("alice"), world.person("bob")
    await world.moderator()
    said = await bob.says(chat.room_id, "something nasty")
    await alice.reacts(chat.room_id, said, "🚩")
    case = await world.moderation.report(str(alice), chat.room_id, said, "abuse", SECRET)
    again = await world.moderation.report(str(alice), chat, said, "", [SECRET])
    await world.settle()
    assert case.id == again.id and again.reason == "abuse" and again.evidence == (Evidence(SECRET),)
    assert [told.code for told in world.queue] == ["queue.report", "queue.more"]
    assert SECRET in world.queue[1].values["evidence"] and "not verified" in world.queue[1].values["evidence"]
    held = await everything(world.database)
    assert case.id in held and SECRET not in held and "abuse" not in held


async def test_what_the_server_may_read_is_evidence_by_itself(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob", kind=Kind.CHANNEL, public=True)
    alice, bob = world.person("alice"), world.person("bob")
    said = await alice.says(chat.room_id, "buy my pills")
    case = await world.moderation.report(str(bob), chat, said, "spam")
    assert case.evidence == (Evidence("buy my pills", said, seen=True),)


async def test_several_reports_of_a_message_are_one_case(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob", "carol")
    await world.moderator()
    said = await world.person("bob").says(chat.room_id, "hm")
    for name, reason in (("alice", "spam"), ("carol", "abuse")):
        await world.moderation.report(f"@{name}:world", chat, said, reason)
    await world.settle()
    (case,) = (await world.moderation.queue(actor(MO))).items
    assert case.reporters == ("@alice:world", "@carol:world") and case.reasons == ("spam", "abuse")
    assert [(told.code, told.values["count"]) for told in world.queue] == [("queue.report", 1), ("queue.more", 2)]
    done = await world.moderation.act(actor(MO), case.short, "dismiss")
    await world.settle()
    assert done.state is State.DONE and done.action is Action.DISMISS
    assert world.codes("@alice:world") == world.codes("@carol:world") == ["report.dismissed"]
    assert not world.told_to("@bob:world")
    states = {
        row[0] for row in await world.database.read(lambda it: it.execute(select(moderation_reports.c.state)).all())
    }
    assert states == {"done"}


async def test_a_person_is_reported(world: ModerationWorld) -> None:
    case = await world.moderation.report("@alice:world", "", "@bob:world", "scam")
    assert case.subject == "@bob:world" and case.room_id == case.event_id == ""
    async with refused("report_yourself"):
        await world.moderation.report("@alice:world", "", "@alice:world")
    for ours in (STEWARD, HUB):
        async with refused("report_rialto"):
            await world.moderation.report("@alice:world", "", ours)
    await world.moderation.act(actor(MO), case.id, Action.DISMISS)
    again = await world.moderation.report("@alice:world", "", "@bob:world", "again")
    assert again.id != case.id


async def test_who_was_never_there_reports_nothing_of_it(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob")
    said = await world.person("bob").says(chat.room_id, "hello")
    for reporter, room, what in (
        ("@mallory:world", chat.room_id, said),
        ("@alice:world", chat.room_id, "$none"),
        ("@alice:world", "!nowhere:world", said),
        ("@alice:world", "", said),
        ("@alice:world", chat.room_id, "nonsense"),
        ("@alice:world", chat.room_id, "$" + "x" * 300),
        ("@mallory:world", chat.room_id, "@bob:world"),
    ):
        async with refused("no_such_message", NotFound):
            await world.moderation.report(reporter, room, what)
    await world.person("alice").leaves(chat.room_id)
    assert (await world.moderation.report("@alice:world", chat, said)).subject == "@bob:world"


@pytest.mark.parametrize(
    ("reason", "evidence", "code"),
    [
        ("x" * 1_001, "", "reason_too_long"),
        ("a\0b", "", "reason_invalid"),
        ("", "x" * 4_001, "evidence_too_long"),
        ("", ["x"] * 11, "too_much_evidence"),
        ("\ud800", "", "reason_invalid"),
    ],
)
async def test_too_many_words_and_broken_ones(world: ModerationWorld, reason: str, evidence: Any, code: str) -> None:
    with pytest.raises(Refused) as caught:
        await world.moderation.report("@alice:world", "", "@bob:world", reason, evidence)
    assert caught.value.code == code


async def test_nobody_floods_the_queue(database: Database) -> None:
    async with ModerationWorld(database, moderation={"reports_per_day": 2}) as world:
        for number in range(2):
            await world.moderation.report("@alice:world", "", f"@bob{number}:world")
        with pytest.raises(TooMany):
            await world.moderation.report("@alice:world", "", "@bob3:world")
        await world.moderation.report("@carol:world", "", "@bob3:world")
        await world.pass_time(days=1, seconds=1)
        await world.moderation.report("@alice:world", "", "@bob3:world")


async def test_only_moderators_see_and_decide(world: ModerationWorld) -> None:
    case = await world.moderation.report("@alice:world", "", "@bob:world", "scam")
    stranger, product = actor("@alice:world"), Actor.of_product("shop")
    async with refused("not_a_moderator", NotAllowed):
        await world.moderation.queue(stranger)
    async with refused("not_a_moderator", NotAllowed):
        await world.moderation.act(stranger, case.id, "warn")
    async with refused("no_such_report", NotFound):
        await world.moderation.get(product, case.id)
    assert not (await world.moderation.queue(product)).items
    async with refused("no_such_report", NotFound):
        await world.moderation.get(actor(MO), "01ABC")
    async with refused("no_such_action"):
        await world.moderation.act(actor(MO), case.id, "behead")
    about = await world.moderation.report("@alice:world", "", MO, "unfair")
    async with refused("about_you", NotAllowed):
        await world.moderation.act(actor(MO), about.id, "dismiss")
    await world.moderation.act(actor(MIA), about.id, "dismiss")


async def test_a_product_moderates_its_own_chats(world: ModerationWorld) -> None:
    product = Actor.of_product("shop")
    alice, bob = world.person("alice"), world.person("bob")
    chat = await world.chats.create(product, Kind.GROUP, name="Shop", members=[str(alice), str(bob)], key="1")
    for person in (alice, bob):
        await person.joins(chat.room_id)
    said = await bob.says(chat.room_id, "spam")
    case = await world.moderation.report(str(alice), chat, said, "spam")
    assert [each.id for each in (await world.moderation.queue(product)).items] == [case.id]
    async with refused("no_such_report", NotFound):
        await world.moderation.act(Actor.of_product("other"), case.id, "warn")
    async with refused("not_a_moderator", NotAllowed):
        await world.moderation.act(product, case.id, "suspend")
    done = await world.moderation.act(product, case.id, "remove")
    assert done.decided_by == "product:shop" and done.state is State.DONE


async def test_the_queue_has_pages(world: ModerationWorld) -> None:
    made = []
    for number in range(5):
        made.append((await world.moderation.report("@alice:world", "", f"@bob{number}:world")).id)
        await world.pass_time(seconds=1)
    seen, after = [], None
    while True:
        page = await world.moderation.queue(actor(MO), after=after, limit=2)
        seen += [case.id for case in page.items]
        if page.next is None:
            break
        after = page.next
    assert seen == made
    async with refused("bad_cursor"):
        await world.moderation.queue(actor(MO), after="nonsense")
    async with refused("state_invalid"):
        await world.moderation.queue(actor(MO), state="x")


# Deciding


async def reported(world: ModerationWorld) -> tuple[Any, str, str]:
    """A chat in which bob's message is reported by alice: chat, event id, report id."""
    chat = await world.group("alice", "bob")
    said = await world.person("bob").says(chat.room_id, "nasty")
    return chat, said, (await world.moderation.report("@alice:world", chat, said, "abuse")).id


async def test_a_warning(world: ModerationWorld) -> None:
    _, _, report = await reported(world)
    await world.moderation.act(actor(MO), report, "warn", reason="Be kind.")
    await world.settle()
    (told,) = world.told_to("@bob:world")
    assert told.code == "moderation.warn" and told.values["reason"] == "Be kind." and told.values["chat"] == "Tea"
    assert world.codes("@alice:world") == ["report.acted"]
    assert await actions(world, "report.") == [
        ("@alice:world", "report.make", "open"),
        (MO, "report.decide", "warn"),
        (MO, "report.act", "warn"),
    ]
    assert metric(world, "moderation_actions_total", action="warn") == 1
    assert metric(world, "report_seconds_count") == 1 and metric(world, "reports_open") == 0


async def test_a_mute_ends(world: ModerationWorld) -> None:
    chat, _, report = await reported(world)
    bob = world.person("bob")
    done = await world.moderation.act(actor(MO), report, "mute", seconds=60)
    assert done.seconds == 60
    with pytest.raises(HomeserverError):
        await bob.says(chat.room_id, "still here")
    await world.pass_time(seconds=61)
    await world.members.run_due()
    await bob.says(chat.room_id, "back")
    async with refused("time_invalid"):
        await world.moderation.act(actor(MO), report, "mute", seconds=0)


async def test_a_message_is_removed(world: ModerationWorld) -> None:
    chat, said, report = await reported(world)
    await world.moderation.act(actor(MO), report, "remove")
    event = world.room(chat.room_id).event(said)
    assert event is not None and event["unsigned"]["redacted_because"]["sender"] == STEWARD
    await world.settle()
    assert world.codes("@bob:world") == ["moderation.remove"]


async def test_nothing_is_removed_from_a_chat_under_a_legal_hold(world: ModerationWorld) -> None:
    chat, said, report = await reported(world)
    await world.messenger.retention.hold(SYSTEM, chat, "a case")
    async with refused("legal_hold", Conflict):
        await world.moderation.act(actor(MO), report, "remove")
    event = world.room(chat.room_id).event(said)
    assert event is not None and "redacted_because" not in event["unsigned"]


async def test_a_ban(world: ModerationWorld) -> None:
    chat, _, report = await reported(world)
    await world.moderation.act(actor(MO), report, "ban", reason="Enough.")
    assert world.room(chat.room_id).membership("@bob:world") == "ban"
    await world.settle()
    assert "moderation.ban" in world.codes("@bob:world")


async def test_an_owner_is_not_above_moderators(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob")
    said = await world.person("alice").says(chat.room_id, "nasty")
    case = await world.moderation.report("@bob:world", chat, said)
    await world.moderation.act(actor(MO), case.id, "ban")
    assert world.room(chat.room_id).membership("@alice:world") == "ban"
    assert await world.messenger.permissions.role("@alice:world", chat) is None
    assert await world.messenger.permissions.role("@bob:world", chat) is Role.WRITER


async def test_a_suspension(world: ModerationWorld) -> None:
    _, _, report = await reported(world)
    world.administration.available = False
    async with refused("no_administration", NotAllowed):
        await world.moderation.act(actor(MO), report, "suspend")
    world.administration.available = True
    await world.moderation.act(actor(MO), report, "suspend")
    assert world.administration.suspended == {"@bob:world"}


async def test_what_cannot_be_done_is_refused(world: ModerationWorld) -> None:
    person = await world.moderation.report("@alice:world", "", "@eve:elsewhere", "scam")
    for action in ("mute", "remove", "ban", "suspend"):
        async with refused("action_impossible"):
            await world.moderation.act(actor(MO), person.id, action)
    await world.moderation.act(actor(MO), person.id, "warn")
    async with refused("decided", Conflict):
        await world.moderation.act(actor(MO), person.id, "dismiss")


async def test_what_fails_is_open_again(world: ModerationWorld) -> None:
    chat, _, report = await reported(world)
    await world.moderator()
    await world.person("bob").leaves(chat.room_id)
    async with refused("has_left", Conflict):
        await world.moderation.act(actor(MO), report, "mute")
    case = await world.moderation.get(actor(MO), report)
    assert case.state is State.OPEN and case.problem == "has_left" and case.action is None
    assert world.codes("@bob:world") == []
    world.administration.error = NoAdministration("no token")
    async with refused("no_administration", NotAllowed):
        await world.moderation.act(actor(MO), report, "suspend")
    await world.settle()
    assert [told.code for told in world.queue][-2:] == ["queue.failed", "queue.failed"]
    await world.moderation.act(actor(MO), report, "dismiss")


async def test_a_homeserver_that_is_away_is_waited_for(world: ModerationWorld) -> None:
    _, _, report = await reported(world)
    world.administration.error = AWAY
    case = await world.moderation.act(actor(MO), report, "suspend", reason="Enough.")
    assert case.state is State.ACTING and not world.codes("@bob:world")
    assert await world.moderation.run_due() == 0
    await world.pass_time(seconds=16)
    assert await world.moderation.run_due() == 1
    assert (await world.moderation.get(actor(MO), report)).state is State.ACTING
    world.administration.error = None
    await world.pass_time(seconds=31)
    await world.moderation.run_due()
    await world.settle()
    assert world.administration.suspended == {"@bob:world"} and world.codes("@bob:world") == ["moderation.suspend"]
    assert (await world.moderation.get(actor(MO), report)).state is State.DONE


async def test_what_was_decided_before_a_crash_is_done_after_it(world: ModerationWorld) -> None:
    chat, _, report = await reported(world)
    world.homeserver.fault = lambda method, path: AWAY if path.endswith("/ban") else None
    await world.moderation.act(actor(MO), report, "ban")
    assert world.room(chat.room_id).membership("@bob:world") == "join"
    await world.restart(kill=True)
    world.homeserver.fault = lambda _method, _path: None
    await world.pass_time(minutes=1)
    assert await world.moderation.run_due() == 1
    await world.settle()
    assert world.room(chat.room_id).membership("@bob:world") == "ban"
    assert [code for code in world.codes("@bob:world") if code == "moderation.ban"] == ["moderation.ban"]


async def test_a_lost_answer_does_nothing_twice(world: ModerationWorld) -> None:
    chat, said, report = await reported(world)
    lost = iter([AWAY])
    world.homeserver.lost = lambda method, path: next(lost, None) if "/redact/" in path else None
    case = await world.moderation.act(actor(MO), report, "remove")
    assert case.state is State.ACTING
    await world.pass_time(minutes=1)
    await world.moderation.run_due()
    await world.settle()
    redactions = [event for event in world.room(chat.room_id).timeline if event.get("redacts") == said]
    assert len(redactions) == 1 and world.codes("@bob:world") == ["moderation.remove"]


# Appeals


async def test_an_appeal_is_granted_by_another_moderator(world: ModerationWorld) -> None:
    chat, _, report = await reported(world)
    await world.moderator()
    await world.moderation.act(actor(MO), report, "ban", reason="Enough.")
    (decision,) = await world.moderation.decisions("@bob:world")
    assert decision.action is Action.BAN and decision.note == "Enough." and decision.appealed is None
    appealed = await world.moderation.appeal("@bob:world", decision.short, SECRET)
    assert appealed.appealed is AppealState.OPEN
    await world.settle()
    assert world.queue[-1].code == "queue.appeal" and world.queue[-1].values["appeal"] == SECRET
    assert SECRET not in await everything(world.database)
    (waiting,) = (await world.moderation.appeals(actor(MIA))).items
    assert waiting.text == SECRET and waiting.case.id == report
    async with refused("another_moderator", NotAllowed):
        await world.moderation.answer_appeal(actor(MO), report, True)
    answered = await world.moderation.answer_appeal(actor(MIA), report, True, "We were wrong.")
    assert answered.state is AppealState.GRANTED and answered.answer == "We were wrong."
    assert world.room(chat.room_id).membership("@bob:world") == "leave"
    await world.settle()
    assert world.codes("@bob:world")[-1] == "appeal.granted"
    async with refused("no_appeal", Conflict):
        await world.moderation.answer_appeal(actor(MIA), report, False)
    assert await actions(world, "appeal.") == [
        ("@bob:world", "appeal.make", "open"),
        (MIA, "appeal.decide", "granted"),
        ("system", "appeal.undo", "done"),
    ]


async def test_an_appeal_is_refused(world: ModerationWorld) -> None:
    chat, _, report = await reported(world)
    await world.moderation.act(actor(MO), report, "mute")
    await world.moderation.appeal("@bob:world", report, "Why me?")
    await world.moderation.answer_appeal(actor(MIA), report, False, "Because.")
    await world.settle()
    assert world.codes("@bob:world")[-1] == "appeal.refused"
    with pytest.raises(HomeserverError):
        await world.person("bob").says(chat.room_id, "still muted")


async def test_a_mute_and_a_suspension_are_lifted(world: ModerationWorld) -> None:
    chat, _, report = await reported(world)
    await world.moderation.act(actor(MO), report, "suspend")
    await world.moderation.appeal("@bob:world", report, "Please.")
    world.administration.error = AWAY
    answered = await world.moderation.answer_appeal(actor(MIA), report, True)
    assert answered.state is AppealState.UNDOING and world.administration.suspended
    world.administration.error = None
    await world.pass_time(minutes=1)
    assert await world.moderation.run_due() == 1
    assert not world.administration.suspended
    other = await world.moderation.report("@alice:world", chat, "@bob:world", "rude")
    await world.moderation.act(actor(MO), other.id, "mute")
    await world.moderation.appeal("@bob:world", other.id, "Please.")
    await world.moderation.answer_appeal(actor(MIA), other.id, True)
    await world.person("bob").says(chat.room_id, "thank you")


async def test_what_cannot_be_appealed(world: ModerationWorld) -> None:
    _, _, report = await reported(world)
    async with refused("no_such_decision", NotFound):
        await world.moderation.appeal("@bob:world", report, "not decided yet")
    await world.moderation.act(actor(MO), report, "warn")
    async with refused("no_such_decision", NotFound):
        await world.moderation.appeal("@alice:world", report, "not mine")
    async with refused("reason_missing"):
        await world.moderation.appeal("@bob:world", report, "  ")
    await world.moderation.appeal("@bob:world", report, "once")
    async with refused("appealed", Conflict):
        await world.moderation.appeal("@bob:world", report, "twice")
    other = await world.moderation.report("@alice:world", "", "@bob:world", "x")
    await world.moderation.act(actor(MO), other.id, "warn")
    await world.pass_time(days=31)
    async with refused("appeal_late"):
        await world.moderation.appeal("@bob:world", other.id, "late")


async def test_words_are_forgotten(world: ModerationWorld) -> None:
    _, _, report = await reported(world)
    await world.moderation.act(actor(MO), report, "warn", reason="Be kind.")
    waiting = await world.moderation.report("@alice:world", "", "@carol:world", "waits")
    await world.pass_time(days=91)
    await world.moderation.run_due()
    assert (await world.moderation.get(actor(MO), report)).reasons == ()
    assert (await world.moderation.get(actor(MO), waiting.id)).reason == "waits"


# The moderators' room


async def test_the_room_is_encrypted_and_holds_moderators_alone(world: ModerationWorld) -> None:
    desk = world.messenger.moderating.desk
    await desk.run_due()
    room = world.room(desk.room_id)
    assert world.is_encrypted(desk.room_id) and room.membership(MO) == room.membership(MIA) == "invite"
    mia = await world.moderator("mia")
    desk._authority.moderators = (MO, "@new:world")
    await world.pass_time(hours=2)
    await desk.run_due()
    assert room.membership(str(mia)) == "leave" and room.membership("@new:world") == "invite"
    assert STEWARD not in room.members()
    assert ("system", "moderators.remove", "done") in await actions(world)


async def test_without_moderators_nobody_is_told(database: Database) -> None:
    async with ModerationWorld(database, moderation={"moderators": []}) as world:
        case = await world.moderation.report("@alice:world", "", "@bob:world", "x")
        await world.messenger.moderating.desk.run_due()
        await world.settle()
        assert not world.queue and not world.homeserver.rooms
        await world.moderation.act(SYSTEM, case.id, "warn")


# Clients' own reports


def client_report(number: int, **more: Any) -> dict[str, Any]:
    usual = {"id": number, "user_id": "@alice:world", "room_id": "!far:world", "event_id": f"$far{number}"}
    return usual | {"sender": "@eve:world", "reason": "spam", "name": None} | more


async def test_reports_of_clients_are_taken_once(world: ModerationWorld) -> None:
    chat = await world.group("alice", "bob", kind=Kind.CHANNEL, public=True)
    said = await world.person("alice").says(chat.room_id, "pills")
    reader = world.messenger.moderating.client_reports
    world.administration.events = [
        client_report(1),
        client_report(3, room_id=chat.room_id, event_id=said, user_id="@bob:world", sender=None, reason="a\0b"),
        client_report(4, reason={"not": "text"}, sender="@eve:elsewhere"),
    ]
    world.administration.users = [
        {"id": 1, "user_id": "@bob:world", "target_user_id": "@eve:world", "reason": "scam"},
        {"id": 2, "user_id": "@bob:world", "target_user_id": "@bob:world", "reason": "me"},
    ]
    assert await reader.run_due() == 4
    found = (await world.moderation.queue(actor(MO))).items
    assert {(case.subject, case.reason) for case in found} == {
        ("@eve:world", "spam"),
        ("@alice:world", "ab"),
        ("@eve:elsewhere", ""),
        ("@eve:world", "scam"),
    }
    assert {case.evidence for case in found if case.subject == "@alice:world"} == {
        (Evidence("pills", said, seen=True),)
    }
    assert await reader.run_due() == 0
    await world.pass_time(minutes=1)
    assert await reader.run_due() == 0
    # What was there is deleted at the homeserver, and the places of what is new move.
    world.administration.events = [client_report(4), client_report(5)]
    await world.pass_time(minutes=1)
    assert await reader.run_due() == 1
    assert metric(world, "reports_total", source="client") == 5


async def test_many_reports_of_clients_and_a_crash_in_between(world: ModerationWorld) -> None:
    reader = world.messenger.moderating.client_reports
    world.administration.events = [client_report(number) for number in range(1, 251)]
    taken, real = 0, world.moderation.report_of_client

    async def dies(*arguments: Any) -> bool:
        nonlocal taken
        taken += 1
        if taken == 150:
            raise AWAY
        return await real(*arguments)

    world.moderation.report_of_client = dies  # type: ignore[method-assign,assignment]
    with pytest.raises(HomeserverError):
        await reader.run_due()
    await reader.run_due()
    count = await world.database.read(lambda it: it.execute(select(func.count(moderation_reports.c.id))).scalar_one())
    assert count == 250


async def test_no_token_no_reports(world: ModerationWorld) -> None:
    reader = world.messenger.moderating.client_reports
    world.administration.error = NoAdministration("not an administrator's")
    assert await reader.run_due() == 0
    world.administration.error = AWAY
    assert await reader.run_due() == 0  # not tried again so soon
    await world.pass_time(hours=2)
    with pytest.raises(HomeserverError):
        await reader.run_due()

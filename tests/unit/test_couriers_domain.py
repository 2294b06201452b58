"""Couriers and trips, pure: every transition, turns, PINs, trips back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain import couriers
from bots.domain.couriers import (
    Courier,
    CourierAction,
    CourierError,
    CourierJob,
    CourierState,
    JobAction,
    JobKind,
    JobState,
    advance,
    advance_courier,
    masked,
    next_courier,
    return_of,
    tried,
)
from bots.domain.money import Money
from bots.domain.places import Place

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WITH_COURIER = {JobState.OFFERED, JobState.TAKEN, JobState.CARRIED, JobState.DONE, JobState.FAILED}


def a_job(state: JobState = JobState.SEARCHING, **changes: object) -> CourierJob:
    job = CourierJob(
        id="t",
        order="o",
        number="7",
        merchant="m",
        seller="Roma",
        account="roma",
        kind=JobKind.DELIVERY,
        state=state,
        pickup=Place("Market 1"),
        dropoff=Place("Field 2"),
        buyer="Alice B.",
        fee=Money(300, "EUR"),
        tip=Money(100, "EUR"),
        opened_at=NOW,
        updated_at=NOW,
        courier="@dan:world" if state in WITH_COURIER else "",
        pickup_code="1234",
        pin="5678",
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def a_courier(name: str, asked: int = 0, state: CourierState = CourierState.ONLINE, job: str = "") -> Courier:
    at = NOW + timedelta(minutes=asked)
    return Courier(f"@{name}:world", name, "bicycle", f"!{name}:world", state, NOW, at, job)


def test_every_step_of_a_trip() -> None:
    for state in JobState:
        for action in JobAction:
            job = a_job(state)
            if (state, action) not in couriers.NEXT:
                with pytest.raises(CourierError, match=r"courier\.job_refused"):
                    advance(job, action, NOW)
                continue
            given_to: dict[str, Any] = {"courier": "@dan:world"} if action is JobAction.OFFER else {}
            after = advance(job, action, NOW, **given_to)
            assert after.state is couriers.NEXT[state, action]
            assert bool(after.courier) == (after.state in WITH_COURIER)


def test_every_step_of_a_courier() -> None:
    for state in CourierState:
        for action in CourierAction:
            courier = a_courier("dan", state=state)
            if (state, action) in couriers.COURIER_NEXT:
                assert advance_courier(courier, action).state is couriers.COURIER_NEXT[state, action]
            else:
                with pytest.raises(CourierError, match=r"courier\.refused"):
                    advance_courier(courier, action)


def test_who_waits_longest_is_asked_and_who_passed_is_not_again() -> None:
    pool = [a_courier("dan", 5), a_courier("eve", 1), a_courier("frank", 3)]
    job = a_job()
    assert next_courier(pool, job) == pool[1]
    assert next_courier(pool, job, ["@eve:world"]) == pool[2]
    offered = advance(job, JobAction.OFFER, NOW, within=couriers.OFFERED_FOR, courier="@eve:world")
    assert offered.deadline == NOW + timedelta(seconds=25)
    passed = advance(offered, JobAction.DECLINE, NOW)
    assert passed.asked == ("@eve:world",)
    taken = advance(advance(passed, JobAction.OFFER, NOW, courier="@dan:world"), JobAction.ACCEPT, NOW)
    assert taken.asked == ("@eve:world",), "they may still give it up"
    assert advance(taken, JobAction.PICK_UP, NOW).asked == ()
    assert advance(taken, JobAction.WITHDRAW, NOW).asked == ()
    assert next_courier(pool, passed) == pool[2]
    assert next_courier(pool, replace(passed, never=("@frank:world",))) == pool[0]
    assert next_courier([a_courier("dan", job="x"), a_courier("eve", state=CourierState.OFFLINE)], job) is None


@given(st.text(max_size=8))
def test_only_the_pin_is_the_pin(said: str) -> None:
    job = a_job(JobState.CARRIED)
    after, right = tried(job, said)
    assert right == (said == "5678")
    assert after.tries == (0 if right else 1)


def test_five_wrong_ones_lock_and_the_next_stage_begins_anew() -> None:
    job = a_job(JobState.TAKEN)
    for _ in range(couriers.TRIES_MAX):
        job, right = tried(job, "0000")
        assert not right
    with pytest.raises(CourierError, match=r"courier\.locked"):
        tried(job, "1234")
    assert advance(job, JobAction.PICK_UP, NOW).tries == 0


def test_without_a_pin_nothing_is_right() -> None:
    assert not tried(a_job(JobState.CARRIED, pin=""), "")[1]


def test_what_is_earned() -> None:
    assert a_job(JobState.CARRIED).earned.minor == 0
    assert a_job(JobState.DONE).earned.minor == 400
    failed = a_job(JobState.FAILED)
    assert failed.earned.minor == 300, "the way was made; the tip is for who brought it"
    assert failed.owed
    assert not replace(failed, paid=True).owed


def test_what_failed_is_brought_back() -> None:
    failed = advance(a_job(JobState.CARRIED), JobAction.FAIL, NOW, failure="Nobody opens")
    back = return_of(failed, "r", "4321", NOW, Money(300, "EUR"))
    assert (back.kind, back.state, back.of, back.courier) == (JobKind.RETURN, JobState.CARRIED, "t", "@dan:world")
    assert (back.pickup, back.dropoff) == (failed.dropoff, failed.pickup)
    assert tried(back, "4321")[1]
    assert not tried(back, "5678")[1], "the buyer's PIN is not the merchant's"
    assert advance(back, JobAction.HAND_OVER, NOW).earned.minor == 300
    for job in (a_job(JobState.CARRIED), replace(failed, kind=JobKind.RETURN)):
        with pytest.raises(CourierError):
            return_of(job, "r", "4321", NOW, Money(300, "EUR"))


def test_what_cannot_be() -> None:
    with pytest.raises(CourierError, match=r"courier\.pin"):
        a_job(pin="12")
    with pytest.raises(ValueError, match="has a courier"):
        a_job(JobState.CARRIED, courier="")
    with pytest.raises(ValueError, match="not below nought"):
        a_job(fee=Money(-1, "EUR"))
    for name in ("", " ", "a" * 61, "a\x00b"):
        with pytest.raises(CourierError, match=r"courier\.name"):
            replace(a_courier("dan"), name=name)
    with pytest.raises(CourierError, match=r"courier\.not_yours"):
        a_job(JobState.TAKEN).of_courier("@eve:world")


def test_secrets_are_not_shown() -> None:
    shown = repr(a_job())
    assert "1234" not in shown
    assert "5678" not in shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Alice Brown", "Alice B."), ("alice", "alice"), ("", "?"), ("王 小明", "王 小."), ("A B C D", "A D.")],
)
def test_masked(name: str, shown: str) -> None:
    assert masked(name) == shown

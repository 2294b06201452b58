"""Rate limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.framework.i18n import English
from bots.framework.limits import Allowed, Limited, RateLimit, RateLimiter

ANN, BOB = "@ann:x.org", "@bob:x.org"


def test_so_many_at_once_and_then_evenly() -> None:
    limiter = RateLimiter(RateLimit(3, 30))
    assert [limiter.check(ANN, 100) for _ in range(3)] == [Allowed()] * 3
    assert limiter.check(ANN, 100) == Limited(10, tell=True)
    assert limiter.check(ANN, 104) == Limited(6, tell=False)
    assert limiter.check(ANN, 110) == Allowed()
    assert limiter.check(ANN, 110) == Limited(10, tell=False)
    assert limiter.check(BOB, 110) == Allowed()


def test_told_once_until_the_bucket_was_full() -> None:
    limiter = RateLimiter(RateLimit(2, 10))
    told = [limiter.check(ANN, now) for now in range(0, 60)]
    assert sum(isinstance(each, Limited) and each.tell for each in told) == 1
    for _ in range(2):
        assert limiter.check(ANN, 100) == Allowed()
    assert limiter.check(ANN, 100) == Limited(5, tell=True)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    limiter = RateLimiter(RateLimit(1, 10))
    assert limiter.check(ANN, 100) == Allowed()
    assert limiter.check(ANN, 0) == Limited(10, tell=True)
    assert limiter.check(ANN, 110) == Allowed()


def test_memory_is_bounded() -> None:
    limiter = RateLimiter(RateLimit(1, 1_000), capacity=3)
    limiter.check(ANN, 0)
    for number in range(100):
        limiter.check(f"@{number}:x.org", 0)
        assert isinstance(limiter.check(ANN, 0), Limited)  # in use, so never the one to go
        assert len(limiter) <= 3
    for number in range(3):
        limiter.check(f"@{number}:y.org", 0)
    assert limiter.check(ANN, 0) == Allowed()


@given(
    st.integers(1, 20),
    st.floats(0.01, 10_000),
    st.lists(st.floats(0, 2_000), min_size=1, max_size=80),
)
def test_never_more_than_promised(count: int, per: float, pauses: list[float]) -> None:
    limiter = RateLimiter(RateLimit(count, per))
    now, passed = 1_000.0, []
    for pause in pauses:
        now += pause
        verdict = limiter.check(ANN, now)
        if isinstance(verdict, Allowed):
            passed.append(now)
        else:
            assert 0 < verdict.retry_after <= per / count + 1e-6
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= count * (1 + (passed[last] - start + 1e-4) / per) + 1e-6


@given(st.integers(1, 20), st.floats(0.01, 10_000), st.floats(0, 1e8))
def test_who_waits_as_told_may(count: int, per: float, now: float) -> None:
    limiter = RateLimiter(RateLimit(count, per))
    for _ in range(count * 3):
        verdict = limiter.check(ANN, now)
        if isinstance(verdict, Limited):
            now += verdict.retry_after
            assert limiter.check(ANN, now) == Allowed()


@pytest.mark.parametrize(("count", "per"), [(0, 1), (-1, 1), (1, 0), (1, -1), (1, float("inf")), (1, float("nan"))])
def test_limits_that_are_none(count: int, per: float) -> None:
    with pytest.raises(ValueError, match="a rate limit needs"):
        RateLimit(count, per)


def test_a_limiter_needs_room() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RateLimiter(RateLimit(1, 1), capacity=0)


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0.2, "in 1 second."),
        (119, "in 119 seconds."),
        (120, "in 2 minutes."),
        (7_000, "in 117 minutes."),
        (7_300, "in 3 hours."),
    ],
)
def test_what_people_are_told(seconds: float, says: str) -> None:
    assert Limited(seconds, tell=True).explain(English()).endswith(says)

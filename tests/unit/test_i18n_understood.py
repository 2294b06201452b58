"""What the translations tell people to write is understood in their language."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from bots.framework.arguments import ParseEnv, date_, duration, when, yes_no
from bots.framework.arguments.durations import EXPECTED
from bots.framework.arguments.times import DATE, WHEN
from bots.framework.i18n import Catalogues

EXAMPLES = {
    "de": ("morgen um 9", "Montag 18:30", "in 2 Stunden", "31. Mai", "2 Tage", "Ja", "Nein"),
    "fr": ("demain à 9", "lundi 18:30", "dans 2 heures", "31 mai", "2 jours", "oui", "non"),
    "es": ("mañana a las 9", "lunes 18:30", "en 2 horas", "31 de mayo", "2 días", "sí", "no"),
    "pl": ("jutro o 9", "poniedziałek 18:30", "za 2 godziny", "31 maja", "2 dni", "tak", "nie"),
    "ar": ("غدا الساعة 9", "الاثنين 18:30", "بعد 2 ساعة", "31 مايو", "2 يوم", "نعم", "لا"),
}
BERLIN = ZoneInfo("Europe/Berlin")
NOW = dt.datetime(2026, 1, 14, 13, tzinfo=BERLIN)  # a Wednesday


@pytest.mark.parametrize("language", sorted(EXAMPLES))
def test_examples(language: str) -> None:
    translator = Catalogues().translator(language)
    env = ParseEnv(now=NOW, zone=BERLIN, server_name="example.org", translator=translator)
    tomorrow, monday, later, may, two_days, yes, no = EXAMPLES[language]
    for said, texts in ((WHEN, (tomorrow, monday, later)), (DATE, (may,)), (EXPECTED, (two_days,))):
        assert all(text in said.say(translator) for text in texts)
    assert when(tomorrow, env) == dt.datetime(2026, 1, 15, 9, tzinfo=BERLIN)
    assert when(monday, env) == dt.datetime(2026, 1, 19, 18, 30, tzinfo=BERLIN)
    assert when(later, env) == dt.datetime(2026, 1, 14, 15, tzinfo=BERLIN)
    assert date_(may, env) == dt.date(2026, 5, 31)
    assert duration(two_days, env) == dt.timedelta(days=2)
    assert (yes_no(yes, env), yes_no(no, env)) == (True, False)

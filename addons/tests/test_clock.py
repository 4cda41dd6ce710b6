"""Clocks that are set back, forward, or lost their battery: time goes on in a database, and a wrong clock does no lasting harm."""
import pytest
from issuer import DAY, KEYS, NOW, UUID, issue

from olic.memory import FRESH, SUSPECT_LIMIT, anchor, look, moment, suspect
from olic.verdict import Site, accept, judge, remember

YEAR = 365 * DAY
END = NOW + 265 * DAY


def looks(memory, *times):
    for now in times:
        memory = look(memory, now)
    return memory


BEGUN = looks(FRESH, NOW)


def verdict(memory, now, database=None, texts=None):
    return judge([issue()] if texts is None else texts, KEYS, memory, Site(now, database, UUID))


def test_the_first_look_believes_the_clock():
    assert (BEGUN.mark, BEGUN.since) == (NOW, NOW)


def test_the_mark_follows_a_clock_that_is_right():
    memory = looks(BEGUN, *[NOW + day * DAY for day in range(1, 400)])
    assert memory.mark == NOW + 399 * DAY and not memory.suspect


def test_the_mark_moves_two_days_a_look_at_most():
    assert looks(BEGUN, NOW + 10 * YEAR).mark == NOW + 2 * DAY
    assert looks(BEGUN, *[NOW + 10 * YEAR + minute for minute in range(1000)]).mark == NOW + 2 * DAY


def test_after_months_of_standstill_the_clock_counts_at_once():
    assert moment(BEGUN, NOW + YEAR) == NOW + YEAR
    assert verdict(BEGUN, END + 14 * DAY).state == "Expired"


def test_a_clock_set_back_by_a_day_is_tolerated():
    memory = looks(BEGUN, NOW - DAY)
    assert not suspect(memory, NOW - DAY)
    assert moment(memory, NOW - DAY) == NOW


def test_a_clock_set_back_by_a_year_is_suspect_and_gains_nothing():
    late = looks(FRESH, END - DAY)
    found = verdict(looks(late, END - YEAR), END - YEAR)
    assert (found.state, found.suspect, found.restricted, found.moment) == ("ExpiringSoon", True, False, END - DAY)


def test_time_goes_on_while_the_clock_is_behind():
    memory = looks(FRESH, END - 5 * DAY)
    memory = looks(memory, *[END - YEAR + day * DAY for day in range(6)])
    assert moment(memory, END - YEAR + 5 * DAY) == END
    assert verdict(memory, END - YEAR + 5 * DAY).state == "Grace"


def test_a_clock_that_is_put_right_is_believed_again():
    memory = looks(BEGUN, NOW - YEAR, NOW + DAY)
    assert not suspect(memory, NOW + DAY) and memory.suspect == 0
    assert verdict(memory, NOW + DAY).state == "Active"


def test_ten_years_ahead_and_back_again_leave_a_valid_licence_valid():
    ahead = looks(BEGUN, NOW + 10 * YEAR)
    assert verdict(ahead, NOW + 10 * YEAR).state == "Expired"
    back = looks(ahead, NOW + 3600)
    found = verdict(back, NOW + 3600)
    assert (found.state, found.restricted) == ("Active", False)
    later = looks(back, *[NOW + day * DAY for day in range(1, 60)])
    assert not suspect(later, NOW + 59 * DAY) and later.suspect == 0
    assert verdict(later, NOW + 59 * DAY).state == "Active"


def test_a_machine_that_starts_in_the_year_2000_works_for_a_fortnight_and_then_asks():
    memory = BEGUN
    for _ in range(10):
        memory = looks(memory, 946684800)
        assert not verdict(memory, 946684800).restricted
        memory = looks(memory, 946684800 + 8 * 3600)
    memory = looks(memory, 946684800)
    found = verdict(memory, 946684800)
    assert (found.state, found.reason, found.restricted) == ("Active", "ClockSuspect", True)
    assert not verdict(looks(memory, NOW + DAY), NOW + DAY).restricted


def test_a_newer_code_puts_a_clock_in_doubt_at_rest():
    memory = BEGUN._replace(suspect=SUSPECT_LIMIT + 1, mark=NOW + 90 * DAY)
    kept, memory = accept(issue(sequence=4, issuedAt=NOW), [issue()], KEYS, memory, Site(NOW, None, UUID))
    assert (memory.mark, memory.suspect) == (NOW, 0)


def test_a_code_that_is_entered_again_puts_nothing_back():
    memory = remember([issue()], KEYS, looks(FRESH, NOW + 90 * DAY), Site(NOW + 90 * DAY, None, UUID))
    _, after = accept(issue(), [issue()], KEYS, memory, Site(NOW - 90 * DAY, None, UUID))
    assert after.mark == memory.mark


def test_an_old_code_does_not_put_the_mark_back():
    assert anchor(BEGUN, NOW - 60 * DAY, NOW - 90 * DAY).mark == NOW


@pytest.mark.parametrize("apart, doubtful", [(0, False), (DAY, False), (DAY + 1, True), (-DAY - 1, True)])
def test_two_clocks_that_contradict_each_other_are_suspect_and_the_later_one_counts(apart, doubtful):
    assert suspect(BEGUN, NOW, NOW + apart) is doubtful
    assert moment(BEGUN, NOW, NOW + apart) == max(NOW, NOW + apart)


def test_a_restored_database_believes_the_clock():
    assert verdict(BEGUN, END + 14 * DAY).restricted


def test_the_time_zone_of_the_machine_changes_nothing(monkeypatch):
    import time

    from olic.words import date

    for zone in ("UTC", "Asia/Shanghai", "America/New_York"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert date(NOW) == "2026-06-01 00:00"
        assert verdict(BEGUN, END - 1).state == "ExpiringSoon"
    monkeypatch.undo()
    time.tzset()

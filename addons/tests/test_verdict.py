"""What follows from a database's codes, minute by minute; every time here is made up."""
import itertools

import pytest
from issuer import DAY, KEYS, LICENSE, NOW, OTHER, SECOND, STRANGER, UUID, issue

from olic.claims import Refused
from olic.memory import FRESH, dump, load
from olic.verdict import STATES, Site, accept, judge, remember

BEGIN, END = NOW - 100 * DAY, NOW + 265 * DAY


def site(now=NOW, database=None, uuid=UUID, neutralised=False, users=5):
    return Site(now, database, uuid, neutralised, users)


def state(texts, now=NOW, memory=FRESH, **where):
    verdict = judge(texts, KEYS, memory, site(now, **where))
    return verdict.state, verdict.reason, verdict.restricted


def refusal(text, texts=(), memory=FRESH, **where):
    with pytest.raises(Refused) as refused:
        accept(text, list(texts), KEYS, memory, site(**where))
    return refused.value.reason


@pytest.mark.parametrize(
    "now, expected",
    [
        (BEGIN - 1, ("NotYetValid", "NotYetValid", False)),
        (BEGIN, ("Active", "Valid", False)),
        (END - 30 * DAY - 1, ("Active", "Valid", False)),
        (END - 30 * DAY, ("ExpiringSoon", "EndsSoon", False)),
        (END - 1, ("ExpiringSoon", "EndsSoon", False)),
        (END, ("Grace", "InGrace", False)),
        (END + 1, ("Grace", "InGrace", False)),
        (END + 14 * DAY - 1, ("Grace", "InGrace", False)),
        (END + 14 * DAY, ("Expired", "Expired", True)),
        (END + 14 * DAY + 1, ("Expired", "Expired", True)),
        (END + 3650 * DAY, ("Expired", "Expired", True)),
    ],
)
def test_states_change_at_their_second(now, expected):
    assert state([issue()], now) == expected


def test_without_grace_an_end_is_an_end():
    assert state([issue(graceDays=0)], END) == ("Expired", "Expired", True)


@pytest.mark.parametrize("seconds, days", [(1, 1), (DAY, 1), (DAY + 1, 2), (30 * DAY, 30)])
def test_days_left_are_counted_up(seconds, days):
    assert judge([issue()], KEYS, FRESH, site(END - seconds)).days == days


def test_without_a_code_people_work_for_a_fortnight_after_the_installation():
    memory = remember([], KEYS, FRESH, site())
    for now, restricted in ((NOW, False), (NOW + 14 * DAY - 1, False), (NOW + 14 * DAY, True)):
        assert state([], now, memory) == ("Missing", "NoCode", restricted)


def test_a_code_that_is_not_genuine_is_as_good_as_none():
    memory = remember([], KEYS, FRESH, site())
    assert state([issue(STRANGER)], NOW, memory) == ("Refused", "UnknownKey", False)
    assert state([issue(STRANGER)], NOW + 14 * DAY, memory) == ("Refused", "UnknownKey", True)


def test_what_is_valid_stays_valid_beside_garbage():
    garbage = ["", "x" * 70000, issue(STRANGER), issue()[:-3], issue(v=2)]
    for texts in itertools.permutations(garbage[:3] + [issue()]):
        assert state(list(texts)) == ("Active", "Valid", False)
    for each in garbage:
        refusal(each, [issue()])


def test_a_code_that_was_lost_leaves_a_fortnight_but_never_more_than_it_had():
    for left, works in ((100 * DAY, 14 * DAY), (5 * DAY, 5 * DAY)):
        lost = END + 14 * DAY - left
        memory = remember([issue()], KEYS, FRESH._replace(since=BEGIN, mark=BEGIN, read=BEGIN), site(lost))
        memory = remember([], KEYS, memory, site(lost + 1))
        assert not judge([], KEYS, memory, site(lost + works - 1)).restricted
        assert judge([], KEYS, memory, site(lost + works + 1)).restricted


def test_another_database_works_for_its_own_grace():
    memory = remember([issue()], KEYS, FRESH, site(uuid=OTHER))
    assert state([issue()], NOW, memory, uuid=OTHER) == ("Foreign", "ForeignDatabase", False)
    assert state([issue()], NOW + 14 * DAY - 1, memory, uuid=OTHER) == ("Foreign", "ForeignDatabase", False)
    assert state([issue()], NOW + 14 * DAY, memory, uuid=OTHER) == ("Foreign", "ForeignDatabase", True)
    assert state([issue(bindingGraceDays=0)], NOW, uuid=OTHER) == ("Foreign", "ForeignDatabase", True)


def test_the_grace_of_another_database_does_not_begin_again_with_each_look():
    memory = FRESH
    for day in range(20):
        memory = remember([issue()], KEYS, memory, site(NOW + day * DAY, uuid=OTHER))
    assert memory.foreign == {OTHER: NOW}


def test_a_neutralised_copy_keeps_the_end_but_not_the_number():
    assert state([issue()], NOW, uuid=OTHER, neutralised=True) == ("Active", "Valid", False)
    assert state([issue()], END + 14 * DAY, uuid=OTHER, neutralised=True) == ("Expired", "Expired", True)


def test_the_end_counts_in_another_database_too():
    assert state([issue()], END + 14 * DAY, uuid=OTHER) == ("Expired", "Expired", True)


def test_each_of_three_databases_is_licensed():
    databases = [{"uuid": UUID, "purpose": "Production"}, {"uuid": OTHER, "purpose": "Staging"}]
    assert state([issue(databases=databases)], uuid=OTHER) == ("Active", "Valid", False)


def test_a_trial_fits_any_database():
    trial = issue(trial=True, databases=[], notBefore=NOW, expiresAt=NOW + 30 * DAY)
    assert state([trial], uuid=OTHER) == ("ExpiringSoon", "EndsSoon", False)


def test_the_newest_code_that_has_begun_counts():
    old, smaller = issue(), issue(sequence=4, issuedAt=NOW, notBefore=NOW, expiresAt=NOW + 10 * DAY, maxUsers=5)
    for texts in ([old, smaller], [smaller, old]):
        assert judge(texts, KEYS, FRESH, site()).claims.sequence == 4
    later = issue(sequence=4, issuedAt=NOW, notBefore=NOW + 10 * DAY, expiresAt=END + 365 * DAY)
    assert judge([old, later], KEYS, FRESH, site()).claims.sequence == 3
    assert judge([old, later], KEYS, FRESH, site(NOW + 10 * DAY)).claims.sequence == 4


def test_an_older_longer_code_does_not_come_back_after_a_downgrade():
    old, smaller = issue(), issue(sequence=4, issuedAt=NOW, notBefore=NOW, expiresAt=NOW + DAY, graceDays=0)
    kept, memory = accept(smaller, [old], KEYS, FRESH, site())
    assert kept == [smaller]
    memory = remember(kept, KEYS, memory, site())
    assert state(kept, NOW + 2 * DAY, memory) == ("Expired", "Expired", True)
    assert refusal(old, kept, memory) == "Superseded"
    assert state([old], NOW + 2 * DAY, memory)[:2] == ("Refused", "Superseded")


def test_two_codes_of_one_sequence_are_not_both_taken():
    assert refusal(issue(maxUsers=400), [issue()]) == "SequenceUsedTwice"
    kept, memory = accept(issue(), [issue()], KEYS, FRESH, site())
    assert kept == [issue()]


def test_a_renewal_that_begins_later_keeps_what_is_in_force():
    later = issue(sequence=4, issuedAt=NOW, notBefore=END, expiresAt=END + 365 * DAY)
    kept, memory = accept(later, [issue()], KEYS, FRESH, site())
    assert kept == [issue(), later]
    assert state(kept, NOW, memory) == ("Active", "Valid", False)
    assert state(kept, END, memory) == ("Active", "Valid", False)


def test_a_revoked_licence_stops_at_once_and_for_good():
    notice = issue(sequence=4, revoked=[LICENSE], issuedAt=NOW)
    kept, memory = accept(notice, [issue()], KEYS, FRESH, site())
    memory = remember(kept, KEYS, memory, site())
    assert state(kept, NOW, memory) == ("Revoked", "Revoked", True)
    assert state([issue()], NOW, memory) == ("Revoked", "Revoked", True)
    assert refusal(issue(sequence=9), kept, memory) == "Revoked"


def test_a_new_licence_revokes_an_old_one():
    new = issue(licenseId=SECOND, sequence=1, revoked=[LICENSE], issuedAt=NOW)
    kept, memory = accept(new, [issue()], KEYS, FRESH, site())
    verdict = judge(kept, KEYS, memory, site())
    assert (verdict.state, verdict.claims.license_id) == ("Active", SECOND)


def test_min_sequence_voids_older_codes_of_a_folder_without_a_memory():
    new = issue(sequence=5, minSequence=4, issuedAt=NOW, notBefore=NOW + DAY)
    assert state([issue(), new]) == ("NotYetValid", "NotYetValid", False)


@pytest.mark.parametrize("issued, expected", [(NOW + DAY, None), (NOW + 30 * DAY, None), (NOW + 30 * DAY + 1, "FromTheFuture")])
def test_a_code_from_the_near_future_is_taken_because_the_clock_may_be_behind(issued, expected):
    code = issue(issuedAt=issued, notBefore=NOW - DAY)
    if expected:
        assert refusal(code) == expected
        assert state([code])[:2] == ("Refused", expected)
    else:
        kept, memory = accept(code, [], KEYS, FRESH, site())
        assert memory.mark == issued
        assert state(kept, NOW, memory) == ("Active", "Valid", False)


def test_a_code_for_another_database_or_one_that_has_ended_is_not_entered():
    assert refusal(issue(), uuid=OTHER) == "ForeignDatabase"
    assert refusal(issue(), now=END + 14 * DAY) == "Expired"
    assert accept(issue(), [], KEYS, FRESH, site(END + 14 * DAY - 1))
    assert accept(issue(), [], KEYS, FRESH, site(uuid=OTHER, neutralised=True))


def test_more_users_than_licensed_stop_nobody():
    verdict = judge([issue(maxUsers=5)], KEYS, FRESH, site(users=6))
    assert (verdict.state, verdict.crowded, verdict.restricted) == ("Active", True, False)
    assert not judge([issue(maxUsers=5)], KEYS, FRESH, site(users=5)).crowded
    assert not judge([issue(without=["maxUsers"])], KEYS, FRESH, site(users=10**6)).crowded


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"mark":1}', '{"mark":"x"}', "[" * 5000, dump(FRESH._replace(mark=10**30)), dump(FRESH._replace(since=-1)), '{"foreign":{"a":"b"}}'])
def test_a_memory_that_cannot_be_read_is_a_fresh_one(text):
    assert load(text) == FRESH


def test_a_memory_survives_being_written():
    memory = remember([issue(revoked=[SECOND])], KEYS, FRESH, site())
    assert load(dump(memory)) == memory and memory.revoked == (SECOND,) and memory.floors == {LICENSE: 3}


def test_looking_changes_nothing_until_time_has_passed():
    memory = remember([issue()], KEYS, FRESH, site())
    assert remember([issue()], KEYS, memory, site(NOW + 3600)) == memory
    assert remember([issue()], KEYS, memory, site(NOW + DAY)) != memory


def test_every_state_can_be_reached():
    begun = remember([], KEYS, FRESH, site())
    reached = {
        state([], NOW, begun)[0], state([issue(STRANGER)])[0], state([issue()])[0], state([issue()], END - 1)[0], state([issue()], END)[0],
        state([issue()], END + 90 * DAY)[0], state([issue()], BEGIN - 1)[0], state([issue()], uuid=OTHER)[0], state([issue(revoked=[LICENSE])])[0],
    }
    assert reached == set(STATES)

"""What a database remembers of its licences, and how time goes on in it.

A clock can be set back or forward, by mistake or on purpose. So the database keeps a mark: the latest time that it believes in.
The mark never goes back by itself, and goes forward by at most two days a look, so that one wrong clock does no lasting harm.
"""
import json
from collections import namedtuple

from .claims import DAY, LATEST

HOUR = 3600
# How far a clock may lie behind the mark, or two clocks apart, before that is said.
TOLERANCE = DAY
# How far the mark moves in one look, and how long after the last look one counts.
STEP = 2 * DAY
PAUSE = 20 * HOUR
# A clock that lies less behind will catch up; the mark waits for it.
NEAR = 7 * DAY
# A code from so far in the future is accepted: the clock may be behind. One from later is refused.
FUTURE = 30 * DAY
# So long people work on while the clock is behind; each start in the past counts as a day.
SUSPECT_LIMIT = 14 * DAY

Memory = namedtuple("Memory", "mark read suspect since missing ended floors revoked foreign")

# mark: the latest believed time. read: what the clock said at the last look. suspect: seconds of work since the clock fell behind.
# since: when the add-on first looked. missing: since when there has been no usable code. ended: when the last code's grace ends.
# floors: licence to the highest sequence seen. revoked: licences. foreign: database to when it was first seen without a licence.
FRESH = Memory(0, 0, 0, 0, 0, 0, {}, (), {})


def load(text):
    """The memory in a text; a fresh one if it cannot be read."""
    try:
        found = json.loads(text or "")
        memory = Memory(**{name: found[name] for name in Memory._fields})
        numbers = [memory.mark, memory.read, memory.suspect, memory.since, memory.missing, memory.ended]
        numbers += list(memory.floors.values()) + list(memory.foreign.values())
        if all(type(number) is int and 0 <= number <= LATEST for number in numbers) and all(isinstance(name, str) for name in memory.revoked):
            return memory._replace(revoked=tuple(memory.revoked))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return FRESH


def dump(memory):
    """The memory as a text, always the same for the same memory."""
    return json.dumps(memory._asdict(), sort_keys=True, separators=(",", ":"))


def moment(memory, host, database=None):
    """The time that counts: the latest of the host's clock, the database's, and the mark."""
    return max(host, host if database is None else database, memory.mark)


def suspect(memory, host, database=None):
    """Whether a clock lies behind what is known, or two clocks contradict each other."""
    if database is not None and abs(host - database) > TOLERANCE:
        return True
    return max(host, host if database is None else database) < memory.mark - TOLERANCE


def look(memory, host, database=None):
    """The memory after a look at the clocks; the same one if nothing is to be remembered."""
    now = max(host, host if database is None else database)
    if not memory.mark:
        return memory._replace(mark=now, read=now, since=now)
    behind = memory.mark - now
    if behind <= TOLERANCE:
        if memory.read <= now < memory.read + PAUSE and not memory.suspect:
            return memory
        return memory._replace(mark=max(memory.mark, min(now, memory.mark + STEP)), read=now, suspect=0)
    passed = min(now - memory.read, STEP)
    if behind <= NEAR:
        # Suspect, but no longer a ground to stop anybody.
        quiet = memory.suspect == 1 and -HOUR <= passed < PAUSE
        return memory if quiet else memory._replace(read=now, suspect=1)
    if memory.suspect and -HOUR <= passed < HOUR:
        return memory
    if passed < 0:
        # Set back, or started without a battery: a day of doubt, but time goes on only as a clock counts it.
        return memory._replace(read=now, suspect=memory.suspect + DAY)
    return memory._replace(mark=memory.mark + passed, read=now, suspect=memory.suspect + passed)


def anchor(memory, issued_at, host, database=None):
    """The memory after a newer code was accepted: its issuer knew the time, so that a mark that ran ahead is put right."""
    now = max(host, host if database is None else database)
    if issued_at - TOLERANCE <= now <= issued_at + FUTURE:
        return memory._replace(mark=max(now, issued_at), read=now, suspect=0)
    return memory._replace(mark=max(memory.mark, issued_at))

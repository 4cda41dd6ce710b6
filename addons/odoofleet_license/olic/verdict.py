"""What follows from the codes that a database has, at one moment."""
from collections import namedtuple

from . import memory as clock
from .claims import DAY, GRACE_DAYS, Refused
from .code import open_code

SOON_DAYS = 30
# That a database keeps: the one in force, some that begin later.
MOST_CODES = 8

# Best first: of several codes, the one in the best state counts, then the one issued last.
STATES = ("Active", "ExpiringSoon", "Grace", "Foreign", "NotYetValid", "Expired", "Revoked", "Refused", "Missing")
USABLE = frozenset(("Active", "ExpiringSoon", "Grace"))

Site = namedtuple("Site", "host database uuid neutralised users")
Site.__new__.__defaults__ = (None, "", False, 0)

# until: when people are or were stopped; None if no time is set. days: whole days to it, or to the end of the licence.
Verdict = namedtuple("Verdict", "state reason detail claims code moment days until restricted suspect crowded")


def judge(texts, keys, memory, site):
    """The verdict on the codes in `texts`; nothing is remembered."""
    moment = clock.moment(memory, site.host, site.database)
    opened, refused = _open(texts, keys, moment)
    revoked = _revoked(opened, memory)
    floors = _floors(opened, memory, moment)
    ranked = []
    for each in opened:
        state, reason, until = _state(each.claims, revoked, floors, memory, moment, site)
        key = (-STATES.index(state), each.claims.issued_at, each.claims.sequence)
        ranked.append((key, state, reason, until, each))
    if ranked:
        _, state, reason, until, best = max(ranked, key=lambda item: item[0])
        return _verdict(state, reason, None, best, until, memory, moment, site)
    state, reason, detail = ("Refused",) + refused[0] if refused else ("Missing", "NoCode", None)
    return _verdict(state, reason, detail, None, None, memory, moment, site)


def accept(text, texts, keys, memory, site):
    """The codes and the memory after somebody entered a code; Refused if it must not replace what is there."""
    moment = clock.moment(memory, site.host, site.database)
    code = open_code(text, keys)
    claims = code.claims
    if claims.issued_at > moment + clock.FUTURE:
        raise Refused("FromTheFuture")
    opened, _ = _open(texts, keys, moment)
    if claims.license_id in _revoked(opened, memory):
        raise Refused("Revoked")
    highest = max([memory.floors.get(claims.license_id, 0)] + [
        each.claims.sequence for each in opened if each.claims.license_id == claims.license_id
    ])
    if claims.sequence < highest:
        raise Refused("Superseded")
    for each in opened:
        if each.claims[1:3] == claims[1:3] and each.text != code.text:
            raise Refused("SequenceUsedTwice")
    notice = claims.license_id in claims.revoked
    if not notice and claims.expires_at + claims.grace_days * DAY <= moment:
        raise Refused("Expired")
    if not notice and claims.databases and site.uuid not in _uuids(claims) and not site.neutralised:
        raise Refused("ForeignDatabase")
    if claims.sequence > highest:
        memory = clock.anchor(memory, claims.issued_at, site.host, site.database)
    kept = [each for each in opened if each.text != code.text] + [code]
    # What is in force stays until the new code begins; what lies further back never counts again.
    floors = _floors(kept, memory, clock.moment(memory, site.host, site.database))
    counting = [each.text for each in kept if each.claims.sequence >= floors[each.claims.license_id]]
    return counting[-MOST_CODES:], memory


def remember(texts, keys, memory, site):
    """The memory after a look: time, what was revoked or replaced, since when something lacks."""
    memory = clock.look(memory, site.host, site.database)
    moment = clock.moment(memory, site.host, site.database)
    opened, _ = _open(texts, keys, moment)
    latest = max([memory.mark] + [each.claims.issued_at for each in opened])
    memory = memory._replace(
        mark=latest, revoked=tuple(sorted(_revoked(opened, memory))), floors=_floors(opened, memory, moment)
    )
    verdict = judge(texts, keys, memory, site)
    if verdict.state in USABLE:
        ended = verdict.claims.expires_at + verdict.claims.grace_days * DAY
        return memory._replace(missing=0, ended=ended)
    if verdict.state == "Foreign":
        return memory._replace(foreign=dict(memory.foreign, **{site.uuid: memory.foreign.get(site.uuid, moment)}))
    return memory._replace(missing=memory.missing or moment)


def _open(texts, keys, moment):
    """Those that are genuine, and why the others are not. A code from the future counts for nothing yet."""
    opened, refused = [], []
    for text in texts:
        try:
            code = open_code(text, keys)
            if code.claims.issued_at > moment + clock.FUTURE:
                raise Refused("FromTheFuture")
            opened.append(code)
        except Refused as refusal:
            refused.append((refusal.reason, refusal.detail))
    return opened, refused


def _revoked(opened, memory):
    return set(memory.revoked).union(*[each.claims.revoked for each in opened])


def _floors(opened, memory, moment):
    """The least sequence of each licence that still counts: that of the newest code that has begun."""
    floors = dict(memory.floors)
    for claims in (each.claims for each in opened):
        reached = claims.sequence if claims.not_before <= moment else claims.min_sequence
        floors[claims.license_id] = max(floors.get(claims.license_id, 0), reached)
    return floors


def _uuids(claims):
    return {database.uuid for database in claims.databases}


def _state(claims, revoked, floors, memory, moment, site):
    if claims.license_id in revoked:
        return "Revoked", "Revoked", None
    if claims.sequence < floors.get(claims.license_id, 0):
        return "Refused", "Superseded", None
    if claims.not_before > moment:
        return "NotYetValid", "NotYetValid", None
    end = claims.expires_at + claims.grace_days * DAY
    if moment >= end:
        return "Expired", "Expired", end
    if claims.databases and site.uuid not in _uuids(claims) and not site.neutralised:
        since = memory.foreign.get(site.uuid, moment)
        return "Foreign", "ForeignDatabase", min(end, since + claims.binding_grace_days * DAY)
    if moment >= claims.expires_at:
        return "Grace", "InGrace", end
    soon = claims.expires_at - moment <= SOON_DAYS * DAY
    return ("ExpiringSoon" if soon else "Active"), ("EndsSoon" if soon else "Valid"), end


def _verdict(state, reason, detail, best, until, memory, moment, site):
    claims = best.claims if best else None
    if until is None and state != "Revoked":
        until = _until_missing(memory, moment)
    restricted = state == "Revoked" or moment >= until
    suspect = clock.suspect(memory, site.host, site.database)
    if suspect and memory.suspect >= clock.SUSPECT_LIMIT and not restricted:
        restricted, reason = True, "ClockSuspect"
    end = claims.expires_at if state in ("Active", "ExpiringSoon") else until
    crowded = bool(claims and claims.max_users and site.users > claims.max_users)
    days = None if end is None else max(0, -((moment - end) // DAY))
    code = best.text if best else None
    return Verdict(state, reason, detail, claims, code, moment, days, until, restricted, suspect, crowded)


def _until_missing(memory, moment):
    """Without a usable code, work goes on for a while after the installation, or after a code that would still run was lost."""
    first = (memory.since or moment) + GRACE_DAYS * DAY
    lost = (memory.missing or moment) + GRACE_DAYS * DAY
    return max(first, min(memory.ended, lost))

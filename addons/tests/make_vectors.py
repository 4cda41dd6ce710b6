"""Writes addons/vectors.json: codes that every implementation has to judge alike. --check only compares."""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "odoofleet_license")]

from issuer import CURRENT, DAY, KEYS, LICENSE, NEXT, NOW, OTHER, SECOND, STRANGER, UUID, canonical, claims, issue

from olic.ed25519 import L
from olic.memory import FRESH
from olic.verdict import Site, judge

FILE = HERE.parent / "vectors.json"
END = NOW + 265 * DAY
GOOD = issue()


def malleable(code):
    """The same signature with the group's order added to S: it must not pass for another code."""
    import base64

    head, signature = code.rsplit(".", 1)
    raw = base64.urlsafe_b64decode(signature + "==")
    s = int.from_bytes(raw[32:], "little") + L
    return head + "." + base64.urlsafe_b64encode(raw[:32] + s.to_bytes(32, "little")).rstrip(b"=").decode()


def flipped(code, position):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return code[:position] + letters[letters.index(code[position]) ^ 1] + code[position + 1:]


def cases():
    """(name, code, moment, database, neutralised, who signed)."""
    for name, moment in [
        ("before it begins", NOW - 100 * DAY - 1), ("first second", NOW - 100 * DAY), ("in force", NOW), ("30 days and a second left", END - 30 * DAY - 1),
        ("30 days left", END - 30 * DAY), ("last second", END - 1), ("first second of grace", END), ("last second of grace", END + 14 * DAY - 1),
        ("end of grace", END + 14 * DAY), ("a year later", END + 365 * DAY),
    ]:
        yield name, GOOD, moment, UUID, False, CURRENT
    yield "the next key", issue(NEXT), NOW, UUID, False, NEXT
    yield "no grace", issue(graceDays=0), END, UUID, False, CURRENT
    yield "another database", GOOD, NOW, OTHER, False, CURRENT
    yield "another database, no grace", issue(bindingGraceDays=0), NOW, OTHER, False, CURRENT
    yield "another database, neutralised", GOOD, NOW, OTHER, True, CURRENT
    yield "another database, neutralised, after the end", GOOD, END + 14 * DAY, OTHER, True, CURRENT
    staging = [{"purpose": "Production", "uuid": UUID}, {"purpose": "Staging", "uuid": OTHER}]
    yield "the second of two databases", issue(databases=staging), NOW, OTHER, False, CURRENT
    yield "a trial", issue(trial=True, notBefore=NOW, expiresAt=NOW + 30 * DAY, without=["databases"]), NOW, OTHER, False, CURRENT
    yield "a trial of 31 days without a database", issue(trial=True, notBefore=NOW, expiresAt=NOW + 31 * DAY, without=["databases"]), NOW, UUID, False, CURRENT
    yield "a notice of revocation", issue(revoked=[LICENSE]), NOW, UUID, False, CURRENT
    yield "revokes another licence", issue(revoked=[SECOND]), NOW, UUID, False, CURRENT
    yield "issued 30 days ahead", issue(issuedAt=NOW + 30 * DAY), NOW, UUID, False, CURRENT
    yield "issued 30 days and a second ahead", issue(issuedAt=NOW + 30 * DAY + 1), NOW, UUID, False, CURRENT
    yield "claims that nobody knows", issue(colour={"of": ["the", {"sky": None}]}), NOW, UUID, False, CURRENT
    yield "wrapped, with lines around it", "-----BEGIN ODOOFLEET LICENSE-----\r\n%s\r\n%s\r\n-----END ODOOFLEET LICENSE-----\r\n" % (GOOD[:64], GOOD[64:]), \
        NOW, UUID, False, CURRENT
    yield "marks that nobody sees", "\ufeff\u3000" + GOOD[:9] + "\u200b" + GOOD[9:] + "\u00a0", NOW, UUID, False, CURRENT
    yield "most of everything", issue(
        sequence=2147483647, minSequence=2147483647, maxUsers=1000000, graceDays=90, bindingGraceDays=90, features=sorted("f%d" % n for n in range(64)),
    ), NOW, UUID, False, CURRENT

    yield "nothing", "", NOW, UUID, False, None
    yield "only spaces", " \r\n\t", NOW, UUID, False, None
    yield "something else", "hello", NOW, UUID, False, None
    yield "small letters", GOOD.replace("OLIC1", "olic1"), NOW, UUID, False, CURRENT
    yield "a later form", GOOD.replace("OLIC1", "OLIC2"), NOW, UUID, False, CURRENT
    yield "no signature", GOOD.rsplit(".", 1)[0], NOW, UUID, False, CURRENT
    yield "cut", GOOD[:-5], NOW, UUID, False, CURRENT
    yield "a letter too many", GOOD + "A", NOW, UUID, False, CURRENT
    yield "twice", GOOD + GOOD, NOW, UUID, False, CURRENT
    yield "padding", GOOD + "==", NOW, UUID, False, CURRENT
    yield "a dash", GOOD[:30] + "\u2013" + GOOD[31:], NOW, UUID, False, CURRENT
    yield "a wide letter", GOOD[:30] + "\uff21" + GOOD[31:], NOW, UUID, False, CURRENT
    yield "too long", "OLIC1." + "A" * 4100, NOW, UUID, False, None
    yield "left-over bits in the signature", GOOD[:-1] + chr(ord(GOOD[-1]) + 1), NOW, UUID, False, CURRENT
    yield "another letter in the payload", flipped(GOOD, 60), NOW, UUID, False, CURRENT
    yield "another letter in R", flipped(GOOD, len(GOOD) - 80), NOW, UUID, False, CURRENT
    yield "another letter in S", flipped(GOOD, len(GOOD) - 10), NOW, UUID, False, CURRENT
    yield "S with the order added", malleable(GOOD), NOW, UUID, False, CURRENT
    yield "S of zero, R neutral", GOOD.rsplit(".", 1)[0] + ".AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", NOW, UUID, False, None
    yield "the signature of another code", GOOD.rsplit(".", 1)[0] + "." + issue(sequence=4).rsplit(".", 1)[1], NOW, UUID, False, CURRENT
    yield "a stranger's key", issue(STRANGER), NOW, UUID, False, STRANGER
    yield "a stranger who claims a trusted key", STRANGER.sign(canonical(claims(CURRENT))), NOW, UUID, False, STRANGER
    yield "the other trusted key's name", NEXT.sign(canonical(claims(CURRENT))), NOW, UUID, False, NEXT

    for name, payload in [
        ("no object", b"[1]"), ("no JSON", b"{"), ("not UTF-8", b"{\"v\":1,\"x\":\"\xff\"}"), ("deep", b"[" * 2500),
        ("a name twice", canonical(claims())[:-1] + b',"sequence":9}'), ("a name twice, inside", canonical(claims())[:-1] + b',"x":{"a":1,"a":1}}'),
        ("a fraction", canonical(claims()).replace(b'"sequence":3', b'"sequence":3.0')), ("an exponent", canonical(claims()).replace(b'"sequence":3', b'"sequence":3e0')),
        ("16 deep", canonical(claims())[:-1] + b',"x":' + b"[" * 15 + b"]" * 15 + b"}"), ("17 deep", canonical(claims())[:-1] + b',"x":' + b"[" * 16 + b"]" * 16 + b"}"),
        ("a number of 2^53", canonical(claims())[:-1] + b',"x":9007199254740992}'), ("minus zero", canonical(claims())[:-1] + b',"x":-0}'),
        ("half a surrogate pair", canonical(claims())[:-1] + b',"x":"\\ud800"}'), ("NaN", canonical(claims())[:-1] + b',"x":NaN}'), ("loose JSON", json.dumps(claims(), indent=1).encode()),
    ]:
        yield "payload: " + name, CURRENT.sign(payload), NOW, UUID, False, CURRENT
    yield "version 2", issue(v=2), NOW, UUID, False, CURRENT
    yield "version true", issue(v=True), NOW, UUID, False, CURRENT
    for name, value in [
        ("licenseId", LICENSE.upper()), ("sequence", 0), ("sequence", True), ("customer", "Huada"), ("environment", None), ("plan", ""), ("features", ["a", "a"]),
        ("features", "a"), ("maxUsers", 0), ("databases", []), ("databases", [{"uuid": UUID, "purpose": "x"}]), ("issuedAt", NOW * 1000), ("notBefore", "0"),
        ("expiresAt", NOW - 100 * DAY), ("graceDays", 91), ("bindingGraceDays", -1), ("trial", 1), ("revoked", ["x"]), ("minSequence", 4),
    ]:
        yield "%s: %s" % (name, json.dumps(value)), issue(**{name: value}), NOW, UUID, False, CURRENT
    for name in ("licenseId", "sequence", "customer", "plan", "issuedAt", "notBefore", "expiresAt", "databases"):
        yield name + " lacks", issue(without=[name]), NOW, UUID, False, CURRENT


def document():
    vectors = []
    for name, code, moment, database, neutralised, signer in cases():
        verdict = judge([code], KEYS, FRESH, Site(moment, None, database, neutralised))
        vectors.append({
            "name": name, "key": signer and signer.id, "code": code, "moment": moment, "database": database, "neutralised": neutralised,
            "expected": {"state": verdict.state, "reason": verdict.reason, "detail": verdict.detail, "restricted": verdict.restricted},
        })
    found = {
        "about": "docs/licence-format.md",
        "keys": {key.id: key.public.hex() for key in (CURRENT, NEXT, STRANGER)},
        "trusted": sorted(KEYS),
        "vectors": vectors,
    }
    return json.dumps(found, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(FILE.read_text() != document() and "addons/vectors.json is old: run addons/tests/make_vectors.py")
    FILE.write_text(document())

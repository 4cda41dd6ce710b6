"""Codes as people carry them: what is taken, what is refused, and for which reason."""
import json
import random
import time

import pytest
from cryptography.exceptions import InvalidSignature
from issuer import CURRENT, KEYS, LICENSE, NEXT, NOW, OTHER, STRANGER, UUID, b64, canonical, claims, issue

from olic import keys
from olic.claims import Refused
from olic.code import key_id, normal, open_code
from olic.request import request

GOOD = issue()


def reason(text, known=KEYS):
    with pytest.raises(Refused) as refusal:
        open_code(text, known)
    return refusal.value.reason


def signed(payload):
    """A code that says what no issuer would say, signed all the same."""
    return CURRENT.sign(payload if isinstance(payload, bytes) else payload.encode())


def test_a_code_tells_its_claims():
    found = open_code(GOOD, KEYS).claims
    assert (found.license_id, found.sequence, found.customer, found.plan) == (LICENSE, 3, "huada", "standard")
    assert (found.grace_days, found.binding_grace_days, found.trial, found.revoked, found.min_sequence) == (14, 14, False, (), 1)
    assert found.databases[0].uuid == UUID


def test_a_code_is_short_enough_to_paste_and_to_scan():
    assert len(GOOD) <= 800


def test_issuing_twice_makes_the_same_code():
    assert issue() == GOOD


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "\n", "  " + GOOD + "\r\n", "\ufeff" + GOOD, GOOD[:100] + "\n" + GOOD[100:], "\r\n".join(GOOD[i:i + 64] for i in range(0, len(GOOD), 64)),
        "-----BEGIN ODOOFLEET LICENSE-----\n%s\n-----END ODOOFLEET LICENSE-----\n" % GOOD, GOOD[:50] + "\u200b" + GOOD[50:], "\u3000" + GOOD + "\u00a0",
    ],
)
def test_what_pasting_adds_is_taken_away(text):
    assert open_code(text, KEYS).text == GOOD


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "Empty"), (" \n ", "Empty"), ("hello", "NotACode"), ("olic1." + GOOD[6:], "NotACode"), ("OLIC1", "Cut"), ("OLIC2" + GOOD[5:], "UnknownFormat"),
        ("OLIC1.", "Cut"), ("OLIC1..", "Cut"), (GOOD.rsplit(".", 1)[0], "Cut"), (GOOD[:-1], "Cut"), (GOOD[:200], "Cut"), (GOOD + "A", "TooMuch"),
        (GOOD + ".A", "TooMuch"), (GOOD + GOOD, "TooMuch"), (GOOD + "–", "ChangedDash"), (GOOD + "—", "ChangedDash"), (GOOD + "=", "StrangeLetter"),
        ("> " + GOOD, "NotACode"), (GOOD[:90] + "\n> " + GOOD[90:], "StrangeLetter"), (GOOD[:90] + "Ａ" + GOOD[91:], "StrangeLetter"),
        (GOOD + "A" * 5000, "TooLong"), ("A" * 2**20, "TooLong"), ("OLIC1." + "A" * 2**20, "TooLong"), ("\n" * 2**20, "TooLong"),
    ],
)
def test_what_is_no_code_is_refused_with_its_reason(text, expected):
    assert reason(text) == expected


def test_a_million_letters_are_refused_at_once():
    since = time.monotonic()
    reason("OLIC1." + "A" * 2**24)
    assert time.monotonic() - since < 1


def test_another_base64_of_the_same_bytes_is_refused():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = letters.index(GOOD[-1])
    others = [GOOD[:-1] + letter for letter in letters if letter != GOOD[-1]]
    assert last & 15 == 0
    assert {reason(other) for other in others} == {"BadSignature"}


def test_a_stranger_is_told_from_a_forger():
    assert reason(issue(STRANGER)) == "UnknownKey"
    assert reason(STRANGER.sign(canonical(claims(CURRENT)))) == "BadSignature"
    assert reason(GOOD, {}) == "NoKey"


def test_a_code_that_names_the_other_trusted_key_is_malformed():
    assert reason(NEXT.sign(canonical(claims(CURRENT)))) == "Malformed"


@pytest.mark.parametrize("signer", [CURRENT, NEXT])
@pytest.mark.parametrize("known", [[CURRENT], [NEXT], [CURRENT, NEXT]])
def test_a_key_counts_where_it_is_known(signer, known):
    trusted = {key.id: key.public for key in known}
    if signer in known:
        assert open_code(issue(signer), trusted).claims.key_id == signer.id
    else:
        assert reason(issue(signer), trusted) == "UnknownKey"


def test_no_single_flipped_bit_is_accepted():
    data = GOOD.encode()
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            assert reason(changed.decode("latin-1")) in {
                "BadSignature", "UnknownKey", "StrangeLetter", "NotACode", "UnknownFormat", "TooMuch", "Cut", "ChangedDash",
            }


def test_a_signed_part_of_another_code_does_not_fit():
    other = issue(sequence=4)
    assert reason(".".join(GOOD.split(".")[:2] + other.split(".")[2:])) == "BadSignature"


@pytest.mark.parametrize(
    "name, value",
    [
        ("licenseId", None), ("licenseId", "X"), ("licenseId", LICENSE.upper()), ("licenseId", LICENSE + "\n"), ("sequence", 0), ("sequence", "3"), ("sequence", True),
        ("sequence", 2**31), ("customer", ""), ("customer", "华达"), ("customer", "-a"), ("customer", "a" * 64), ("environment", 5), ("plan", "Standard"),
        ("features", "mrp"), ("features", ["a", "a"]), ("features", [1]), ("features", ["a"] * 65), ("features", [["a"]]), ("maxUsers", 0), ("maxUsers", -1),
        ("maxUsers", None), ("databases", [UUID]), ("databases", [{"uuid": UUID}] * 2), ("databases", [{"purpose": "Production"}]), ("databases", {}),
        ("databases", [{"uuid": UUID[:-1] + str(n), "purpose": "Test"} for n in range(4)]), ("databases", []), ("issuedAt", 0), ("issuedAt", 10**12),
        ("issuedAt", NOW * 1000), ("notBefore", "2026-06-01"), ("expiresAt", NOW - 100 * 86400), ("graceDays", -1), ("graceDays", 91), ("bindingGraceDays", 400),
        ("trial", 1), ("trial", "yes"), ("revoked", ["x"]), ("revoked", LICENSE), ("minSequence", 4), ("minSequence", 0),
    ],
)
def test_a_claim_of_another_form_is_refused_by_its_name(name, value):
    with pytest.raises(Refused) as refusal:
        open_code(issue(**{name: value}), KEYS)
    assert (refusal.value.reason, refusal.value.detail) == ("Malformed", name)


@pytest.mark.parametrize("name", ["licenseId", "sequence", "customer", "plan", "issuedAt", "notBefore", "expiresAt"])
def test_a_claim_that_lacks_is_refused_by_its_name(name):
    with pytest.raises(Refused) as refusal:
        open_code(issue(without=[name]), KEYS)
    assert (refusal.value.reason, refusal.value.detail) == ("Malformed", name)


@pytest.mark.parametrize("name", ["environment", "features", "maxUsers"])
def test_a_claim_that_may_lack_may_lack(name):
    assert open_code(issue(without=[name]), KEYS)


def test_only_a_trial_of_thirty_days_fits_any_database():
    month = {"notBefore": NOW, "expiresAt": NOW + 30 * 86400, "databases": []}
    assert open_code(issue(trial=True, **month), KEYS).claims.databases == ()
    for changed in ({"trial": False}, {"trial": True, "expiresAt": NOW + 30 * 86400 + 1}):
        assert reason(issue(**dict(month, **changed))) == "Malformed"


def test_claims_that_nobody_knows_are_left_alone():
    assert open_code(issue(colour="blue", nested={"a": [1, {"b": None}]}), KEYS).claims.sequence == 3


@pytest.mark.parametrize("version", [0, 2, "1", True, None, 1.0])
def test_another_version_is_refused(version):
    assert reason(issue(v=version)) in ("UnknownVersion", "Malformed")


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"null", b"[]", b"1", b'"a"', b"{", b"\xff", b"\xef\xbb\xbf{}", b"NaN", b'{"v":1,"v":1}', b'{"v":NaN}', b'{"v":1e0}', b"[" * 3000, b'{"a":' * 600,
        canonical(claims())[:-1] + b',"sequence":9}', canonical(claims())[:-1] + b',"x":{"a":1,"a":2}}', canonical(claims())[:-1] + b',"x":0.5}',
        canonical(claims()) + b" x", canonical(claims()).replace(b'"sequence":3', b'"sequence":3.0'), canonical(claims()).replace(b'"sequence":3', b'"sequence":Infinity'),
    ],
)
def test_payloads_that_are_no_such_object_are_refused_though_they_are_signed(payload):
    assert reason(signed(payload)) in ("Malformed", "Cut")


def test_the_order_of_claims_and_spaces_between_them_do_not_matter_to_who_reads():
    loose = json.dumps(dict(reversed(list(claims().items()))), indent=1)
    assert open_code(signed(loose), KEYS).claims == open_code(GOOD, KEYS).claims


def test_random_codes_are_accepted_and_their_mutations_refused_as_by_another_implementation():
    random.seed(13)
    for number in range(200):
        key = random.choice([CURRENT, NEXT])
        code = issue(
            key, sequence=random.randrange(1, 2**31), features=sorted(random.sample(["a", "b", "c.d", "e-f"], random.randrange(4))),
            maxUsers=random.randrange(1, 10**6), graceDays=random.randrange(91), expiresAt=NOW + random.randrange(1, 10**8),
            databases=[{"uuid": uuid, "purpose": "Test"} for uuid in random.sample([UUID, OTHER], random.randrange(1, 3))],
        )
        assert open_code(code, KEYS).claims.key_id == key.id
        mutated = list(code)
        mutated[random.randrange(6, len(code))] = random.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
        mutated = "".join(mutated)
        if mutated != code:
            assert reason(mutated)
            assert not theirs(mutated)


def theirs(code):
    import base64

    parts = code.split(".")
    if len(parts) != 3:
        return False
    try:
        signature = base64.b64decode(parts[2] + "=" * (-len(parts[2]) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return False
    if b64(signature) != parts[2]:
        return False
    for key in (CURRENT, NEXT):
        try:
            key.private.public_key().verify(signature, (parts[0] + "." + parts[1]).encode())
            return True
        except InvalidSignature:
            continue
    return False


def test_the_name_of_a_key_is_the_beginning_of_its_hash():
    assert key_id(CURRENT.public) == CURRENT.id and len(CURRENT.id) == 16


def trusted(*entries):
    import base64

    return json.dumps({"keys": [{"keyId": name, "publicKey": base64.b64encode(key).decode()} for name, key in entries]})


def test_trusted_keys_are_read():
    assert keys.load(trusted((CURRENT.id, CURRENT.public), (NEXT.id, NEXT.public))) == KEYS
    assert keys.load('{"keys": []}') == {}


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", trusted((NEXT.id, CURRENT.public)), trusted((key_id(bytes(32)), bytes(32))), trusted((key_id(b"\x01" + bytes(31)), b"\x01" + bytes(31))),
        trusted((key_id(b"short"), b"short")), trusted(*[(CURRENT.id, CURRENT.public)] * 5), '{"keys": [{"keyId": "a", "publicKey": "%"}]}',
    ],
)
def test_keys_that_must_not_be_trusted_are_refused(text):
    with pytest.raises((ValueError, KeyError)):
        keys.load(text)


def test_a_request_says_what_an_issuer_needs():
    import base64
    import hashlib

    line = request(UUID, "19.0", "1.0.0", 12, open_code(GOOD, KEYS).claims)
    prefix, body, check = line.split(".")
    data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    assert prefix == "OREQ1" and hashlib.sha256(data).hexdigest()[:8] == check
    asked = {"v": 1, "database": UUID, "odoo": "19.0", "addon": "1.0.0", "users": 12, "licenseId": LICENSE, "sequence": 3}
    assert json.loads(data) == asked


def test_normal_text_stays_as_it_is():
    assert normal(GOOD) == GOOD


def test_vectors_are_those_that_the_issuer_makes_and_the_verdicts_those_that_were_read():
    import make_vectors

    assert make_vectors.FILE.read_text() == make_vectors.document(), "run addons/tests/make_vectors.py, and read what changed"

"""The claims of a code: read strictly, because what is signed by mistake is a mistake all the same."""
import json
import re
from collections import namedtuple

VERSION = 1
# 1 January 2020 and 2100: what lies outside is no time of a licence.
EARLIEST, LATEST = 1577836800, 4102444800
DAY = 86400
TRIAL_DAYS = 30
GRACE_DAYS = 14
# Objects and lists within each other, the claims themselves the first.
DEEPEST = 16

NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?\Z")
FEATURE = re.compile(r"[a-z][a-z0-9_.-]{0,63}\Z")
PURPOSE = re.compile(r"[A-Z][A-Za-z]{0,31}\Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
KEY_ID = re.compile(r"[0-9a-f]{16}\Z")

Database = namedtuple("Database", "uuid purpose")

Claims = namedtuple(
    "Claims",
    "key_id license_id sequence customer environment plan features max_users databases issued_at not_before "
    "expires_at grace_days binding_grace_days trial revoked min_sequence",
)


class Refused(Exception):
    """A code is not accepted. `reason` is a name that stays; `detail` names the claim, if one is at fault."""

    def __init__(self, reason, detail=None):
        super().__init__(reason if detail is None else "%s: %s" % (reason, detail))
        self.reason = reason
        self.detail = detail


def parse(payload):
    """The claims in a payload that was signed; Refused if they are not as docs/licence-format.md has them."""
    found = _object(payload)
    if found.get("v") != VERSION or isinstance(found.get("v"), bool):
        raise Refused("UnknownVersion")
    read = _Reader(found)
    claims = Claims(
        key_id=read.text("keyId", KEY_ID),
        license_id=read.text("licenseId", UUID),
        sequence=read.number("sequence", 1, 2**31 - 1),
        customer=read.text("customer", NAME),
        environment=read.text("environment", NAME, None),
        plan=read.text("plan", NAME),
        features=read.texts("features", FEATURE, 64),
        max_users=read.number("maxUsers", 1, 1000000, None),
        databases=read.databases(),
        issued_at=read.number("issuedAt", EARLIEST, LATEST),
        not_before=read.number("notBefore", EARLIEST, LATEST),
        expires_at=read.number("expiresAt", EARLIEST, LATEST),
        grace_days=read.number("graceDays", 0, 90, GRACE_DAYS),
        binding_grace_days=read.number("bindingGraceDays", 0, 90, GRACE_DAYS),
        trial=read.flag("trial"),
        revoked=read.texts("revoked", UUID, 32),
        min_sequence=read.number("minSequence", 1, 2**31 - 1, 1),
    )
    if claims.expires_at <= claims.not_before:
        raise Refused("Malformed", "expiresAt")
    if claims.min_sequence > claims.sequence:
        raise Refused("Malformed", "minSequence")
    if not claims.databases and not (claims.trial and claims.expires_at - claims.not_before <= TRIAL_DAYS * DAY):
        raise Refused("Malformed", "databases")
    return claims


def _object(payload):
    """A JSON object in which no name stands twice, and no number but whole ones."""
    try:
        found = json.loads(
            payload.decode("utf-8"), object_pairs_hook=_once, parse_int=_whole, parse_float=_refuse_number, parse_constant=_refuse_number
        )
        # Half a surrogate pair, which only an escape can smuggle in, is no letter.
        json.dumps(found, ensure_ascii=False).encode("utf-8")
        _flat(found, DEEPEST)
    except (ValueError, RecursionError):
        raise Refused("Malformed", "JSON") from None
    if not isinstance(found, dict):
        raise Refused("Malformed", "JSON")
    return found


def _once(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _whole(text):
    """Numbers that every language holds: elsewhere larger ones would become fractions."""
    number = int(text)
    if abs(number) >= 2**53 or text.startswith("-0"):
        raise ValueError("no such number: " + text)
    return number


def _flat(value, deepest):
    """Refuses what lies deeper than `deepest`."""
    if not isinstance(value, (dict, list)):
        return
    if not deepest:
        raise ValueError("nested too deeply")
    for each in value.values() if isinstance(value, dict) else value:
        _flat(each, deepest - 1)


def _refuse_number(text):
    raise ValueError("not a whole number: " + text)


_REQUIRED = object()


class _Reader:
    """Takes claims out of an object. Those that nobody asks for are left alone: a later issuer may add some."""

    def __init__(self, found):
        self.found = found

    def text(self, name, form, default=_REQUIRED):
        return self._take(name, default, lambda value: isinstance(value, str) and form.match(value))

    def number(self, name, least, most, default=_REQUIRED):
        return self._take(
            name, default, lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        )

    def flag(self, name):
        return self._take(name, False, lambda value: isinstance(value, bool))

    def texts(self, name, form, most):
        return tuple(
            self._take(
                name,
                (),
                lambda value: isinstance(value, list)
                and len(value) <= most
                and all(isinstance(each, str) and form.match(each) for each in value)
                and len(set(value)) == len(value),
            )
        )

    def databases(self):
        listed = self._take("databases", (), lambda value: isinstance(value, list) and len(value) <= 3)
        found = []
        for each in listed:
            if not isinstance(each, dict):
                raise Refused("Malformed", "databases")
            inner = _Reader(each)
            try:
                found.append(Database(inner.text("uuid", UUID), inner.text("purpose", PURPOSE, "Production")))
            except Refused:
                raise Refused("Malformed", "databases") from None
        if len({database.uuid for database in found}) != len(found):
            raise Refused("Malformed", "databases")
        return tuple(found)

    def _take(self, name, default, fits):
        if name not in self.found:
            if default is _REQUIRED:
                raise Refused("Malformed", name)
            return default
        value = self.found[name]
        if not fits(value):
            raise Refused("Malformed", name)
        return value

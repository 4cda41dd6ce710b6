"""A code as text: `OLIC1.<payload>.<signature>`, both in base64url."""
import base64
import binascii
import functools
import hashlib
import json
from collections import namedtuple

from . import ed25519
from .claims import Refused, parse

PREFIX = "OLIC1"
# Of a code without spaces; and of what is read at all, before anything else is done with it.
LONGEST_CODE = 4096
LONGEST_TEXT = 65536

ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
# What word processors, chats and mail programs put in place of a hyphen.
DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d\u00ad")
# What may stand anywhere in a pasted code: spaces of all kinds, line ends, marks that nobody sees.
NOTHING = frozenset(" \t\r\n\v\f\u00a0\u2007\u202f\u200b\u200c\u200d\u2060\ufeff\u3000")

Opened = namedtuple("Opened", "text claims")


def key_id(public_key):
    """The name of a public key: the first 8 bytes of its SHA-256, in hexadecimal."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def normal(text):
    """The code in a text that was pasted or read from a file, without what such ways add; Refused if there is none."""
    if len(text) > LONGEST_TEXT:
        raise Refused("TooLong")
    lines = [line for line in text.splitlines() if not line.strip().startswith("-----")]
    code = "".join(letter for line in lines for letter in line if letter not in NOTHING)
    if not code:
        raise Refused("Empty")
    if len(code) > LONGEST_CODE:
        raise Refused("TooLong")
    head = code.split(".")[0]
    if head != PREFIX:
        raise Refused("UnknownFormat" if head.startswith("OLIC") and head[4:].isdigit() else "NotACode")
    if any(letter in DASHES for letter in code):
        raise Refused("ChangedDash")
    if not all(letter in ALPHABET for letter in code):
        raise Refused("StrangeLetter")
    return code


def tidy(text):
    """The normal form, or the text as it is where that has none."""
    try:
        return normal(text)
    except Refused:
        return text.strip()


def open_code(text, keys):
    """The claims of a code that one of `keys` (name to 32 bytes) signed; Refused, with the reason, otherwise."""
    code = normal(text)
    parts = code.split(".")
    if len(parts) < 3 or not parts[1] or not parts[2]:
        raise Refused("Cut")
    if len(parts) > 3:
        raise Refused("TooMuch")
    if len(parts[2]) != 86:
        raise Refused("Cut" if len(parts[2]) < 86 else "TooMuch")
    payload, signature = _bytes(parts[1]), _bytes(parts[2])
    signed = (parts[0] + "." + parts[1]).encode("ascii")
    if not keys:
        raise Refused("NoKey")
    named = _named_key(payload)
    signer = _signer(signed, signature, named, tuple(sorted(keys.items())))
    if signer is None:
        raise Refused("UnknownKey" if named is not None and named not in keys else "BadSignature")
    claims = parse(payload)
    if claims.key_id != signer:
        raise Refused("Malformed", "keyId")
    return Opened(code, claims)


@functools.lru_cache(maxsize=64)
def _signer(signed, signature, named, keys):
    """The name of the key that signed, the named one asked first. Takes milliseconds, and the same codes come again and again."""
    ordered = sorted(keys, key=lambda item: item[0] != named)
    return next((name for name, key in ordered if ed25519.verify(key, signed, signature)), None)


def _bytes(part):
    """Of base64url without padding; the bits that are left over at the end have to be zero."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (ValueError, binascii.Error):
        raise Refused("BadSignature") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != part:
        raise Refused("BadSignature")
    return data


def _named_key(payload):
    """The key that an unproven payload names, only to say that nobody here knows it."""
    try:
        named = json.loads(payload.decode("utf-8"))["keyId"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return named if isinstance(named, str) else None

"""Issues codes for tests, by docs/licence-format.md and with another library than the one that is tested."""
import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

DAY = 86400
# 1 June 2026.
NOW = 1780272000
UUID = "6f1c2a34-0000-4000-8000-00000000a001"
OTHER = "6f1c2a34-0000-4000-8000-00000000a002"
LICENSE = "0b5e7d10-0000-4000-8000-000000000001"
SECOND = "0b5e7d10-0000-4000-8000-000000000002"


class Key:
    """A key that is made of a word: everybody can sign with it."""

    def __init__(self, word):
        self.private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(word.encode()).digest())
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = hashlib.sha256(self.public).hexdigest()[:16]

    def sign(self, payload, prefix="OLIC1"):
        signed = prefix + "." + b64(payload)
        return signed + "." + b64(self.private.sign(signed.encode()))


CURRENT, NEXT, STRANGER = Key("odoofleet test key"), Key("odoofleet next test key"), Key("somebody else")
KEYS = {key.id: key.public for key in (CURRENT, NEXT)}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def canonical(claims):
    return json.dumps(claims, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def claims(key=CURRENT, without=(), **changed):
    """The claims of a year's licence that began 100 days ago."""
    found = {
        "v": 1, "keyId": key.id, "licenseId": LICENSE, "sequence": 3, "customer": "huada", "environment": "huada-prod",
        "plan": "standard", "features": ["mrp", "sale"], "maxUsers": 40,
        "databases": [{"purpose": "Production", "uuid": UUID}],
        "issuedAt": NOW - 100 * DAY, "notBefore": NOW - 100 * DAY, "expiresAt": NOW + 265 * DAY,
    }
    found.update(changed)
    return {name: value for name, value in found.items() if name not in without}


def issue(key=CURRENT, without=(), **changed):
    return key.sign(canonical(claims(key, without, **changed)))

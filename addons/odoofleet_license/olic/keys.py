"""The public keys that codes are checked with: keys.json beside the add-on's manifest."""
import base64
import binascii
import json

from . import ed25519
from .code import key_id

# The current one, the next one, and room for a rotation that overlaps with another.
MOST_KEYS = 4


def load(text):
    """Name to key, of a text such as `{"keys": [{"keyId": "…", "publicKey": "<base64>"}]}`.

    ValueError tells what is wrong: a key that is named wrongly or could sign for everybody must not be trusted in silence.
    """
    listed = json.loads(text)["keys"]
    if len(listed) > MOST_KEYS:
        raise ValueError("more than %d keys" % MOST_KEYS)
    keys = {}
    for each in listed:
        try:
            key = base64.b64decode(each["publicKey"], validate=True)
        except binascii.Error:
            raise ValueError("the key \"%s\" is not base64" % each["keyId"]) from None
        point = ed25519.decode(key) if len(key) == ed25519.KEY_BYTES else None
        if point is None or ed25519.of_small_order(point):
            raise ValueError("the key \"%s\" is no Ed25519 key" % each["keyId"])
        if each["keyId"] != key_id(key):
            raise ValueError("the key \"%s\" has to be named \"%s\"" % (each["keyId"], key_id(key)))
        keys[each["keyId"]] = key
    return keys

"""What a site sends to ask for a code: its database, and what it has now."""
import base64
import hashlib
import json

PREFIX = "OREQ1"


def request(uuid, odoo, addon, users, claims=None):
    """The request as one line: `OREQ1.<base64url of JSON>.<first 8 hexadecimal digits of its SHA-256>`."""
    asked = {"addon": addon, "database": uuid, "odoo": odoo, "users": users, "v": 1}
    if claims is not None:
        asked.update(licenseId=claims.license_id, sequence=claims.sequence)
    data = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    body = base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
    return "%s.%s.%s" % (PREFIX, body, hashlib.sha256(data).hexdigest()[:8])

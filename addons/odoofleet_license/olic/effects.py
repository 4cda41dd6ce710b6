"""What a restriction stops and what it leaves alone. Everything that is not named here goes on."""

ADMINISTRATOR, INTERNAL, OUTSIDE, SYSTEM = "administrator", "internal", "outside", "system"

# (what, administrators, internal users, portal and public, the system): whether it goes on while people are restricted.
TABLE = (
    ("log in", True, True, True, True),
    ("licence page", True, True, False, True),
    ("enter a code", True, False, False, True),
    ("web client", True, False, False, True),
    ("create, write, delete by a request", True, False, True, True),
    ("read by a request", True, True, True, True),
    ("export and print", True, True, True, True),
    ("close a point-of-sale session, send its orders", True, True, True, True),
    ("scheduled jobs", True, True, True, True),
    ("start, upgrade, backup", True, True, True, True),
    ("new internal user above the limit", False, False, False, True),
    ("require(feature)", False, False, False, False),
)

# Requests that act for a person, by the way that they come in.
REMOTE = ("/web/dataset/", "/xmlrpc", "/jsonrpc", "/json/")
# Requests that write while they read, print or log in.
FREE = ("/web/login", "/web/session/", "/web/export/", "/report/", "/odoofleet/", "/pos/", "/websocket", "/longpolling")
# What a cashier's device still sends while the shop closes.
TILL = frozenset(("pos.session", "pos.order", "pos.payment", "pos.close.session.wizard"))


def refuses_write(restricted, who, path, by_session, asked_model):
    """Whether a write has to be refused.

    `path` is that of the request, or None outside of one; `by_session` tells whether the person logged in with a browser;
    `asked_model` is the model that a remote call named.
    """
    if not restricted or who != INTERNAL or path is None:
        return False
    if asked_model in TILL or path.startswith(FREE):
        return False
    return by_session or path.startswith(REMOTE)


def refuses_web_client(restricted, who):
    """Whether somebody sees the licence page in place of the web client."""
    return restricted and who == INTERNAL


def refuses_new_user(limit, before, after):
    """Whether internal users become more than a licence allows. Nobody who is there is thrown out."""
    return limit is not None and after > limit and after > before


def banner(verdict, who):
    """How the web client says it: None, "info", "warning" or "danger"."""
    if who not in (ADMINISTRATOR, INTERNAL):
        return None
    if verdict.restricted:
        return "danger"
    if verdict.state == "Grace":
        return "danger" if who == ADMINISTRATOR else "warning"
    if verdict.state == "ExpiringSoon" and verdict.days <= 7:
        return "warning"
    if who != ADMINISTRATOR:
        return None
    if verdict.state == "ExpiringSoon":
        return "warning" if verdict.days <= 15 or verdict.suspect or verdict.crowded else "info"
    return "warning" if verdict.state != "Active" or verdict.suspect or verdict.crowded else None

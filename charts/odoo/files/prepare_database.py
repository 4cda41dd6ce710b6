# PostgreSQL: connections whose refusals have a reason, and what a database holds.
import re
import time
from collections import namedtuple

import psycopg2

from prepare_pod import Failure, say

WAIT = 60
# Dead peers are noticed after a minute, by both ends: a lock must not outlive its node.
ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
# libpq gives no code for a connection that failed; its own words are not translated here, a server's may be.
WORDS = (
    ("DatabaseConnectionsExhausted", r"too many clients|too many connections|connection slots"),
    ("DatabaseFull", r"No space left|could not extend|could not write"),
    ("DatabaseUnreachable", r"starting up|shutting down|recovery|not yet accepting|closed the connection|Connection re|translate host|"
                            r"timeout|timed out|No route|unreachable|could not receive|could not send"),
    ("DatabaseRefused", r"failed: \S+: |FATAL|authentication|password|certificate|SSL"),
)
CODES = {"08": "DatabaseUnreachable", "57P": "DatabaseUnreachable", "28": "DatabaseRefused", "42501": "DatabaseRefused",
         "25006": "DatabaseRefused", "53100": "DatabaseFull", "53300": "DatabaseConnectionsExhausted"}
ADVICE = {
    "DatabaseUnreachable": "Look at the database's pod or server, its address and the network policies.",
    "DatabaseRefused": "Correct the password's Secret, the role, its rights or pg_hba.conf.",
    "DatabaseConnectionsExhausted": "Raise max_connections, or lower workers and replicas.",
    "DatabaseFull": "Make the database's volume larger.",
}
# Needs no rights beyond Odoo's own, and is there before Odoo's tables are.
NOTES = "odoofleet_prepare"

State = namedtuple("State", "exists tables odoo notes parameters modules")
NOTHING = State(False, 0, False, {}, {}, {})
Module = namedtuple("Module", "state version imported")


def failure(error):
    # A Failure for an error of psycopg2, None if it is nothing that the database's keeper could help with.
    text = " ".join(str(error).split())
    reason = next((r for code, r in CODES.items() if (error.pgcode or "").startswith(code)), None)
    if not reason and not error.pgcode and isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        reason = next((r for r, words in WORDS if re.search(words, text)), "DatabaseUnreachable")
    return reason and Failure(reason, f"{text.rstrip('.')}. {ADVICE[reason]}")


def told(main):
    # What PostgreSQL says to a query has a reason, too.
    def with_reasons(known):
        try:
            main(known)
        except psycopg2.Error as error:
            raise failure(error) or error from None
    return with_reasons


def connect(options, name, wait=0):
    # What refuses is told at once; what does not answer, or has no connection left, gets `wait` seconds.
    deadline, told = time.monotonic() + wait, None
    while True:
        try:
            connection = psycopg2.connect(
                host=options["db_host"], port=options["db_port"], user=options["db_user"], password=options["db_password"],
                sslmode=options["db_sslmode"], dbname=name, connect_timeout=5, application_name="odoofleet", **ALIVE)
            connection.autocommit = True
            # Who waits for a table in libpq can be neither stopped nor told apart from who works.
            query(connection, "SET lock_timeout = '10s'")
            return connection
        except psycopg2.Error as error:
            found = failure(error)
            if found.reason in ("DatabaseRefused", "DatabaseFull") or time.monotonic() > deadline:
                raise found from None
            if found.message != told:
                say(f"waiting: {found.message}")
                told = found.message
            time.sleep(1)


def query(connection, text, *values):
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchall() if cursor.description else []


def exists(server, name):
    return bool(query(server, "SELECT 1 FROM pg_database WHERE datname = %s", name))


def read(connection):
    # What the database holds. Nothing is written, nothing of Odoo is needed.
    notes, odoo, parameters = query(connection, f"SELECT to_regclass('{NOTES}'), to_regclass('ir_module_module'), "
                                                "to_regclass('ir_config_parameter')")[0]
    (tables,), = query(connection, """
        SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$)' AND c.relname <> %s
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        """, NOTES)
    return State(
        True, tables, bool(odoo),
        dict(query(connection, f"SELECT key, value FROM {NOTES}") if notes else ()),
        dict(query(connection, "SELECT key, value FROM ir_config_parameter WHERE key LIKE 'odoofleet.%%' "
                               "OR key IN ('database.uuid', 'web.base.url', 'web.base.url.freeze', 'report.url')") if parameters else ()),
        # `imported` is a column only where base_import_module is: such modules have no code.
        {name: Module(*rest) for name, *rest in query(connection, """
            SELECT name, state, latest_version, coalesce((to_jsonb(m) ->> 'imported')::boolean, false)
            FROM ir_module_module m WHERE state NOT IN ('uninstalled', 'uninstallable') OR name = 'base'
            """)} if odoo else {})


def look(options, server):
    if not exists(server, options["db_name"]):
        return NOTHING
    connection = connect(options, options["db_name"])
    try:
        return read(connection)
    finally:
        connection.close()


def whose(state, release, series):
    # new: empty. begun: half initialised by us. ours: has our mark. found: somebody's Odoo, to be taken over.
    owner = state.parameters.get("odoofleet.release") or state.notes.get("initialising")
    if owner and owner != release:
        raise Failure("DatabaseForeign", f"The database belongs to the release {owner}, not to {release}. Name another database; to hand over "
                      f"a restored copy, delete the keys odoofleet.% from ir_config_parameter and all rows of {NOTES}, if it is there.")
    if not state.odoo:
        if state.tables and not owner:
            raise Failure("DatabaseForeign", f"The database holds {state.tables} tables but no Odoo. Name an empty database or none: it is then created.")
        return "begun" if owner else "new"
    base = state.modules.get("base") or Module("unknown", None, False)
    there = re.match(r"(?:saas~)?\d+\.\d+", base.version or "")
    if there and there[0] != series:
        raise Failure("OdooVersionMismatch", f"The database is of Odoo {there[0]}, the image is Odoo {series}. Go back to an image of {there[0]}; "
                      "another series needs a migrated copy of the database.")
    if owner:
        return "ours" if "odoofleet.release" in state.parameters else "begun"
    if base.state not in ("installed", "to upgrade") or not there:
        raise Failure("DatabaseForeign", "The database holds an Odoo that somebody else has not finished initialising. Name another database, or drop this one.")
    return "found"

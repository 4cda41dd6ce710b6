# web: the login page, which opens the database. cron: the database, and scheduled actions that are not left lying.
import configparser
import http.client
import os
import sys

COOKIE = "/tmp/probe-session"
PROCESS = "/proc/1/stat"
LATE = 1800


def web():
    # One session is kept and sent again: a new one each time would fill the filestore.
    headers = {}
    if os.path.exists(COOKIE):
        with open(COOKIE, encoding="ascii") as file:
            headers["Cookie"] = file.read()
    connection = http.client.HTTPConnection("127.0.0.1", 8069, timeout=9)
    connection.request("GET", "/web/login", headers=headers)
    answer = connection.getresponse()
    if answer.status != 200:
        sys.exit(f"/web/login answers {answer.status}")
    for cookie in answer.headers.get_all("Set-Cookie", []):
        if cookie.startswith("session_id="):
            with open(COOKIE, "w", encoding="ascii") as file:
                file.write(cookie.split(";")[0])


def running():
    # Seconds since Odoo's process began: after a pause everything is late, and has to be caught up with first.
    with open(PROCESS, encoding="ascii") as file, open("/proc/uptime", encoding="ascii") as uptime:
        return float(uptime.read().split()[0]) - int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")


def late(cursor):
    # Whether the scheduler does nothing: actions are due for half an hour, none ran in that time, and none runs now.
    cursor.execute("SELECT count(*) FROM ir_module_module WHERE state LIKE 'to %'")
    if cursor.fetchone()[0]:
        # Modules are being changed: Odoo itself runs nothing meanwhile.
        return False
    # `numbercall` is a column up to 17 only; 0 there means never again.
    active = "active AND coalesce((to_jsonb(c) ->> 'numbercall')::int, -1) <> 0"
    cursor.execute(f"""
        SELECT count(*) FILTER (WHERE nextcall < t.then), count(*) FILTER (WHERE lastcall > t.then), count(*)
        FROM ir_cron c, (SELECT now() AT TIME ZONE 'UTC' - %s * interval '1 second' AS then) t WHERE {active}""", [LATE])
    due, ran, every = cursor.fetchone()
    if not due or ran:
        return False
    # Odoo locks the row of an action while it runs, which may take hours. Looked at only here: a look can cost an action a turn.
    cursor.execute(f"SELECT count(*) FROM (SELECT FROM ir_cron c WHERE {active} FOR SHARE SKIP LOCKED) free")
    return cursor.fetchone()[0] == every


def cron():
    import psycopg2
    parser = configparser.RawConfigParser()
    parser.read(os.environ["ODOO_RC"], encoding="utf-8")
    o = parser["options"]
    connection = psycopg2.connect(host=o["db_host"], port=o["db_port"], user=o["db_user"], password=o["db_password"],
                                  dbname=o["db_name"], sslmode=o["db_sslmode"], connect_timeout=5)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET statement_timeout = '3s'")
    try:
        if running() > LATE and late(cursor):
            sys.exit(f"scheduled actions are due for more than {LATE} s, and none runs")
    except psycopg2.errors.QueryCanceled:
        # An update holds the tables; it ends by itself.
        pass


{"web": web, "cron": cron}[sys.argv[1]]()

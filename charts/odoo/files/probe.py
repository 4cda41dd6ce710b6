# web: the login page, which opens the database. started: any answer at all. cron: the database, and scheduled actions that are
# not left lying. What web needs is in the interpreter itself (python3 -I -S): http.client and site take four times the CPU, and
# a fleet at rest does little else than answer probes.
import os
import sys

PORT = 8069
TIMEOUT = 9
COOKIE = "/tmp/probe-session"
PROCESS = "/proc/1/stat"
LATE = 1800


def asked():
    # Status and headers of the login page, by names in lower case.
    import _socket
    cookie = ""
    if os.path.exists(COOKIE):
        # One session is kept and sent again: a new one each time would fill the filestore.
        with open(COOKIE, encoding="utf-8") as file:
            cookie = f"Cookie: {file.read()}\r\n"
    connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT)
    try:
        connection.connect(("127.0.0.1", PORT))
        connection.sendall(f"GET /web/login HTTP/1.0\r\nHost: 127.0.0.1:{PORT}\r\n{cookie}\r\n".encode())
        # To the end: Odoo would log a visitor who leaves early.
        answer = b""
        while part := connection.recv(65536):
            answer += part
    except OSError as error:
        sys.exit(f"/web/login does not answer: {error}")
    first, *lines = answer.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        sys.exit("/web/login does not answer in HTTP")
    return int(words[1]), [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def started():
    asked()


def web():
    status, headers = asked()
    if not 200 <= status < 400:
        sys.exit(f"/web/login answers {status}")
    for name, value in headers:
        # Single sign-on sends visitors elsewhere, and all is well. To the choice of a database Odoo sends them when its own
        # cannot be opened.
        if name == "location" and "/web/database/" in value:
            sys.exit(f"/web/login answers {status} to {value}: the database cannot be opened")
        if name == "set-cookie" and value.startswith("session_id="):
            with open(COOKIE, "w", encoding="utf-8") as file:
                file.write(value.split(";")[0])


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
    import configparser

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


{"web": web, "started": started, "cron": cron}[sys.argv[1]]()

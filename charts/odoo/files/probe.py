"""Readiness. web: the login page, which opens the database; cron: the database."""
import configparser
import http.client
import os
import sys

COOKIE = "/tmp/probe-session"


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


def cron():
    import psycopg2
    parser = configparser.RawConfigParser()
    parser.read(os.environ["ODOO_RC"], encoding="utf-8")
    o = parser["options"]
    psycopg2.connect(host=o["db_host"], port=o["db_port"], user=o["db_user"], password=o["db_password"],
                     dbname=o["db_name"], sslmode=o["db_sslmode"], connect_timeout=9).close()


{"web": web, "cron": cron}[sys.argv[1]]()

"""Write odoo.conf from the chart's options and the mounted Secrets, then wait until the database can be used."""
import configparser
import json
import os
import sys
import time

import psycopg2

OPTIONS = "/etc/odoofleet/{}.json"
CONFIG = "/run/odoo/odoo.conf"
SECRET = "/run/secrets/{}"
SECRETS = {"db_password": "database/password", "admin_passwd": "odoo/admin_passwd", "smtp_password": "mail/password"}
WAIT = 600


def write(role):
    with open(OPTIONS.format(role), encoding="utf-8") as file:
        options = json.load(file)
    for key, path in SECRETS.items():
        if os.path.exists(SECRET.format(path)):
            with open(SECRET.format(path), encoding="utf-8") as file:
                options[key] = file.read().rstrip("\r\n")
    for key, value in options.items():
        # A line break would begin another option, and Odoo strips spaces, so the value would not be the one given.
        if str(value) != str(value).strip() or "\n" in str(value) or "\r" in str(value):
            sys.exit(f"{key}: spaces at the ends and line breaks are not possible in odoo.conf")
    parser = configparser.RawConfigParser()
    parser["options"] = {key: str(value) for key, value in options.items()}
    with open(os.open(CONFIG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        parser.write(file)
    return options


def usable(options, role):
    """The web server needs a server that answers; cron needs what the web server has initialised."""
    connection = psycopg2.connect(
        host=options["db_host"], port=options["db_port"], user=options["db_user"], password=options["db_password"],
        sslmode=options["db_sslmode"], dbname="postgres" if role == "web" else options["db_name"], connect_timeout=5)
    try:
        if role == "web":
            return True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM ir_module_module WHERE name = 'base' AND state = 'installed'")
            return cursor.fetchone() is not None
    finally:
        connection.close()


def main():
    role = sys.argv[1]
    options = write(role)
    deadline, told = time.monotonic() + WAIT, None
    while True:
        try:
            if usable(options, role):
                return
            reason = "the database is not initialised yet"
        except psycopg2.Error as error:
            reason = str(error).strip().split("\n")[0]
        if reason != told:
            print(f"waiting: {reason}", flush=True)
            told = reason
        if time.monotonic() > deadline:
            sys.exit(f"no usable database after {WAIT} s: {reason}")
        time.sleep(2)


main()

"""Stands in for odoo-bin where no source of Odoo is at hand: the same tables, states, transactions, log lines and exit codes.

Copied into a tree that looks like Odoo's, where release.py and the manifests are."""
import ast
import configparser
import datetime
import glob
import os
import re
import sys
import traceback
import uuid

import psycopg2

ROOT = os.path.dirname(os.path.abspath(__file__))
with open(f"{ROOT}/odoo/release.py", encoding="utf-8") as release:
    SERIES = ".".join(re.search(r"\((\d+), (\d+)", release.read()).groups())
COUNTRIES = {"CN": (48, 6), "FR": (75, 1)}
LANGUAGES = ("en_US", "zh_CN", "fr_FR")
TABLES = """
CREATE TABLE res_users (id serial PRIMARY KEY, login varchar NOT NULL UNIQUE, password varchar, active boolean DEFAULT true, lang varchar, tz varchar, email varchar);
CREATE TABLE res_company (id serial PRIMARY KEY, country_id int, currency_id int, email varchar, lang varchar);
CREATE TABLE res_lang (code varchar PRIMARY KEY, active boolean);
CREATE TABLE ir_default (field varchar PRIMARY KEY, value varchar);
CREATE TABLE ir_module_module (id serial PRIMARY KEY, name varchar NOT NULL UNIQUE, state varchar(16), latest_version varchar, demo boolean DEFAULT false);
CREATE TABLE ir_config_parameter (id serial PRIMARY KEY, key varchar NOT NULL, value text NOT NULL, create_date timestamp, write_date timestamp,
  CONSTRAINT ir_config_parameter_key_uniq UNIQUE (key));
CREATE TABLE ir_cron (id serial PRIMARY KEY, active boolean, nextcall timestamp, lastcall timestamp, numbercall int);
INSERT INTO res_users (login, password, active) VALUES ('__system__', NULL, false), ('admin', 'admin', true), ('public', '', false);
INSERT INTO res_company DEFAULT VALUES;
INSERT INTO res_lang VALUES ('en_US', true), ('zh_CN', false), ('fr_FR', false);
"""


def log(level, logger, text):
    stamp = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    print(f"{stamp} {os.getpid()} {level} {DATABASE} odoo.{logger}: {text}", file=sys.stderr, flush=True)


def option(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else ""


CONFIG = configparser.RawConfigParser()
CONFIG.read(option("-c"), encoding="utf-8")
OPTIONS = CONFIG["options"]
DATABASE = option("-d")


def manifests():
    found = {}
    for folder in (*OPTIONS["addons_path"].split(","), f"{ROOT}/odoo/addons"):
        for path in sorted(glob.glob(f"{folder}/*/__manifest__.py")):
            with open(path, encoding="utf-8") as file:
                found.setdefault(os.path.basename(os.path.dirname(path)), (os.path.dirname(path), ast.literal_eval(file.read())))
    return found


def adapted(version):
    return version if version.startswith(SERIES + ".") else f"{SERIES}.{version}"


class Loader:
    def __init__(self, connection):
        self.connection, self.cursor, self.code = connection, connection.cursor(), manifests()

    def query(self, text, *values):
        self.cursor.execute(text, values or None)
        return self.cursor.fetchall() if self.cursor.description else []

    def start(self, install, update, languages):
        # Tables and base are one transaction.
        if not self.query("SELECT to_regclass('ir_module_module')")[0][0]:
            log("INFO", "modules.loading", "init db")
            self.query(TABLES)
            for key, value in (("database.uuid", str(uuid.uuid4())), ("web.base.url", "http://localhost:8069")):
                self.query("INSERT INTO ir_config_parameter (key, value) VALUES (%s, %s)", key, value)
            self.known(("base", "web"))
        self.known(())
        if "base" in update:
            self.query("UPDATE ir_module_module SET state = 'to upgrade' WHERE state = 'installed'")
        self.load(("to install", "to upgrade"), "base")
        for code in languages:
            self.query("UPDATE res_lang SET active = true WHERE code = %s", code)
        for name in install:
            self.mark(name)
        for name in update:
            self.query("UPDATE ir_module_module SET state = 'to upgrade' WHERE name = %s AND state = 'installed'", name)
        self.connection.commit()
        while self.load(("to install", "to upgrade"), None):
            pass
        log("INFO", "modules.loading", "Modules loaded.")

    def known(self, begun):
        for name in self.code:
            self.query("INSERT INTO ir_module_module (name, state) VALUES (%s, %s) ON CONFLICT DO NOTHING", name, "to install" if name in begun else "uninstalled")

    def mark(self, name):
        if name not in self.code:
            log("WARNING", "modules.loading", f"invalid module names, ignored: {name}")
            return
        self.query("UPDATE ir_module_module SET state = 'to install' WHERE name = %s AND state = 'uninstalled'", name)
        for other in self.code[name][1].get("depends", ()):
            self.mark(other)

    def load(self, states, only):
        marked = self.query("SELECT name FROM ir_module_module WHERE state IN %s ORDER BY name <> 'base', id", states)
        names = [name for (name,) in marked if name in self.code and only in (None, name)]
        for index, name in enumerate(names, 1):
            folder, manifest = self.code[name]
            log("INFO", "modules.loading", f"Loading module {name} ({index}/{len(names)})")
            if os.path.exists(f"{folder}/__init__.py"):
                with open(f"{folder}/__init__.py", encoding="utf-8") as file:
                    exec(compile(file.read(), f"{folder}/__init__.py", "exec"), {})
            self.query("UPDATE ir_module_module SET state = 'installed', latest_version = %s, demo = %s WHERE name = %s",
                       adapted(manifest["version"]), OPTIONS.get("without_demo") != "all", name)
            log("INFO", "modules.loading", f"Module {name} loaded in 0.01s, 1 queries")
            self.connection.commit()
        return names


class Record:
    def __init__(self, cursor, table, number):
        self.__dict__.update(cursor=cursor, table=table, id=number)

    def write(self, values):
        for key, value in values.items():
            self.cursor.execute(f"UPDATE {self.table} SET {key} = %s WHERE id = %s", [f"hash of {value[::-1]}" if key == "password" else value, self.id])

    def __setattr__(self, key, value):
        self.write({key: value})

    def __getattr__(self, key):
        if key == "partner_id":
            return self
        raise AttributeError(key)


class Model:
    """As much of an environment as the bootstrap asks for."""

    def __init__(self, cursor, name):
        self.cursor, self.name = cursor, name
        self._fields = {"tz": self}

    def search(self, domain, limit=None):
        (_, _, code), = domain
        if self.name == "res.country" and code in COUNTRIES:
            country = Record(self.cursor, "res_country", COUNTRIES[code][0])
            country.__dict__["currency_id"] = Record(self.cursor, "res_currency", COUNTRIES[code][1])
            return country
        if self.name == "res.lang":
            self.cursor.execute("SELECT code FROM res_lang WHERE active AND code = %s", [code])
            return self.cursor.fetchall()
        return []

    def set(self, model, field, value):
        self.cursor.execute("INSERT INTO ir_default VALUES (%s, %s) ON CONFLICT (field) DO UPDATE SET value = EXCLUDED.value", [f"{model}.{field}", value])

    def browse(self, number):
        return Record(self.cursor, self.name.replace(".", "_"), number)

    def _description_selection(self, _):
        return [("Asia/Shanghai", "Asia/Shanghai"), ("UTC", "UTC")]


class Environment:
    def __init__(self, connection):
        self.cr = connection.cursor()
        self.commit = connection.commit

    def __getitem__(self, name):
        return Model(self.cr, name)

    def ref(self, name):
        return {"base.user_admin": Record(self.cr, "res_users", 2), "base.main_company": Record(self.cr, "res_company", 1)}[name]


class Cursor:
    """psycopg2's, with Odoo's commit."""

    def __init__(self, connection):
        self.connection, self.inner = connection, connection.cursor()

    def __getattr__(self, name):
        return getattr(self.connection if name == "commit" else self.inner, name)


def main():
    connection = psycopg2.connect(
        host=OPTIONS["db_host"], port=OPTIONS["db_port"], user=OPTIONS["db_user"], password=OPTIONS["db_password"], dbname=DATABASE,
        sslmode=OPTIONS["db_sslmode"], application_name=os.environ.get("ODOO_PGAPPNAME", "odoo"))
    if sys.argv[1] == "shell":
        env = Environment(connection)
        env.cr = Cursor(connection)
        exec(sys.stdin.read(), {"env": env, "__name__": "__main__"})
        return
    languages = [code for word in sys.argv if word.startswith("--load-language=") for code in word.split("=")[1].split(",")]
    loader = Loader(connection)
    try:
        loader.start(*(list(filter(None, option(flag).split(","))) for flag in ("-i", "-u")), languages)
    except Exception:
        connection.rollback()
        if loader.query("SELECT to_regclass('ir_module_module')")[0][0]:
            loader.query("UPDATE ir_module_module SET state = 'installed' WHERE state IN ('to remove', 'to upgrade')")
            loader.query("UPDATE ir_module_module SET state = 'uninstalled' WHERE state = 'to install'")
            connection.commit()
        log("CRITICAL", "service.server", f"Failed to initialize database `{DATABASE}`.")
        traceback.print_exc()
        sys.exit(255)


main()

# Makes the database fit the code before Odoo starts: creates, initialises once, installs, updates; the fingerprint comes last.
import datetime
import errno
import hashlib
import json
import os
import tempfile
import time

import psycopg2
from psycopg2 import sql

import prepare_database as database
import prepare_modules as modules
import prepare_odoo as odoo
import prepare_pod as pod
from prepare_database import NOTES, query
from prepare_pod import Failure, say

AGAIN = "It is tried again when the image, the addons, modules or git.refresh change."
VOLUME = {errno.EROFS: ("VolumeReadOnly", "is mounted read-only: look at the node and at the storage"),
          errno.ENOSPC: ("VolumeFull", "is full: make it larger (persistence.size)"),
          errno.EDQUOT: ("VolumeFull", "has used up its quota: raise it")}
URLS = {"web.base.url": "baseUrl", "report.url": "reportUrl"}


def volume(folder, name):
    # Odoo would start on a filestore that it cannot write, and lose people's documents.
    not_owned = f"The volume of {folder} does not let user {os.getuid()} write"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 65536)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason, text = VOLUME.get(error.errno, ("VolumeNotOwned", ""))
        raise Failure(reason, f"The volume of {folder} {text}." if text else f"{not_owned}: {error.strerror}. Give it to that user or to group 101.") from None
    for inner in ("sessions", "filestore", f"filestore/{name}"):
        path = os.path.join(folder, inner)
        if os.path.isdir(path) and not os.access(path, os.W_OK | os.X_OK):
            raise Failure("VolumeNotOwned", f"{not_owned} in {inner}. Give it to that user or to group 101.")


def lock(server, name):
    # Held until this process ends. In `postgres`, where it is one for all, and may be had before the database is there.
    # Our session may idle for hours, and must be gone soon after our node is.
    query(server, "SELECT set_config(name, value, false) FROM (VALUES ('idle_session_timeout', '0'), ('tcp_keepalives_idle', '30'), "
                  "('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3')) v (name, value) JOIN pg_settings USING (name)")
    key = int.from_bytes(hashlib.sha256(f"odoofleet {name}".encode()).digest()[:8], "big", signed=True)
    told = False
    while not query(server, "SELECT pg_try_advisory_lock(%s)", key)[0][0]:
        if not told:
            say("waiting: another pod prepares this database")
            told = True
        time.sleep(1)
    # We hold the lock: a session of a child is one of a prepare that is no more, and it may hold the tables.
    while query(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = %s", name, odoo.SESSION):
        time.sleep(0.2)


class Prepare:
    def __init__(self, known):
        self.settings = pod.settings("prepare")
        self.parser = pod.configuration()
        self.options = dict(self.parser["options"])
        self.name = self.options["db_name"]
        self.code = modules.Code(self.options, self.settings)
        self.fingerprint = modules.fingerprint(self.settings)
        # All that goes in but for secrets: what has failed with it is not tried with it again.
        self.attempt = modules.digest([self.fingerprint, self.settings, {k: v for k, v in self.options.items() if k not in pod.SECRETS}])
        self.known, self.db = known, None
        self.server = database.connect(self.options, "postgres", database.WAIT)

    def run(self):
        volume(self.options["data_dir"], self.name)
        lock(self.server, self.name)
        state = database.look(self.options, self.server)
        stage = database.whose(state, self.settings["release"], self.code.series)
        self.know(state, stage)
        failed = json.loads(state.notes.get("failed", "{}"))
        if failed.get("attempt") == self.attempt:
            self.known["database"]["modulesFailed"] = failed["modules"]
            raise Failure(failed["reason"], failed["message"])
        try:
            if stage in ("new", "begun"):
                self.initialise("bootstrapped" in state.notes)
                stage = "begun"
            self.update(stage)
        except Failure as failure:
            self.known["database"]["modulesFailed"] = failure.modules[:pod.SHOWN]
            if failure.lasting:
                self.remember(failure)
            raise

    def know(self, state, stage):
        self.known["database"] = {"initialised": stage in ("ours", "found") or "bootstrapped" in state.notes, "modulesFailed": []}
        for key, name in (("fingerprint", "odoofleet.fingerprint"), ("updatedAt", "odoofleet.updated_at"), ("uuid", "database.uuid")):
            if name in state.parameters:
                self.known["database"][key] = state.parameters[name]

    def remember(self, failure):
        self.note("failed", json.dumps({"attempt": self.attempt, "reason": failure.reason, "message": pod.hidden(failure.message)[:1500],
                                        "modules": failure.modules[:pod.SHOWN]}))

    def note(self, key, value):
        if not self.db:
            self.db = database.connect(self.options, self.name)
        query(self.db, f"CREATE TABLE IF NOT EXISTS {NOTES} (key text PRIMARY KEY, value text NOT NULL)")
        query(self.db, f"INSERT INTO {NOTES} VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value", key, value)

    def set(self, **values):
        # One statement, one transaction. Idempotent: the same values again change nothing.
        query(self.db, "INSERT INTO ir_config_parameter (key, value, create_date, write_date) SELECT key, value, now() AT TIME ZONE 'UTC', "
                       "now() AT TIME ZONE 'UTC' FROM jsonb_each_text(%s) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, "
                       "write_date = EXCLUDED.write_date", json.dumps(values))

    def begin(self):
        # Idempotent: the database is made if there is none; an empty one without our note is what a kill in between leaves.
        if not database.exists(self.server, self.name):
            say(f"prepare: creates the database {self.name}")
            # As Odoo does: with collation C its indexes serve LIKE.
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C'").format(sql.Identifier(self.name))
            query(self.server, create)
        self.db = database.connect(self.options, self.name)
        for extension in ("pg_trgm", "unaccent"):
            try:
                query(self.db, f"CREATE EXTENSION IF NOT EXISTS {extension}")
            except psycopg2.Error as error:
                say(f"prepare: goes on without the extension {extension}: {error}")
        if not query(self.db, "SELECT has_schema_privilege(current_schema(), 'CREATE')")[0][0]:
            raise Failure("DatabaseRefused", f"The role {self.options['db_user']} may not create tables in {self.name}: make it the owner of the database.")
        self.note("initialising", self.settings["release"])

    def settle(self, stage):
        # Idempotent: states that dead runs left.
        self.db = self.db or database.connect(self.options, self.name)
        if not database.read(self.db).odoo:
            return
        # Nobody asks us to uninstall; Odoo would on its next update.
        query(self.db, "UPDATE ir_module_module SET state = 'installed' WHERE state = 'to remove'")
        if stage == "begun":
            query(self.db, "UPDATE ir_module_module SET state = 'to install' WHERE name = 'base' AND state = 'uninstalled'")
        if stage == "found":
            query(self.db, "UPDATE ir_module_module SET state = 'uninstalled' WHERE state = 'to install'")

    def odoo(self, reason, doing, arguments, script=None):
        code, log = odoo.run(self.server, arguments, script)
        if code:
            odoo.passing(code, log)
            volume(self.options["data_dir"], self.name)
            raise Failure(reason, f"{doing} failed{' at ' + log.module if log.module else ''}: {log.why().rstrip('.')}. {AGAIN}",
                          lasting=True, modules=[log.module] if log.module else [])

    def initialise(self, bootstrapped):
        wanted = self.settings["bootstrap"]
        self.code.check(self.settings)
        password, named = pod.secret(pod.ADMINISTRATOR), wanted.get("existingSecret")
        if password == "" or (named and password is None):
            raise Failure("ConfigurationInvalid", f"The Secret {named or 'of bootstrap'} holds no key administrator_password, or an empty password. "
                          "Add it, or name no Secret.")
        self.begin()
        if bootstrapped:
            return
        self.settle("begun")
        # Idempotent: Odoo commits module by module, and goes on with those that are `to install`. `web` is named because a run
        # that failed has reset them.
        languages = ["--load-language=" + ",".join(wanted["languages"])] if wanted["languages"] else []
        self.odoo("InitialisationFailed", "Initialising the database", ["-i", "base,web", *languages, "--stop-after-init"])
        # Idempotent: the same values; before anybody can log in, and before `bootstrapped` says that it is done.
        urls = {key: self.settings[name] for key, name in URLS.items()}
        self.set(**{key: url for key, url in urls.items() if url}, **{f"odoofleet.{key}": url for key, url in urls.items()},
                 **({"web.base.url.freeze": "True"} if urls["web.base.url"] else {}),
                 **({"database.uuid": wanted["databaseUuid"]} if wanted.get("databaseUuid") else {}))
        # Idempotent: one transaction, and its note is part of it.
        with open(os.path.join(os.path.dirname(__file__), "prepare_bootstrap.py"), encoding="utf-8") as file:
            script = f"import json\nSETTINGS = json.loads({json.dumps(wanted)!r})\n{file.read()}"
        self.odoo("InitialisationFailed", "Setting up the administrator and the company", ["shell"], script)
        self.known["database"]["initialised"] = True

    def update(self, stage):
        state = database.look(self.options, self.server)
        same = state.parameters.get("odoofleet.fingerprint") == self.fingerprint
        work = self.code.work(state.modules, self.settings["modules"], same, theirs=stage == "found")
        self.check(work)
        if work.install or work.update:
            self.settle(stage)
            # Idempotent: what a killed run has committed has its new version, and is not asked for again.
            flags = [part for flag, names in (("-i", work.install), ("-u", work.update)) if names for part in (flag, ",".join(sorted(names)))]
            self.odoo("ModuleUpdateFailed", f"Updating {len(work.install | work.update)} modules", [*flags, "--stop-after-init"])
            self.verify(work)
        self.finish(state, same and not work.update)

    def check(self, work):
        never = self.settings["modules"]["update"] == "Never"
        if work.stale and never:
            say(f"prepare: modules.update is Never; of another version than their code: {' '.join(sorted(work.stale))}")
        if not work.missing:
            return
        names = sorted(work.missing)
        text = f"{len(names)} installed modules have no code in addons_path: {', '.join(names[:pod.SHOWN])}. Bring their addons back, or uninstall them first."
        if not never:
            raise Failure("ModuleNotFound", text, modules=names)
        say(f"prepare: {text}")

    def verify(self, work):
        # Odoo ends well, too, when it has left out a module.
        there = database.look(self.options, self.server).modules
        wrong = {name for name in work.install | work.update if name not in there or there[name].state != "installed"}
        wrong |= {name for name in work.stale & work.update - wrong if there[name].version != self.code.version(name)}
        if wrong:
            raise Failure("ModuleUpdateFailed", f"Odoo has left out {', '.join(sorted(wrong)[:pod.SHOWN])}; its log says why. {AGAIN}", lasting=True, modules=wrong)

    def follow(self, parameters):
        # Idempotent. An address that is still the one we wrote follows the values; one that people have set stays.
        values = {}
        for key, name in URLS.items():
            url, former = self.settings[name], parameters.get(f"odoofleet.{key}")
            untouched = former == parameters.get(key) or (former == "" and f"{key}.freeze" not in parameters)
            if url and former is not None and url != former and untouched:
                values.update({key: url, f"odoofleet.{key}": url}, **({f"{key}.freeze": "True"} if key == "web.base.url" else {}))
        if values:
            say(f"prepare: {values}")
            self.set(**values)

    def finish(self, state, same):
        self.db = self.db or database.connect(self.options, self.name)
        self.follow(state.parameters)
        if not same:
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
            # Last of all, in one statement: release and fingerprint say that everything before them is done.
            self.set(**{"odoofleet.release": self.settings["release"], "odoofleet.updated_at": now, "odoofleet.fingerprint": self.fingerprint})
        if state.notes:
            query(self.db, f"DELETE FROM {NOTES}")
        self.know(database.read(self.db), "ours")


def main(known):
    prepare = Prepare(known)
    # odoo.conf for the children, with the password: gone with us, as the volume is the running Odoo's too.
    odoo.configure(prepare.parser, prepare.code.series, prepare.settings["bootstrap"]["demo"])
    try:
        prepare.run()
    finally:
        os.unlink(odoo.CONFIG)


if __name__ == "__main__":
    pod.run(database.told(main))

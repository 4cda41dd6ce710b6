"""The role of the database, odoo.conf, waiting of the cron pod, and the probes, against a real PostgreSQL and HTTP."""
import configparser
import http.server
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

from chart import CHART
from odoos import Fake
from pod import PASSWORD, Case, needs_postgresql, psycopg2

# Seconds.
UPTIME = 1_000_000


@needs_postgresql
class Role(Case):
    def test_role_is_no_superuser(self):
        self.assertEqual(self.server.query("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'odoo'"), [(False, True, False)])
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
            self.server.query("COPY (SELECT 1) TO PROGRAM 'true'")

    def test_superuser_has_no_password(self):
        with self.assertRaisesRegex(psycopg2.OperationalError, "password authentication failed"):
            self.server.connect(user="postgres")

    def seen(self, text):
        """As it is, or as a literal of SQL."""
        for form in (PASSWORD, PASSWORD.replace("'", "''"), PASSWORD.replace("\\", "\\\\").replace("'", "''")):
            self.assertFalse(form in text, "the password is there")

    def test_the_password_is_in_no_log(self):
        log = self.server.log()
        self.assertRegex(log, 'statement: CREATE ROLE "odoo"', "the log has every statement")
        self.seen(log)

    def test_the_password_is_in_no_log_of_a_failure_either(self):
        result = subprocess.run(self.server.role(), capture_output=True, text=True, check=False, **self.server.environment())
        self.assertNotEqual(result.returncode, 0, "the role is there")
        self.assertIn('role "odoo" already exists', result.stderr)
        self.seen(result.stdout + result.stderr + self.server.log())

    def test_a_verifier_is_kept_whatever_the_parameters_say(self):
        self.assertIn("SCRAM-SHA-256$", self.server.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'odoo'", superuser=True)[0][0])

    def test_a_role_without_its_password_is_no_role(self):
        (self.server.root / "password").rename(self.server.root / "away")
        try:
            result = subprocess.run(self.server.role(), capture_output=True, text=True, check=False, **self.server.environment("other"))
        finally:
            (self.server.root / "away").rename(self.server.root / "password")
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(self.server.query("SELECT 1 FROM pg_roles WHERE rolname = 'other'"), [])


@needs_postgresql
class Configure(Fake):
    def options(self):
        parser = configparser.RawConfigParser()
        parser.read(self.pod.root / "run/odoo.conf", encoding="utf-8")
        return dict(parser["options"])

    def test_configuration(self):
        (self.pod.root / "secrets/odoo/admin_passwd").write_text("m%(x)s", encoding="utf-8")
        code, output, told = self.pod.run("configure", "web")
        self.assertEqual((code, told), (0, {"plan": {"action": "Initialise", "modules": ["base"], "total": 1}}), output)
        self.assertEqual(stat.S_IMODE((self.pod.root / "run/odoo.conf").stat().st_mode), 0o600)
        options = self.options()
        self.assertEqual((options["db_password"], options["admin_passwd"]), (PASSWORD, "m%(x)s"))
        self.assertEqual((options["list_db"], options["workers"]), ("False", "4"))
        # A source tree's own addons are found, too.
        self.assertEqual(options["addons_path"], f"{self.pod.root}/addons/0,{self.source}/addons")

    def test_secrets_are_no_arguments_and_no_variables(self):
        (self.pod.root / "secrets/bootstrap/password").write_text("the administrator's", encoding="utf-8")
        self.pod.run("configure", "web")
        process = self.pod.start("prepare")
        seen = []
        for line in process.stdout:
            if "odoo-bin" in line or "Loading module" in line:
                seen += [text for number in children(process.pid) for text in shown(number)]
        self.assertEqual(process.wait(), 0)
        process.stdout.close()
        self.assertTrue(any(b"prepare.conf" in text for text in seen))
        for text in seen:
            self.assertNotIn(PASSWORD.encode(), text)
            self.assertNotIn(b"the administrator's", text)
        log = self.server.log()
        self.assertIn("odoofleet_prepare", log)
        for word in (PASSWORD, PASSWORD.replace("'", "''"), "the administrator's", "the administrator''s"):
            self.assertFalse(word in log, "statements that PostgreSQL logs hold no password")

    def test_a_long_plan_is_cut(self):
        self.initialised()
        self.query("INSERT INTO ir_module_module (name, state, latest_version) SELECT 'shop_' || i, 'to upgrade', '1' FROM generate_series(1, 200) i")
        self.pod.prepare["modules"]["update"] = "Never"
        plan = self.pod.run("configure", "web")[2]["plan"]
        self.assertEqual((plan["total"], len(plan["modules"])), (200, 30))

    def test_cron_waits_for_the_fingerprint_of_its_own_inputs(self):
        process = self.pod.start("configure", "cron")
        self.addCleanup(process.kill)
        self.pod.until(process, "waiting for the web pod's prepare: it has not finished")
        web = self.new_pod()
        self.runs(web)
        output, _ = process.communicate(timeout=60)
        self.assertEqual((process.returncode, self.pod.told()["plan"]["action"]), (0, "Nothing"), output)
        self.assertEqual(self.options()["workers"], "4")

        self.pod.prepare["image"] = web.prepare["image"] = "next"
        web.prepare["modules"]["install"] = self.pod.prepare["modules"]["install"] = ["shop_first"]
        process = self.pod.start("configure", "cron")
        self.addCleanup(process.kill)
        self.pod.until(process, "waiting for the web pod's prepare: it has not finished")
        self.assertIsNone(process.poll())
        (web.root / "addons/0/shop_first/__init__.py").write_text("raise ValueError", encoding="utf-8")
        web.run("configure", "web")
        self.assertEqual(web.run("prepare")[0], 1)
        self.pod.until(process, "waiting for the web pod's prepare: its last attempt failed")
        process.terminate()
        self.assertEqual(process.wait(10), 143)
        process.stdout.close()

    def test_cron_refuses_what_is_not_its_own(self):
        self.initialised()
        self.pod.prepare["release"] = "globex-prod"
        self.refused(self.pod.run("configure", "cron"), "DatabaseForeign", "acme-prod")


def children(pid):
    return subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout.split()


def shown(process):
    """What others see of a process; nothing once it has ended."""
    try:
        return [pathlib.Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ")]
    except (FileNotFoundError, ProcessLookupError):
        return []


@needs_postgresql
class Cron(Fake):
    """The probe of the cron pod."""

    def setUp(self):
        super().setUp()
        self.initialised()
        self.pod.run("configure", "web")
        self.since = "0"

    def probe(self):
        source = self.pod.moved((CHART / "files/probe.py").read_text(encoding="utf-8"))
        # A process that began with a machine which has been up for days, whatever this one's is.
        (self.pod.root / "stat").write_text("1 (odoo server) S " + " ".join(["0"] * 18) + f" {self.since} 0", encoding="ascii")
        (self.pod.root / "uptime").write_text(f"{UPTIME}.00 0.00", encoding="ascii")
        source = source.replace("/proc/1/stat", str(self.pod.root / "stat")).replace("/proc/uptime", str(self.pod.root / "uptime"))
        result = subprocess.run([sys.executable, "-c", source, "cron"], capture_output=True, text=True, check=False, timeout=60,
                                env={"ODOO_RC": str(self.pod.root / "run/odoo.conf")})
        return result.returncode, result.stderr

    def jobs(self, *jobs):
        """Each: minutes since nextcall, minutes since lastcall."""
        self.query("DELETE FROM ir_cron")
        for next_call, last_call in jobs:
            self.query("INSERT INTO ir_cron (active, nextcall, lastcall, numbercall) SELECT true, t - %s * interval '1 minute', t - %s * interval '1 minute', -1 "
                       "FROM (SELECT now() AT TIME ZONE 'UTC' AS t) now", next_call, last_call)

    def test_actions_in_time(self):
        self.jobs()
        self.assertEqual(self.probe(), (0, ""))
        self.jobs((-60, 10), (20, 60))
        self.assertEqual(self.probe(), (0, ""))

    def test_nothing_runs(self):
        self.jobs((45, 60), (-60, 50))
        code, error = self.probe()
        self.assertEqual(code, 1)
        self.assertIn("due for more than 1800 s, and none runs", error)

    def test_what_is_no_fault(self):
        # Others ran in between; never again; switched off; modules are being changed.
        self.jobs((45, 60), (-5, 10))
        self.assertEqual(self.probe(), (0, ""))
        self.jobs((45, 60))
        for change, back in (("UPDATE ir_cron SET numbercall = 0", "UPDATE ir_cron SET numbercall = -1"),
                             ("UPDATE ir_cron SET active = false", "UPDATE ir_cron SET active = true"),
                             ("UPDATE ir_module_module SET state = 'to upgrade' WHERE name = 'web'",
                              "UPDATE ir_module_module SET state = 'installed' WHERE name = 'web'"),
                             ("ALTER TABLE ir_cron DROP COLUMN numbercall; UPDATE ir_cron SET active = false", "UPDATE ir_cron SET active = true")):
            self.query(change)
            self.assertEqual(self.probe(), (0, ""), change)
            self.query(back)
            self.assertEqual(self.probe()[0], 1, back)

    def test_after_a_pause_there_is_time_to_catch_up(self):
        self.jobs((4000, 4000))
        self.since = str((UPTIME - 60) * os.sysconf("SC_CLK_TCK"))
        self.assertEqual(self.probe(), (0, ""))

    def test_one_that_runs_for_hours(self):
        self.jobs((300, 360), (45, 60))
        running = self.server.connect(dbname="shop")
        running.autocommit = False
        running.cursor().execute("SELECT * FROM ir_cron ORDER BY nextcall LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED")
        self.assertEqual(self.probe(), (0, ""))
        running.rollback()
        self.assertEqual(self.probe()[0], 1)

    def test_tables_that_an_update_holds(self):
        self.jobs((45, 60))
        update = self.server.connect(dbname="shop")
        update.autocommit = False
        update.cursor().execute("LOCK ir_cron")
        self.assertEqual(self.probe(), (0, ""))
        update.rollback()

    def test_no_database(self):
        self.drop("shop")
        self.assertEqual(self.probe()[0], 1)


class Login(http.server.BaseHTTPRequestHandler):
    status, seen = 200, []

    def do_GET(self):
        type(self).seen.append((self.path, self.headers.get("Cookie")))
        self.send_response(self.status)
        self.send_header("Set-Cookie", "session_id=abc; Path=/; HttpOnly")
        self.send_header("Location", "/web/database/selector")
        self.end_headers()

    def log_message(self, *_):
        pass


class Readiness(unittest.TestCase):
    def setUp(self):
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Login)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        Login.seen = []

    def probe(self, status):
        Login.status = status
        source = (CHART / "files/probe.py").read_text(encoding="utf-8")
        source = source.replace("8069", str(self.server.server_port)).replace('"/tmp/', f'"{self.folder}/')
        return subprocess.run([sys.executable, "-c", source, "web"], capture_output=True, text=True, check=False, timeout=60)

    def test_only_200_is_ready_and_no_redirect_is_followed(self):
        self.assertEqual(self.probe(200).returncode, 0)
        for status in (303, 404, 500):
            result = self.probe(status)
            self.assertEqual(result.returncode, 1)
            self.assertIn(str(status), result.stderr)
        self.assertEqual({path for path, _ in Login.seen}, {"/web/login"})

    def test_one_session_is_used_again(self):
        self.probe(200)
        self.probe(200)
        self.assertEqual([cookie for _, cookie in Login.seen], [None, "session_id=abc"])


if __name__ == "__main__":
    unittest.main()

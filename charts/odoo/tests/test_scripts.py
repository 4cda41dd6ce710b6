"""The role of the database, odoo.conf, waiting of the cron pod, and the probes, against a real PostgreSQL and HTTP."""
import configparser
import http.server
import os
import pathlib
import shutil
import socket
import socketserver
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

from chart import CHART
from network import FOUR, SIX, WAY_OUT, apart, can_part
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
        self.assertIn(options["http_interface"], ("0.0.0.0", "::"))
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


@unittest.skipUnless(can_part() and psycopg2, "needs network namespaces and psycopg2")
class Interface(unittest.TestCase):
    """Where Odoo listens, in pods of one address family or both."""

    def listens(self, setup, series, workers):
        code = f"import sys; sys.path.insert(0, {str(CHART / 'files')!r}); import configure; print(configure.interface({series!r}, {workers}))"
        result = subprocess.run([*apart(setup, 'exec "$@"'), sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False, timeout=60)
        return result.stdout.strip() or result.stderr.splitlines()[-1]

    def test_on_both_families_where_the_pod_has_an_ipv6_address(self):
        for setup in (SIX, SIX + FOUR, SIX + WAY_OUT):
            for series, workers in (("15.0", 0), ("16.0", 0), ("17.0", 4), ("18.0", 0), ("19.0", 8)):
                self.assertEqual(self.listens(setup, series, workers), "::", (setup, series, workers))

    def test_on_ipv4_where_it_has_none(self):
        for series, workers in (("16.0", 4), ("18.0", 0), ("18.0", 4)):
            self.assertEqual(self.listens(FOUR, series, workers), "0.0.0.0")

    def test_workers_before_17_know_ipv4_alone(self):
        self.assertEqual(self.listens(SIX + FOUR, "16.0", 4), "0.0.0.0")
        for setup in (SIX, SIX + WAY_OUT):
            self.assertIn("Odoo 16.0 with workers listens on IPv4 alone", self.listens(setup, "16.0", 4))

    def test_a_socket_of_ipv6_takes_the_probe_of_ipv4(self):
        code = """
import http.server, socket, sys, threading, urllib.request
class Six(http.server.HTTPServer):
    address_family = socket.AF_INET6
class Login(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
threading.Thread(target=Six(("::", 8069), Login).serve_forever, daemon=True).start()
sys.argv = ["probe.py", "started"]
exec(open(PROBE).read())
print(urllib.request.urlopen("http://[fd00::7]:8069/").status)
""".replace("PROBE", repr(str(CHART / "files/probe.py")))
        result = subprocess.run([*apart(SIX, 'exec "$@"'), sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(result.stdout, "200\n", result.stderr)


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
    answer, seen = (200, {}), []

    def do_GET(self):
        type(self).seen.append((self.path, self.headers.get("Cookie")))
        status, headers = self.answer
        self.send_response(status)
        for name, value in {"Set-Cookie": "session_id=abc; Path=/; HttpOnly", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


class Readiness(unittest.TestCase):
    """The probe of the web pod, by the command that the chart gives it."""

    def setUp(self):
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Login)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.port = self.server.server_port
        Login.seen = []

    def probe(self, status=200, role="web", timeout=9, **headers):
        Login.answer = (status, headers)
        source = (CHART / "files/probe.py").read_text(encoding="utf-8")
        for before, after in (("PORT = 8069", f"PORT = {self.port}"), ("TIMEOUT = 9", f"TIMEOUT = {timeout}"), ('"/tmp/', f'"{self.folder}/')):
            self.assertIn(before, source)
            source = source.replace(before, after)
        script = pathlib.Path(self.folder, "probe.py")
        script.write_text(source, encoding="utf-8")
        return subprocess.run([sys.executable, "-I", "-S", script, role], capture_output=True, text=True, check=False, timeout=60)

    def not_ready(self, result, words):
        self.assertEqual(result.returncode, 1)
        self.assertIn(words, result.stderr)

    def test_the_page_and_a_redirect_to_single_sign_on_are_ready(self):
        self.assertEqual(self.probe(200).returncode, 0)
        for location in ("/auth_saml/get_auth_request?pid=1", "https://sso.example.com/authorize?next=/web/database", "/fr/web/login"):
            self.assertEqual(self.probe(303, Location=location).stderr, "", location)
        self.assertEqual({path for path, _ in Login.seen}, {"/web/login"})

    def test_errors_are_not_ready(self):
        for status in (400, 404, 500, 503):
            self.not_ready(self.probe(status), str(status))

    def test_the_choice_of_a_database_is_not_ready(self):
        for location in ("/web/database/selector", "http://127.0.0.1:8069/web/database/selector", "/web/database/create"):
            self.not_ready(self.probe(303, Location=location), "database cannot be opened")

    def test_nothing_is_not_ready(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.port = silent.getsockname()[1]
            for role in ("web", "started"):
                self.not_ready(self.probe(role=role, timeout=0.2), "does not answer")
        for role in ("web", "started"):
            self.not_ready(self.probe(role=role), "does not answer")

    def test_what_is_no_http_is_not_ready(self):
        class Other(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(4096)
                self.request.sendall(b"220 smtp.example.com ready\r\n")
        with socketserver.TCPServer(("127.0.0.1", 0), Other) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.shutdown)
            self.port = server.server_address[1]
            for role in ("web", "started"):
                self.not_ready(self.probe(role=role), "HTTP")

    def test_any_answer_is_a_start(self):
        for status in (200, 303, 500):
            self.assertEqual(self.probe(status, role="started").returncode, 0)

    def test_one_session_is_used_again(self):
        self.probe(200)
        self.probe(200)
        self.assertEqual([cookie for _, cookie in Login.seen], [None, "session_id=abc"])

    def test_it_loads_nothing_that_the_interpreter_has_not(self):
        self.probe(200)
        plain = subprocess.run([sys.executable, "-I", "-S", "-X", "importtime", "-c", "import os, sys, _socket"], capture_output=True, text=True, check=True)
        ours = subprocess.run([sys.executable, "-I", "-S", "-X", "importtime", f"{self.folder}/probe.py", "web"], capture_output=True, text=True, check=True)
        self.assertEqual(modules(ours.stderr) - modules(plain.stderr), set())


def modules(text):
    """What -X importtime tells of."""
    return {line.rsplit("|", 1)[1].strip() for line in text.splitlines() if line.startswith("import time:") and not line.endswith("imported package")}


if __name__ == "__main__":
    unittest.main()

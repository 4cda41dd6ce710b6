"""The scripts of the pods against a real PostgreSQL, git and HTTP."""
import configparser
import glob
import http.server
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

from chart import CHART

try:
    import psycopg2
except ImportError:
    psycopg2 = None

PASSWORD = "p'a%s\"s\\w#;=$HOME"
INITDB = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)), None)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    """initdb, then the chart's role.sh on a server with a socket alone, then a server with TCP: what the image does."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        (self.root / "password").write_text(PASSWORD + "\n", encoding="utf-8")
        if self.user:
            shutil.chown(self.root, "postgres", "postgres")
        self.bin = pathlib.Path(INITDB).parent
        self.port = free_port()
        self.run("initdb", "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256",
                 f"--pwfile={self.root}/password", "-E", "UTF8", "-D", f"{self.root}/data")
        self.start("")
        script = (CHART / "files/role.sh").read_text(encoding="utf-8").replace("/run/secrets/database", str(self.root))
        subprocess.run(["sh", "-eu", "-c", script], check=True, env={
            "PATH": f"{self.bin}:{os.environ['PATH']}", "PGHOST": str(self.root), "PGPORT": str(self.port),
            "ODOO_ROLE": "odoo"})
        self.stop()
        self.start("127.0.0.1")

    def run(self, program, *arguments):
        subprocess.run([self.bin / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=self.root, **self.user)

    def start(self, addresses):
        self.run("pg_ctl", "-D", f"{self.root}/data", "-w", "-l", f"{self.root}/log", "start", "-o",
                 f"-c listen_addresses='{addresses}' -c port={self.port} -c unix_socket_directories='{self.root}' -c fsync=off")

    def stop(self):
        self.run("pg_ctl", "-D", f"{self.root}/data", "-w", "-m", "fast", "stop")

    def connect(self, user="odoo", dbname="postgres", **more):
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user=user, password=PASSWORD, dbname=dbname, **more)
        connection.autocommit = True
        return connection

    def close(self):
        self.stop()
        shutil.rmtree(self.root)


@unittest.skipUnless(INITDB and psycopg2, "needs PostgreSQL's server programs and psycopg2")
class Database(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        for folder in ("etc", "run", "secrets/database", "secrets/odoo"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "secrets/database/password").write_text(PASSWORD + "\n", encoding="utf-8")
        (self.root / "secrets/odoo/admin_passwd").write_text("m%(x)s", encoding="utf-8")
        options = (f'{{"admin_passwd": "", "db_host": "127.0.0.1", "db_port": {self.server.port}, "db_user": "odoo", '
                   '"db_name": "shop", "db_sslmode": "disable", "list_db": false, "workers": 4}')
        for role in ("web", "cron"):
            (self.root / f"etc/{role}.json").write_text(options, encoding="utf-8")

    def script(self, name, role):
        source = (CHART / "files" / name).read_text(encoding="utf-8")
        for before, after in (("/etc/odoofleet", "etc"), ("/run/odoo", "run"), ("/run/secrets", "secrets")):
            source = source.replace(f'"{before}/', f'"{self.root}/{after}/')
        return subprocess.Popen([sys.executable, "-c", source, role], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "ODOO_RC": str(self.root / "run/odoo.conf")})

    def finished(self, name, role):
        process = self.script(name, role)
        out, err = process.communicate(timeout=60)
        return process.returncode, out + err

    def test_role_is_no_superuser(self):
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'odoo'")
            self.assertEqual(cursor.fetchone(), (False, True, False))
            with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("COPY (SELECT 1) TO PROGRAM 'true'")

    def test_superuser_has_no_password(self):
        with self.assertRaisesRegex(psycopg2.OperationalError, "password authentication failed"):
            self.server.connect(user="postgres")

    def test_odoo_can_make_a_database_with_its_extensions(self):
        connection = self.server.connect()
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE made TEMPLATE template0 ENCODING 'unicode' LC_COLLATE 'C'")
        with self.server.connect(dbname="made").cursor() as cursor:
            cursor.execute("CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent")

    def test_configuration(self):
        code, output = self.finished("configure.py", "web")
        self.assertEqual(code, 0, output)
        file = self.root / "run/odoo.conf"
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        parser = configparser.RawConfigParser()
        parser.read(file, encoding="utf-8")
        options = dict(parser["options"])
        self.assertEqual((options["db_password"], options["admin_passwd"]), (PASSWORD, "m%(x)s"))
        self.assertEqual((options["list_db"], options["workers"]), ("False", "4"))

    def test_passwords_that_odoo_would_read_otherwise(self):
        (self.root / "secrets/odoo/admin_passwd").write_text("a\nlist_db = True", encoding="utf-8")
        code, output = self.finished("configure.py", "web")
        self.assertEqual(code, 1)
        self.assertIn("admin_passwd: ", output)
        self.assertNotIn("list_db = True", output)
        self.assertFalse((self.root / "run/odoo.conf").exists())

    def test_cron_waits_for_the_initialised_database(self):
        process = self.script("configure.py", "cron")
        self.addCleanup(process.kill)
        self.assertIn('database "shop" does not exist', process.stdout.readline())
        with self.server.connect().cursor() as cursor:
            cursor.execute("CREATE DATABASE shop")
        self.assertIn("ir_module_module", process.stdout.readline())
        with self.server.connect(dbname="shop").cursor() as cursor:
            cursor.execute("CREATE TABLE ir_module_module (name text, state text)")
            self.assertIn("not initialised", process.stdout.readline())
            self.assertIsNone(process.poll())
            cursor.execute("INSERT INTO ir_module_module VALUES ('base', 'installed')")
        _, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (0, ""))
        self.assertEqual(self.finished("probe.py", "cron"), (0, ""))
        (self.root / "run/odoo.conf").write_text((self.root / "run/odoo.conf").read_text(encoding="utf-8").replace("= shop", "= gone"), encoding="utf-8")
        self.assertEqual(self.finished("probe.py", "cron")[0], 1)


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


@unittest.skipUnless(shutil.which("git"), "needs git")
class Addons(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        origin = self.root / "origin"
        (origin / "src/sale_x").mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", origin)
        self.commits = []
        for text in ("one", "two"):
            (origin / "src/sale_x/__manifest__.py").write_text(text, encoding="utf-8")
            self.git("-C", origin, "add", ".")
            self.git("-C", origin, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "-m", text)
            self.commits.append(self.git("-C", origin, "rev-parse", "HEAD"))
        self.git("-C", origin, "tag", "v1", self.commits[0])

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()

    def fetch(self, ref, path="src", protocols="https:ssh:file"):
        source = (CHART / "files/addons.sh").read_text(encoding="utf-8")
        self.assertIn("GIT_ALLOW_PROTOCOL=https:ssh\n", source)
        source = source.replace("GIT_ALLOW_PROTOCOL=https:ssh\n", f"GIT_ALLOW_PROTOCOL={protocols}\n").replace("HOME=/tmp", f"HOME={self.root}")
        return subprocess.run(["sh", "-c", source], capture_output=True, text=True, check=False, env={
            "PATH": os.environ["PATH"], "URL": f"file://{self.root}/origin", "REF": ref, "SUBPATH": path, "DEST": f"{self.root}/addons/0"})

    def manifest(self):
        return (self.root / "addons/0/src/sale_x/__manifest__.py").read_text(encoding="utf-8")

    def test_tag_branch_and_commit_also_when_started_again(self):
        for ref, text, commit in (("v1", "one", self.commits[0]), ("main", "two", self.commits[1]), (self.commits[0], "one", self.commits[0])):
            result = self.fetch(ref)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual((self.manifest(), result.stdout.strip()), (text, commit))

    def test_failures(self):
        self.assertNotEqual(self.fetch("v2").returncode, 0)
        result = self.fetch("v1", path="other")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no folder other", result.stderr)

    def test_local_paths_are_not_fetched(self):
        result = self.fetch("v1", protocols="https:ssh")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("transport 'file' not allowed", result.stderr)


if __name__ == "__main__":
    unittest.main()

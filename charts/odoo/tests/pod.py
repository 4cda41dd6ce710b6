"""What the scripts' tests stand on: a real PostgreSQL, and a folder that is to them what the pod is."""
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from chart import CHART

try:
    import psycopg2
except ImportError:
    psycopg2 = None

PASSWORD = "p'a%s\"s\\w#;=$HOME"
INITDB = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)), None)
PLACES = {"/etc/odoofleet": "etc", "/run/odoo": "run", "/run/secrets": "secrets", "/mnt/addons": "addons", "/dev/termination-log": "told"}

needs_postgresql = unittest.skipUnless(INITDB and psycopg2, "needs PostgreSQL's server programs and psycopg2")


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
        # Whatever is asked of it stands in its log, for those who look for a password there.
        self.start("")
        subprocess.run(self.role(), check=True, **self.environment())
        self.stop()
        self.start("127.0.0.1")

    def role(self):
        return ["sh", "-eu", "-c", (CHART / "files/role.sh").read_text(encoding="utf-8").replace("/run/secrets/database", str(self.root))]

    def environment(self, role="odoo"):
        return {"env": {"PATH": f"{self.bin}:{os.environ['PATH']}", "PGHOST": str(self.root), "PGPORT": str(self.port), "ODOO_ROLE": role}}

    def log(self):
        return (self.root / "log").read_text(encoding="utf-8", errors="replace")

    def run(self, program, *arguments):
        subprocess.run([self.bin / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=self.root, **self.user)

    def start(self, addresses):
        self.run("pg_ctl", "-D", f"{self.root}/data", "-w", "-l", f"{self.root}/log", "start", "-o",
                 f"-c listen_addresses='{addresses}' -c port={self.port} -c unix_socket_directories='{self.root}' -c fsync=off "
                 "-c log_statement=all -c log_min_duration_statement=0 -c log_min_error_statement=debug5 -c log_error_verbosity=verbose")

    def stop(self):
        self.run("pg_ctl", "-D", f"{self.root}/data", "-w", "-m", "fast", "stop")

    def connect(self, user="odoo", dbname="postgres", **more):
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user=user, password=PASSWORD, dbname=dbname, **more)
        connection.autocommit = True
        return connection

    def query(self, text, *values, dbname="postgres", superuser=False):
        """As Odoo's role over TCP, or as the superuser over the socket."""
        connection = psycopg2.connect(host=self.root, port=self.port, user="postgres", dbname=dbname) if superuser else self.connect(dbname=dbname)
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def dump(self, dbname):
        """All that a database holds: columns, rows, sequences."""
        columns = self.query("SELECT table_name, column_name, data_type, column_default FROM information_schema.columns WHERE table_schema = 'public' "
                             "ORDER BY 1, 2", dbname=dbname, superuser=True)
        tables = sorted({name for name, *_ in columns})
        rows = {name: self.query(f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{name}" t', dbname=dbname, superuser=True) for name in tables}
        return columns, rows, self.query("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1", dbname=dbname, superuser=True)

    def close(self):
        self.stop()
        shutil.rmtree(self.root)


class Pod:
    """The files that the pod mounts, in a folder of their own; the scripts with their paths moved there."""

    def __init__(self, server, dbname="shop"):
        self.server, self.root = server, pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
        for folder in ("etc", "run", "secrets/database", "secrets/odoo", "secrets/bootstrap", "addons", "data"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "secrets/database/password").write_text(PASSWORD + "\n", encoding="utf-8")
        self.wait, self.odoo, self.env, self.secrets = 60, "", {}, []
        self.options = {
            "addons_path": f"{self.root}/addons/0", "admin_passwd": "", "data_dir": f"{self.root}/data", "db_host": "127.0.0.1",
            "db_port": server.port, "db_user": "odoo", "db_name": dbname, "db_sslmode": "disable", "list_db": False, "workers": 4,
            "max_cron_threads": 2, "limit_memory_hard": 1, "without_demo": "all"}
        self.prepare = {
            "release": "acme-prod", "odooVersion": "18.0", "image": "odoo:18.0", "addons": [], "addonsImage": "", "baseUrl": "https://erp.example.com",
            "reportUrl": "http://127.0.0.1:8069", "modules": {"install": [], "update": "Auto", "named": []},
            "bootstrap": {"adminLogin": "boss", "languages": [], "country": "", "timeZone": "", "demo": False, "databaseUuid": ""}}

    def close(self):
        shutil.rmtree(self.root)

    def moved(self, source):
        for before, after in PLACES.items():
            source = source.replace(f'"{before}', f'"{self.root}/{after}')
        return source

    def write(self):
        for file in (CHART / "files").glob("*.py"):
            source = self.moved(file.read_text(encoding="utf-8")).replace("\nWAIT = 60\n", f"\nWAIT = {self.wait}\n")
            (self.root / "etc" / file.name).write_text(source, encoding="utf-8")
        for role in ("web", "cron"):
            (self.root / f"etc/{role}.json").write_text(json.dumps(self.options), encoding="utf-8")
        (self.root / "etc/check.json").write_text(json.dumps({"secrets": self.secrets}), encoding="utf-8")
        (self.root / "etc/prepare.json").write_text(json.dumps(self.prepare), encoding="utf-8")

    def start(self, script, *arguments, **more):
        self.write()
        return subprocess.Popen(
            [sys.executable, "-B", self.root / "etc" / f"{script}.py", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "ODOO_RC": str(self.root / "run/odoo.conf"), "ODOO_BIN": self.odoo, "HOME": str(self.root / "data"), **self.env}, **more)

    def run(self, script, *arguments, **more):
        """Exit code, output, and the termination message."""
        (self.root / "told").unlink(missing_ok=True)
        process = self.start(script, *arguments, **more)
        try:
            output, _ = process.communicate(timeout=600)
        finally:
            process.kill()
        return process.returncode, output, self.told()

    def told(self):
        file = self.root / "told"
        if not file.exists() or not file.read_bytes():
            return None
        if len(file.read_bytes()) > 4000:
            raise AssertionError("longer than what the kubelet keeps")
        return json.loads(file.read_text(encoding="utf-8"))

    def until(self, process, *texts):
        """Reads the output of a started script up to a line with one of these texts."""
        output = ""
        for line in process.stdout:
            output += line
            if any(text in line for text in texts):
                return output
        raise AssertionError(f"ended without {texts}:\n{output}")

    def killed(self, process, how=signal.SIGKILL):
        process.send_signal(how)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output


class Case(unittest.TestCase):
    """One server for a class, one pod for a test."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        self.pod = self.new_pod()

    def new_pod(self, **more):
        pod = Pod(self.server, **more)
        self.addCleanup(pod.close)
        return pod

    def refused(self, result, reason, words="."):
        code, output, told = result
        self.assertEqual((code, told and told.get("error", {}).get("reason")), (1, reason), output)
        self.assertRegex(told["error"]["message"], words)
        self.assertNotIn(PASSWORD, output + str(told))
        return told

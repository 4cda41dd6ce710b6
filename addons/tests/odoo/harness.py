"""A PostgreSQL, an Odoo from source, a browser: started in a temporary folder, ended whatever happens."""
import contextlib
import html.parser
import http.client
import http.cookiejar
import http.server
import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ADDONS = pathlib.Path(__file__).resolve().parents[2]
MODULES = ("odoofleet_license", "odoofleet_license_example")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postgres:
    """A cluster of its own, on a socket in its folder."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))[-1]

    def start(self):
        self.folder.mkdir()
        if os.getuid() == 0:
            account = pwd.getpwnam("nobody")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", self.folder / "data", "-A", "trust", "-U", "odoo", "--locale=C.UTF-8", "-E", "UTF8")
        options = "-c listen_addresses='' -c fsync=off -k %s" % self.folder
        self._run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options, "-w", "start")

    def stop(self):
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def query(self, database, statement):
        command = [self.bin / "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", "odoo", "-d", database]
        return subprocess.run(command + ["-c", statement], check=True, capture_output=True, text=True).stdout.strip()

    def _run(self, program, *arguments):
        command = [str(self.bin / program)] + [str(each) for each in arguments]
        if os.getuid() == 0:
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] + command
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


class Odoo:
    """One source tree with the add-ons, which trust the keys of the tests here."""

    def __init__(self, source, folder, postgres, keys):
        self.source, self.folder, self.postgres = source, folder, postgres
        self.mounted = folder / "license"
        self.log = folder / "odoo.log"
        self.port, self.process = None, None
        self.python = os.environ.get("ODOO_PYTHON", "/usr/bin/python3")
        addons = folder / "addons"
        for module in MODULES:
            shutil.copytree(ADDONS / module, addons / module, ignore=shutil.ignore_patterns("__pycache__"))
        (addons / MODULES[0] / "keys.json").write_text(json.dumps(keys))
        self.mounted.mkdir()
        release = (source / "odoo/release.py").read_text()
        self.series = re.search(r"version_info = \((\d+), (\d+)", release).group(1)

    def arguments(self, database, command=()):
        return [
            self.python, str(self.source / "odoo-bin"), *command, "--addons-path=%s/addons,%s/addons" % (self.source, self.folder),
            "--data-dir=%s/data" % self.folder, "--db_host=%s" % self.postgres.folder, "--db_user=odoo", "--logfile=%s" % self.log,
            "-d", database,
        ]

    def run(self, database, *options):
        """One run to its end; complains if the log does about our modules."""
        self._call(self.arguments(database) + ["--stop-after-init", "--without-demo=True", *options])

    def shell(self, database, script):
        """A script in Odoo's shell, which has `env`; what it prints on lines that begin with "=> "."""
        arguments = self.arguments(database, ["shell"])
        out = self._call(arguments + ["--no-http"], input=script)
        return [line.split("=> ", 1)[1] for line in out.splitlines() if "=> " in line]

    def _call(self, command, input=None):
        environment = dict(os.environ, ODOOFLEET_LICENSE_DIR=str(self.mounted))
        done = subprocess.run(command, input=input, text=True, capture_output=True, env=environment)
        if done.returncode:
            raise AssertionError("%s\n%s\n%s" % (" ".join(command), done.stderr[-4000:], self.log.read_text()[-4000:]))
        return done.stdout

    def start(self, database):
        self.port = free_port()
        environment = dict(os.environ, ODOOFLEET_LICENSE_DIR=str(self.mounted))
        # Odoo 15 knows neither names: each series has one option for the second port, which nobody uses here.
        options = ["--http-port=%d" % self.port, "--http-interface=127.0.0.1", "--workers=0", "--max-cron-threads=0", "--no-database-list"]
        self.process = subprocess.Popen(self.arguments(database) + options, env=environment)
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen("http://127.0.0.1:%d/web/login" % self.port, timeout=60).read()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError("Odoo %s does not answer:\n%s" % (self.series, self.log.read_text()[-4000:]))

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def complaints(self):
        """What the log says of our modules with a warning or worse, but for what the scenario provokes."""
        lines = self.log.read_text().splitlines()
        loud = [line for line in lines if re.search(r" (WARNING|ERROR|CRITICAL) ", line) and "odoofleet" in line]
        return [line for line in loud if not re.search("a mounted licence code is not taken over|CSRF", line)]

    def mount(self, *codes):
        """Puts codes where the chart does: through a link that is swapped, as Kubernetes does with a Secret."""
        version = self.mounted / ("..%d" % time.monotonic_ns())
        version.mkdir()
        for number, code in enumerate(codes):
            (version / ("%d.olic" % number)).write_text(code + "\n")
        for old in self.mounted.glob("*.olic"):
            old.unlink()
        swap = self.mounted / "..swap"
        swap.symlink_to(version.name)
        swap.rename(self.mounted / "..data")
        for number in range(len(codes)):
            (self.mounted / ("%d.olic" % number)).symlink_to("..data/%d.olic" % number)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.bytes = response.read()
        self.text = self.bytes.decode("utf-8", "replace")


class Person:
    """Somebody with a browser, as far as cookies and forms go."""

    def __init__(self, odoo):
        self.base = "http://127.0.0.1:%d" % odoo.port
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies), NoRedirect)

    def get(self, path):
        return self._open(urllib.request.Request(self.base + path))

    def post(self, path, fields, headers=None):
        data = fields if isinstance(fields, bytes) else urllib.parse.urlencode(fields).encode()
        return self._open(urllib.request.Request(self.base + path, data=data, headers=headers or {}))

    def _open(self, request):
        try:
            return Answer(self.opener.open(request, timeout=120))
        except urllib.error.HTTPError as error:
            return Answer(error)

    def token(self, path):
        """The token against forged requests, out of a form."""
        return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.get(path).text).group(1)

    def log_in(self, login, password):
        """True if Odoo lets them in."""
        token = self.token("/web/login")
        answer = self.post("/web/login", {"login": login, "password": password, "csrf_token": token})
        return answer.status == 303 and not re.search(r"/web/login(\?|$)", answer.headers["Location"])

    def web_client(self):
        """The page of the web client, past the redirects inside of it; or where it sends to instead."""
        path = "/web"
        for _ in range(3):
            answer = self.get(path)
            if answer.status not in (301, 302, 303):
                return answer
            path = urllib.parse.urlsplit(answer.headers["Location"]).path
            if path.startswith("/odoofleet/"):
                return answer
        return answer

    def call(self, model, method, *args, **kwargs):
        """A call as the web client makes it: (True, result) or (False, sentence)."""
        params = {"model": model, "method": method, "args": list(args), "kwargs": kwargs}
        return self._json("/web/dataset/call_kw/%s/%s" % (model, method), params)

    def _json(self, path, params):
        body = json.dumps({"jsonrpc": "2.0", "method": "call", "params": params}).encode()
        answer = json.loads(self.post(path, body, {"Content-Type": "application/json"}).text)
        if "error" in answer:
            return False, answer["error"]["data"]["message"]
        return True, answer.get("result")

    def cookie(self):
        return "; ".join("%s=%s" % (cookie.name, cookie.value) for cookie in self.cookies)


class Body(html.parser.HTMLParser):
    """The text of one element of a page, by its id."""

    def __init__(self, wanted):
        super().__init__()
        self.wanted, self.depth, self.parts, self.classes, self.style = wanted, 0, [], None, False

    def handle_starttag(self, tag, attrs):
        if tag in ("br", "img", "input", "meta", "link"):
            return
        if self.depth:
            self.depth += 1
            self.style = tag == "style"
        elif dict(attrs).get("id") == self.wanted:
            self.depth, self.classes = 1, dict(attrs).get("class")

    def handle_endtag(self, tag):
        if self.depth:
            self.depth -= 1
            self.style = False

    def handle_data(self, data):
        if self.depth and not self.style:
            self.parts.append(data.strip())


def banner(page):
    """(colour, text) of the web client's banner, or None."""
    body = Body("odoofleet_license")
    body.feed(page)
    if body.classes is None:
        return None
    return body.classes.rsplit("_", 1)[1], " ".join(part for part in body.parts if part)


class Camera:
    """Pictures of pages as a person sees them: Chromium, through a proxy that brings the person's cookie."""

    def __init__(self, folder):
        self.folder = folder
        self.program = shutil.which("chromium") or shutil.which("google-chrome")
        self.warm = False

    def take(self, person, path, name, width, height):
        if self.program is None:
            return
        if path == "/web" and not self.warm:
            # Odoo bundles its scripts when somebody first asks for them, which takes longer than a picture waits.
            self.warm = True
            self.take(person, path, name, width, height)
        cookie, base = person.cookie(), person.base

        class Through(http.server.BaseHTTPRequestHandler):
            def forward(self):
                length = int(self.headers.get("Content-Length") or 0)
                headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "cookie", "accept-encoding")}
                headers["Cookie"] = cookie
                request = urllib.request.Request(base + self.path, self.rfile.read(length) if length else None, headers, method=self.command)
                try:
                    answer = urllib.request.build_opener(NoRedirect).open(request, timeout=120)
                except urllib.error.HTTPError as error:
                    answer = error
                try:
                    body = answer.read()
                except http.client.IncompleteRead as cut:
                    body = cut.partial
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    if key.lower() not in ("transfer-encoding", "content-length", "set-cookie", "connection"):
                        self.send_header(key, value.replace(base, ""))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            do_GET = do_POST = forward

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Through)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        picture = self.folder / (name + ".png")
        subprocess.run(
            [
                self.program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1",
                "--user-data-dir=%s" % (self.folder / "profile"), "--window-size=%d,%d" % (width, height), "--virtual-time-budget=300000",
                "--screenshot=%s" % picture, "http://127.0.0.1:%d%s" % (server.server_port, path),
            ],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=180,
        )
        server.shutdown()
        server.server_close()
        if not picture.is_file():
            raise AssertionError("no picture of %s" % path)


def skip(why):
    """Says loudly that nothing was tested."""
    print("!" * 100, "\nSKIPPED: the add-on in a real Odoo: %s\n" % why + "!" * 100, file=sys.stderr, sep="")

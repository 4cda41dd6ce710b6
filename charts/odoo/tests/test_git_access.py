"""Whom git asks and to whom it shows the credentials: against git servers over https, and an ssh that tells how it was called."""
import base64
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
import unittest

from chart import CHART
from test_addons import SHELLS, Case, Repository, git

PASSWORD = "t'ok\"en $HOME"


class Server(http.server.ThreadingHTTPServer):
    """git's own CGI behind TLS. Below /acme and /origin it wants a password; what `moved` names it redirects."""

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.moved, self.asked = root, {}, []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(root / "cert.pem", root / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path, host="localhost"):
        return f"https://{host}:{self.server_port}{path}"

    def shown(self):
        """The paths to which somebody has shown credentials."""
        return {path for path, authorization in self.asked if authorization}

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """A client that hangs up is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        path, _, query = self.path.partition("?")
        name = path.partition("/info/refs")[0].partition("/git-upload-pack")[0]
        wanted = "Basic " + base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
        self.server.asked.append((name, self.headers.get("Authorization")))
        if name in self.server.moved:
            return self.plain(301, Location=f"{self.server.moved[name]}/info/refs?{query}")
        if path.startswith(("/acme/", "/origin")) and self.headers.get("Authorization") != wanted:
            return self.plain(401, **{"WWW-Authenticate": "Basic realm=x"})
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        result = subprocess.run(["git", "http-backend"], input=body, capture_output=True, check=True, env={
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"})
        head, _, content = result.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def plain(self, status, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@unittest.skipUnless(shutil.which("openssl"), "needs openssl")
class Https(Case):
    def setUp(self):
        super().setUp()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.root / "key.pem", "-out", self.root / "cert.pem", "-days", "1",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:git.example.com,IP:127.0.0.1"], check=True, capture_output=True)
        self.server, self.other = Server(self.root), Server(self.root)
        self.addCleanup(self.server.close)
        self.addCleanup(self.other.close)
        (self.root / "acme").mkdir()
        self.addons = self.repository("acme/addons", {"src/sale_x/__manifest__.py": "{}"})
        self.protocols, self.url = "https:ssh", self.server.url("/origin")
        self.env = {"GIT_SSL_CAINFO": str(self.root / "cert.pem")}

    def repository(self, path, files):
        (self.root / path).parent.mkdir(exist_ok=True)
        repository = Repository(self.root / path)
        repository.commit(files)
        return repository

    def credentials(self, password=PASSWORD, url=None):
        (self.root / "secret/username").write_text("robot", encoding="utf-8")
        (self.root / "secret/password").write_text(password, encoding="utf-8")
        if url:
            (self.root / "secret/url").write_text(url + "\n", encoding="utf-8")

    def submodule(self, outer, url, inner, way="sub"):
        """A submodule of what lies in `inner`, whose address is what `.gitmodules` says."""
        git("-C", outer.path, "submodule", "--quiet", "add", f"file://{inner.path}", way)
        git("-C", outer.path, "config", "-f", ".gitmodules", f"submodule.{way}.url", url)
        return outer.commit({})


class Password(Https):
    def test_with_a_password(self):
        self.credentials()
        for self.shell in SHELLS:
            self.assertEqual(self.fetched("main"), self.commits[1])
            shutil.rmtree(self.root / "home")

    def test_refused(self):
        self.refused("AddonRefused", "does not let us in.*could not read Username")
        self.credentials("wrong one")
        message = self.refused("AddonRefused", "Authentication failed")
        self.assertNotIn("wrong one", message)
        self.url = self.server.url("/nothing")
        self.refused("AddonRefused", "not found")
        self.env = {}
        self.refused("AddonRefused", r"certificate that is not trusted.*git\.caBundle, or as ca\.crt in the Secret")

    def test_a_secret_without_its_keys_is_named(self):
        self.env["CREDENTIALS"] = "acme-git"
        self.refused("AddonRefused", "Secret acme-git .* is missing, or has neither password nor ssh-privatekey")
        (self.root / "secret/ca.crt").write_bytes((self.root / "cert.pem").read_bytes())
        self.refused("AddonRefused", "could not read Username")

    def test_an_authority_of_ones_own(self):
        self.credentials()
        self.env = {}
        for file in (self.root / "secret/ca.crt", self.root / "etc/ca.crt"):
            file.parent.mkdir(exist_ok=True)
            shutil.copy(self.root / "cert.pem", file)
            for self.shell in SHELLS:
                self.assertEqual(self.fetched("main"), self.commits[1])
                trusted = (self.root / "home/ca.crt").read_text(encoding="utf-8")
                self.assertTrue(trusted.endswith(file.read_text(encoding="utf-8")))
                self.assertGreater(trusted.count("BEGIN CERTIFICATE"), 50, "those of the image are trusted as before")
            file.unlink()


class Prefix(Https):
    """The key `url` of the Secret: what lies below it sees the credentials, and nothing else does."""

    def test_what_lies_below_it(self):
        self.url = self.server.url("/acme/addons")
        for url in ("/acme", "/acme/", "/acme/addons", "/acme/addons.git", "", "/"):
            self.credentials(url=self.server.url(url).replace("localhost", "LocalHost"))
            self.fetched("main")
        self.url = self.server.url("/acme/addons/")
        self.fetched("main")

    def test_what_does_not_is_not_even_asked(self):
        self.repository("acme/addons-of-others", {"src/sale_x/__manifest__.py": "{}"})
        for url in (self.server.url("/acme/add"), self.server.url("/acme/addons/src"), self.server.url("/other"), self.other.url("/acme"),
                    self.server.url("/acme", "127.0.0.1"), self.server.url("/acme").replace("https", "ssh"), "https://git.example.com", "nonsense", "/"):
            self.credentials(url=url)
            for path in ("/acme/addons", "/acme/addons-of-others"):
                self.url = self.server.url(path)
                self.refused("AddonRefused", "Secret of credentialsSecret is for .*its key url.*not for https://localhost")
        (self.root / "secret/url").write_text("", encoding="utf-8")
        self.refused("AddonRefused", "an address that cannot be read")
        self.assertEqual(self.server.asked, [])

    def test_without_it_the_first_host_alone(self):
        self.credentials()
        other = self.repository("other", {"deep/__manifest__.py": "{}"})
        self.submodule(self.origin, self.other.url("/other"), other)
        self.fetched("main", path="sub")
        self.assertIn("/origin", self.server.shown())
        self.assertIn("/other", dict(self.other.asked))
        self.assertEqual(self.other.shown(), set())

    def test_a_submodule_elsewhere_that_wants_a_password_gets_none(self):
        self.credentials()
        self.submodule(self.origin, self.other.url("/acme/addons"), self.addons)
        self.refused("AddonSubmoduleFailed", "submodule sub .*cannot be fetched.*could not read Username", path="sub")
        self.assertEqual(self.other.shown(), set())

    def test_submodules_by_relative_addresses(self):
        inner = self.repository("acme/inner", {"deep/__manifest__.py": "{}"})
        beside = self.repository("origin-2", {"deep/__manifest__.py": "{}"})
        self.credentials(url=self.server.url("/acme"))
        self.url = self.server.url("/acme/addons")
        self.submodule(self.addons, "../inner", inner)
        for self.shell in SHELLS:
            self.fetched("main", path="sub/deep/..")
        self.env["REFRESH"] = "1"
        self.submodule(self.addons, "../../origin-2", beside, way="other")
        self.refused("AddonSubmoduleFailed", "submodule other .*could not read Username")
        self.assertEqual({path for path in self.server.shown() if not path.startswith("/acme/")}, set())


class Redirects(Https):
    def test_to_another_place_of_the_host(self):
        self.credentials()
        self.server.moved = {"/renamed": "/origin", "/twice": self.server.url("/renamed")}
        for name in ("/renamed", "/twice"):
            self.url = self.server.url(name)
            for self.shell in SHELLS:
                self.assertEqual(self.fetched("main"), self.commits[1])

    def test_to_another_host_without_the_credentials(self):
        self.credentials()
        public = self.repository("public", {"src/sale_x/__manifest__.py": "{}"})
        self.server.moved = {"/origin": self.other.url("/acme/addons"), "/first": self.other.url("/public")}
        self.refused("AddonRefused", "could not read Username")
        self.assertIn("/acme/addons", dict(self.other.asked))
        self.url = self.server.url("/first")
        self.assertEqual(self.fetched("main"), git("-C", public.path, "rev-parse", "HEAD"))
        self.assertEqual(self.other.shown(), set())

    def test_out_of_the_prefix_without_the_credentials(self):
        self.credentials(url=self.server.url("/acme"))
        self.url = self.server.url("/acme/addons")
        self.server.moved = {"/acme/addons": self.server.url("/origin")}
        self.refused("AddonRefused", "could not read Username")
        self.assertNotIn("/origin", self.server.shown())

    def test_to_a_host_off_the_list(self):
        self.env["ALLOWED_HOSTS"] = "git.example.com localhost"
        self.server.moved = {"/moved": self.other.url("/public", "127.0.0.1")}
        self.url = self.server.url("/moved")
        self.refused("AddonRefused", r"redirects to https://127\.0\.0\.1:.*git\.allowedHosts is git\.example\.com localhost")
        self.assertEqual(self.other.asked, [])

    def test_to_another_protocol(self):
        self.url = self.server.url("/moved")
        for target in (self.server.url("/origin").replace("https", "http"), f"file://{self.origin.path}", f"ext::sh -c touch {self.root}/touched"):
            self.server.moved = {"/moved": target}
            self.refused("AddonRefused", "redirects to .*not followed")

    def test_without_end(self):
        self.server.moved = {"/moved": "/moved"}
        self.url = self.server.url("/moved")
        self.refused("AddonUnreachable", "301")

    def test_of_a_submodule(self):
        other = self.repository("other", {"deep/__manifest__.py": "{}"})
        self.credentials()
        self.submodule(self.origin, self.server.url("/moved"), other)
        self.server.moved = {"/moved": self.other.url("/other")}
        self.fetched("main", path="sub")
        self.assertEqual(self.other.shown(), set())
        self.env.update(ALLOWED_HOSTS="localhost", REFRESH="1")
        self.server.moved = {"/moved": self.other.url("/other", "127.0.0.1")}
        self.refused("AddonSubmoduleFailed", "redirects to https://127", path="sub")


class Hosts(Https):
    def setUp(self):
        super().setUp()
        self.env["ALLOWED_HOSTS"] = "localhost git.example.com"
        self.public = self.repository("public", {"src/sale_x/__manifest__.py": "{}"})
        self.url = self.server.url("/public")
        self.inner = self.repository("inner", {"deep/__manifest__.py": "{}"})

    def test_of_the_repository_itself(self):
        self.fetched("main")
        self.url = self.server.url("/public", "127.0.0.1")
        self.server.asked.clear()
        self.refused("AddonRefused", r"is not asked.*git\.allowedHosts \(localhost git\.example\.com\)")
        self.assertEqual(self.server.asked, [])

    def test_of_submodules(self):
        off = self.other.url("/inner", "127.0.0.1")
        for number, url in enumerate((off, off.replace("https", "http"), f"file://{self.inner.path}", f"{self.inner.path}", "git@evil.example.com:x/y.git",
                                      "ssh://-oProxyCommand=id/x", "ext::sh -c id", off.replace("//", "//localhost@"), off.replace("//", "//localhost:443@"))):
            with self.subTest(url):
                self.env["REFRESH"] = str(number)
                self.submodule(self.public, url, self.inner, way=f"sub{number}") if not number else self.public.commit(
                    {".gitmodules": f'[submodule "sub0"]\n\tpath = sub0\n\turl = {url}\n'})
                self.refused("AddonSubmoduleFailed", "submodule sub0 .* is not asked")
        self.assertEqual(self.other.asked, [])
        self.env["REFRESH"] = "good"
        self.public.commit({".gitmodules": f'[submodule "sub0"]\n\tpath = sub0\n\turl = {self.other.url("/inner")}\n'})
        for self.shell in SHELLS:
            self.fetched("main", path="sub0")

    def test_of_submodules_of_submodules(self):
        outer = self.repository("outer", {"x": "y"})
        self.submodule(outer, self.other.url("/inner", "127.0.0.1"), self.inner)
        self.submodule(self.public, self.server.url("/outer"), outer)
        self.refused("AddonSubmoduleFailed", "submodule sub .*127.0.0.1.* is not asked")
        self.assertEqual(self.other.asked, [])

    def test_a_submodule_that_is_switched_off_is_left_out(self):
        self.submodule(self.public, self.other.url("/inner", "127.0.0.1"), self.inner)
        self.public.commit({".gitmodules": f'[submodule "sub"]\n\tpath = sub\n\turl = {self.other.url("/inner", "127.0.0.1")}\n\tupdate = none\n'})
        self.fetched("main")


class Tunnel(http.server.BaseHTTPRequestHandler):
    """A proxy that wants a password; every name leads to the same server."""

    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        self.server.asked.append(self.path)
        wanted = "Basic " + base64.b64encode(b"robot:pa ss").decode()
        if self.headers.get("Proxy-Authorization") != wanted:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", "Basic realm=x")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with socket.create_connection(("127.0.0.1", self.server.target)) as other:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            back = threading.Thread(target=self.relay, args=(other, self.connection))
            back.start()
            self.relay(self.connection, other)
            back.join()
        self.close_connection = True

    @staticmethod
    def relay(here, there):
        try:
            while data := here.recv(65536):
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class OutboundProxy(Https):
    def setUp(self):
        super().setUp()
        self.proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
        self.proxy.target, self.proxy.asked = self.server.server_port, []
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        self.addCleanup(self.proxy.server_close)
        self.addCleanup(self.proxy.shutdown)
        self.credentials()
        self.through("pa%20ss")

    def through(self, password):
        url = f"http://robot:{password}@127.0.0.1:{self.proxy.server_port}"
        self.env.update(HTTPS_PROXY=url, https_proxy=url, NO_PROXY="localhost,.svc", no_proxy="localhost,.svc")

    def test_git_goes_through_it(self):
        self.url = "https://git.example.com/origin"
        for self.shell in SHELLS:
            self.assertEqual(self.fetched("main"), self.commits[1])
        self.assertEqual(set(self.proxy.asked), {"git.example.com:443"})

    def test_what_is_excepted_does_not(self):
        self.fetched("main")
        self.assertEqual(self.proxy.asked, [])

    def test_one_that_refuses_is_named_without_its_password(self):
        self.through("wrong")
        self.url = "https://git.example.com/origin"
        message = self.refused("AddonUnreachable", "The proxy of outboundProxy does not let us through to https://git.example.com/origin.*407")
        self.assertNotIn("wrong", message)
        self.env.update(HTTPS_PROXY="http://no-such-proxy.invalid", https_proxy="http://no-such-proxy.invalid")
        self.refused("AddonUnreachable", "The proxy of outboundProxy")


class Addresses(Case):
    def forms(self, *texts):
        script = f'. {CHART}/files/git.sh; while IFS= read -r line; do printf "%s\\n" "$(address "$line")"; done'
        found = [subprocess.run([*shell, "-c", script], input="\n".join(texts) + "\n", capture_output=True, text=True, check=True).stdout.splitlines()
                 for shell in SHELLS]
        self.assertTrue(all(one == found[0] for one in found))
        return dict(zip(texts, found[0], strict=True))

    def test_one_form(self):
        expected = {
            "https://Git.Example.com/acme/addons.git": "https://git.example.com:443/acme/addons",
            "https://robot:token@git.example.com:8443//acme/addons/": "https://git.example.com:8443/acme/addons",
            "https://git.example.com@evil.example.com/acme": "https://evil.example.com:443/acme",
            "https://git.example.com:443": "https://git.example.com:443",
            "ssh://git@git.example.com:2222/acme/addons.git": "ssh://git.example.com:2222/acme/addons",
            "git@github.com:acme/addons.git": "ssh://github.com:22/acme/addons",
            "github.com:acme": "ssh://github.com:22/acme",
            "https://dev.azure.com/acme/My%20Project/_git/addons": "https://dev.azure.com:443/acme/My%20Project/_git/addons"}
        self.assertEqual(self.forms(*expected), expected)

    def test_what_can_be_read_in_two_ways_is_none(self):
        wrong = ["", "nonsense", "/etc", "../x", "https://", "https:///acme", "https://-x/acme", "ssh://-oProxyCommand=x/a", "https://git.example.com/acme/../evil",
                 "https://git.example.com/acme/./x", "https://git.example.com/acme/%2e%2E/evil", "https://git.example.com/acme%2Fevil", "https://a b/c",
                 "https://git.example.com\\@evil.example.com/x", "https://evil.example.com#@git.example.com/acme", "https://evil.example.com?@git.example.com/acme",
                 "https://git.example.com/..", "https://[::1]/x", "ext::sh -c id", "https://git.example.com./acme", "https://git.example.com/a\tb"]
        self.assertEqual({text: form for text, form in self.forms(*wrong).items() if form}, {})


SSH = """#!/bin/sh
printf '%s\\n' "$*" >>{root}/called
for word; do command=$word; done
path=${{command#*\\'}}
exec git upload-pack "{root}/${{path%\\'*}}"
"""


class Ssh(Case):
    """An ssh that notes how it was called and answers from the disk."""

    def setUp(self):
        super().setUp()
        (self.root / "bin").mkdir()
        (self.root / "bin/ssh").write_text(SSH.format(root=self.root), encoding="utf-8")
        (self.root / "bin/ssh").chmod(0o755)
        self.protocols, self.url = "https:ssh", "ssh://git@git.example.com:2222/origin"
        self.env = {"PATH": f"{self.root}/bin:{os.environ['PATH']}"}
        (self.root / "secret/ssh-privatekey").write_text("key", encoding="utf-8")
        (self.root / "secret/known_hosts").write_text("hosts", encoding="utf-8")
        inner = Repository(self.root / "inner")
        inner.commit({"deep/__manifest__.py": "{}"})
        git("-C", self.origin.path, "submodule", "--quiet", "add", f"file://{inner.path}", "sub")
        self.origin.commit({".gitmodules": '[submodule "sub"]\n\tpath = sub\n\turl = git@other.example.com:inner\n'})

    def works(self):
        code, _, output = self.fetch("main", path="sub")
        self.assertEqual(code, 0, output)

    def with_key(self):
        """The hosts to which the key was shown, and those that were asked."""
        lines = (self.root / "called").read_text(encoding="utf-8").splitlines()
        for line in lines:
            self.assertIn("-o StrictHostKeyChecking=yes", line)
            self.assertIn(f"UserKnownHostsFile={self.root}/secret/known_hosts", line)
        hosts = [next(word for word in line.split() if word.startswith("git@")) for line in lines]
        return {host for host, line in zip(hosts, lines, strict=True) if f"-i {self.root}/home/key" in line}, set(hosts)

    def test_without_an_address_the_hosts_that_the_secret_knows(self):
        for self.shell in SHELLS:
            self.works()
        both = {"git@git.example.com", "git@other.example.com"}
        self.assertEqual(self.with_key(), (both, both))
        self.assertFalse((self.root / "home/key").exists())

    def test_with_an_address_that_alone(self):
        for url in ("ssh://git@git.example.com:2222", "ssh://git.example.com:2222/origin"):
            (self.root / "secret/url").write_text(url, encoding="utf-8")
            for self.shell in SHELLS:
                self.works()
        self.assertEqual(self.with_key(), ({"git@git.example.com"}, {"git@git.example.com", "git@other.example.com"}))

    def test_another_address_is_refused(self):
        for url in ("ssh://git@git.example.com", "ssh://git.example.com:2222/orig", "git@git.example.com:origin", "https://git.example.com:2222/origin"):
            (self.root / "secret/url").write_text(url, encoding="utf-8")
            self.refused("AddonRefused", "Secret of credentialsSecret is for")
        self.assertFalse((self.root / "called").exists())


if __name__ == "__main__":
    unittest.main()

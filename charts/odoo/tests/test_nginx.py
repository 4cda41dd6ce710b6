"""The proxy and the page, as a real nginx runs them."""
import contextlib
import gzip
import http.client
import http.server
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from chart import FULL, PROXY, Rendered
from network import FOUR, SIX, apart, can_part, listens

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
TEXT = "Odoo " * 1000


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Odoo(http.server.BaseHTTPRequestHandler):
    """Says what it was asked, and on which port."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "upgrade")
            self.end_headers()
            self.wfile.write(f"{self.server.role}:{self.rfile.read(4).decode()}".encode())
            self.close_connection = True
            return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = {"role": self.server.role, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "text": TEXT}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@unittest.skipUnless(NGINX, "needs nginx")
class Running(unittest.TestCase):
    def odoo(self, role):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odoo)
        server.role = role
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_port

    def nginx(self, rendered, suffix, ports, before_it=()):
        """Runs the configuration of a ConfigMap; `ports` says which takes the place of which."""
        folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o755)
        for key, text in rendered.get("ConfigMap", suffix)["data"].items():
            for before, after in ports.items():
                text = text.replace(f" {before};", f" {after};").replace(f":{before};", f":{after};")
            (folder / key).write_text(text.replace("/tmp/", f"{folder}/").replace("root /etc/odoofleet", f"root {folder}"), encoding="utf-8")
        if before_it:
            # The one user whom the namespace knows.
            (folder / "nginx.conf").write_text("user root;\n" + (folder / "nginx.conf").read_text(encoding="utf-8"), encoding="utf-8")
        container = "proxy" if suffix == "-config" else "page"
        command = rendered.container(container, "-web" if container == "proxy" else "-page")["command"]
        command = [word.replace("/tmp/", f"{folder}/").replace("/etc/odoofleet", str(folder)) for word in command]
        command = [*before_it, *(str(ports.get(int(word), word)) if word.isdecimal() else word for word in command)]
        with open(folder / "errors", "w", encoding="utf-8") as errors:
            process = subprocess.Popen(command, stderr=errors, env={"PATH": f"{pathlib.Path(NGINX).parent}:/usr/bin:/bin"})
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        if before_it:
            return process, folder
        self.until_it_listens(process, ports[8080], folder / "errors")
        return ports[8080]

    def until_it_listens(self, process, port, errors):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        self.fail(errors.read_text(encoding="utf-8"))

    def ask(self, port, path, method="GET", headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.addCleanup(connection.close)
        connection.putrequest(method, path, skip_host=bool(headers and "Host" in headers), skip_accept_encoding=True)
        for key, value in (headers or {}).items():
            connection.putheader(key, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer, answer.read()


class Proxy(Running):
    def proxy(self, *layers):
        rendered = Rendered({"size": "M"}, PROXY, *layers)
        ports = {8080: free_port(), 8069: self.odoo("http"), 8072: self.odoo("gevent")}
        return self.nginx(rendered, "-config", ports)

    def told(self, port, path="/", **more):
        answer, body = self.ask(port, path, **more)
        self.assertEqual(answer.status, 200)
        return json.loads(body)

    def test_what_goes_where(self):
        port = self.proxy()
        self.assertEqual(self.told(port, "/web/login?a=%2Fb")["path"], "/web/login?a=%2Fb")
        for path, role in (("/odoo", "http"), ("/websocket", "gevent"), ("/websocket/peek_notifications", "gevent"), ("/jsonrpc", "http"),
                           ("/xmlrpc/2/common", "http"), ("/xmlrpc/2/object", "http"), ("/longpolling/poll", "http")):
            self.assertEqual(self.told(port, path)["role"], role)
        self.assertEqual(self.told(self.proxy({"odooVersion": "15.0"}), "/longpolling/poll")["role"], "gevent")
        self.assertEqual(self.told(self.proxy({"workers": 0}), "/websocket")["role"], "http")

    def test_database_manager_is_blocked(self):
        port = self.proxy()
        for path in ("/web/database", "/web/database/manager", "/web/database/backup", "/web//database/manager", "/web/%64atabase/list",
                     "/x/../web/database/selector", "/web/./database/drop", "/zh_CN/web/database/manager", "/fr/web/database/restore",
                     "/web%2fdatabase%2fmanager", "/web/database?debug=1", "/xmlrpc/db", "/xmlrpc/2/db", "/xmlrpc/2/db/", "/xmlrpc//2/%64b"):
            for method in ("GET", "POST"):
                answer, _ = self.ask(port, path, method)
                self.assertEqual(answer.status, 404, path)
        for path in ("/web/databases", "/web/dataset/call_kw", "/shop/web-database"):
            self.assertEqual(self.told(port, path)["role"], "http")

    def test_strangers_are_not_believed(self):
        port = self.proxy({"ingress": {"enabled": True, "host": "erp.example.com", "tls": {"secretName": "wild"}}})
        lies = {"Host": "erp.example.com", "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "http",
                "X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Forwarded-Port": "1", "X-Forwarded-Prefix": "/evil",
                "X_Forwarded_Host": "evil.example.com", "X-Scheme": "http", "X-Client-IP": "6.6.6.6", "Proxy": "http://evil.example.com"}
        headers = self.told(port, headers=lies)["headers"]
        self.assertEqual({k: v for k, v in headers.items() if k != "connection"}, {
            "host": "erp.example.com", "x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "x-forwarded-host": "erp.example.com",
            "x-forwarded-proto": "https"})

    def test_a_gateway_that_tells_no_host_has_the_one_that_was_asked_for(self):
        port = self.proxy({"proxy": {"trustedCidrs": ["127.0.0.0/8"]}})
        headers = self.told(port, headers={"Host": "erp.example.com", "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})["headers"]
        self.assertEqual([headers[f"x-forwarded-{key}"] for key in ("host", "proto", "for")], ["erp.example.com", "https", "203.0.113.7"])

    def test_trusted_proxies_are_believed(self):
        port = self.proxy({"proxy": {"trustedCidrs": ["127.0.0.0/8", "10.1.0.0/16"]}})
        told = {"Host": "inner", "X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.1.2.3", "X-Forwarded-Host": "erp.example.com",
                "X-Forwarded-Proto": "https", "X-Real-IP": "6.6.6.6"}
        headers = self.told(port, headers=told)["headers"]
        # The last one that is not a trusted proxy itself; what stands before it, anybody may have written.
        self.assertEqual((headers["x-forwarded-for"], headers["x-real-ip"]), ("203.0.113.7", "203.0.113.7"))
        self.assertEqual((headers["x-forwarded-host"], headers["x-forwarded-proto"]), ("erp.example.com", "https"))
        plain = self.told(port, headers={"Host": "erp.example.com", "X-Forwarded-Proto": "javascript"})["headers"]
        self.assertEqual((plain["x-forwarded-host"], plain["x-forwarded-proto"]), ("erp.example.com", "http"))

    def test_websocket(self):
        port = self.proxy()
        for upgrade, status in (("websocket", b"101"), ("WebSocket", b"101"), ("h2c", b"200")):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
                sock.sendall(f"GET /websocket HTTP/1.1\r\nHost: a\r\nUpgrade: {upgrade}\r\nConnection: Upgrade\r\n\r\n".encode())
                text = sock.recv(65536)
                self.assertEqual(text.split()[1], status, text[:200])
                if status == b"101":
                    sock.sendall(b"ping")
                    self.assertEqual(b"".join(iter(lambda: sock.recv(65536), b"")), b"gevent:ping")

    def test_body_size(self):
        port = self.proxy({"proxy": {"bodySize": "1m"}})
        self.assertEqual(self.told(port, "/web/binary/upload", method="POST", body=b"x" * 2 ** 20)["role"], "http")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            answer, _ = self.ask(port, "/web/binary/upload", "POST", body=b"x" * (2 ** 20 + 1))
            self.assertEqual(answer.status, 413)

    def test_text_is_compressed_if_wanted(self):
        port = self.proxy()
        answer, body = self.ask(port, "/", headers={"Accept-Encoding": "gzip", "Via": "1.1 other"})
        self.assertEqual((answer.getheader("Content-Encoding"), answer.getheader("Vary")), ("gzip", "Accept-Encoding"))
        self.assertIn(TEXT.encode(), gzip.decompress(body))
        self.assertIsNone(self.ask(port, "/")[0].getheader("Content-Encoding"))

    def test_health_says_nothing_of_odoo(self):
        rendered = Rendered(PROXY)
        port = self.nginx(rendered, "-config", {8080: free_port(), 8069: free_port(), 8072: free_port()})
        proxy = rendered.container("proxy")
        for probe in ("livenessProbe", "readinessProbe"):
            answer, body = self.ask(port, proxy[probe]["httpGet"]["path"])
            self.assertEqual((answer.status, body), (200, b"ok\n"))
        answer, body = self.ask(port, "/")
        self.assertEqual(answer.status, 502)
        self.assertNotIn(b"nginx/", body)


class Page(Running):
    def page(self, *layers):
        second = free_port()
        return self.nginx(Rendered(FULL, {"replicaCount": 0}, *layers), "-page", {8080: free_port(), 8072: second}), second

    def test_answers_503_to_everything(self):
        for port in self.page():
            for method, path, body in (("GET", "/", None), ("GET", "/web/login?a=b", None), ("POST", "/web/dataset/call_kw", b"x" * 3 * 2 ** 20),
                                       ("GET", "/websocket", None), ("GET", "/page.html", None), ("GET", "/nginx.conf", None),
                                       ("PUT", "/a/../page.html", b"y")):
                answer, text = self.ask(port, path, method, body=body)
                self.assertEqual((answer.status, answer.getheader("Retry-After"), answer.getheader("Cache-Control")), (503, "300", "no-store"), path)
                self.assertEqual(answer.getheader("Content-Type"), "text/html; charset=utf-8")
                self.assertIn("系统当前已停止服务", text.decode())
                self.assertIn("This system is stopped", text.decode())

    def test_contact_is_text(self):
        port, _ = self.page({"page": {"contact": "<script>alert(1)</script> & \"姓名\" {{ .Release.Name }}"}})
        text = self.ask(port, "/")[1].decode()
        self.assertNotIn("<script>", text)
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;姓名&#34; {{ .Release.Name }}", text)

    def test_nothing_of_the_customer(self):
        text = Rendered(FULL, {"page": {"contact": ""}}).config("page.html", "-page")
        for word in ("acme", "example.com", "contact -->", '<p class="contact">'):
            self.assertNotIn(word, text)

    def test_left_out(self):
        rendered = Rendered({"page": {"enabled": False}, "replicaCount": 0})
        self.assertFalse([o for o in rendered.all if o["metadata"]["name"].endswith("-page")])


@unittest.skipUnless(can_part(), "needs network namespaces")
class IPv6(Running):
    """Pods of one address family, played by network namespaces."""

    def listening(self, rendered, suffix, setup):
        """Ports on which nginx listens there, by address."""
        process, folder = self.nginx(rendered, suffix, {8080: 8080}, before_it=apart(setup, "exec \"$@\""))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            # Written when all sockets are open.
            if (folder / "nginx.pid").exists():
                return {table: listens(process.pid, table) for table in ("tcp", "tcp6")}
        self.fail((folder / "errors").read_text(encoding="utf-8"))

    def test_proxy_and_page_listen_on_what_the_pod_has(self):
        rendered = Rendered({"size": "M"}, PROXY)
        plain = Rendered({"size": "M"})
        for setup, six in ((SIX, True), (FOUR, False), (SIX + FOUR, True)):
            self.assertEqual(self.listening(rendered, "-config", setup), {"tcp": {8080}, "tcp6": {8080} if six else set()}, setup)
            self.assertEqual(self.listening(plain, "-page", setup), {"tcp": {8080, 8072}, "tcp6": {8080, 8072} if six else set()}, setup)


if __name__ == "__main__":
    unittest.main()

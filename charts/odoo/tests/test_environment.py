"""Environment variables and the proxy to the outside: who gets them, what is refused, what the network policy opens."""
import unittest
import urllib.request

from chart import FULL, PROXY, Case, Rendered, merged

ENV = {"env": [{"name": "ODOO_SESSION_REDIS", "value": "1"}, {"name": "SENTRY_DSN", "valueFrom": {"secretKeyRef": {"name": "sentry", "key": "dsn"}}},
               {"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "places", "key": "region"}}}]}
WAY = {"outboundProxy": {"http": "http://proxy.example.com:3128", "https": "http://10.1.2.3:3129/", "except": [".corp.example.com"]}}
NAMES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")


def containers(rendered):
    """(pod, container) -> its variables, in a list."""
    pods = {o["metadata"]["name"].rsplit("-", 1)[1]: o["spec"]["template"]["spec"] for o in rendered.workloads()}
    pods["check"] = rendered.get("Pod", "-check")["spec"]
    return {(pod, c["name"]): c.get("env", []) for pod, spec in pods.items() for c in spec.get("initContainers", []) + spec["containers"]}


def holders(rendered, name):
    return {place for place, env in containers(rendered).items() if name in [one["name"] for one in env]}


class Variables(Case):
    ODOO = {("web", "odoo"), ("web", "prepare"), ("cron", "odoo"), ("check", "check")}

    def test_they_are_odoos(self):
        rendered = Rendered(FULL, PROXY, ENV)
        for one in ENV["env"]:
            self.assertEqual(holders(rendered, one["name"]), self.ODOO)
            for place in self.ODOO:
                self.assertIn(one, containers(rendered)[place])
        self.assertEqual(holders(Rendered(FULL), "ODOO_SESSION_REDIS"), set())

    def test_the_charts_own_come_first_and_once(self):
        for env in containers(Rendered(FULL, PROXY, ENV, WAY)).values():
            names = [one["name"] for one in env]
            self.assertEqual(len(names), len(set(names)))

    def test_they_restart_the_pods(self):
        before, after = Rendered(FULL), Rendered(FULL, ENV)
        for suffix in ("-web", "-cron"):
            self.assertNotEqual(before.pod(suffix), after.pod(suffix))

    def test_names_that_would_break_the_pod(self):
        for name in ("PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "ODOO_RC", "ODOO_BIN", "ODOO_DEV", "PGHOST",
                     "PGPASSWORD", "PGAPPNAME", "OPENERP_SERVER", "ODOOFLEET_LICENSE_DIR", "ODOO_QUEUE_JOB_HOST", "GIT_SSH_COMMAND", "BASH_ENV", "TMPDIR",
                     "HTTPS_PROXY", "https_proxy", "No_Proxy", "ALL_PROXY", "LISTEN_FDS", "ODOO_HTTP_SOCKET_FD", "", "1A", "A B", "A=B", "-A"):
            self.refused({"env": [{"name": name, "value": "x"}]}, "schema")
        Rendered({"env": [{"name": name, "value": ""} for name in ("ODOO_SESSION_REDIS_HOST", "AWS_REGION", "HOMEPAGE", "MY_PATH", "TZ", "lower")]})

    def test_sources(self):
        for one in ({}, {"value": 1}, {"value": "x", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}, {"valueFrom": {}},
                    {"valueFrom": {"secretKeyRef": {"name": "a"}}}, {"valueFrom": {"secretKeyRef": {"name": "", "key": "b"}}},
                    {"valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}, "configMapKeyRef": {"name": "a", "key": "b"}}},
                    {"valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}):
            self.refused({"env": [{"name": "A", **one}]}, "schema")
        self.refused({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "env names A twice")


class Proxy(Case):
    USERS = Variables.ODOO | {(pod, f"addons-{number}") for pod in ("web", "cron", "check") for number in (0, 1)}

    def test_who_goes_through_it(self):
        rendered = Rendered(FULL, PROXY, WAY)
        for name in NAMES:
            self.assertEqual(holders(rendered, name), self.USERS, name)
            self.assertEqual(holders(Rendered(FULL, PROXY), name), set())
        values = {one["name"]: one["value"] for one in containers(rendered)["web", "addons-0"]}
        for name, value in zip(NAMES[:4], [WAY["outboundProxy"]["http"]] * 2 + [WAY["outboundProxy"]["https"]] * 2, strict=True):
            self.assertEqual(values[name], value)
        alone = holders(Rendered(FULL, {"outboundProxy": {"https": "http://proxy.example.com"}}), "HTTP_PROXY")
        self.assertEqual(alone, set())

    def test_what_does_not(self):
        rendered = Rendered(FULL, WAY, {"postgresql": {"enabled": False}, "externalDatabase": {"host": "db.example.com", "existingSecret": "db"}})
        listed = next(one["value"] for one in containers(rendered)["web", "odoo"] if one["name"] == "no_proxy")
        for host in ("localhost", "127.0.0.1", "acme-prod", "acme-prod-mail", "gitea.git.svc", "gitea.git.svc.cluster.local", "x.corp.example.com", "db.example.com"):
            self.assertTrue(urllib.request.proxy_bypass_environment(host, {"no": listed}), host)
        for host in ("git.example.com", "svc.example.com", "example.com", "1.2.3.4"):
            self.assertFalse(urllib.request.proxy_bypass_environment(host, {"no": listed}), host)
        self.assertIn("10.0.0.0/8", listed.split(","))
        self.assertIn("fc00::/7", listed.split(","))

    def test_a_password_comes_from_a_secret(self):
        rendered = Rendered(FULL, {"outboundProxy": {"existingSecret": "proxy"}})
        for name in NAMES[:4]:
            one = next(one for one in containers(rendered)["cron", "addons-1"] if one["name"] == name)
            self.assertEqual(one["valueFrom"], {"secretKeyRef": {"name": "proxy", "key": "url"}})
            self.assertEqual(holders(rendered, name) | {("web", "prepare")}, self.USERS)
        for url in ("http://robot:password@proxy.example.com:3128", "proxy.example.com:3128", "socks5://proxy.example.com", "http://a b", "http://-x", "http://a\nb"):
            self.refused({"outboundProxy": {"https": url}}, "schema")
        self.refused({"outboundProxy": {"except": ["a,b"]}}, "schema")
        self.refused({"outboundProxy": {"existingSecret": "proxy", "http": "http://proxy.example.com"}}, "not both")

    def egress(self, *layers):
        return Rendered(FULL, *layers).get("NetworkPolicy", "-web")["spec"]["egress"]

    def test_the_network_policy_lets_it_be_reached(self):
        self.assertIn({"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 3128}, {"port": 3129}]}, self.egress(WAY))
        ranges = {"outboundProxy": {"cidrs": ["10.9.0.0/16"]}}
        self.assertIn({"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}, {"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 3128}, {"port": 3129}]},
                      self.egress(WAY, ranges))
        self.assertIn({"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}]}, self.egress(ranges, {"outboundProxy": {"existingSecret": "proxy"}}))
        standard = merged(ranges, {"outboundProxy": {"http": "http://proxy.corp", "https": "https://proxy.corp/"}})
        self.assertIn({"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 80}, {"port": 443}]}, self.egress(standard))
        self.assertEqual(self.egress({"outboundProxy": {"http": "http://proxy.example.com"}}), self.egress())


if __name__ == "__main__":
    unittest.main()

"""The ways in and out."""
import unittest

from chart import CATCHER, FULL, PROXY, Case, Rendered

GATEWAY = {"ingress": {"enabled": True, "expose": "HTTPRoute", "host": "erp.example.com", "aliases": ["www.example.com"],
                       "gateway": {"name": "public", "namespace": "gateways", "sectionName": "https"}}}


def paths(ingress, host):
    rule = next(r for r in ingress["spec"]["rules"] if r["host"] == host)
    return {p["path"]: p["backend"]["service"] for p in rule["http"]["paths"]}


class Ingress(Case):
    def test_database_manager_is_unreachable_on_every_host(self):
        rendered = Rendered(FULL)
        for host in ("erp.example.com", "www.example.com"):
            self.assertEqual(paths(rendered.get("Ingress"), host)["/web/database"]["name"], "acme-prod-blocked")
        blocked = rendered.get("Service", "-blocked")["spec"]
        self.assertNotIn("selector", blocked)
        self.assertFalse([o for o in rendered.all if o["kind"] in ("Endpoints", "EndpointSlice")])

    def test_websocket(self):
        self.assertEqual(paths(Rendered(FULL).get("Ingress"), "erp.example.com"), {
            "/web/database": {"name": "acme-prod-blocked", "port": {"number": 80}},
            "/websocket": {"name": "acme-prod", "port": {"name": "gevent"}},
            "/": {"name": "acme-prod", "port": {"name": "http"}}})
        self.assertIn("/longpolling", paths(Rendered(FULL, {"odooVersion": "15.0"}).get("Ingress"), "erp.example.com"))

    def test_without_workers_there_is_no_second_port(self):
        rendered = Rendered(FULL, {"workers": 0})
        self.assertEqual(list(paths(rendered.get("Ingress"), "erp.example.com")), ["/web/database", "/"])
        self.assertEqual([p["port"] for p in rendered.get("Service")["spec"]["ports"]], [8069])
        self.assertEqual([p["port"] for p in Rendered(FULL).get("Service")["spec"]["ports"]], [8069, 8072])

    def test_one_certificate_a_host(self):
        ingress = Rendered(FULL, {"ingress": {"tls": {"issuerRef": {"name": "letsencrypt"}}}}).get("Ingress")
        self.assertEqual(ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"], "letsencrypt")
        tls = ingress["spec"]["tls"]
        self.assertEqual([t["hosts"] for t in tls], [["erp.example.com"], ["www.example.com"]])
        self.assertEqual(len({t["secretName"] for t in tls}), 2)
        # An alias keeps its certificate when another comes before it.
        more = Rendered(FULL, {"ingress": {"aliases": ["new.example.com", "www.example.com"],
                                           "tls": {"issuerRef": {"name": "own", "kind": "Issuer"}, "secretName": "main"}}}).get("Ingress")
        self.assertEqual(more["metadata"]["annotations"]["cert-manager.io/issuer"], "own")
        self.assertEqual(more["spec"]["tls"][0]["secretName"], "main")
        self.assertEqual(more["spec"]["tls"][2]["secretName"], tls[1]["secretName"])

    def test_given_certificate(self):
        ingress = Rendered(FULL, {"ingress": {"tls": {"secretName": "wild"}, "annotations": {"a/b": "c"}, "className": "nginx"}}).get("Ingress")
        self.assertEqual(ingress["spec"]["tls"], [{"hosts": ["erp.example.com", "www.example.com"], "secretName": "wild"}])
        self.assertEqual(ingress["metadata"]["annotations"], {"a/b": "c"})
        self.assertEqual(ingress["spec"]["ingressClassName"], "nginx")

    def test_proxy_mode_only_behind_a_proxy(self):
        self.assertIs(Rendered(FULL).options()["proxy_mode"], True)
        self.assertIs(Rendered(GATEWAY).options()["proxy_mode"], True)
        self.assertIs(Rendered({"ingress": {"enabled": True, "expose": "NodePort"}}).options()["proxy_mode"], True)
        self.assertIs(Rendered(PROXY).options()["proxy_mode"], True)
        self.assertIs(Rendered({"ingress": {"enabled": True, "expose": "None"}}).options()["proxy_mode"], False)

    def test_host_is_needed(self):
        self.refused({"ingress": {"enabled": True}}, "ingress.host")

    def test_nothing_leads_in(self):
        for ingress in ({"enabled": False, "host": "a.example.com"}, {"enabled": True, "expose": "None"}):
            rendered = Rendered({"ingress": ingress})
            self.assertFalse([o for o in rendered.all if o["kind"] in ("Ingress", "HTTPRoute")])
            self.assertEqual(rendered.get("Service")["spec"]["type"], "ClusterIP")


class Gateway(Case):
    def routes(self, *layers):
        return {r["spec"]["hostnames"][0]: r for r in Rendered(GATEWAY, *layers).all if r["kind"] == "HTTPRoute"}

    def test_a_route_a_host(self):
        routes = self.routes({"size": "M"})
        self.assertEqual(set(routes), {"erp.example.com", "www.example.com"})
        self.assertEqual(routes["erp.example.com"]["metadata"]["name"], "acme-prod")
        # An alias keeps its route when another comes before it.
        more = self.routes({"ingress": {"aliases": ["new.example.com", "www.example.com"]}})
        self.assertEqual(more["www.example.com"]["metadata"]["name"], routes["www.example.com"]["metadata"]["name"])
        self.assertEqual(len({r["metadata"]["name"] for r in more.values()}), 3)
        for host, route in routes.items():
            spec = route["spec"]
            self.assertEqual(spec["hostnames"], [host])
            self.assertEqual(spec["parentRefs"], [{"name": "public", "namespace": "gateways", "sectionName": "https"}])
            rules = {r["matches"][0]["path"]["value"]: r.get("backendRefs") for r in spec["rules"]}
            self.assertEqual(rules, {"/web/database": None, "/websocket": [{"name": "acme-prod", "port": 8072}],
                                     "/": [{"name": "acme-prod", "port": 8069}]})

    def test_odoo_is_told_the_host_whatever_the_gateway_and_the_visitor_say(self):
        for layers in ((), ({"size": "M"},), ({"odooVersion": "15.0", "size": "M"},)):
            for host, route in self.routes(*layers).items():
                told = [r.get("filters") for r in route["spec"]["rules"] if "backendRefs" in r]
                self.assertEqual(told, [[{"type": "RequestHeaderModifier", "requestHeaderModifier": {
                    "set": [{"name": "X-Forwarded-Host", "value": host}]}}]] * len(told))
        self.assertEqual(len(told), 2)

    def test_gateway_is_needed(self):
        self.refused({"ingress": {"enabled": True, "expose": "HTTPRoute", "host": "a.example.com"}}, "ingress.gateway.name")


class NodePort(Case):
    def test_one_port_with_the_proxy_and_workers(self):
        rendered = Rendered({"size": "L", "ingress": {"enabled": True, "expose": "NodePort", "nodePort": 30069}})
        service = rendered.get("Service")["spec"]
        self.assertEqual(service["type"], "NodePort")
        self.assertEqual([(p["name"], p["port"], p["targetPort"], p.get("nodePort")) for p in service["ports"]], [("http", 8069, "http", 30069)])
        self.assertEqual(rendered.options()["workers"], 8)
        self.assertEqual([c["name"] for c in rendered.pod()["containers"]], ["odoo", "proxy"])

    def test_no_address_is_known(self):
        rendered = Rendered({"ingress": {"enabled": True, "expose": "NodePort", "host": "erp.example.com"}})
        self.assertEqual(rendered.options("prepare")["baseUrl"], "")


class Proxied(Case):
    """With the proxy there is one port, and nothing to be told apart outside of the pod."""

    def test_ingress_and_route_have_one_path(self):
        rendered = Rendered(FULL, PROXY)
        self.assertEqual(paths(rendered.get("Ingress"), "www.example.com"), {"/": {"name": "acme-prod", "port": {"name": "http"}}})
        self.assertFalse(rendered.has("Service", "-blocked"))
        route = Rendered(GATEWAY, PROXY, {"size": "M"}).get("HTTPRoute")["spec"]["rules"]
        self.assertEqual(route, [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": "acme-prod", "port": 8069}]}])

    def test_only_the_proxy_can_be_reached(self):
        rendered = Rendered(FULL, PROXY)
        self.assertEqual([(p["name"], p["port"], p["targetPort"]) for p in rendered.get("Service")["spec"]["ports"]], [("http", 8069, "http")])
        self.assertEqual(rendered.get("NetworkPolicy", "-web")["spec"]["ingress"][0]["ports"], [{"port": 8080}])
        ports = {p["name"]: p["containerPort"] for c in rendered.pod()["containers"] for p in c["ports"]}
        self.assertEqual(ports, {"odoo": 8069, "http": 8080})

    def test_cron_pods_have_none(self):
        self.assertEqual([c["name"] for c in Rendered(FULL, PROXY).pod("-cron")["containers"]], ["odoo"])


class Selector(Case):
    def test_service_finds_web_pods_and_page_by_the_same_port_names(self):
        for layers in ((FULL,), (FULL, {"workers": 0}), (FULL, PROXY)):
            rendered = Rendered(*layers)
            service = rendered.get("Service")["spec"]
            self.assertEqual(service["selector"], {
                "app.kubernetes.io/name": "odoo", "app.kubernetes.io/instance": "acme-prod", "odoofleet.dev/serves": "http"})
            chosen = {p["metadata"]["labels"]["app.kubernetes.io/component"]: p for p in rendered.pods()
                      if service["selector"].items() <= p["metadata"]["labels"].items()}
            self.assertEqual(set(chosen), {"web", "page"})
            for pod in chosen.values():
                names = [p["name"] for c in pod["spec"]["containers"] for p in c["ports"]]
                self.assertEqual(len(names), len(set(names)))
                self.assertLessEqual({p["targetPort"] for p in service["ports"]}, set(names))


class Policies(Case):
    def egress(self, rendered):
        return rendered.get("NetworkPolicy", "-web")["spec"]["egress"]

    def blocks(self, rendered):
        return {t["ipBlock"]["cidr"]: t["ipBlock"].get("except") for r in self.egress(rendered) for t in r.get("to", []) if "ipBlock" in t}

    def test_internet_without_the_cluster(self):
        excluded = self.blocks(Rendered())["0.0.0.0/0"]
        for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.100.100.200/32"):
            self.assertIn(block, excluded)
        self.assertIn("fc00::/7", self.blocks(Rendered())["::/0"])

    def test_unrestricted_rule_is_dns_alone(self):
        rules = [r for r in self.egress(Rendered()) if "to" not in r]
        self.assertEqual(rules, [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}])

    def test_pods_in_the_own_namespace_only_of_this_release(self):
        own = {"app.kubernetes.io/name": "odoo", "app.kubernetes.io/instance": "acme-prod"}
        for suffix in ("-web", "-postgresql"):
            spec = Rendered().get("NetworkPolicy", suffix)["spec"]
            self.assertEqual(sorted(spec["policyTypes"]), ["Egress", "Ingress"])
            for peers in [r.get("from", r.get("to", [])) for r in spec["ingress"] + spec.get("egress", [])]:
                for peer in peers:
                    if "namespaceSelector" not in peer and "ipBlock" not in peer:
                        self.assertEqual(peer["podSelector"]["matchLabels"], own)
                    if "namespaceSelector" in peer:
                        expression = peer["namespaceSelector"]["matchExpressions"][0]
                        self.assertEqual((expression["operator"], expression["values"]), ("NotIn", ["odoo"]))

    def test_database_is_for_its_release_and_calls_nobody(self):
        spec = Rendered().get("NetworkPolicy", "-postgresql")["spec"]
        self.assertEqual(spec["ingress"], [{"from": [{"podSelector": {"matchLabels": {
            "app.kubernetes.io/name": "odoo", "app.kubernetes.io/instance": "acme-prod"}}}], "ports": [{"port": 5432}]}])
        self.assertNotIn("egress", spec)
        self.assertIn("Egress", spec["policyTypes"])

    def test_policies_select_their_pods(self):
        rendered = Rendered(FULL, CATCHER)
        for pod in rendered.pods():
            labels = pod["metadata"]["labels"]
            chosen = {name.removeprefix("acme-prod-") for (kind, name), policy in rendered.index.items()
                      if kind == "NetworkPolicy" and self.selects(policy["spec"]["podSelector"], labels)}
            component = labels["app.kubernetes.io/component"]
            self.assertEqual(chosen, {"web" if component == "cron" else component})

    def selects(self, selector, labels):
        return selector["matchLabels"].items() <= labels.items() and all(
            labels[e["key"]] in e["values"] for e in selector.get("matchExpressions", []))

    def test_page_and_mail_call_nobody(self):
        rendered = Rendered(FULL, CATCHER)
        for suffix in ("-page", "-mail"):
            spec = rendered.get("NetworkPolicy", suffix)["spec"]
            self.assertEqual((spec["policyTypes"], spec.get("egress")), (["Ingress", "Egress"], None))
        web, page, mail = (rendered.get("NetworkPolicy", s)["spec"]["ingress"][0] for s in ("-web", "-page", "-mail"))
        self.assertEqual(page["from"], web["from"])
        self.assertEqual(mail, {"from": web["from"][:1], "ports": [{"port": 1025}]})

    def test_sources_by_value(self):
        peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
        sources = Rendered({"networkPolicy": {"ingressFrom": [peer]}}).get("NetworkPolicy", "-web")["spec"]["ingress"][0]["from"]
        self.assertEqual(sources[1:], [peer])
        self.assertNotIn("0.0.0.0/0", str(sources))

    def test_external_database(self):
        rendered = Rendered({"postgresql": {"enabled": False}, "externalDatabase": {
            "host": "pg.example.com", "port": 6432, "existingSecret": "pg", "cidrs": ["10.9.8.7/32"]}})
        rule = next(r for r in self.egress(rendered) if "10.9.8.7/32" in str(r))
        self.assertEqual(rule, {"to": [{"ipBlock": {"cidr": "10.9.8.7/32"}}], "ports": [{"port": 6432}]})
        self.assertFalse(rendered.has("NetworkPolicy", "-postgresql"))

    def test_off(self):
        self.assertFalse([o for o in Rendered({"networkPolicy": {"enabled": False}}).all if o["kind"] == "NetworkPolicy"])


if __name__ == "__main__":
    unittest.main()

"""The ways in and out."""
import ipaddress
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

    def reaches(self, rendered, address, port, protocol="TCP"):
        """Whether a rule by addresses lets an Odoo out to there."""
        target = ipaddress.ip_address(address)

        def inside(cidr):
            return target in ipaddress.ip_network(cidr)
        for rule in self.egress(rendered):
            ports = rule.get("ports", [{"port": port, "protocol": protocol}])
            if any(p["port"] <= port <= p.get("endPort", p["port"]) and p.get("protocol", "TCP") == protocol for p in ports):
                if "to" not in rule:
                    return True
                blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
                if any(inside(b["cidr"]) and not any(inside(e) for e in b.get("except", [])) for b in blocks):
                    return True
        return False

    def test_internet_alone_is_reached(self):
        for layers in ((), ({"stage": "Test"},)):
            rendered = Rendered(*layers)
            for address in ("1.1.1.1", "151.101.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "168.63.129.15", "2606:4700::1111"):
                self.assertTrue(self.reaches(rendered, address, 443), address)
            closed = [
                # Clusters, nodes, carriers, benchmarks, what is reserved.
                "10.0.0.2", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255", "198.18.0.1", "198.19.255.255", "0.0.0.0", "240.0.0.1",
                # Metadata: AWS, Google, Azure and most; Azure's WireServer; Alibaba; Oracle; Tencent; by IPv6 AWS and Google.
                "169.254.169.254", "169.254.170.2", "169.254.169.253", "168.63.129.16", "100.100.100.200", "192.0.0.192", "169.254.0.23", "fd00:ec2::254", "fd20:ce::254",
                "fe80::a9fe:a9fe", "fc00::1",
                # The same through NAT64.
                "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe"]
            for address in closed:
                for port, protocol in ((80, "TCP"), (443, "TCP"), (53, "TCP"), (53, "UDP"), (32526, "TCP")):
                    self.assertFalse(self.reaches(rendered, address, port, protocol), f"{address} {port}")

    def test_name_servers_are_the_cluster_s(self):
        rule = self.egress(Rendered())[0]
        self.assertEqual(rule["to"][0], {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns", "coredns", "node-local-dns"]}]}})
        self.assertEqual(rule["ports"], [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}])
        for cache in ("169.254.20.10", "169.254.25.10", "169.254.10.11"):
            self.assertTrue(self.reaches(Rendered(), cache, 53, "UDP"))
            self.assertFalse(self.reaches(Rendered(), cache, 80))

    def test_name_servers_by_value(self):
        peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}}
        rule = self.egress(Rendered({"networkPolicy": {"dns": {"peers": [peer], "addresses": ["10.96.0.10/32", "fd00::a/128"], "port": 5353}}}))[0]
        self.assertEqual(rule["to"], [peer, {"ipBlock": {"cidr": "10.96.0.10/32"}}, {"ipBlock": {"cidr": "fd00::a/128"}}])
        self.assertEqual({p["port"] for p in rule["ports"]}, {5353})

    def test_no_rule_is_open_to_all(self):
        for rule in self.egress(Rendered(FULL)) + self.egress(Rendered(CATCHER)):
            self.assertTrue(rule["to"])

    def test_what_a_site_needs_is_opened_by_value(self):
        opened = Rendered({"networkPolicy": {"extraEgress": [{"to": [{"ipBlock": {"cidr": "100.64.7.0/24"}}], "ports": [{"port": 443}]}], "blockedRangesIPv6": ["fc00::/7"]}})
        self.assertTrue(self.reaches(opened, "100.64.7.9", 443))
        self.assertFalse(self.reaches(opened, "100.64.8.9", 443))
        self.assertTrue(self.reaches(opened, "64:ff9b::101:101", 443))

    def test_ranges_are_what_a_policy_takes(self):
        # An exception must lie inside its range, without bits of a host.
        for cidr, excepted in self.blocks(Rendered()).items():
            for one in excepted or []:
                self.assertTrue(ipaddress.ip_network(one).subnet_of(ipaddress.ip_network(cidr)), one)

    def test_pods_in_the_own_namespace_only_of_this_release(self):
        own = {"app.kubernetes.io/name": "odoo", "app.kubernetes.io/instance": "acme-prod"}
        for suffix in ("-web", "-postgresql"):
            spec = Rendered().get("NetworkPolicy", suffix)["spec"]
            self.assertEqual(sorted(spec["policyTypes"]), ["Egress", "Ingress"])
            for peers in [r.get("from", r.get("to", [])) for r in spec["ingress"] + spec.get("egress", [])]:
                for peer in peers:
                    if "namespaceSelector" not in peer and "ipBlock" not in peer:
                        self.assertEqual(peer["podSelector"]["matchLabels"], own)
                    if "namespaceSelector" in peer and "podSelector" not in peer:
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

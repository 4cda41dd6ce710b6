"""What a spec may not say: passwords in plain text, orders to other controllers, domains that nobody gave; and where roles may be bound."""
import yaml

from admission import allowed, denied, environment, refused, unfit
from lib import until
from reserved import customer

OF_EVERYBODY = "which everybody reads who reads this object"


def at(name, path, value, stage="Test"):
    """An environment with a value at a dotted path of its spec."""
    body = environment(name, stage)
    node = body["spec"]
    *keys, last = path.split(".")
    for key in keys:
        node = node.setdefault(key, {})
    node[last] = value
    return body


def passwords(checks, asks, world):
    generated, master, feed = "spec.postgresql.auth.existingSecret", "spec.masterPasswordSecretRef", "spec.valuesFrom with secretKeyRef"
    for path, way in {
            "postgresql.auth.password": generated, "values.postgresql.auth.password": generated, "mail.password": "spec.mail.existingSecret",
            "values.mail.password": "spec.mail.existingSecret", "values.externalDatabase.password": "spec.values.externalDatabase.existingSecret",
            "values.bootstrap.password": "spec.bootstrap.adminPasswordSecretRef", "values.bootstrap.adminPassword": "spec.bootstrap.adminPasswordSecretRef",
            "values.odoo.config.admin_passwd": master, "values.odoo.config.smtp_password": feed, "values.odoo.config.list_db_password": feed,
            "values.odoo.config.aws_secret_access_key": feed, "values.odoo.config.api_token": feed}.items():
        for user in ("operator", "admin", "gitops"):
            answer = asks[user].create("odooenvironments", at("plain", path, "hunter2-plain"), dry=True)
            denied(checks, answer, f"{user}: {path}", f"spec.{path} is a password in plain text", OF_EVERYBODY, way)
            checks.that("hunter2" not in str(answer), f"{path} is not repeated", answer)
        denied(checks, asks["operator"].create("odooenvironments", at("plain", path, 12345), dry=True), f"a number: {path}")
        for nothing in ("", None):
            allowed(checks, asks["operator"].create("odooenvironments", at("plain", path, nothing), dry=True), f"{nothing!r}: {path}")
    for values in ({"odoo": {"config": {"limit_time_real": 120, "list_db": False}}}, {"odoo": {"config": None}}, {"odoo": "x"}, {"mail": []}):
        allowed(checks, asks["operator"].create("odooenvironments", at("plain", "values", values), dry=True), f"no password: {values}")
    template = {"apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": {"name": "plain"}, "spec": {
        "version": "1", "odooVersion": "18.0", "chart": {"path": "odoo"}, "values": {"odoo": {"config": {"admin_passwd": "hunter2"}}}}}
    denied(checks, asks["admin"].create("odootemplates", template, dry=True), "in a template", "spec.values.odoo.config.admin_passwd", master)


def passwords_kept(checks, asks, world):
    """An environment from before the policy can still be changed; its password can be moved, not replaced."""
    policy = f"{world.release}-passwords"
    old = at("old", "values.odoo.config.smtp_password", "hunter2")
    old["spec"]["mail"] = {"password": "hunter2"}
    world.kubectl.ok("delete", "validatingadmissionpolicybinding", policy)
    until("the policy is off", lambda: asks["admin"].create("odooenvironments", old)[0] in (201, 409))
    world.install()
    until("the policy is on", lambda: refused(asks["admin"].create("odooenvironments", old | {"metadata": {"name": "older"}}, dry=True)))
    patch = lambda spec: asks["operator"].patch("odooenvironments", "old", {"spec": spec}, dry=True)
    allowed(checks, patch({"values": {"a": 1}}), "something else changes")
    denied(checks, patch({"mail": {"password": "hunter3"}}), "another password", "spec.mail.password")
    denied(checks, patch({"values": {"odoo": {"config": {"smtp_password": "hunter3"}}}}), "another option", "smtp_password")
    allowed(checks, patch({"mail": None, "values": None}), "they are taken away")
    asks["root"].delete("odooenvironments", "old")


def routes(checks, asks, world):
    size = "nginx.ingress.kubernetes.io/proxy-body-size"
    with_annotations = lambda annotations, path="ingress": at("routes", path, {"host": "erp.acme.example", "annotations": annotations})
    for key in ("external-dns.alpha.kubernetes.io/hostname", "external-dns.alpha.kubernetes.io/target", "nginx.ingress.kubernetes.io/server-alias",
                "nginx.ingress.kubernetes.io/server-snippet", "nginx.ingress.kubernetes.io/configuration-snippet", "nginx.ingress.kubernetes.io/auth-url",
                "cert-manager.io/secret-template", "cert-manager.io/cluster-issuer", "traefik.ingress.kubernetes.io/router.middlewares", "anything"):
        for path in ("ingress", "values.ingress"):
            answer = asks["operator"].create("odooenvironments", with_annotations({size: "128m", key: "x"}, path), dry=True)
            denied(checks, answer, f"{path}: {key}", f'spec.ingress.annotations: "{key}"', "policies.ingressAnnotations", "create ingresses.networking.k8s.io")
        denied(checks, asks["admin"].create("odooenvironments", with_annotations({key: "x"}), dry=True), f"admin: {key}", key)
        allowed(checks, asks["root"].create("odooenvironments", with_annotations({key: "x"}), dry=True), f"who may create Ingresses: {key}")
    good = {size: "128m", "nginx.ingress.kubernetes.io/whitelist-source-range": "10.0.0.0/8, 2001:db8::/32", "haproxy.org/timeout-server": "720s",
            "traefik.ingress.kubernetes.io/service.sticky.cookie.name": "odoo_node", "nginx.ingress.kubernetes.io/proxy-read-timeout": "720"}
    allowed(checks, asks["operator"].create("odooenvironments", with_annotations(good)), "what is on the list")
    for value in ("1m;\n}", "1m; return 200", "{{ x }}", '"', "$host", "1m#"):
        denied(checks, asks["operator"].create("odooenvironments", with_annotations({size: value}), dry=True), f"the value {value!r}", size, "letters, digits")
    patch = lambda spec: asks["operator"].patch("odooenvironments", "routes", {"spec": spec}, dry=True)
    allowed(checks, asks["root"].patch("odooenvironments", "routes", {"spec": {"ingress": {"annotations": {"cert-manager.io/cluster-issuer": "x"}}}}), "root adds one")
    allowed(checks, patch({"values": {"a": 1}}), "it stays while something else changes")
    denied(checks, patch({"ingress": {"annotations": {"cert-manager.io/cluster-issuer": "y"}}}), "it does not change", "cert-manager.io/cluster-issuer")
    for target in ("ingress.annotations.x", "ingress.aliases[0]", "ingress.tls.secretName", "ingress.host"):
        given = [{"configMapKeyRef": {"name": "acme-settings", "key": "k"}, "targetPath": target}]
        denied(checks, asks["feeder"].create("odooenvironments", at("routes2", "valuesFrom", given), dry=True), f"fed: {target}")
    for alias in ("*.acme.example", "acme.example.", "ACME.example", "acme", "a..example", "acme.example/x", "x." * 126 + "toolong"):
        unfit(checks, patch({"ingress": {"aliases": [alias]}}), "spec.ingress.aliases", f"alias {alias[:30]}")
    allowed(checks, patch({"ingress": {"aliases": ["shop.acme.example", "xn--fiq228c.example"]}}), "good aliases")
    asks["root"].delete("odooenvironments", "routes")


def domains(checks, asks, world):
    """Which hosts the operator serves for a customer is not its author's to say."""
    verb = "assign-domains on odoocustomers.odoofleet.dev"
    with_domains, plain = customer("domains", domains=["acme.cn", "acme.example.com"]), customer("domains")
    for user in ("operator", "senior", "feeder", "gitops"):
        denied(checks, asks[user].create("odoocustomers", with_domains, dry=True), f"{user} makes a customer with domains",
               "spec.domains", 'the hosts of customer "domains"', verb, "which the role odoofleet-admin has", "allowedDomains")
        for body in (plain, customer("domains", domains=[])):
            allowed(checks, asks[user].create("odoocustomers", body, dry=True), f"{user} makes a customer without: {body['spec']}")
    allowed(checks, asks["admin"].create("odoocustomers", with_domains, dry=True), "admin makes a customer with domains")
    change = lambda user, domains, dry=True: asks[user].patch("odoocustomers", "domains", {"spec": {"domains": domains}}, dry=dry)
    others = {"metadata": {"labels": {"a": "b"}}, "spec": {"displayName": "Acme", "lifecycle": "Suspended"}}
    allowed(checks, asks["operator"].create("odoocustomers", plain), "operator makes a customer")
    denied(checks, change("operator", ["acme.cn"]), "operator gives it domains", verb, "Everything else")
    for nothing in ([], None):
        allowed(checks, change("operator", nothing), f"{nothing} is as before")
    allowed(checks, change("admin", ["acme.cn"], dry=False), "admin gives it domains")
    for user in ("operator", "gitops"):
        for value in (["acme.cn", "acme.com"], ["acme.com"], [], None):
            denied(checks, change(user, value), f"{user} changes them to {value}", "spec.domains", verb)
        allowed(checks, change(user, ["acme.cn"]), f"{user} leaves them as they are")
        allowed(checks, asks[user].patch("odoocustomers", "domains", others), f"{user} changes all but them")
    denied(checks, asks["operator"].patch("odoocustomers", "domains", others | {"spec": {"domains": ["acme.com"], "lifecycle": "Active"}}), "both at once", verb)
    for value in (["acme.com"], [], None, ["acme.cn", "acme.com"]):
        allowed(checks, change("admin", value), f"admin changes them to {value}")
    world.kubectl.ok("-n", world.namespace, "create", "role", "domains", "--verb=assign-domains", "--resource=odoocustomers.odoofleet.dev",
                     "--resource-name=domains")
    world.kubectl.ok("-n", world.namespace, "create", "rolebinding", "domains", "--role=domains", f"--serviceaccount={world.system}:feeder")
    until("the verb holds", lambda: change("feeder", ["acme.com"])[0] == 200)
    denied(checks, asks["feeder"].create("odoocustomers", customer("others", domains=["acme.cn"]), dry=True), "one customer's verb, another customer", verb)
    world.kubectl.ok("-n", world.namespace, "delete", "rolebinding", "domains")
    for domain in ("*.acme.cn", "ACME.cn", "acme", "acme.cn.", ".acme.cn", "acme.cn/x", ""):
        unfit(checks, change("admin", [domain]), "spec.domains", f"domain {domain!r}")
    allowed(checks, asks["operator"].delete("odoocustomers", "domains"), "operator deletes a customer that has domains")


def examples(checks, asks, world):
    """What the documents show is not refused to an administrator of OdooFleet."""
    folder, plurals = world.chart.parent.parent / "examples", {"OdooCustomer": "odoocustomers", "OdooTemplate": "odootemplates",
                                                              "OdooEnvironment": "odooenvironments", "Secret": "secrets", "ConfigMap": "configmaps"}
    asks["root"].delete("secrets", "acme-git")  # made by another part
    for path in sorted(folder.rglob("*.yaml")):
        for body in yaml.safe_load_all(path.read_text()):
            if body and body["kind"] in plurals:
                body["metadata"] = body["metadata"] | {"namespace": world.namespace}
                allowed(checks, asks["admin"].create(plurals[body["kind"]], body, dry=True), f"{path.relative_to(folder)}: {body['metadata']['name']}")


def bindings(checks, asks, world):
    """Where no policy holds, the role operator would write every Secret."""
    base, ns = "/apis/rbac.authorization.k8s.io/v1", world.namespace
    subjects = [{"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}]

    def body(kind, role, subjects=subjects):
        return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": f"test-{role}"}, "subjects": subjects,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}}

    post = lambda path, body: world.root.call("POST", f"{base}/{path}?dryRun=All", body)
    for role in ("odoofleet-operator", "odoofleet-support", "odoofleet-admin"):
        denied(checks, post("clusterrolebindings", body("ClusterRoleBinding", role)), f"{role} everywhere", "must not be bound in every namespace",
               f"kubectl -n NAMESPACE create rolebinding test-{role} --clusterrole={role}")
        for place in (world.system, "default"):
            denied(checks, post(f"namespaces/{place}/rolebindings", body("RoleBinding", role)), f"{role} in {place}", f"in namespace {place}",
                   f"kubectl label namespace {place} odoofleet.dev/managed=true")
        allowed(checks, post(f"namespaces/{ns}/rolebindings", body("RoleBinding", role)), f"{role} where environments are")
    # One from before the policy is not widened either.
    name, ours = "test-odoofleet-operator", f"{base}/clusterrolebindings"
    policy = f"{world.release}-bindings"
    world.kubectl.ok("delete", "validatingadmissionpolicybinding", policy)
    until("the policy is off", lambda: world.root.call("POST", ours, body("ClusterRoleBinding", "odoofleet-operator", subjects[:0]))[0] in (201, 409))
    world.install()
    until("the policy is on", lambda: refused(post("clusterrolebindings", body("ClusterRoleBinding", "odoofleet-admin"))))
    change = lambda patch: world.root.call("PATCH", f"{ours}/{name}", patch, "application/merge-patch+json")
    denied(checks, change({"subjects": subjects}), "one that is there gets another subject", "must not be bound in every namespace")
    allowed(checks, change({"metadata": {"labels": {"a": "b"}}}), "it gets a label")
    allowed(checks, world.root.call("DELETE", f"{ours}/{name}"), "and may go")
    allowed(checks, post("clusterrolebindings", body("ClusterRoleBinding", "odoofleet-viewer")), "a viewer anywhere")
    allowed(checks, post("clusterrolebindings", body("ClusterRoleBinding", "view")), "other roles are no matter")

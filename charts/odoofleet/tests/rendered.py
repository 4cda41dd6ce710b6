"""What the chart renders, and what it refuses."""
import ipaddress
import json
import re

import yaml

FLAGS = ["NAMESPACE", "SYSTEM_NAMESPACE", "LEASE_NAME", "IDENTITY", "CHARTS_DIR", "CACHE_DIR", "HELM_WORKER", "WORKERS", "WORKER_MEMORY", "LISTEN", "METRICS_TOKEN_FILE",
         "TIME_ZONE", "MAX_AUTOMATIC_STOPS", "MAX_STOPS", "ALLOWED_KINDS", "ALLOWED_GIT_HOSTS", "ALLOWED_DOMAINS", "LOG_FORMAT", "NODE_ADDRESS",
         "SHUTDOWN_SECONDS"]
ALL = {"operator": {"allowedGitHosts": ["git.example.com", "gitlab.example.cn:8443"], "allowedDomains": ["example.com", "erp.example.cn"],
                    "nodeAddress": "192.0.2.1"},
       "metrics": {"token": {"secretName": "scrape", "key": "t"}, "serviceMonitor": {"enabled": True, "labels": {"release": "monitoring"}},
                   "prometheusRule": {"enabled": True, "runbookUrl": "https://example.com/runbooks/"}}}

# Those that no request has.
VERBS = {"operate-production", "share", "assign-domains", "feed", "reconcile"}
POLICIES = ["bindings", "consents", "domains", "environment-deletion", "finalizers", "named-configmaps", "named-secrets", "namespace-deletion", "operator",
            "passwords", "production", "reserved-secrets", "routes", "secrets", "shared"]


def run(checks, helm, chart):
    for part in (lint, deployment, environment_variables, rights, kinds, people, switches, crds, namespace, policies, references, network,
                 monitoring, schema, i18n):
        checks.section(f"rendered: {part.__name__}")
        part(checks, helm, chart)


def find(objects, kind, name=None):
    return [o for o in objects if o["kind"] == kind and (name is None or o["metadata"]["name"] == name)]


def one(objects, kind, name=None):
    found = find(objects, kind, name)
    assert len(found) == 1, f"{len(found)} objects {kind} {name}"
    return found[0]


def env_of(objects):
    container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {e["name"]: e for e in container["env"]}


def lint(checks, helm, chart):
    done = helm.run("lint", "--strict", "--kube-version", "1.33.0", chart)
    checks.equal(done.returncode, 0, "helm lint --strict")
    done = helm.run("template", "odoofleet", chart, "-n", "odoofleet-system", "--kube-version", "1.32.9")
    checks.that(done.returncode and "kubeVersion" in done.stderr, "Kubernetes before 1.33 is refused", done.stderr)


def deployment(checks, helm, chart):
    objects = helm.objects(chart)
    spec = one(objects, "Deployment")["spec"]
    pod, container = spec["template"]["spec"], spec["template"]["spec"]["containers"][0]
    checks.equal(spec["strategy"], {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}, "strategy")
    checks.equal((pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["seccompProfile"]), (True, {"type": "RuntimeDefault"}),
                 "restricted pod")
    checks.equal(container["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                "capabilities": {"drop": ["ALL"]}}, "restricted container")
    checks.equal(pod["terminationGracePeriodSeconds"], 330, "grace period")
    checks.equal(container["livenessProbe"]["httpGet"]["path"], "/live", "liveness")
    checks.equal(container["readinessProbe"]["httpGet"]["path"], "/ready", "readiness")
    checks.that(container["resources"]["requests"] and container["resources"]["limits"], "resources")
    writable = {v["name"] for v in pod["volumes"] if "emptyDir" in v}
    checks.equal({m["mountPath"] for m in container["volumeMounts"] if m["name"] in writable}, {"/var/cache/odoofleet", "/tmp"}, "writable")
    version = yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"]
    checks.equal(container["image"], f"odoofleet/odoofleet:{version}", "image")
    checks.equal(one(objects, "Service")["spec"]["selector"], spec["selector"]["matchLabels"], "the Service selects the pod")

    digest = "sha256:" + "a" * 64
    container = one(helm.objects(chart, {"global": {"imageRegistry": "mirror.example.cn/x/"}, "image": {"registry": "r", "digest": digest}}),
                    "Deployment")["spec"]["template"]["spec"]["containers"][0]
    checks.equal(container["image"], f"mirror.example.cn/x/odoofleet/odoofleet@{digest}", "mirror and digest")
    pod = one(helm.objects(chart, {"securityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}),
              "Deployment")["spec"]["template"]["spec"]
    checks.equal(pod["securityContext"], {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}, "OpenShift chooses the user")
    checks.equal(one(helm.objects(chart, {"replicas": 0}), "Deployment")["spec"]["replicas"], 0, "replicas: 0")
    extra = {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "x"}], "affinity": {"nodeAffinity": {}}, "priorityClassName": "high",
             "topologySpreadConstraints": [{"maxSkew": 1}]}
    pod = one(helm.objects(chart, extra), "Deployment")["spec"]["template"]["spec"]
    checks.equal({k: pod.get(k) for k in extra}, extra, "scheduling values")


def environment_variables(checks, helm, chart):
    env = env_of(helm.objects(chart, ALL))
    checks.equal(set(env), {f"ODOOFLEET_{f}" for f in FLAGS}, "every flag is set, and no other")
    checks.equal(env["ODOOFLEET_NAMESPACE"]["value"], "odoo", "--namespace")
    checks.equal(env["ODOOFLEET_SYSTEM_NAMESPACE"]["value"], "odoofleet-system", "--system-namespace")
    checks.equal(env["ODOOFLEET_IDENTITY"]["valueFrom"], {"fieldRef": {"fieldPath": "metadata.name"}}, "--identity")
    checks.equal(env["ODOOFLEET_LISTEN"]["value"], "0.0.0.0:8080", "--listen")
    checks.equal(env["ODOOFLEET_ALLOWED_GIT_HOSTS"]["value"], "git.example.com,gitlab.example.cn:8443", "--allowed-git-hosts")
    checks.equal(env["ODOOFLEET_ALLOWED_DOMAINS"]["value"], "example.com,erp.example.cn", "--allowed-domains")
    kinds = env["ODOOFLEET_ALLOWED_KINDS"]["value"].split(",")
    checks.equal(kinds[:2] + kinds[-1:], ["v1/ConfigMap", "v1/Secret", "cert-manager.io/v1/Certificate"], "--allowed-kinds")
    checks.equal(env["ODOOFLEET_SHUTDOWN_SECONDS"]["value"], "300", "--shutdown-seconds leaves half a minute of the grace period")
    checks.that(all(isinstance(e.get("value", ""), str) for e in env.values()), "values of variables are strings")
    checks.equal({f"ODOOFLEET_{f}" for f in FLAGS} - set(env_of(helm.objects(chart))),
                 {"ODOOFLEET_ALLOWED_GIT_HOSTS", "ODOOFLEET_ALLOWED_DOMAINS", "ODOOFLEET_NODE_ADDRESS", "ODOOFLEET_METRICS_TOKEN_FILE"}, "an empty value leaves its flag out")


def rights(checks, helm, chart):
    """Of every role that the chart makes, whoever it is for."""
    roles = [o for o in helm.objects(chart, ALL) if o["kind"] in ("Role", "ClusterRole")]
    checks.equal(len(roles), 7, "number of roles")
    for role in roles:
        for rule in role["rules"]:
            what = f"{role['kind']} {role['metadata']['name']}: {json.dumps(rule)}"
            checks.that("*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"], f"no wildcard in {what}")
            checks.that(not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), f"no escalation in {what}")
            checks.that("rbac.authorization.k8s.io" not in rule["apiGroups"], f"no RBAC in {what}")
            checks.that(not {"nodes", "serviceaccounts/token", "pods/ephemeralcontainers"} & set(rule["resources"]), f"no host in {what}")
    for role in roles:
        subject = role["metadata"]["name"]
        has_exec = any("pods/exec" in r["resources"] for r in role["rules"])
        checks.equal(has_exec, subject in ("odoofleet-support", "odoofleet-admin"), f"exec in {subject}")
    bindings = [o for o in helm.objects(chart) if o["kind"].endswith("RoleBinding")]
    checks.equal({(s["kind"], s["namespace"], s["name"]) for b in bindings for s in b["subjects"]},
                 {("ServiceAccount", "odoofleet-system", "odoofleet")}, "only the operator is bound to anything")


def kinds(checks, helm, chart):
    values = {"extraAllowedKinds": [{"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler",
                                     "resource": "verticalpodautoscalers", "verbs": ["get", "create", "patch", "delete"]}]}
    objects = helm.objects(chart, values)
    role = one(objects, "Role", "odoofleet-controller")
    checks.that({"apiGroups": ["autoscaling.k8s.io"], "resources": ["verticalpodautoscalers"], "verbs": ["get", "create", "patch", "delete"]}
                in role["rules"], "an extra kind becomes a rule")
    checks.that(env_of(objects)["ODOOFLEET_ALLOWED_KINDS"]["value"].endswith(",autoscaling.k8s.io/v1/VerticalPodAutoscaler"), "and a flag")

    role = one(helm.objects(chart, {"allowedKinds": [{"apiVersion": "v1", "kind": "ConfigMap", "resource": "configmaps"}]}),
               "Role", "odoofleet-controller")
    own = {resource: rule["verbs"] for rule in role["rules"] for resource in rule["resources"]}
    checks.equal(own["persistentvolumeclaims"], ["get", "list", "watch", "patch", "delete"], "claims, whatever charts may render")
    checks.equal(own["horizontalpodautoscalers"], ["get", "list", "watch"], "autoscalers, whatever charts may render")

    forbidden = {
        "could raise their own rights": [
            ("rbac.authorization.k8s.io/v1", "Role", "roles"), ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions"),
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
            ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
            ("apiregistration.k8s.io/v1", "APIService", "apiservices"),
            ("certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests")],
        "cluster-scoped": [
            ("v1", "Namespace", "namespaces"), ("v1", "Node", "nodes"), ("v1", "PersistentVolume", "persistentvolumes"),
            ("storage.k8s.io/v1", "StorageClass", "storageclasses"), ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses"),
            ("networking.k8s.io/v1", "IngressClass", "ingressclasses"), ("gateway.networking.k8s.io/v1", "GatewayClass", "gatewayclasses"),
            ("cert-manager.io/v1", "ClusterIssuer", "clusterissuers"),
            ("external-secrets.io/v1", "ClusterSecretStore", "clustersecretstores")],
        "a controller acts on it with rights of its own": [
            ("helm.toolkit.fluxcd.io/v2", "HelmRelease", "helmreleases"), ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "kustomizations"),
            ("argoproj.io/v1alpha1", "Application", "applications"), ("external-secrets.io/v1", "ExternalSecret", "externalsecrets"),
            ("external-secrets.io/v1", "SecretStore", "secretstores"), ("external-secrets.io/v1alpha1", "PushSecret", "pushsecrets"),
            ("generators.external-secrets.io/v1alpha1", "Password", "passwords"), ("kro.run/v1alpha1", "ResourceGraphDefinition", "graphs"),
            ("apiextensions.crossplane.io/v1", "Composition", "compositions"), ("kubernetes.crossplane.io/v1alpha2", "Object", "objects"),
            ("helm.cattle.io/v1", "HelmChart", "helmcharts"), ("bitnami.com/v1alpha1", "SealedSecret", "sealedsecrets"),
            ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "secretproviderclasses"), ("core.oam.dev/v1beta1", "Application", "applications"),
            ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "referencegrants"), ("gateway.networking.k8s.io/v1", "Gateway", "gateways"),
            ("cert-manager.io/v1", "Issuer", "issuers"), ("cert-manager.io/v1", "CertificateRequest", "certificaterequests"),
            ("externaldns.k8s.io/v1alpha1", "DNSEndpoint", "dnsendpoints"), ("v1", "Endpoints", "endpoints"),
            ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")],
        "must not create customers": [("odoofleet.dev/v1alpha1", "OdooEnvironment", "odooenvironments")],
        "versions of templates": [("apps/v1", "ControllerRevision", "controllerrevisions")]}
    for reason, asked in forbidden.items():
        for version, kind, resource in asked:
            done = helm.template(chart, {"extraAllowedKinds": [{"apiVersion": version, "kind": kind, "resource": resource}]})
            checks.attack("rendering", done.returncode and f"{version}/{kind} is never allowed" in done.stderr and reason in done.stderr,
                          f"{version}/{kind} is refused with a reason", done.stderr)
    done = helm.template(chart, {"allowedKinds": [{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "resource": "roles"}]})
    checks.attack("rendering", done.returncode and "never allowed" in done.stderr, "allowedKinds is checked as well", done.stderr)


def people(checks, helm, chart):
    names = {o["metadata"]["name"] for o in find(helm.objects(chart, release="other"), "ClusterRole")}
    checks.equal(names, {"odoofleet-viewer", "odoofleet-operator", "odoofleet-support", "odoofleet-admin", "other-odoofleet-controller"},
                 "the roles for people have fixed names, the operator's follows the release")
    holders = {}
    for role in [o for o in helm.objects(chart, ALL) if o["kind"] in ("Role", "ClusterRole")]:
        for rule in role["rules"]:
            for verb in VERBS & set(rule["verbs"]):
                holders.setdefault(verb, set()).add((role["metadata"]["name"], *rule["resources"]))
    checks.equal(holders, {
        "operate-production": {("odoofleet-admin", "odooenvironments")}, "share": {("odoofleet-admin", "odoocustomers")},
        "assign-domains": {("odoofleet-admin", "odoocustomers")}, "feed": {("odoofleet-admin", "secrets", "configmaps")},
        "reconcile": {("odoofleet-controller", "odooenvironments")}}, "who has the verbs that policies ask for")


def switches(checks, helm, chart):
    off = helm.objects(chart, {"crds": {"install": False}, "createWatchNamespace": False, "roles": {"create": False},
                               "policies": {"create": False}}, release="second", namespace="second-system")
    checks.equal(sorted({o["kind"] for o in off}), ["ClusterRole", "ClusterRoleBinding", "Deployment", "NetworkPolicy", "Role", "RoleBinding", "Service",
                                                    "ServiceAccount", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
                 "a second installation adds only its own objects")
    checks.equal({o["metadata"]["name"] for o in off if o["kind"].startswith("Validating")}, {"second-odoofleet-operator"}, "and a policy on its own operator")
    first = {(o["kind"], o["metadata"]["name"]) for o in helm.objects(chart) if "namespace" not in o["metadata"]}
    second = {(o["kind"], o["metadata"]["name"]) for o in off if "namespace" not in o["metadata"]}
    checks.equal(first & second, set(), "cluster-wide names of two installations differ")
    done = helm.template(chart, {"watchNamespace": "odoofleet-system"})
    checks.attack("rendering", done.returncode and "operator's own namespace" in done.stderr, "one namespace for both is refused", done.stderr)


def crds(checks, helm, chart):
    sources = [yaml.safe_load(p.read_text()) for p in sorted((chart / "files/crds").glob("*.yaml"))]
    checks.equal([s["spec"]["names"]["plural"] for s in sources], ["odoocustomers", "odooenvironments", "odootemplates"], "source CRDs")
    objects = helm.objects(chart)
    for source in sources:
        crd = one(objects, "CustomResourceDefinition", source["metadata"]["name"])
        checks.equal(crd["metadata"]["annotations"].get("helm.sh/resource-policy"), "keep", f"{source['metadata']['name']} is kept")
        checks.equal(crd["spec"], source["spec"], f"{source['metadata']['name']} is rendered unchanged")
    checks.equal(find(helm.objects(chart, {"crds": {"install": False}}), "CustomResourceDefinition"), [], "crds.install: false")


def namespace(checks, helm, chart):
    made = one(helm.objects(chart, {"watchNamespace": "customers"}), "Namespace")
    labels = {k: v for k, v in made["metadata"]["labels"].items() if k.startswith(("odoofleet.dev/", "pod-security"))}
    checks.equal((made["metadata"]["name"], labels), ("customers", {
        "odoofleet.dev/managed": "true", "odoofleet.dev/protected": "true", "pod-security.kubernetes.io/enforce": "restricted"}), "namespace")
    checks.equal(made["metadata"]["annotations"], {"helm.sh/resource-policy": "keep"}, "the namespace is kept")


def policies(checks, helm, chart):
    objects = helm.objects(chart)
    policies = {o["metadata"]["name"]: o for o in find(objects, "ValidatingAdmissionPolicy")}
    bindings = {o["spec"]["policyName"]: o for o in find(objects, "ValidatingAdmissionPolicyBinding")}
    checks.equal(set(policies), {f"odoofleet-{n}" for n in POLICIES}, "policies")
    checks.equal(set(bindings), set(policies), "each policy is bound")
    for name, policy in policies.items():
        checks.equal(policy["spec"]["failurePolicy"], "Fail", f"{name} fails closed")
        checks.equal(bindings[name]["spec"]["validationActions"], ["Deny"], f"{name} denies")
        selector = bindings[name]["spec"].get("matchResources")
        if name == "odoofleet-namespace-deletion":
            checks.equal((selector, policy["spec"]["matchConstraints"]["objectSelector"]),
                         (None, {"matchLabels": {"odoofleet.dev/protected": "true"}}), f"{name} is bound by its own label")
        elif name in ("odoofleet-operator", "odoofleet-bindings"):
            checks.equal(selector, None, f"{name} is bound everywhere")
        else:
            checks.equal(selector, {"namespaceSelector": {"matchLabels": {"odoofleet.dev/managed": "true"}}}, f"{name} is bound by label")
    demanded = re.search(r"\$suffixes := list (.*?) -}}", (chart / "templates/_protected.tpl").read_text(), re.DOTALL).group(1)
    checks.equal(set(re.findall(r'"(.*?)"', demanded)), set(POLICIES) - {"operator"}, "an installation without policies asks for another's, all of them")


def references(checks, helm, chart):
    """The policies know every place in which a spec, or a value of charts/odoo, names a Secret or a ConfigMap."""
    def walk(node, path, resolve=lambda node: node):
        for key, child in resolve(node).get("properties", {}).items():
            child, here = resolve(child), f"{path}.{key}"
            if child.get("type") == "array":
                child, here = resolve(child["items"]), here + "[]"
            if re.search("secret|configmap|caref", key, re.IGNORECASE) and key != "secretPaths":
                yield here
            yield from walk(child, here, resolve)

    places = set()
    for crd in (chart / "files/crds").glob("*.yaml"):
        schema = yaml.safe_load(crd.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        places |= set(walk(schema["properties"]["spec"], "spec"))
    values = json.loads((chart.parent / "odoo/values.schema.json").read_text())

    def resolve(node):
        for part in node.get("allOf", []):
            node = node | resolve(part)
        return resolve(values["definitions"][node["$ref"].split("/")[-1]]) if "$ref" in node else node

    of_chart = set(walk(values, "", resolve))
    places |= {f"spec.values{p}" for p in of_chart} | {f"spec{p}" for p in of_chart if p.startswith((".postgresql.", ".mail."))}
    known = set()
    for policy in find(helm.objects(chart), "ValidatingAdmissionPolicy"):
        if "-named-" in policy["metadata"]["name"]:
            variable = next(v for v in policy["spec"]["variables"] if v["name"] == "after")
            known |= set(re.findall(r"'field': \[dyn\('(.*?)'\)\]", variable["expression"]))
    checks.equal(known, places, "places that name Secrets and ConfigMaps")
    checks.that(len(known) > 15, "they are many", known)


# Where clouds give out credentials, and what is the node's: AWS, GCP and most others, Azure, Oracle, Alibaba, and the same through NAT64.
METADATA = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254", "fe80::1",
            "64:ff9b::a9fe:a9fe"]


def selects(selector, labels):
    tests = {"In": lambda e: labels.get(e["key"]) in e["values"], "NotIn": lambda e: labels.get(e["key"]) not in e["values"],
             "Exists": lambda e: e["key"] in labels, "DoesNotExist": lambda e: e["key"] not in labels}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(tests[e["operator"]](e) for e in selector.get("matchExpressions", []))


def network(checks, helm, chart):
    baseline = [o for o in find(helm.objects(chart), "NetworkPolicy") if o["metadata"]["namespace"] == "odoo"]
    checks.equal(len(baseline), 2, "two policies around every pod")
    # Policies add up: one that selects a pod of charts/odoo must allow nothing, or it opens what that chart closes.
    everything = {"customer": {"id": "acme"}, "stage": "Test", "cron": {"enabled": True}, "ingress": {"enabled": True, "host": "a.example"},
                  "postgresql": {"auth": {"existingSecret": "a"}}}
    ours = [o for o in helm.objects(chart.parent / "odoo", everything) if o["kind"] in ("Deployment", "StatefulSet", "Pod")]
    pods = {o["metadata"]["name"]: (o["metadata"] if o["kind"] == "Pod" else o["spec"]["template"]["metadata"])["labels"] for o in ours}
    checks.that({"odoofleet-web", "odoofleet-cron", "odoofleet-postgresql", "odoofleet-mail", "odoofleet-page"} <= set(pods), "pods of charts/odoo", pods)
    for name, labels in pods.items():
        policies = [p["spec"] for p in baseline if selects(p["spec"]["podSelector"], labels)]
        checks.equal([(p["policyTypes"], p.get("ingress"), p.get("egress")) for p in policies], [(["Ingress", "Egress"], None, None)],
                     f"{name} is closed, and nothing is opened")
    for labels in ({}, {"app.kubernetes.io/name": "odoo", "app.kubernetes.io/instance": "acme-prod", "app.kubernetes.io/component": "web"}):
        rules = [p["spec"] for p in baseline if selects(p["spec"]["podSelector"], labels) and p["spec"].get("egress")]
        checks.equal(len(rules), 1, f"a pod of another chart {labels}")
        for rule in rules[0]["egress"]:
            blocks = [p["ipBlock"] for p in rule["to"] if "ipBlock" in p]
            for address in map(ipaddress.ip_address, METADATA):
                inside = lambda cidr: address in ipaddress.ip_network(cidr)
                checks.that(not any(inside(b["cidr"]) and not any(map(inside, b.get("except", []))) for b in blocks), f"{address} is closed", rule)
        ports = [r.get("ports") for r in rules[0]["egress"]]
        checks.equal(ports, [[{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}], None, None], "DNS by its port")
        reach = [peer for r in rules[0]["egress"] for peer in r["to"]]
        checks.that({"podSelector": {}} in reach and not any("namespaceSelector" in p for r in rules[0]["egress"][1:] for p in r["to"]),
                    "its own namespace, and no other", reach)
    extra = [{"to": [{"ipBlock": {"cidr": "10.9.0.0/24"}}], "ports": [{"port": 5432}]}]
    peer = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]
    values = {"networkPolicy": {"baseline": {"extraEgress": extra, "ingressFrom": peer}, "metrics": {"from": peer}}}
    objects = helm.objects(chart, values)
    spec = one(objects, "NetworkPolicy", "odoofleet-baseline")["spec"]
    checks.equal((spec["egress"][-1:], spec["ingress"]), (extra, [{"from": [{"podSelector": {}}, *peer]}]), "it can be widened")
    checks.equal(one(objects, "NetworkPolicy", "odoofleet-metrics")["spec"]["ingress"], [{"from": peer, "ports": [{"port": 8080}]}], "who may scrape")

    objects = helm.objects(chart)
    metrics = one(objects, "NetworkPolicy", "odoofleet-metrics")
    checks.equal((metrics["metadata"]["namespace"], metrics["spec"]["policyTypes"]), ("odoofleet-system", ["Ingress"]), "around the operator")
    checks.equal(metrics["spec"]["podSelector"]["matchLabels"], one(objects, "Service")["spec"]["selector"], "it selects the operator")
    peers = metrics["spec"]["ingress"][0]["from"]
    checks.equal([selects(peers[0]["namespaceSelector"], {"kubernetes.io/metadata.name": n}) for n in ("odoo", "monitoring", "odoofleet-system")],
                 [False, True, True], "environments do not scrape, everybody else may")
    off = {"networkPolicy": {"baseline": {"enabled": False}, "metrics": {"enabled": False}}}
    checks.equal(find(helm.objects(chart, off), "NetworkPolicy"), [], "they can be switched off")


def monitoring(checks, helm, chart):
    objects = helm.objects(chart, ALL)
    monitor = one(objects, "ServiceMonitor")
    checks.equal(monitor["metadata"]["labels"]["release"], "monitoring", "labels of the ServiceMonitor")
    service = one(objects, "Service")
    checks.that(monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items(), "it selects the Service")
    checks.that(monitor["spec"]["endpoints"][0]["port"] in [p["name"] for p in service["spec"]["ports"]], "and its port")
    checks.equal(monitor["spec"]["endpoints"][0]["authorization"], {"credentials": {"name": "scrape", "key": "t"}}, "it brings the token")
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    mounted = [m["mountPath"] for m in pod["containers"][0]["volumeMounts"] if m["name"] == "metrics-token"]
    checks.equal(env_of(objects)["ODOOFLEET_METRICS_TOKEN_FILE"]["value"], f"{mounted[0]}/t", "for which the operator asks")
    checks.equal([v["secret"] for v in pod["volumes"] if v["name"] == "metrics-token"], [{"secretName": "scrape"}], "of the same Secret")
    open_monitor = one(helm.objects(chart, {"metrics": {"serviceMonitor": {"enabled": True}}}), "ServiceMonitor")
    checks.that("authorization" not in open_monitor["spec"]["endpoints"][0], "without a Secret no token is brought")
    rules = one(objects, "PrometheusRule")["spec"]["groups"][0]["rules"]
    for rule in rules:
        checks.equal(rule["annotations"]["runbook_url"], f"https://example.com/runbooks/{rule['alert']}.md", f"runbook of {rule['alert']}")
        checks.that(rule["for"] and rule["labels"]["severity"] in ("warning", "critical"), f"{rule['alert']} is complete")
    allowed = json.loads((chart / "values.schema.json").read_text())
    enum = allowed["properties"]["metrics"]["properties"]["prometheusRule"]["properties"]["exclude"]["items"]["enum"]
    checks.equal([r["alert"] for r in rules], enum, "the schema knows the alerts")
    values = {"metrics": {"prometheusRule": {"enabled": True, "exclude": ["OdooVolumeAlmostFull"]}}}
    rules = one(helm.objects(chart, values), "PrometheusRule")["spec"]["groups"][0]["rules"]
    checks.that("OdooVolumeAlmostFull" not in [r["alert"] for r in rules] and len(rules) == len(enum) - 1, "an alert can be left out")
    checks.that(not any("runbook_url" in r["annotations"] for r in rules), "no runbook without a folder")


def schema(checks, helm, chart):
    mistakes = [
        {"typo": 1}, {"image": {"tga": "x"}}, {"replicas": -1}, {"replicas": "two"}, {"watchNamespace": "Odoo"}, {"watchNamespace": ""},
        {"image": {"digest": "latest"}}, {"image": {"pullPolicy": "Sometimes"}}, {"operator": {"workers": 0}},
        {"operator": {"logFormat": "xml"}}, {"operator": {"allowedGitHosts": ["https://git.example.com"]}}, {"operator": {"port": 80}},
        {"operator": {"allowedDomains": ["*.example.com"]}}, {"operator": {"allowedDomains": ["https://example.com"]}},
        {"operator": {"allowedDomains": ["localhost"]}}, {"operator": {"allowedDomains": ["Example.com"]}},
        {"operator": {"allowedDomains": "example.com"}}, {"operator": {"cacheDir": "relative"}}, {"allowedKinds": []},
        {"metrics": {"prometheusRule": {"exclude": ["NoSuchAlert"]}}}, {"commonLabels": {"a": 1}}]
    # What would take a wall away.
    attacks = [
        {"operator": {"allowedDomains": [""]}}, {"securityContext": {"runAsUser": 0}}, {"securityContext": {"privileged": True}},
        {"extraAllowedKinds": [{"apiVersion": "v1", "kind": "Pod", "resource": "*"}]},
        {"extraAllowedKinds": [{"apiVersion": "v1", "kind": "Pod", "resource": "pods/exec"}]},
        {"extraAllowedKinds": [{"apiVersion": "v1", "kind": "Pod", "resource": "pods", "verbs": ["*"]}]},
        {"extraAllowedKinds": [{"apiVersion": "v1", "kind": "Pod", "resource": "pods", "verbs": ["escalate"]}]},
        {"extraAllowedKinds": [{"apiVersion": "*/v1", "kind": "Pod", "resource": "pods"}]}]
    for values in mistakes + attacks:
        done = helm.template(chart, values)
        if values in attacks:
            checks.count("rendering")
        checks.that(done.returncode and "schema" in done.stderr, f"the schema refuses {json.dumps(values)}", done.stderr)


def i18n(checks, helm, chart):
    """Every value has a title and a description in both languages, and every default is described."""
    schema = json.loads((chart / "values.schema.json").read_text())
    missing = []

    def walk(node, defaults, path):
        for name, child in node.get("properties", {}).items():
            zh = child.get("x-i18n", {}).get("zh", {})
            if not (child.get("title") and child.get("description") and zh.get("title") and zh.get("description")):
                missing.append(path + name)
            walk(child, (defaults or {}).get(name) if isinstance(defaults, dict) else None, f"{path}{name}.")
        if isinstance(defaults, dict) and "properties" in node:
            missing.extend(path + name for name in set(defaults) - set(node["properties"]))

    walk(schema, yaml.safe_load((chart / "values.yaml").read_text()), "")
    walk(schema["definitions"]["kind"], None, "kind.")
    checks.equal(missing, [], "values without title or description in English and Chinese")
    readme = (chart / "README.md").read_text()

    def leaves(node, path=""):
        for name, child in node["properties"].items():
            yield from leaves(child, f"{path}{name}.") if "properties" in child else [path + name]

    checks.equal([n for n in leaves(schema) if f"| `{n}` |" not in readme], [], "values that README.md does not name")

"""The policies, with real requests: what they refuse, what they say, and what they leave alone."""
import re
import shlex

from lib import Api, until, without_right

OURS = "/apis/odoofleet.dev/v1alpha1"
SAFE_TYPES = ["Opaque", "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "kubernetes.io/tls", "kubernetes.io/dockerconfigjson"]
DATA = {"Opaque": {"k": "djE="}, "kubernetes.io/basic-auth": {"username": "eA==", "password": "djE="},
        "kubernetes.io/ssh-auth": {"ssh-privatekey": "djE="}, "kubernetes.io/tls": {"tls.crt": "djE=", "tls.key": "djE="},
        "kubernetes.io/dockerconfigjson": {".dockerconfigjson": "e30="}}
CONSENTS = ["odoofleet.dev/allow-deletion", "odoofleet.dev/allow-data-loss", "odoofleet.dev/allow-takeover",
            "odoofleet.dev/major-upgrade"]


class Asks:
    """Requests of one user in the namespace of the environments."""

    def __init__(self, api, namespace):
        self.api, self.namespace = api, namespace

    def path(self, plural, name=""):
        return f"{OURS if plural.startswith('odoo') else '/api/v1'}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def create(self, plural, body, dry=False):
        return self.api.call("POST", self.path(plural) + ("?dryRun=All" if dry else ""), body)

    def replace(self, plural, body):
        return self.api.call("PUT", self.path(plural, body["metadata"]["name"]), body)

    def patch(self, plural, name, body, dry=False):
        return self.api.call("PATCH", self.path(plural, name) + ("?dryRun=All" if dry else ""), body, "application/merge-patch+json")

    def delete(self, plural, name="", dry=False):
        return self.api.call("DELETE", self.path(plural, name) + ("?dryRun=All" if dry else ""))


def environment(name, stage, **metadata):
    return {"apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment", "metadata": {"name": name, **metadata},
            "spec": {"customerRef": {"name": "acme"}, "serviceName": name, "templateRef": {"name": "t"}, "stage": stage}}


def secret(name, labels=None, type="Opaque", data=None):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels or {}}, "type": type,
            "data": data or DATA.get(type, {"k": "djE="})}


def run(checks, world):
    asks = {user: Asks(api, world.namespace) for user, api in world.users.items()} | {"root": Asks(world.root, world.namespace)}
    allowed(checks, asks["root"].create("odooenvironments", environment("probe", "Production")), "an environment to probe with")
    until("every policy holds", lambda: all(refused(answer) for answer in (
        asks["root"].delete("odooenvironments", "probe", dry=True),
        asks["operator"].create("odooenvironments", environment("x", "Production"), dry=True),
        asks["operator"].create("secrets", secret("x"), dry=True),
        asks["controller"].create("secrets", secret("x", {"odoofleet.dev/shared": "true"}), dry=True),
        world.root.call("DELETE", f"/api/v1/namespaces/{world.namespace}?dryRun=All"))))
    for part in (no_warnings, deletion, production, senior, operator_itself, secrets_made, secrets_replaced, secrets_by_kubectl,
                 secrets_read, shared):
        checks.section(f"cluster: {part.__name__}")
        part(checks, asks, world)


def refused(answer):
    return answer[0] in (403, 422) and "ValidatingAdmissionPolicy" in answer[1].get("message", "")


def denied(checks, answer, what, *words):
    message = answer[1].get("message", "")
    return checks.attack("admission", refused(answer) and all(w in message for w in words), f"denied: {what}",
                         f"{answer[0]} {message}, expected {words}")


def forbidden(checks, answer, what):
    """Nobody gave the right; no policy is asked."""
    return checks.attack("rbac", without_right(answer), f"forbidden: {what}", f"{answer[0]} {answer[1].get('message', '')}")


def unfit(checks, answer, field, what):
    """The pattern of the kind does not take it."""
    message = answer[1].get("message", "")
    return checks.attack("schema", answer[0] == 422 and field in message and not refused(answer), f"refused: {what}", f"{answer[0]} {message}")


def allowed(checks, answer, what):
    return checks.that(answer[0] in (200, 201), f"allowed: {what}", f"{answer[0]} {answer[1].get('message', '')}")


def follow(world, user, message, names):
    """Runs the kubectl command that a refusal asks for, word for word."""
    command = re.search(r"kubectl (.*?odoofleet\.dev/allow-deletion=\S+)", message).group(1)
    assert names in command, command
    world.kubectl.ok("--kubeconfig", world.configs.get(user, world.kubectl.kubeconfig), *shlex.split(command))


def no_warnings(checks, asks, world):
    for policy in world.kubectl.json("get", "validatingadmissionpolicies")["items"]:
        checks.equal(policy["status"].get("typeChecking", {}).get("expressionWarnings"), None, f"types in {policy['metadata']['name']}")


def deletion(checks, asks, world):
    admin = asks["admin"]
    allowed(checks, admin.create("odooenvironments", environment("acme-prod", "Production")), "admin creates Production")
    for user in ("admin", "root"):
        answer = asks[user].delete("odooenvironments", "acme-prod")
        denied(checks, answer, f"{user} deletes Production without the annotation", 'Production environment "acme-prod" is protected',
               f"kubectl -n {world.namespace} annotate --overwrite odooenvironment acme-prod odoofleet.dev/allow-deletion=acme-prod")
    denied(checks, admin.delete("odooenvironments"), "admin deletes all at once")
    checks.equal(world.root.call("GET", admin.path("odooenvironments", "acme-prod"))[0], 200, "Production is still there")
    allowed(checks, admin.patch("odooenvironments", "acme-prod", {"metadata": {"annotations": {CONSENTS[0]: "true"}}}), "annotate wrongly")
    denied(checks, admin.delete("odooenvironments", "acme-prod"), "the annotation must be the name", "is protected")
    follow(world, "admin", answer[1]["message"], "acme-prod")
    allowed(checks, admin.delete("odooenvironments", "acme-prod"), "admin deletes Production after the command in the message")
    for stage in ("Test", "Staging"):
        allowed(checks, asks["operator"].create("odooenvironments", environment("gone", stage)), f"operator creates {stage}")
        allowed(checks, asks["operator"].delete("odooenvironments", "gone"), f"operator deletes {stage}, nothing asked")


def production(checks, asks, world):
    operator, admin = asks["operator"], asks["admin"]
    verb = "operate-production on odooenvironments.odoofleet.dev"
    for name, stage in (("live", "Production"), ("play", "Test")):
        allowed(checks, admin.create("odooenvironments", environment(name, stage)), f"admin creates {name}")
    denied(checks, operator.create("odooenvironments", environment("new", "Production")), "operator creates Production", "create", verb)
    change = {"spec": {"values": {"a": 1}}}
    denied(checks, operator.patch("odooenvironments", "live", change), "operator changes Production", "may start and stop",
           f"kubectl -n {world.namespace} scale odooenvironment live --replicas=N", verb)
    denied(checks, operator.patch("odooenvironments", "live", {"spec": {"stage": "Test"}}), "operator makes Production a Test", verb)
    denied(checks, operator.patch("odooenvironments", "play", {"spec": {"stage": "Production"}}), "operator makes a Test Production", verb)
    denied(checks, operator.delete("odooenvironments", "live"), "operator deletes Production", "delete", verb)
    allowed(checks, operator.patch("odooenvironments", "play", change), "operator changes Test")
    allowed(checks, operator.patch("odooenvironments", "live", {"metadata": {"annotations": {"odoofleet.dev/restartedAt": "1"}}}),
            "operator restarts Production")
    world.kubectl.ok("--kubeconfig", world.configs["operator"], "-n", world.namespace, "scale", "odooenvironment", "live", "--replicas=0")
    live = world.root.call("GET", admin.path("odooenvironments", "live"))[1]
    checks.equal(live["spec"].get("replicas"), 0, "operator stops Production with kubectl scale")
    for consent in CONSENTS:
        denied(checks, operator.patch("odooenvironments", "live", {"metadata": {"annotations": {consent: "live"}}}),
               f"operator sets {consent} on Production", consent, verb)
        allowed(checks, operator.patch("odooenvironments", "play", {"metadata": {"annotations": {consent: "x"}}}), f"{consent} on Test")
        allowed(checks, admin.patch("odooenvironments", "live", {"metadata": {"annotations": {consent: "live"}}}), f"admin sets {consent}")
        denied(checks, operator.patch("odooenvironments", "live", {"metadata": {"annotations": {consent: None}}}),
               f"operator removes {consent} from Production", verb)
    denied(checks, operator.delete("odooenvironments", "live"), "operator deletes Production that an admin released", "delete", verb)
    allowed(checks, admin.patch("odooenvironments", "live", change), "admin changes Production")


def senior(checks, asks, world):
    """An operator who also has the verb, given as README.md says."""
    operator, change = asks["operator"], {"spec": {"values": {"a": 2}}}
    world.kubectl.ok("-n", world.namespace, "create", "role", "production", "--verb=operate-production",
                     "--resource=odooenvironments.odoofleet.dev")
    world.kubectl.ok("-n", world.namespace, "create", "rolebinding", "senior", "--role=production", f"--serviceaccount={world.system}:operator")
    until("the verb is granted", lambda: not refused(operator.patch("odooenvironments", "live", change, dry=True)))
    allowed(checks, operator.patch("odooenvironments", "live", change), "with operate-production: change")
    allowed(checks, operator.patch("odooenvironments", "live", {"metadata": {"annotations": {CONSENTS[0]: None}}}), "and annotate")
    denied(checks, operator.delete("odooenvironments", "live"), "deleting still takes the annotation", "is protected")
    world.kubectl.ok("-n", world.namespace, "delete", "rolebinding", "senior")
    until("the verb is taken back", lambda: refused(operator.patch("odooenvironments", "live", {"spec": {"values": {"a": 3}}}, dry=True)))


def operator_itself(checks, asks, world):
    controller = asks["controller"]
    metadata = {"finalizers": ["odoofleet.dev/cleanup"]}
    allowed(checks, controller.patch("odooenvironments", "live", {"metadata": metadata}), "the operator's finalizer")
    denied(checks, controller.patch("odooenvironments", "live", {"spec": {"values": {"a": 4}}}), "the operator changes a spec of Production")
    allowed(checks, controller.patch("odooenvironments", "live/status", {"status": {"phase": "Stopped"}}), "the operator writes status")
    allowed(checks, controller.patch("odooenvironments", "live", {"metadata": {"finalizers": None}}), "and removes its finalizer")
    release = secret("sh.helm.release.v1.live.v1", {"owner": "helm", "odoofleet.dev/customer": "acme"}, "helm.sh/release.v1")
    allowed(checks, controller.create("secrets", release), "the operator's Helm stores a release")
    allowed(checks, controller.create("secrets", secret("generated", {"odoofleet.dev/customer": "acme", "odoofleet.dev/generated": "true"})),
            "the operator generates a Secret")
    allowed(checks, controller.patch("secrets", "generated", {"metadata": {"labels": {"x": "y"}}}), "and patches it")


def secrets_made(checks, asks, world):
    operator, mine = asks["operator"], {"odoofleet.dev/customer": "acme"}
    for kind in SAFE_TYPES:
        allowed(checks, operator.create("secrets", secret(f"new-{SAFE_TYPES.index(kind)}", mine, kind)), f"operator creates a Secret {kind}")
    denied(checks, operator.create("secrets", secret("x")), "a Secret without customer", "label odoofleet.dev/customer")
    denied(checks, operator.create("secrets", secret("x", {"odoofleet.dev/customer": ""})), "an empty customer", "label odoofleet.dev/customer")
    for kind in ("helm.sh/release.v1", "kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "example.com/other"):
        body = secret("x", mine, kind)
        body["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
        denied(checks, operator.create("secrets", body), f"a Secret of type {kind}", "these types only")
    for label in ("odoofleet.dev/generated", "odoofleet.dev/shared"):
        denied(checks, operator.create("secrets", secret("x", mine | {label: "true"})), f"label {label}")
    denied(checks, operator.create("secrets", secret("sh.helm.release.v1.live.v2", mine)), "a release by its name", "Helm keeps its releases")
    denied(checks, operator.create("secrets", secret("x", mine | {"owner": "helm"})), "a release by its label", "Helm keeps its releases")
    allowed(checks, asks["admin"].create("secrets", secret("plain")), "an admin may read Secrets, and is not limited")


def secrets_replaced(checks, asks, world):
    operator, mine = asks["operator"], {"odoofleet.dev/customer": "acme"}
    status, answer = operator.replace("secrets", secret("new-0", mine, data={"other": "djI="}))
    checks.equal((status, answer.get("data")), (200, {"other": "djI="}), "operator replaces a Secret, and is told only what was sent")
    denied(checks, operator.replace("secrets", secret("new-0", {"odoofleet.dev/customer": "globex"})), "to another customer", "cannot be changed")
    denied(checks, operator.replace("secrets", secret("new-0")), "without customer", "label odoofleet.dev/customer")
    denied(checks, operator.replace("secrets", secret("plain", mine)), "a Secret that was nobody's", "is not that customer's")
    denied(checks, operator.replace("secrets", secret("generated", mine)), "what the operator generated", "odoofleet.dev/generated")
    release = secret("sh.helm.release.v1.live.v1", mine | {"owner": "helm"}, "helm.sh/release.v1")
    denied(checks, operator.replace("secrets", release), "a release")


def secrets_by_kubectl(checks, asks, world):
    """The commands of README.md."""
    kubectl, name = ["--kubeconfig", world.configs["operator"], "-n", world.namespace], "acme-git"

    def manifest(value):
        made = world.kubectl.ok("create", "secret", "generic", name, "--type=kubernetes.io/basic-auth", "--from-file=password=/dev/stdin",
                                "--dry-run=client", "-o", "yaml", stdin=value)
        return world.kubectl.ok("label", "--local", "-f", "-", "odoofleet.dev/customer=acme", "-o", "yaml", stdin=made)

    for verb, value in (("create", "one"), ("replace", "two")):
        done = world.kubectl.run(*kubectl, verb, "-f", "-", stdin=manifest(value))
        checks.equal((done.returncode, done.stdout), (0, f"secret/{name} {verb}d\n"), f"operator: kubectl {verb} {done.stderr}")
    stored = world.root.call("GET", asks["root"].path("secrets", name))[1]
    checks.equal(stored["data"], {"password": "dHdv"}, "the Secret is the second one")


def secrets_read(checks, asks, world):
    """No answer to the role operator ever holds what was in a Secret. (A failing JSON patch quotes it before policies are asked.)"""
    operator, mine = asks["operator"], {"odoofleet.dev/customer": "acme"}
    hidden = "aGlkZGVu"
    allowed(checks, asks["admin"].create("secrets", secret("hidden", mine, data={"k": hidden})), "a Secret with something in it")
    copy = [{"op": "copy", "from": "/data/k", "path": "/metadata/annotations"}]
    attempts = {
        "get": operator.api.call("GET", operator.path("secrets", "hidden")),
        "list": operator.api.call("GET", operator.path("secrets")),
        "patch": operator.patch("secrets", "hidden", {}),
        "json patch": operator.api.call("PATCH", operator.path("secrets", "hidden"), copy, "application/json-patch+json"),
        "apply": operator.api.call("PATCH", operator.path("secrets", "hidden") + "?fieldManager=x", secret("hidden", mine) | {"data": {}},
                                  "application/apply-patch+yaml"),
        "replace": operator.replace("secrets", secret("hidden", mine, data={"z": "eg=="})),
        "delete": operator.delete("secrets", "hidden"),
        "create": operator.create("secrets", secret("hidden", mine)),
    }
    for name, answer in attempts.items():
        checks.that(hidden not in str(answer), f"{name} shows nothing of a Secret", answer)
        if name not in ("replace", "create"):
            forbidden(checks, answer, f"operator: {name} of a Secret")
    checks.equal((attempts["replace"][0], attempts["create"][0]), (200, 409), "replacing works, and creating what is there does not")


def shared(checks, asks, world):
    label = {"odoofleet.dev/shared": "true"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "common", "labels": label}}
    world.kubectl.ok("-n", world.system, "create", "serviceaccount", "editor")
    for namespace in (world.namespace, world.system):
        world.kubectl.ok("-n", namespace, "create", "rolebinding", "editor", "--clusterrole=edit", f"--serviceaccount={world.system}:editor")
    token = world.kubectl.ok("-n", world.system, "create", "token", "editor").strip()
    editor, elsewhere = (Asks(Api(world.kubectl.kubeconfig, token), n) for n in (world.namespace, world.system))
    until("the role holds", lambda: "cannot create" not in editor.create("configmaps", config, dry=True)[1].get("message", ""))
    for user, asking in (("the operator", asks["controller"]), ("an editor", editor)):
        for plural, body in (("configmaps", config), ("secrets", secret("common", label))):
            denied(checks, asking.create(plural, body), f"{user} creates shared {plural}", "verb share on odoocustomers.odoofleet.dev")
    for plural, body in (("configmaps", config), ("secrets", secret("common", label))):
        allowed(checks, asks["admin"].create(plural, body), f"admin creates shared {plural}")
        denied(checks, editor.patch(plural, "common", {"metadata": {"labels": {"odoofleet.dev/shared": None}}}), f"remove it from {plural}")
        denied(checks, editor.patch(plural, "common", {"metadata": {"labels": {"odoofleet.dev/shared": "false"}}}), f"change it on {plural}")
        allowed(checks, editor.patch(plural, "common", {"metadata": {"labels": {"x": "y"}}}), f"something else on shared {plural}")
        allowed(checks, asks["admin"].patch(plural, "common", {"metadata": {"labels": {"odoofleet.dev/shared": None}}}), "admin removes it")
        denied(checks, editor.patch(plural, "common", {"metadata": {"labels": label}}), f"an editor shares {plural}")
    allowed(checks, elsewhere.create("configmaps", config), "the policies hold only where the label binds them")

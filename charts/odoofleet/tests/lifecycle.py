"""Helm under the operator's identity, the quickstart, uninstalling, and the end of the namespace."""
import shlex

import yaml

from admission import Asks, allowed, denied, environment, follow, forbidden, refused
from lib import until

# One object of each default kind that every cluster knows.
KINDS = {
    "v1/ConfigMap": {"data": {"a": "{{ .Values.a }}"}},
    "v1/Secret": {"stringData": {"a": "{{ .Values.a }}"}},
    "v1/Service": {"spec": {"ports": [{"port": 80}], "selector": {"a": "{{ .Values.a }}"}}},
    "v1/ServiceAccount": {"automountServiceAccountToken": False},
    "v1/PersistentVolumeClaim": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    "apps/v1/Deployment": {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": "POD"}},
    "apps/v1/StatefulSet": {"spec": {"replicas": 0, "serviceName": "x", "selector": {"matchLabels": {"a": "b"}}, "template": "POD"}},
    "batch/v1/Job": {"spec": {"suspend": True, "template": "JOB"}},
    "batch/v1/CronJob": {"spec": {"suspend": True, "schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": "JOB"}}}},
    "networking.k8s.io/v1/Ingress": {"spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}}},
    "networking.k8s.io/v1/NetworkPolicy": {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
    "policy/v1/PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}},
    "autoscaling/v2/HorizontalPodAutoscaler": {"spec": {"maxReplicas": 2, "scaleTargetRef": {
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "everything"}}},
}
POD = {"metadata": {"labels": {"a": "b"}}, "spec": {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "c", "image": "example.com/none",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}]}}


def run(checks, world):
    for part in (helm_as_the_operator, lease, quickstart, unprotected, alone, baseline, uninstalled, namespace_deleted):
        checks.section(f"cluster: {part.__name__}")
        part(checks, world)


def chart_of(folder, name, objects):
    (folder / name / "templates").mkdir(parents=True)
    (folder / name / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": name, "version": "0.1.0"}))
    (folder / name / "values.yaml").write_text("a: one\nkeep: true\n")
    for n, body in enumerate(objects):
        text = yaml.safe_dump(body)
        if body["kind"] == "NetworkPolicy":
            text = "{{ if .Values.keep }}\n" + text + "{{ end }}\n"
        (folder / name / "templates" / f"{n}.yaml").write_text(text)
    return folder / name


def helm_as_the_operator(checks, world):
    """The Role is enough for install, upgrade (with a kind that goes), both ways of applying, and uninstall."""
    objects = []
    for key, body in KINDS.items():
        version, _, kind = key.rpartition("/")
        job = {"spec": POD["spec"] | {"restartPolicy": "Never"}}
        text = yaml.safe_dump(body, default_flow_style=True)
        text = text.replace("template: POD", f"template: {POD}").replace("template: JOB", f"template: {job}")
        metadata = {"name": "everything", "labels": {"changes": "{{ .Values.a }}"}}
        objects.append({"apiVersion": version, "kind": kind, "metadata": metadata} | yaml.safe_load(text))
    chart = chart_of(world.folder, "everything", objects)
    as_operator = ["--kubeconfig", world.configs["controller"], "--namespace", world.namespace]
    helm3 = world.helm.ok("version", "--short").startswith("v3")  # it knows one way only: the client's
    for way in ([],) if helm3 else (["--server-side=true"], ["--server-side=false"]):
        for step in (["install", "everything", chart], ["upgrade", "everything", chart, "--set", "a=two,keep=false"],
                     ["uninstall", "everything"]):
            flags = [] if step[0] == "uninstall" else way
            done = world.helm.run(*step, *flags, *as_operator)
            checks.equal((done.returncode, done.stderr), (0, ""), f"helm {step[0]} as the operator {way}")
        left = world.kubectl.ok("-n", world.namespace, "get", "all,ingresses,networkpolicies,pdb,hpa", "-l", "changes", "-o", "name")
        checks.equal(left, "", "nothing is left")

    rule = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "more"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}
    done = world.helm.run("install", "more", chart_of(world.folder, "more", [rule]), *as_operator)
    checks.attack("rbac", done.returncode and "forbidden" in done.stderr, "a chart with a Role is refused", done.stderr)


def lease(checks, world):
    path = f"/apis/coordination.k8s.io/v1/namespaces/{world.system}/leases"
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "odoofleet-operator"},
            "spec": {"holderIdentity": "one"}}
    controller = world.users["controller"]
    made = controller.call("POST", path, body)
    allowed(checks, made, "the operator makes its Lease")
    renewed = {**made[1], "spec": {"holderIdentity": "two"}}
    allowed(checks, controller.call("PUT", f"{path}/odoofleet-operator", renewed), "and renews it in the version that it read")
    forbidden(checks, controller.call("DELETE", f"{path}/odoofleet-operator"), "it deletes it")


def quickstart(checks, world):
    """What the installation notes end with, taken from them and given to a shell's parser, applied by an administrator."""
    notes = world.helm.ok("get", "notes", world.release, "--namespace", world.system)
    head, _, rest = notes.partition("kubectl apply")
    command, _, rest = rest.partition("\n")
    manifest, _, wait = rest.partition("\nEND\n")
    checks.equal(shlex.split(command.replace("<<'END'", "")), ["-n", world.namespace, "-f", "-"], "the command of the quickstart")
    done = world.kubectl.run("--kubeconfig", world.configs["admin"], "apply", *shlex.split(command.replace("<<'END'", "")), stdin=manifest)
    checks.equal(done.stdout.split("\n")[:3], ["odootemplate.odoofleet.dev/odoo-18 created", "odoocustomer.odoofleet.dev/acme created",
                                              "odooenvironment.odoofleet.dev/acme-test created"], f"the quickstart applies {done.stderr}")
    checks.that(wait.strip().startswith(f"kubectl -n {world.namespace} wait --for=condition=Ready"), "and then waits", wait)
    line = next(l for l in head.splitlines() if "create rolebinding" in l).strip()
    world.kubectl.ok(*shlex.split(line.replace("NAME", "li.wei"))[1:])


def unprotected(checks, world):
    """Nothing is installed where the policies or the pod security standard would not hold."""
    name, system = f"{world.namespace}-bare", f"{world.system}-bare"
    flags = ["--namespace", system, "--create-namespace", "--set", "replicas=0,crds.install=false,roles.create=false", "--set",
             f"watchNamespace={name},createWatchNamespace=false,policies.create=false"]
    labels = ["odoofleet.dev/managed=true", "odoofleet.dev/protected=true", "pod-security.kubernetes.io/enforce=restricted"]
    try:
        for step in (["create", "namespace", name], *(["label", "namespace", name, label] for label in labels)):
            done = world.helm.run("install", "second", world.chart, *flags)
            checks.attack("rendering", done.returncode and f"namespace {name} has no label" in done.stderr and " ".join(labels) in done.stderr,
                          f"refused before kubectl {' '.join(step)}", done.stderr)
            world.kubectl.ok(*step)
        world.kubectl.ok("delete", "validatingadmissionpolicybinding", f"{world.release}-secrets")
        done = world.helm.run("install", "second", world.chart, *flags)
        checks.attack("rendering", done.returncode and "no other installation in this cluster has policy secrets" in done.stderr,
                      "refused without a policy", done.stderr)
        world.install()
        done = world.helm.run("install", "second", world.chart, *flags)
        checks.equal((done.returncode, done.stderr), (0, ""), "with all of it a second operator is installed")
        world.helm.ok("uninstall", "second", "--namespace", system)
    finally:
        world.kubectl.ok("annotate", "--overwrite", "namespace", name, f"odoofleet.dev/allow-deletion={name}")
        world.kubectl.ok("delete", "namespace", name, system, "--ignore-not-found", "--timeout=60s")


def alone(checks, world):
    """A second installation says what it needs, before it changes anything."""
    system = f"{world.system}-second"
    install = lambda *more: world.helm.run("install", "second", world.chart, "--namespace", system, "--create-namespace",
                                           "--set", "replicas=0", *more)
    done = install("--set", "watchNamespace=elsewhere")
    checks.that(done.returncode and f"OdooFleet's kinds from release {world.release} in namespace {world.system}" in done.stderr
                and "--set crds.install=false,roles.create=false,policies.create=false" in done.stderr, "what is there once is named", done.stderr)
    done = install("--set", f"watchNamespace={world.namespace},createWatchNamespace=false,crds.install=false,roles.create=false,policies.create=false")
    checks.that(done.returncode and f"namespace {world.namespace} belongs to the operator of release {world.release}" in done.stderr,
                "two operators never share a namespace", done.stderr)
    world.kubectl.ok("delete", "namespace", system, "--ignore-not-found", "--timeout=60s")


def baseline(checks, world):
    """The baseline is there from the beginning, and no upgrade puts it around what has run without it."""
    policies = lambda: world.kubectl.ok("-n", world.namespace, "get", "networkpolicies", "-o", "name").split()
    both = [f"networkpolicy.networking.k8s.io/{world.release}-baseline{suffix}" for suffix in ("", "-deny")]
    upgrade = lambda more="": world.helm.ok("upgrade", world.release, world.chart, "--namespace", world.system, "--set",
                                            f"watchNamespace={world.namespace},replicas=0{more}")
    checks.equal(policies(), both, "from the first installation on")

    def workload(kind, name, labels):
        version, spec = {"Deployment": ("apps/v1", {"selector": {"matchLabels": {"a": "b"}}, "template": POD, "replicas": 0}),
                         "CronJob": ("batch/v1", {"schedule": "0 0 * * *", "suspend": True, "jobTemplate": {"spec": {
                             "template": {"spec": POD["spec"] | {"restartPolicy": "Never"}}}}})}[kind]
        world.kubectl.ok("-n", world.namespace, "create", "-f", "-", stdin=yaml.safe_dump(
            {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec}))

    own = {"app.kubernetes.io/part-of": "odoofleet", "app.kubernetes.io/instance": "acme-open"}
    workload("Deployment", "foreign", {})
    upgrade()
    checks.equal(policies(), both, "once it is there, it stays")
    upgrade(",networkPolicy.baseline.enabled=false")
    checks.equal(policies(), [], "it can be switched off")
    workload("CronJob", "backup", {})
    workload("Deployment", "acme-open-web", own)
    notes = upgrade()
    checks.equal(policies(), [], "an upgrade does not confine what runs")
    checks.that("deployment/acme-open-web, deployment/foreign, cronjob/backup" in notes, "and says what that is", notes)
    world.kubectl.ok("-n", world.namespace, "delete", "deployment/foreign", "cronjob/backup")
    guard = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "acme-open-web", "labels": own},
             "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    world.kubectl.ok("-n", world.namespace, "create", "-f", "-", stdin=yaml.safe_dump(guard))
    upgrade()
    checks.that(set(both) <= set(policies()), "what has policies of its own is not confined by it", policies())
    world.kubectl.ok("-n", world.namespace, "delete", "deployment/acme-open-web", "networkpolicy/acme-open-web")


def uninstalled(checks, world):
    world.helm.ok("uninstall", world.release, "--namespace", world.system)
    names = world.kubectl.ok("-n", world.namespace, "get", "odooenvironments", "-o", "name").split()
    checks.that("odooenvironment.odoofleet.dev/acme-test" in names, "uninstalling keeps CRDs, namespace and environments", names)
    checks.equal(world.kubectl.ok("get", "validatingadmissionpolicies", "-o", "name"), "", "policies go")
    world.install()
    world.enter(world.release, "controller")  # a new ServiceAccount: the old token is worth nothing
    spec = world.kubectl.json("get", "namespace", world.namespace)
    checks.equal(spec["metadata"]["labels"]["odoofleet.dev/protected"], "true", "installing again takes them over")


def namespace_deleted(checks, world):
    """With a Production environment inside that has the operator's finalizer, and every policy in force."""
    root, path = Asks(world.root, world.namespace), f"/api/v1/namespaces/{world.namespace}"
    allowed(checks, root.create("odooenvironments", environment("last", "Production", finalizers=["odoofleet.dev/cleanup"])), "Production")
    until("policies hold again", lambda: refused(world.root.call("DELETE", f"{path}?dryRun=All"))
          and refused(root.delete("odooenvironments", "last", dry=True)))
    answer = world.root.call("DELETE", path)
    denied(checks, answer, "delete the namespace", "holds the data of every customer")
    follow(world, "root", answer[1]["message"], world.namespace)
    checks.equal(world.root.call("DELETE", path)[0], 200, "allowed after the command in the message")

    # The case that hangs when the operator's right comes from a binding inside the namespace.
    until("the RoleBindings are gone", lambda: not world.kubectl.json("-n", world.namespace, "get", "rolebindings")["items"])
    until("the environment is being deleted", lambda: "deletionTimestamp" in root.api.call(
        "GET", root.path("odooenvironments", "last"))[1]["metadata"])
    controller = Asks(world.users["controller"], world.namespace)
    checks.equal(controller.api.call("GET", controller.path("secrets"))[0], 403, "the operator has lost its Role")
    allowed(checks, controller.patch("odooenvironments", "last", {"metadata": {"finalizers": None}}), "but lets its environments go")
    done = world.kubectl.run("wait", "--for=delete", f"namespace/{world.namespace}", "--timeout=60s")
    checks.equal(done.returncode, 0, f"the namespace is gone {done.stderr}")

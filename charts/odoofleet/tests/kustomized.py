"""`config/` of the repository: kustomize makes the same of it as Helm of the chart, and kubectl applies it to an empty cluster."""
import json

import yaml

NAMESPACE, SYSTEM = "odoo", "odoofleet-system"
# What only Helm's own objects have.
LABELS, ANNOTATIONS = ("helm.sh/chart", "app.kubernetes.io/managed-by"), ("helm.sh/resource-policy",)
CRDS = ["odoocustomers.odoofleet.dev", "odootemplates.odoofleet.dev", "odooenvironments.odoofleet.dev"]


def run(checks, helm, kubectl, chart, folder):
    config = chart.parent.parent / "config"
    for part in (rendered, image):
        checks.section(f"config: {part.__name__}")
        part(checks, helm, kubectl, chart, config, folder)
    try:
        checks.section("config: applied")
        applied(checks, kubectl, config)
        checks.section("config: samples")
        samples(checks, kubectl, config)
    finally:
        remove(kubectl, config)


def identity(o):
    return o["apiVersion"], o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]


def kustomize(kubectl, folder):
    return {identity(o): o for o in yaml.safe_load_all(kubectl.ok("kustomize", folder)) if o}


def plain(o):
    """An object of Helm without what only Helm's have."""
    for metadata in (o["metadata"], o.get("spec", {}).get("template", {}).get("metadata", {})):
        for field, names in (("labels", LABELS), ("annotations", ANNOTATIONS)):
            left = {k: v for k, v in (metadata.get(field) or {}).items() if k not in names}
            if left:
                metadata[field] = left
            else:
                metadata.pop(field, None)
    return o


def rendered(checks, helm, kubectl, chart, config, _):
    """The chart is told of once more by another reader of YAML, and object by object."""
    wanted = {identity(o): plain(o) for o in helm.objects(chart, {"metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}})}
    monitoring = {i: o for i, o in wanted.items() if i[0].startswith("monitoring.coreos.com/")}
    made = kustomize(kubectl, config / "default")
    namespace = made.pop(("v1", "Namespace", "", SYSTEM))
    checks.equal(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted", "the operator's namespace")
    checks.equal(made.keys(), wanted.keys() - monitoring.keys(), "config/default has the chart's objects")
    for key in made.keys() & wanted.keys():
        checks.equal(made[key], wanted[key], f"config/default: {key[1]} {key[3]}")
    made = kustomize(kubectl, config / "prometheus")
    for key, o in monitoring.items():
        checks.equal(made.get(key), o, f"config/prometheus: {key[1]} {key[3]}")


def image(checks, helm, kubectl, chart, config, folder):
    """README: an overlay names another image."""
    overlay = folder / "overlay"
    overlay.mkdir()
    # kustomize takes no absolute paths.
    base = "/".join([".."] * (len(overlay.resolve().parts) - 1)) + str(config / "default")
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump({
        "resources": [base],
        "images": [{"name": "odoofleet/odoofleet", "newName": "registry.example.com/odoofleet", "newTag": "1.2.3"}]}))
    deployment = kustomize(kubectl, overlay)["apps/v1", "Deployment", SYSTEM, "odoofleet"]
    checks.equal(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example.com/odoofleet:1.2.3", "another image")


def applied(checks, kubectl, config):
    apply = lambda: kubectl.run("apply", "--server-side", "--kustomize", config / "default")
    first = apply()
    checks.equal(first.returncode, 0, f"config/default applies to an empty cluster: {first.stderr}")
    kubectl.ok("wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{name}" for name in CRDS))
    before = generations(kubectl, config)
    second = apply()
    checks.equal((second.returncode, second.stderr), (0, ""), "config/default applies again")
    checks.equal(generations(kubectl, config), before, "the second time changes nothing")
    checks.equal(len(before), len(kustomize(kubectl, config / "default")), "everything is there")


def generations(kubectl, config):
    """Of each object what a change changes; the resource version where there is no generation."""
    live = json.loads(kubectl.ok("get", "--kustomize", config / "default", "-o", "json"))["items"]
    return {identity(o): o["metadata"].get("generation") or o["metadata"]["resourceVersion"] for o in live}


def samples(checks, kubectl, config):
    done = kubectl.run("apply", "--server-side", "--dry-run=server", "--kustomize", config / "samples", "-o", "name")
    checks.equal(done.returncode, 0, f"config/samples is accepted: {done.stderr}")
    kinds = {name.split(".")[0] for name in done.stdout.split()}
    checks.equal(kinds, {crd.split(".")[0][:-1] for crd in CRDS}, "config/samples has one of each kind")


def remove(kubectl, config):
    kubectl.run("annotate", "--overwrite", "namespace", NAMESPACE, f"odoofleet.dev/allow-deletion={NAMESPACE}")
    kubectl.ok("delete", "--kustomize", config / "default", "--ignore-not-found", "--timeout=120s")

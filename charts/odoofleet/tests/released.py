"""The kinds of the last release, today's, and those of the last release again: what one stored, the other takes, reads and keeps.

The objects set every field, which `cargo xtask test unit` sees to. e2e/kinds has them, and says more.
"""
import copy
import json

import yaml

from lib import Api, until

NAMESPACE = "odoofleet-released"
# A field that no kind has: whoever is allowed to set it to a word has the kinds of that word before him.
STAGE = "testStage"


class Kinds:
    """The CRDs of a folder, and the objects of another."""

    def __init__(self, crds, objects):
        self.crds = [yaml.safe_load(file.read_text()) for file in sorted(crds.glob("*.yaml"))]
        self.objects = [o for file in sorted(objects.glob("*.yaml")) for o in yaml.safe_load_all(file.read_text())]


class Server:
    """The API server, as somebody who may do everything."""

    def __init__(self, kubectl):
        self.kubectl, self.api = kubectl, Api(kubectl.kubeconfig)

    def install(self, crds, stage, probe):
        """Puts the kinds in force, and returns when they are."""
        crds = copy.deepcopy(crds)
        for crd in crds:
            for version in crd["spec"]["versions"]:
                version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][STAGE] = {"type": "string", "enum": [stage]}
        self.kubectl.ok("apply", "--server-side", "--force-conflicts", "-f", "-",
                        stdin="\n---\n".join(json.dumps(crd) for crd in crds))
        for crd in crds:
            self.kubectl.ok("wait", "--for=condition=Established", "--timeout=60s", f"crd/{crd['metadata']['name']}")
        for kind in {o["kind"]: o for o in probe}.values():
            marked = copy.deepcopy(kind)
            marked["spec"][STAGE] = stage
            until(f"{kind['kind']} is the one of {stage!r}", lambda: not self.refusal_of_the_stage(marked))

    def refusal_of_the_stage(self, marked):
        status, answer = self.create(marked, "-probe")
        return status == 404 or STAGE in answer.get("message", "")

    def path(self, object, name=True, sub=""):
        group = f"/apis/{object['apiVersion']}/namespaces/{NAMESPACE}/{object['kind'].lower()}s"
        return group + (f"/{object['metadata']['name']}{sub}" if name else "")

    def create(self, object, suffix=""):
        """With a suffix of the name only tried. Unknown fields are refused, as kubectl has it."""
        named = object | {"metadata": {"name": object["metadata"]["name"] + suffix}}
        return self.api.call("POST", self.path(object, name=False) + "?fieldValidation=Strict" + ("&dryRun=All" if suffix else ""), named)

    def get(self, object):
        return self.api.call("GET", self.path(object))

    def write(self, object, sub=""):
        return self.api.call("PUT", self.path(object, sub=sub), object)


def lost(before, after, path=""):
    """Paths of what `before` has and `after` lacks or has otherwise."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [p for key, value in before.items() for p in lost(value, after.get(key), f"{path}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [p for one, other in zip(before, after) for p in lost(one, other, f"{path}[]")]
    return [] if before == after else [path]


def content(object):
    return {part: object[part] for part in ("spec", "status") if part in object}


def store(server, objects):
    """Writes objects with their status, and says what was refused or dropped."""
    complaints = []
    for object in objects:
        answer = server.create(object)
        if answer[0] == 201 and "status" in object:
            answer = server.write(answer[1] | {"status": object["status"]}, "/status")
        complaints += judge(object, answer, "made")
    return complaints


def judge(object, answer, how):
    """What an answer shows to be wrong."""
    where = f"{object['kind']} {object['metadata']['name']}, {how}"
    if answer[0] not in (200, 201):
        return [f"{where}: {answer[0]} {answer[1].get('message', '')}"]
    if how == "tried anew":  # A new object has no status yet.
        object = {"spec": object["spec"]}
    return [f"{where}: {path} is lost" for path in lost(content(object), content(answer[1]))]


def used(server, objects, anew=True):
    """Reads, writes and makes anew each of the objects that are stored, and says what is wrong."""
    complaints = []
    for object in objects:
        answer = server.get(object)
        complaints += judge(object, answer, "read")
        if answer[0] != 200:
            continue
        # Changed elsewhere, so that the whole is stored anew.
        live = answer[1]
        live["metadata"]["labels"] = {"touched": str(live["metadata"]["generation"])}
        answer = server.write(live)
        complaints += judge(object, answer, "written")
        if answer[0] == 200 and "status" in object:
            status = answer[1]["status"] | {"observedGeneration": answer[1]["status"]["observedGeneration"] + 1}
            complaints += judge({**object, "status": {**object["status"], "observedGeneration": status["observedGeneration"]}},
                                server.write(answer[1] | {"status": status}, "/status"), "its status written")
            object["status"]["observedGeneration"] = status["observedGeneration"]
        if anew:
            complaints += judge(object, server.create(object, "-anew"), "tried anew")
    return complaints


def renamed(objects):
    """The same under other names, so that both can be there."""
    return [o | {"metadata": {"name": f"{o['metadata']['name']}-today"}} for o in copy.deepcopy(objects)]


def run(checks, kubectl, chart):
    checks.section("cluster: released")
    kinds = chart.parent.parent / "e2e/kinds"
    folder = next(path for path in (kinds / "released").iterdir() if path.is_dir())
    former, today = Kinds(folder, folder / "objects"), Kinds(chart.parent.parent / "crds", kinds / "objects")
    server = Server(kubectl)
    checks.that(len(former.objects) >= len(former.crds) and len(former.crds) >= 3, f"{folder.name} has kinds and objects")
    kubectl.ok("create", "namespace", NAMESPACE)
    try:
        trip(checks, server, former, today)
    finally:
        kubectl.run("delete", "crd", *{crd["metadata"]["name"] for crd in former.crds + today.crds}, "--ignore-not-found", "--timeout=60s")
        kubectl.run("delete", "namespace", NAMESPACE, "--timeout=60s")


def trip(checks, server, former, today):
    server.install(former.crds, "former", former.objects)
    checks.equal(store(server, former.objects), [], "the former kinds take their own objects")

    server.install(today.crds, "today", today.objects)
    checks.equal(used(server, former.objects), [], "today's kinds take what the former stored")
    new = renamed(today.objects)
    checks.equal(store(server, new), [], "today's kinds take their own objects")
    checks.equal(used(server, new), [], "and those are used")

    server.install(former.crds, "back", former.objects)
    checks.equal(used(server, former.objects), [], "back again, nothing is lost that the former kinds know")
    # What is new may be dropped; the object stays one that can be read, written and stopped.
    refused = [line for line in used(server, new, anew=False) if not line.endswith(" is lost")]
    checks.equal(refused, [], "back again, today's objects can be used")

    checks.section("cluster: broken")
    complaints = "\n".join(broken(server, today, former.objects))
    for told in ("OdooEnvironment acme-prod, written: .spec.git.refresh is lost", 'acme-prod, tried anew: 400', "OdooEnvironment acme-test, tried anew: 422",
                 'Unsupported value: "Test"', "OdooEnvironment acme-prod, its status written: .status.database.uuid is lost"):
        checks.that(told in complaints, f"kinds that break are noticed: {told}", complaints)


def broken(server, today, objects):
    """What `used` says when fields and words have gone."""
    crds = copy.deepcopy(today.crds)
    kind = next(crd for crd in crds if crd["spec"]["names"]["kind"] == "OdooEnvironment")
    fields = kind["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    del fields["spec"]["properties"]["git"]["properties"]["refresh"]
    del fields["status"]["properties"]["database"]["properties"]["uuid"]
    fields["spec"]["properties"]["stage"]["enum"].remove("Test")
    server.install(crds, "broken", [o for o in objects if o["spec"].get("stage") != "Test"])
    return used(server, objects)

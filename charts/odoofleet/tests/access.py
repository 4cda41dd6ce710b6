"""Who may do what: every verb on every kind, asked with real requests and real tokens, against one exact table."""
from lib import until, without_right

VIEW = "get list watch"
WRITE = "create update patch delete"
CRUD = f"{VIEW} {WRITE}"

VIEWER = {
    "odoocustomers": VIEW, "odootemplates": VIEW, "odooenvironments": VIEW, "odooenvironments/scale": "get",
    "pods": VIEW, "services": VIEW, "persistentvolumeclaims": VIEW, "events": VIEW, "events.k8s.io": VIEW,
    "deployments": VIEW, "statefulsets": VIEW, "jobs": VIEW, "cronjobs": VIEW, "ingresses": VIEW,
}
SCALE = "get update patch"
# What is not named here must be refused.
TABLE = {
    "nobody": {},
    "viewer": VIEWER,
    "operator": VIEWER | {
        "odoocustomers": CRUD, "odooenvironments": CRUD, "odooenvironments/scale": SCALE, "pods/log": "get", "secrets": "create update"},
    "support": VIEWER | {"pods/log": "get", "pods/exec": "get create"},
    "admin": VIEWER | {
        "odoocustomers": f"{CRUD} deletecollection", "odootemplates": f"{CRUD} deletecollection",
        "odooenvironments": f"{CRUD} deletecollection", "odooenvironments/scale": SCALE, "pods/log": "get", "pods/exec": "get create",
        "pods": f"{VIEW} delete", "secrets": CRUD, "configmaps": CRUD, "controllerrevisions": VIEW},
    "controller": {
        "odoocustomers": f"{VIEW} patch", "odootemplates": f"{VIEW} patch", "odooenvironments": f"{VIEW} patch",
        "odoocustomers/status": "patch", "odootemplates/status": "patch", "odooenvironments/status": "patch",
        "secrets": CRUD, "configmaps": CRUD, "services": CRUD, "persistentvolumeclaims": CRUD, "deployments": CRUD, "statefulsets": CRUD,
        "jobs": CRUD, "cronjobs": CRUD, "serviceaccounts": CRUD, "ingresses": CRUD, "networkpolicies": CRUD, "poddisruptionbudgets": CRUD,
        "horizontalpodautoscalers": CRUD, "pods": f"{VIEW} create delete", "deployments/scale": "patch", "statefulsets/scale": "patch",
        "controllerrevisions": "get list watch create delete", "events.k8s.io": "list watch create patch"},
}
# Outside the namespace of the environments people have nothing; the operator has its own kinds, its Lease, and a look at two objects.
OURS_EVERYWHERE = {k: v for k, v in TABLE["controller"].items() if k.startswith("odoo")}
ELSEWHERE = {
    "system": OURS_EVERYWHERE | {"leases": "create", "leases odoofleet-operator": "create get update"},
    "default": OURS_EVERYWHERE,
    "cluster": {"namespaces odoofleet-test": "get", "customresourcedefinitions odooenvironments.odoofleet.dev": "get"},
}

OURS = "/apis/odoofleet.dev/v1alpha1"
GROUPS = {
    OURS: ["odoocustomers", "odootemplates", "odooenvironments", "odoocustomers/status", "odootemplates/status",
           "odooenvironments/status", "odooenvironments/scale"],
    "/api/v1": ["secrets", "configmaps", "services", "persistentvolumeclaims", "pods", "pods/log", "pods/exec", "pods/portforward",
                "pods/eviction", "events", "serviceaccounts", "serviceaccounts/token", "endpoints", "limitranges", "resourcequotas"],
    "/apis/events.k8s.io/v1": ["events.k8s.io"],
    "/apis/apps/v1": ["deployments", "statefulsets", "replicasets", "daemonsets", "controllerrevisions", "deployments/scale",
                      "statefulsets/scale"],
    "/apis/batch/v1": ["jobs", "cronjobs"],
    "/apis/networking.k8s.io/v1": ["ingresses", "networkpolicies"],
    "/apis/policy/v1": ["poddisruptionbudgets"],
    "/apis/autoscaling/v2": ["horizontalpodautoscalers"],
    "/apis/rbac.authorization.k8s.io/v1": ["roles", "rolebindings"],
    "/apis/coordination.k8s.io/v1": ["leases"],
}
CLUSTER = {
    "/api/v1": ["nodes", "namespaces", "namespaces odoofleet-test", "persistentvolumes"],
    "/apis/apiextensions.k8s.io/v1": ["customresourcedefinitions", "customresourcedefinitions odooenvironments.odoofleet.dev"],
    "/apis/rbac.authorization.k8s.io/v1": ["clusterroles", "clusterrolebindings"],
    "/apis/admissionregistration.k8s.io/v1": ["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
    "/apis/storage.k8s.io/v1": ["storageclasses"],
}
OBJECT_VERBS = {"get": "GET", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
LIST_VERBS = {"list": "GET", "watch": "GET", "create": "POST", "deletecollection": "DELETE"}
# An object of any of these subresources is made by POST to the object's own path.
POSTED = ("pods/exec", "pods/portforward", "pods/eviction", "serviceaccounts/token")


def run(checks, world):
    checks.section("cluster: access")
    until("roles hold", lambda: all(permitted(api, "GET", f"{OURS}/namespaces/{world.namespace}/odoocustomers")
                                    for user, api in world.users.items() if user != "nobody"))
    universe = {r for resources in GROUPS.values() for r in resources}
    for user, api in world.users.items():
        checks.equal(set(TABLE[user]) - universe, set(), f"the table of {user} names only what is asked for")
        elsewhere = ELSEWHERE if user == "controller" else {"system": {}, "default": {}, "cluster": {}}
        places = {world.namespace: TABLE[user], world.system: elsewhere["system"], "default": elsewhere["default"]}
        for base, resources in GROUPS.items():
            for resource in [*resources, *(["leases odoofleet-operator"] if "leases" in resources else [])]:
                for namespace, table in places.items():
                    ask(checks, api, user, f"{base}/namespaces/{namespace}", resource, table.get(resource, ""))
        for base, resources in CLUSTER.items():
            for resource in resources:
                ask(checks, api, user, base, resource, elsewhere["cluster"].get(resource, ""))


def ask(checks, api, user, base, resource, allowed):
    """Every verb, once. A resource may carry the name of the object that is asked for."""
    resource, _, name = resource.partition(" ")
    plural, _, sub = resource.replace("events.k8s.io", "events").partition("/")
    item = f"{base}/{plural}/{name or 'absent'}" + (f"/{sub}" if sub else "")
    asked = {v: (method, item) for v, method in OBJECT_VERBS.items()}
    if not sub:
        asked |= {v: (method, f"{base}/{plural}") for v, method in LIST_VERBS.items() if not name or v == "create"}
    elif resource in POSTED:
        asked["create"] = ("POST", item)
    got = [v for v, (method, path) in asked.items() if permitted(api, method, path, v)]
    checks.equal(sorted(got), sorted(allowed.split()), f"{user} on {item}")
    checks.count("rbac", len(asked.keys() - allowed.split()))


def permitted(api, method, path, verb=""):
    """Whether authorization lets the request through. What happens after it is no matter: nothing is written."""
    content, body = "application/json", None
    if verb == "watch":
        path += "?watch=1&timeoutSeconds=1"
    elif method in ("POST", "PUT", "PATCH", "DELETE") and not path.endswith("/exec"):
        path += "?dryRun=All"
    if method in ("POST", "PUT", "PATCH"):
        body = {}
    if method == "PATCH":
        content = "application/merge-patch+json"
    answer = api.call(method, path, body, content)
    if answer[0] == 401:
        raise RuntimeError(f"{method} {path}: the token is not accepted")
    return not without_right(answer)

"""What is the operator's or Production's alone: generated and reserved Secrets, finalizers, consent, and the operator's own limits."""
import contextlib

from admission import CONSENTS, Asks, allowed, denied, environment, refused, secret
from lib import until

MINE = {"odoofleet.dev/customer": "acme"}
STAGE, ENVIRONMENT, GENERATED = "odoofleet.dev/stage", "odoofleet.dev/environment", "odoofleet.dev/generated"
NAMED = "odoofleet.dev/named-by-production"
FINALIZER = "odoofleet.dev/cleanup"
VERB = "operate-production on odooenvironments.odoofleet.dev"


def customer(name, **spec):
    return {"apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooCustomer", "metadata": {"name": name}, "spec": spec}


def template(name):
    return {"apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": {"name": name},
            "spec": {"version": "1", "odooVersion": "18.0", "chart": {"path": "odoo"}}}


def generated_secrets(checks, asks, world):
    """Whoever makes {release}-odoofleet first would choose the passwords of an environment that comes later."""
    squat = secret("globex-prod-odoofleet", {"odoofleet.dev/customer": "globex"})
    for user in ("operator", "feeder", "senior", "gitops", "admin"):
        denied(checks, asks[user].create("secrets", squat, dry=True), f"{user} makes a Secret that the operator generates",
               "only the operator writes them", "cluster administrator")
    made = secret("acme-prod-odoofleet", MINE | {GENERATED: "true", ENVIRONMENT: "acme-prod"})
    allowed(checks, asks["controller"].create("secrets", made), "the operator generates it")
    for user in ("operator", "senior", "gitops", "admin"):
        denied(checks, asks[user].replace("secrets", made), f"{user} replaces it")
    for user in ("gitops", "admin"):
        denied(checks, asks[user].patch("secrets", "acme-prod-odoofleet", {"metadata": {"labels": {GENERATED: None}}}), f"{user} patches it",
               "only the operator writes them")
    allowed(checks, asks["controller"].patch("secrets", "acme-prod-odoofleet", {"metadata": {"labels": {"x": "y"}}}), "the operator patches it")
    asks["root"].delete("secrets", "acme-prod-odoofleet")
    allowed(checks, asks["root"].create("secrets", made), "a cluster administrator restores it")
    for user in ("feeder", "gitops"):
        allowed(checks, asks[user].create("secrets", secret("acme-odoofleet-mail", MINE), dry=True), f"{user}: another name")


def reserved_secrets(checks, asks, world):
    """Production is made of Secrets; who may not change it may not change those."""
    for name, labels in (("of-stage", {STAGE: "Production"}), ("of-environment", {ENVIRONMENT: "acme-prod"}), ("of-odd-stage", {STAGE: "production"}),
                         ("of-both", {ENVIRONMENT: "acme-prod", STAGE: "Production"})):
        body = secret(name, MINE | labels)
        denied(checks, asks["operator"].create("secrets", body, dry=True), f"operator makes a Secret {name}", f'Secret "{name}" is reserved', VERB)
        allowed(checks, asks["senior"].create("secrets", body), f"with operate-production: {name}")
        denied(checks, asks["operator"].replace("secrets", secret(name, MINE | labels, data={"k": "eA=="})), f"operator replaces {name}", "is reserved")
        denied(checks, asks["operator"].replace("secrets", secret(name, MINE)), f"operator takes the labels of {name} away", "is reserved")
        denied(checks, asks["operator"].replace("secrets", secret(name, MINE | {STAGE: "Test"})), f"operator makes {name} a Test's", "is reserved")
        allowed(checks, asks["senior"].replace("secrets", secret(name, MINE | labels, data={"k": "eA=="})), f"with the verb: replace {name}")
    for stage in ("Test", "Staging"):
        body = secret(f"of-{stage.lower()}", MINE | {STAGE: stage, ENVIRONMENT: "acme-try"})
        allowed(checks, asks["operator"].create("secrets", body), f"operator makes one for {stage}")
        allowed(checks, asks["operator"].replace("secrets", body), f"and replaces it")
        denied(checks, asks["operator"].replace("secrets", secret(f"of-{stage.lower()}", MINE | {STAGE: "Production"})), "but not for Production")
    with reading_alone(asks, world):
        for labels in ({STAGE: "Production"}, {STAGE: "Production", NAMED: "true"}):
            body = secret("read", MINE | labels)
            denied(checks, asks["gitops"].create("secrets", body, dry=True), f"reading Secrets is not enough: {labels}", "is reserved", VERB)
    # The verb may be bound to one environment's name; then it counts for this one's Secrets.
    world.kubectl.ok("-n", world.namespace, "create", "role", "one", "--verb=operate-production", "--resource=odooenvironments.odoofleet.dev",
                     "--resource-name=acme-prod")
    world.kubectl.ok("-n", world.namespace, "create", "rolebinding", "one", "--role=one", f"--serviceaccount={world.system}:feeder")
    until("the verb holds", lambda: asks["feeder"].replace("secrets", secret("of-both", MINE | {ENVIRONMENT: "acme-prod", STAGE: "Production"}))[0] == 200)
    denied(checks, asks["feeder"].replace("secrets", secret("of-both", MINE | {ENVIRONMENT: "globex-prod"})), "to another environment", "is reserved")
    allowed(checks, asks["controller"].patch("secrets", "of-both", {"metadata": {"labels": {NAMED: "true"}}}), "it is named by its environment")
    for named in ({NAMED: "true"}, {}):
        body = secret("of-both", MINE | {ENVIRONMENT: "acme-prod", STAGE: "Production"} | named)
        allowed(checks, asks["feeder"].replace("secrets", body), f"which changes nothing: {named}")
    allowed(checks, asks["senior"].create("secrets", secret("of-all", MINE | {NAMED: "true"})), "one that any Production may name")
    denied(checks, asks["feeder"].replace("secrets", secret("of-all", MINE | {ENVIRONMENT: "acme-prod"})), "one environment does not take it", VERB)
    denied(checks, asks["feeder"].replace("secrets", secret("of-stage", MINE | {STAGE: "Production"})), "one of all Production", "is reserved")
    world.kubectl.ok("-n", world.namespace, "delete", "rolebinding", "one")


@contextlib.contextmanager
def reading_alone(asks, world):
    """Takes the verb from gitops, which leaves it a reader of Secrets, as what renews them is."""
    world.kubectl.ok("-n", world.namespace, "delete", "rolebinding", "gitops-production")
    try:
        until("the verb is taken back", lambda: refused(asks["gitops"].create("secrets", secret("read", MINE | {STAGE: "Production"}), dry=True)))
        yield
    finally:
        world.kubectl.ok("-n", world.namespace, "create", "rolebinding", "gitops-production", "--role=operate",
                         f"--serviceaccount={world.system}:gitops")


def named_by_production(checks, asks, world):
    """Production may name Secrets that say nothing of it; from then on they are Production's, too."""
    named, words = MINE | {NAMED: "true"}, ('a Production environment is made of Secret "of-name"', VERB, "the right to get this Secret")
    mark = lambda user, value="true": asks[user].patch("secrets", "of-name", {"metadata": {"labels": {NAMED: value}}})
    operator = lambda labels, data=None: asks["operator"].replace("secrets", secret("of-name", labels, data=data))
    denied(checks, asks["operator"].create("secrets", secret("of-name", named), dry=True), "operator makes one with the label", *words)
    allowed(checks, asks["operator"].create("secrets", secret("of-name", MINE)), "operator makes one without")
    allowed(checks, operator(MINE, {"k": "eA=="}), "and replaces it")
    denied(checks, operator(named), "operator sets the label", *words)
    allowed(checks, mark("controller"), "the operator sets the label")
    for labels, what in ((named, "replaces it"), (MINE, "takes the label off"), (MINE | {NAMED: "false"}, "changes the label"),
                         (MINE | {STAGE: "Test"}, "makes it a Test's")):
        denied(checks, operator(labels, {"k": "eQ=="}), f"operator {what}", *words)
    stored = world.root.call("GET", asks["root"].path("secrets", "of-name"))[1]
    checks.equal((stored["data"], stored["metadata"]["labels"]), ({"k": "eA=="}, named), "it is as it was")
    for user in ("senior", "admin", "gitops"):
        allowed(checks, asks[user].replace("secrets", secret("of-name", named)), f"{user} replaces it")
        allowed(checks, asks[user].create("secrets", secret("of-name-2", named), dry=True), f"{user} makes one with the label")
        allowed(checks, asks[user].replace("secrets", secret("of-name", MINE)), f"{user} takes the label off")
        allowed(checks, operator(MINE), "then it is nobody's")
        allowed(checks, mark("controller"), "the operator sets the label again")
    with reading_alone(asks, world):
        allowed(checks, asks["gitops"].replace("secrets", secret("of-name", named, data={"k": "eA=="})), "who reads Secrets renews it")
        allowed(checks, mark("gitops", None), "and takes the label off")
        allowed(checks, mark("gitops"), "and sets it")
        allowed(checks, asks["gitops"].create("secrets", secret("of-name-2", named), dry=True), "and makes one with the label")
    # The right to get may be that to one Secret.
    denied(checks, asks["feeder"].replace("secrets", secret("of-name", named)), "who may not read this one", *words)
    world.kubectl.ok("-n", world.namespace, "create", "role", "renew", "--verb=get", "--resource=secrets", "--resource-name=of-name")
    world.kubectl.ok("-n", world.namespace, "create", "rolebinding", "renew", "--role=renew", f"--serviceaccount={world.system}:feeder")
    until("this one may be read", lambda: asks["feeder"].replace("secrets", secret("of-name", named))[0] == 200)
    denied(checks, asks["feeder"].create("secrets", secret("of-name-2", named), dry=True), "another one", 'made of Secret "of-name-2"', VERB)
    world.kubectl.ok("-n", world.namespace, "delete", "rolebinding", "renew")


def operator_bound(checks, asks, world):
    """The operator's own token, in other hands."""
    controller, admin = asks["controller"], asks["admin"]
    allowed(checks, admin.create("odooenvironments", environment("bound", "Test")), "a Test")
    allowed(checks, admin.create("odoocustomers", customer("bound")), "a customer")
    allowed(checks, admin.create("odootemplates", template("bound")), "a template")
    specs = {"odooenvironments": {"values": {"a": 1}}, "odoocustomers": {"lifecycle": "Suspended"}, "odootemplates": {"version": "2"}}
    for plural, spec in specs.items():
        denied(checks, controller.patch(plural, "bound", {"spec": spec}), f"the operator writes a spec of {plural}", "the operator never writes a spec")
        for meta in ({"labels": {"a": "b"}}, {"annotations": {CONSENTS[0]: "bound"}}, {"annotations": {"a": "b"}}):
            denied(checks, controller.patch(plural, "bound", {"metadata": meta}), f"{meta} on {plural}", "no labels, annotations and owners")
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "6f1c2d3e-4b5a-4978-8796-a5b4c3d2e1f0"}
        denied(checks, controller.patch(plural, "bound", {"metadata": {"ownerReferences": [owner]}}), f"an owner of {plural}", "owners of its own kinds")
        denied(checks, controller.patch(plural, "bound", {"metadata": {"finalizers": ["example.com/x"]}}), f"another's finalizer of {plural}",
               "its own finalizer")
        allowed(checks, controller.patch(plural, "bound", {"metadata": {"finalizers": [FINALIZER]}}), f"its finalizer on {plural}")
        allowed(checks, controller.patch(plural, "bound/status", {"status": {"observedGeneration": 1}}), f"status of {plural}")
        allowed(checks, admin.patch(plural, "bound", {"metadata": {"finalizers": [FINALIZER, "example.com/x"]}}), "somebody else's finalizer")
        allowed(checks, controller.patch(plural, "bound", {"metadata": {"finalizers": ["example.com/x"]}}), f"its finalizer off {plural}")
        denied(checks, controller.patch(plural, "bound", {"metadata": {"finalizers": None}}), f"somebody else's off {plural}", "its own finalizer")
        allowed(checks, admin.patch(plural, "bound", {"metadata": {"finalizers": None}}), "admin takes it off")
        elsewhere, root = (Asks(api, world.system) for api in (controller.api, world.root))
        body = {"odooenvironments": environment("bound", "Test"), "odoocustomers": customer("bound"), "odootemplates": template("bound")}[plural]
        allowed(checks, root.create(plural, body), f"{plural} in another namespace")
        denied(checks, elsewhere.patch(plural, "bound", {"metadata": {"finalizers": [FINALIZER]}}), "elsewhere: finalizer", f"namespace {world.namespace} alone")
        denied(checks, elsewhere.patch(plural, "bound/status", {"status": {"observedGeneration": 2}}), "elsewhere: status", "alone")
        root.delete(plural, "bound")
        allowed(checks, asks["root"].delete(plural, "bound"), f"the end of {plural}")


def finalizers(checks, asks, world):
    """Delete, finalizers: null, create is no update, and would change what is immutable."""
    bodies = {"odoocustomers": customer("held"), "odootemplates": template("held"), "odooenvironments": environment("held", "Test")}
    for plural, body in bodies.items():
        allowed(checks, asks["admin"].create(plural, body), f"{plural} are made")
        allowed(checks, asks["controller"].patch(plural, "held", {"metadata": {"finalizers": [FINALIZER]}}), "and held")
        if plural != "odootemplates":
            words = (f"the finalizer {FINALIZER} is the operator's", VERB)
            denied(checks, asks["operator"].patch(plural, "held", {"metadata": {"finalizers": ["example.com/x"]}}), "operator puts another there", *words)
            allowed(checks, asks["operator"].delete(plural, "held"), f"operator deletes {plural}")
            denied(checks, asks["operator"].patch(plural, "held", {"metadata": {"finalizers": None}}), f"operator takes the finalizer off {plural}", *words)
            allowed(checks, asks["operator"].patch(plural, "held", {"metadata": {"labels": {"a": "b"}}}), "operator labels it")
            denied(checks, asks["feeder"].patch(plural, "held", {"metadata": {"finalizers": None}}), "so does a feeder")
            allowed(checks, asks["senior"].patch(plural, "held", {"metadata": {"finalizers": None}}), f"with the verb: {plural} go")
            checks.equal(world.root.call("GET", asks["root"].path(plural, "held"))[0], 404, f"{plural} are gone")
        else:
            allowed(checks, asks["admin"].patch(plural, "held", {"metadata": {"finalizers": None}}), "admin takes it off a template")
            asks["root"].delete(plural, "held")
    allowed(checks, asks["admin"].create("odoocustomers", bodies["odoocustomers"]), "a customer")
    allowed(checks, asks["controller"].patch("odoocustomers", "held", {"metadata": {"finalizers": [FINALIZER]}}), "is held")
    allowed(checks, asks["controller"].patch("odoocustomers", "held", {"metadata": {"finalizers": None}}), "and let go by the operator")
    asks["root"].delete("odoocustomers", "held")


def consents(checks, asks, world):
    """What was allowed for a Test is not allowed for the Production that it becomes."""
    for consent in CONSENTS:
        body = environment("moves", "Test")
        allowed(checks, asks["operator"].create("odooenvironments", body), "operator makes a Test")
        allowed(checks, asks["operator"].patch("odooenvironments", "moves", {"metadata": {"annotations": {consent: "moves"}}}), f"and allows {consent}")
        for user, stage in (("senior", "Production"), ("admin", "Production"), ("operator", "Staging")):
            denied(checks, asks[user].patch("odooenvironments", "moves", {"spec": {"stage": stage}}), f"{user} makes it {stage} with {consent}",
                   f"the stage changes from Test to {stage}", f"kubectl -n {world.namespace} annotate odooenvironment moves {consent}-")
        both = {"metadata": {"annotations": {consent: None}}, "spec": {"stage": "Production"}}
        denied(checks, asks["operator"].patch("odooenvironments", "moves", both), "operator makes it Production")
        allowed(checks, asks["senior"].patch("odooenvironments", "moves", both), f"with the verb, without {consent}: Production")
        denied(checks, asks["senior"].delete("odooenvironments", "moves"), "its deletion takes the second step again", "is protected")
        allowed(checks, asks["senior"].patch("odooenvironments", "moves", {"metadata": {"annotations": {consent: "moves"}}}), "consent anew")
        denied(checks, asks["senior"].patch("odooenvironments", "moves", {"spec": {"stage": "Test"}}), "nor out of Production", "from Production to Test")
        allowed(checks, asks["senior"].patch("odooenvironments", "moves", {"metadata": {"annotations": {consent: None, CONSENTS[0]: "moves"}}}), "the last step")
        allowed(checks, asks["senior"].delete("odooenvironments", "moves"), "is deleted")
    for stage in ("Test", "Staging", "Production"):
        for consent in CONSENTS:
            body = environment("comes", stage, annotations={consent: "comes"})
            answer = asks["operator"].create("odooenvironments", body, dry=True)
            if stage != "Production" and consent == CONSENTS[0]:
                allowed(checks, answer, f"operator makes a {stage} that may be deleted")
            else:
                denied(checks, answer, f"operator makes a {stage} that brings {consent}", VERB)
            allowed(checks, asks["senior"].create("odooenvironments", body, dry=True), f"with the verb: {stage} that brings {consent}")

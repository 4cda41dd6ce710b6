"""The operator does for an author only what the author could do: every way around it, tried as the person who would."""
import reserved
import specs
from admission import Asks, allowed, denied, environment, refused, secret
from lib import Api, until
from reserved import customer
from specs import at


def run(checks, world):
    asks = {user: Asks(api, world.namespace) for user, api in world.users.items()} | {"root": Asks(world.root, world.namespace)}
    enrol(world, asks)
    dry = lambda user, plural, body: asks[user].create(plural, body, dry=True)
    until("every policy holds", lambda: all(refused(answer) for answer in (
        dry("operator", "odooenvironments", at("x", "masterPasswordSecretRef", {"name": "x"})),
        dry("operator", "odooenvironments", at("x", "valuesFrom", values_from("configMapKeyRef", "x"))),
        dry("admin", "odooenvironments", at("x", "mail.password", "x")),
        dry("admin", "odooenvironments", at("x", "ingress.annotations", {"x": "x"})),
        dry("operator", "odooenvironments", environment("x", "Test", annotations={"odoofleet.dev/major-upgrade": "x"})),
        dry("operator", "odoocustomers", customer("x", domains=["acme.cn"])),
        dry("admin", "secrets", secret("x-odoofleet")))))
    for part in (names_secrets, names_at_every_place, names_kept, names_many, reserved.generated_secrets, reserved.reserved_secrets,
                 reserved.named_by_production, reserved.operator_bound, reserved.finalizers, reserved.consents, specs.passwords, specs.passwords_kept,
                 specs.routes, specs.domains, specs.examples, specs.bindings):
        checks.section(f"cluster: {part.__name__}")
        part(checks, asks, world)


def enrol(world, asks):
    """People with more than a standard role: what they may use is named one by one, or they may read Secrets as GitOps tools do."""
    ns = ["-n", world.namespace]
    extra = {
        "feeder": [["create", "role", "feed-acme", "--verb=feed", "--resource=secrets,configmaps", "--resource-name=acme-git",
                    "--resource-name=acme-settings"]],
        "senior": [["create", "role", "operate", "--verb=operate-production", "--resource=odooenvironments.odoofleet.dev"]],
        "gitops": [["create", "role", "gitops", "--verb=get,list,watch,create,update,patch,delete", "--resource=secrets,configmaps"],
                   ["create", "rolebinding", "gitops-production", "--role=operate", f"--serviceaccount={world.system}:gitops"]],
    }
    for person, commands in extra.items():
        world.kubectl.ok("-n", world.system, "create", "serviceaccount", person)
        for command in commands:
            world.kubectl.ok(*ns, *command)
        role = commands[0][2]
        world.kubectl.ok(*ns, "create", "rolebinding", f"{person}-more", f"--role={role}", f"--serviceaccount={world.system}:{person}")
        world.kubectl.ok(*ns, "create", "rolebinding", person, "--clusterrole=odoofleet-operator", f"--serviceaccount={world.system}:{person}")
        token = world.kubectl.ok("-n", world.system, "create", "token", person, "--duration", "1h").strip()
        asks[person] = Asks(Api(world.kubectl.kubeconfig, token), world.namespace)
    until("roles hold", lambda: all(asks[person].create("odooenvironments", environment("x", "Test"), dry=True)[0] == 201 for person in extra)
          and asks["gitops"].api.call("GET", asks["gitops"].path("secrets"))[0] == 200
          and asks["gitops"].create("odooenvironments", environment("x", "Production"), dry=True)[0] == 201
          and asks["senior"].create("odooenvironments", environment("x", "Production"), dry=True)[0] == 201)


def values_from(kind, name, target="podAnnotations.leak", key="k"):
    return [{kind: {"name": name, "key": key}, "targetPath": target}]


def names_secrets(checks, asks, world):
    """The role operator writes Secrets and never reads them; through a spec it could."""
    who = "may neither read (get) nor use (feed)"
    leak = at("leak", "valuesFrom", values_from("secretKeyRef", "acme-prod-odoofleet"))
    for user in ("operator", "feeder", "senior"):
        denied(checks, asks[user].create("odooenvironments", leak, dry=True), f"{user} feeds a Secret into an annotation",
               'spec.valuesFrom[].secretKeyRef names Secret "acme-prod-odoofleet"', who, "odoofleet-admin",
               f"kubectl -n {world.namespace} create role feed-acme-prod-odoofleet --verb=feed --resource=secrets")
    for user in ("admin", "gitops", "root"):
        allowed(checks, asks[user].create("odooenvironments", leak, dry=True), f"{user} may read Secrets, so may name them")
    git = at("git", "git.customerAddons", [{"url": "https://git.example.com/a.git", "ref": "main", "credentialsSecretRef": {"name": "acme-git"}}])
    denied(checks, asks["operator"].create("odooenvironments", git, dry=True), "operator names git credentials",
           'spec.git.customerAddons[].credentialsSecretRef names Secret "acme-git"', who)
    allowed(checks, asks["feeder"].create("odooenvironments", git, dry=True), "whoever may feed a Secret by name names it")
    config = at("config", "valuesFrom", values_from("configMapKeyRef", "acme-settings"))
    denied(checks, asks["operator"].create("odooenvironments", config, dry=True), "operator names a ConfigMap",
           'spec.valuesFrom[].configMapKeyRef names ConfigMap "acme-settings"', who, "--resource=configmaps")
    for user in ("feeder", "admin", "gitops"):
        allowed(checks, asks[user].create("odooenvironments", config, dry=True), f"{user} names a ConfigMap")


# Where a Secret can be named; a tuple's second value is what is written there.
PLACES = {
    "spec.valuesFrom[].secretKeyRef": ("valuesFrom", values_from("secretKeyRef", "NAME")),
    "spec.masterPasswordSecretRef": ("masterPasswordSecretRef", {"name": "NAME"}),
    "spec.bootstrap.adminPasswordSecretRef": ("bootstrap.adminPasswordSecretRef", {"name": "NAME"}),
    "spec.git.customerAddons[].credentialsSecretRef": ("git.customerAddons", [
        {"url": "https://git.example.com/a.git", "ref": "main"},
        {"url": "https://git.example.com/b.git", "ref": "main", "credentialsSecretRef": {"name": "NAME"}}]),
    "spec.ingress.tls.secretName": ("ingress.tls.secretName", "NAME"),
    "spec.postgresql.auth.existingSecret": ("postgresql.auth.existingSecret", "NAME"),
    "spec.mail.existingSecret": ("mail.existingSecret", "NAME"),
    "spec.values.global.imagePullSecrets[]": ("values.global.imagePullSecrets", [{"name": "NAME"}]),
    "spec.values.bootstrap.existingSecret": ("values.bootstrap.existingSecret", "NAME"),
    "spec.values.odoo.existingSecret": ("values.odoo.existingSecret", "NAME"),
    "spec.values.git.customerAddons[].credentialsSecret": ("values.git.customerAddons", [{"credentialsSecret": "NAME"}]),
    "spec.values.postgresql.auth.existingSecret": ("values.postgresql.auth.existingSecret", "NAME"),
    "spec.values.externalDatabase.existingSecret": ("values.externalDatabase.existingSecret", "NAME"),
    "spec.values.mail.existingSecret": ("values.mail.existingSecret", "NAME"),
    "spec.values.license.existingSecret": ("values.license.existingSecret", "NAME"),
    "spec.values.ingress.tls.secretName": ("values.ingress.tls.secretName", "NAME"),
}


def named(value, name):
    if isinstance(value, list):
        return [named(v, name) for v in value]
    if isinstance(value, dict):
        return {k: named(v, name) for k, v in value.items()}
    return name if value == "NAME" else value


def names_at_every_place(checks, asks, world):
    for field, (path, value) in PLACES.items():
        denied(checks, asks["operator"].create("odooenvironments", at("p", path, named(value, "acme-git")), dry=True), f"operator: {field}",
               f'{field} names Secret "acme-git"')
        allowed(checks, asks["feeder"].create("odooenvironments", at("p", path, named(value, "acme-git")), dry=True), f"feeder: {field}")
    # The name may not come from elsewhere either.
    for target in ("postgresql.auth.existingSecret", "ingress.tls.secretName", "git.customerAddons[0].credentialsSecret",
                   "global.imagePullSecrets[0].name", "global.imagePullSecrets[0]"):
        body = at("p", "valuesFrom", values_from("secretKeyRef", "acme-git", target))
        # Of two policies that refuse, one speaks: that on routes may be it.
        words = [] if target.startswith("ingress.") else ["expects the name of a Secret"]
        denied(checks, asks["feeder"].create("odooenvironments", body, dry=True), f"feeder feeds the name at {target}", *words)
        allowed(checks, asks["root"].create("odooenvironments", body, dry=True), f"who may read all feeds the name at {target}")
    template = {"apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": {"name": "t"}, "spec": {
        "version": "1", "odooVersion": "18.0", "chart": {"oci": "registry.example.cn/charts/odoo", "version": "1", "pullSecretRef": {"name": "charts-pull"}}}}
    world.kubectl.ok("-n", world.namespace, "create", "role", "templates", "--verb=create", "--resource=odootemplates.odoofleet.dev")
    world.kubectl.ok("-n", world.namespace, "create", "rolebinding", "templates", "--role=templates", f"--serviceaccount={world.system}:operator")
    until("the role holds", lambda: "cannot create" not in asks["operator"].create("odootemplates", template, dry=True)[1].get("message", ""))
    answer = asks["operator"].create("odootemplates", template, dry=True)
    denied(checks, answer, "a template names a pull Secret", 'spec.chart.pullSecretRef names Secret "charts-pull"')
    del template["spec"]["chart"]["pullSecretRef"]
    template["spec"]["chart"]["caRef"] = {"name": "charts-ca"}
    denied(checks, asks["operator"].create("odootemplates", template, dry=True), "a template names a ConfigMap",
           'spec.chart.caRef names ConfigMap "charts-ca"')
    allowed(checks, asks["admin"].create("odootemplates", template, dry=True), "admin writes templates")
    world.kubectl.ok("-n", world.namespace, "delete", "rolebinding", "templates")
    # Free-form values hold anything, and must not make a policy fail.
    for values in (None, {"mail": None}, {"mail": "x", "postgresql": {"auth": []}}, {"global": {"imagePullSecrets": [1, None, "x", {"name": 2}]}},
                   {"git": {"customerAddons": {"a": 1}}, "license": {"existingSecret": ""}}):
        allowed(checks, asks["operator"].create("odooenvironments", at("p", "values", values), dry=True), f"odd values {values}")


def names_kept(checks, asks, world):
    """What somebody entitled has named stays, and is no way to name it elsewhere, or to send it elsewhere."""
    operator = asks["operator"]
    body = at("kept", "git.customerAddons", [{"url": "https://git.example.com/a.git", "ref": "main", "credentialsSecretRef": {"name": "acme-git"}}])
    body["spec"] |= {"mail": {"host": "smtp.example.com", "existingSecret": "acme-mail"},
                     "valuesFrom": values_from("secretKeyRef", "acme-git", "odoo.config.x")}
    allowed(checks, asks["admin"].create("odooenvironments", body), "admin names Secrets")
    patch = lambda spec: operator.patch("odooenvironments", "kept", {"spec": spec}, dry=True)
    allowed(checks, patch({"values": {"a": 1}}), "operator changes something else")
    addon = dict(body["spec"]["git"]["customerAddons"][0])
    allowed(checks, patch({"git": {"customerAddons": [addon | {"ref": "v2"}]}}), "operator moves to another tag")
    denied(checks, patch({"git": {"customerAddons": [addon | {"url": "https://git.attacker.example/a.git"}]}}), "credentials to another server",
           'spec.git.customerAddons[].credentialsSecretRef names Secret "acme-git"')
    denied(checks, patch({"mail": {"host": "smtp.attacker.example"}}), "the mail password to another server", "spec.mail.existingSecret names")
    allowed(checks, patch({"mail": {"port": 587}}), "operator changes the port of mail")
    denied(checks, patch({"valuesFrom": values_from("secretKeyRef", "acme-git")}), "to another path", "spec.valuesFrom[].secretKeyRef names")
    denied(checks, patch({"valuesFrom": values_from("secretKeyRef", "acme-git", "odoo.config.x", "other")}), "another key", "spec.valuesFrom")
    denied(checks, patch({"masterPasswordSecretRef": {"name": "acme-git"}}), "at another place", "spec.masterPasswordSecretRef names")
    allowed(checks, patch({"valuesFrom": None, "git": None}), "operator takes names away")
    world.kubectl.ok("--kubeconfig", world.configs["operator"], "-n", world.namespace, "scale", "odooenvironment", "kept", "--replicas=0")
    world.kubectl.ok("--kubeconfig", world.configs["operator"], "-n", world.namespace, "annotate", "odooenvironment", "kept", "a=b")
    allowed(checks, asks["controller"].patch("odooenvironments", "kept", {"metadata": {"finalizers": ["odoofleet.dev/cleanup"]}}),
            "the operator sets its finalizer")
    allowed(checks, asks["controller"].patch("odooenvironments", "kept", {"metadata": {"finalizers": None}}), "and removes it")


def names_many(checks, asks, world):
    """As many as the CRD takes, within what a policy may spend; and one that is not allowed is found at every position."""
    from_many = lambda names: [v for n in names for v in values_from("secretKeyRef", n, f"a.{n}")]
    names = [f"s{n}" for n in range(12)]
    world.kubectl.ok("-n", world.namespace, "create", "role", "twelve", "--verb=get", "--resource=secrets", *[f"--resource-name={n}" for n in names])
    world.kubectl.ok("-n", world.namespace, "create", "rolebinding", "twelve", "--role=twelve", f"--serviceaccount={world.system}:feeder")
    feeder = lambda names: asks["feeder"].create("odooenvironments", at("many", "valuesFrom", from_many(names)), dry=True)
    until("twelve may be read", lambda: feeder(names)[0] == 201)
    for n in range(12):
        denied(checks, feeder([*names[:n], "foreign", *names[n + 1:]]), f"a foreign one at {n}", 'names Secret "foreign"')
    denied(checks, feeder([*names, "one-more"]), "thirteen at once", "at most 12 anew in one change")
    full = at("many", "valuesFrom", from_many([f"s{n}" for n in range(50)]))
    full["spec"]["git"] = {"customerAddons": [{"url": f"https://git.example.com/{n}.git", "ref": "main", "credentialsSecretRef": {"name": f"g{n}"}}
                                             for n in range(20)]}
    allowed(checks, asks["admin"].create("odooenvironments", full), "admin: as many as the CRD takes")
    allowed(checks, asks["operator"].patch("odooenvironments", "many", {"spec": {"values": {"a": 1}}}), "and an operator changes something else")
    one = [{"url": f"https://git.example.com/{n}.git", "ref": "main", "credentialsSecretRef": {"name": "acme-git"}} for n in range(20)]
    allowed(checks, asks["feeder"].create("odooenvironments", at("once", "git.customerAddons", one), dry=True), "one Secret at twenty places")
    pull = [{"name": "acme-git"}] * 101 + [{"name": "foreign"}]
    denied(checks, asks["feeder"].create("odooenvironments", at("once", "values.global.imagePullSecrets", pull), dry=True), "hidden behind a hundred",
           "names 102 Secrets at once")
    asks["root"].delete("odooenvironments", "many")
    asks["root"].delete("odooenvironments", "kept")

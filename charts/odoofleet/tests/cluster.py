"""Against a real cluster: installs the chart, then asks as each kind of user, then removes everything."""
import access
import admission
import lifecycle
import released
import walls
from lib import Api, kubeconfig

NAMESPACE, SYSTEM = "odoofleet-test", "odoofleet-test-system"
RELEASE = "odoofleet"
CRDS = ["odoocustomers.odoofleet.dev", "odootemplates.odoofleet.dev", "odooenvironments.odoofleet.dev"]
PEOPLE = ["viewer", "operator", "support", "admin", "nobody"]


class World:
    """What the parts share: the installed chart, a connection for each user, and a kubeconfig for each."""

    def __init__(self, helm, kubectl, chart, folder):
        self.helm, self.kubectl, self.chart, self.folder = helm, kubectl, chart, folder
        self.namespace, self.system, self.release = NAMESPACE, SYSTEM, RELEASE
        self.root = Api(kubectl.kubeconfig)
        self.users, self.configs = {}, {}

    def install(self):
        self.helm.ok("upgrade", "--install", RELEASE, self.chart, "--namespace", SYSTEM, "--create-namespace",
                     "--set", f"watchNamespace={NAMESPACE},replicas=0")

    def enrol(self):
        """One ServiceAccount for each role, bound in the namespace of the environments, with a real token."""
        for person in PEOPLE:
            self.kubectl.ok("-n", SYSTEM, "create", "serviceaccount", person)
            if person != "nobody":
                self.kubectl.ok("-n", NAMESPACE, "create", "rolebinding", f"test-{person}", f"--clusterrole=odoofleet-{person}",
                                f"--serviceaccount={SYSTEM}:{person}")
            self.enter(person, person)
        self.enter(RELEASE, "controller")

    def enter(self, account, user):
        """A connection and a kubeconfig with a new token of a ServiceAccount."""
        token = self.kubectl.ok("-n", SYSTEM, "create", "token", account, "--duration", "1h").strip()
        self.users[user] = Api(self.kubectl.kubeconfig, token)
        self.configs[user] = kubeconfig(self.folder / f"{user}.kubeconfig", self.root, token)

    def remove(self):
        self.helm.run("uninstall", RELEASE, "--namespace", SYSTEM)
        # A test that failed half way may have left a finalizer that nobody is there to remove.
        for namespace in (NAMESPACE, SYSTEM):
            for name in self.kubectl.run("-n", namespace, "get", ",".join(CRDS), "-o", "name").stdout.split():
                self.kubectl.run("-n", namespace, "patch", name, "--type=merge", "--patch", '{"metadata":{"finalizers":null}}')
        for crd in CRDS:
            self.kubectl.ok("delete", "crd", crd, "--ignore-not-found", "--timeout=60s")
        self.kubectl.run("annotate", "--overwrite", "namespace", NAMESPACE, f"odoofleet.dev/allow-deletion={NAMESPACE}")
        self.kubectl.ok("delete", "namespace", NAMESPACE, SYSTEM, "--ignore-not-found", "--timeout=120s")


def run(checks, helm, kubectl, chart, folder):
    found = kubectl.ok("get", "crd", "--ignore-not-found", "-o", "name", *CRDS)
    if found:
        raise SystemExit(f"the cluster must be free of OdooFleet, but has {found.split()}")
    released.run(checks, kubectl, chart)
    world = World(helm, kubectl, chart, folder)
    try:
        world.install()
        world.enrol()
        for part in (access.run, admission.run, walls.run, lifecycle.run):
            part(checks, world)
    finally:
        world.remove()

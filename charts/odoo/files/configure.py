# Writes odoo.conf from the chart's options and the mounted Secrets, then tells what prepare will do, or waits until it is done.
import configparser
import socket
import sys
import time

from psycopg2.errors import LockNotAvailable

import prepare_database as database
import prepare_modules as modules
import prepare_pod as pod
from prepare_pod import Failure, say


def address(family, target):
    # The pod's own address of a family, empty without one: connecting a datagram socket looks up a way and sends nothing.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((target, 9))
            return sock.getsockname()[0]
    except OSError:
        return ""


def interface(series, workers):
    # "::" takes IPv4 as well, but a node without IPv6 has no such socket.
    if not address(socket.AF_INET6, "2001:db8::1"):
        return "0.0.0.0"
    if int(series.split(".")[0]) >= 17 or not int(workers):
        return "::"
    # Before 17 the server with workers makes a socket of IPv4 alone. What some clouds give a pod of IPv6 for its way out is no
    # address of the pod.
    own = address(socket.AF_INET, "192.0.2.1")
    if not own or own.startswith("169.254."):
        raise Failure("ConfigurationInvalid", f"Odoo {series} with workers listens on IPv4 alone, and this pod has none: set workers to 0.")
    return "0.0.0.0"


def odoo_conf(role, settings):
    options = pod.settings(role)
    options["http_interface"] = interface(settings["odooVersion"], options["workers"])
    for key, path in pod.SECRETS.items():
        value = pod.secret(path)
        if value is not None:
            options[key] = value
    for key, value in options.items():
        pod.check_line(key, value)
    if "db_password" not in options:
        raise Failure("ConfigurationInvalid", "The Secret of the database has no key password. Add it.")
    parser = configparser.RawConfigParser()
    parser["options"] = {key: str(value) for key, value in options.items()}
    return parser


def plan(options, settings, code, known):
    server = database.connect(options, "postgres", database.WAIT)
    state = database.look(options, server)
    stage = database.whose(state, settings["release"], code.series)
    if stage in ("new", "begun"):
        code.check(settings)
        action, todo = "Initialise", {"base", *settings["modules"]["install"]}
    else:
        same = state.parameters.get("odoofleet.fingerprint") == modules.fingerprint(settings)
        work = code.work(state.modules, settings["modules"], same, theirs=stage == "found")
        todo = work.install | work.update
        action = "Update" if todo else "Nothing"
    known["plan"] = {"action": action, "modules": sorted(todo)[:pod.SHOWN], "total": len(todo)}
    say(f"plan: {action} {' '.join(sorted(todo))}")


def waited_for(options, settings, code):
    # Why cron has to wait, empty when it need not. A scheduled action must never run on tables that its code does not know.
    server = database.connect(options, "postgres", database.WAIT)
    try:
        state = database.look(options, server)
    except LockNotAvailable:
        return "it has not finished"
    finally:
        server.close()
    database.whose(state, settings["release"], code.series)
    if state.parameters.get("odoofleet.fingerprint") == modules.fingerprint(settings):
        return ""
    return "its last attempt failed" if "failed" in state.notes else "it has not finished"


def main(known):
    role = sys.argv[1]
    settings = pod.settings("prepare")
    parser = odoo_conf(role, settings)
    options = parser["options"]
    code = modules.Code(options, settings)
    options["addons_path"] = ",".join([options["addons_path"], *code.community()])
    pod.write(parser, pod.CONFIG)
    if role == "web":
        try:
            plan(options, settings, code, known)
        except LockNotAvailable:
            # Another pod changes the tables. What it leaves to do, prepare will see.
            known["plan"] = {"action": "Update", "modules": [], "total": 0}
        return
    told = None
    while reason := waited_for(options, settings, code):
        if reason != told:
            say(f"waiting for the web pod's prepare: {reason}")
            told = reason
        time.sleep(2)
    known["plan"] = {"action": "Nothing", "modules": [], "total": 0}


if __name__ == "__main__":
    pod.run(database.told(main))

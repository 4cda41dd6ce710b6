# Odoo as a child process: its log passed through, its failure found in it, its end tied to ours.
import ctypes
import os
import re
import signal
import subprocess
import threading

import psycopg2

import prepare_pod
from prepare_modules import command
from prepare_pod import Failure, say

CONFIG = "/run/odoo/prepare.conf"
# Marks the sessions of the child in PostgreSQL, so that those of a killed one can be told from people's.
SESSION = "odoofleet-prepare"
RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ \d+ (?P<level>\w+) \S+ [\w.]+: (?P<text>.*)")
RAISED = re.compile(r"(?:\w+\.)*[A-Z]\w*(?:: |$)")
MARK = "odoofleet-wrong: "
# What passes by itself or is the platform's: never held against the inputs.
PASSING = (
    ("DatabaseFull", r"DiskFull|could not extend file", "The database's volume is full. Make it larger."),
    ("DatabaseConnectionsExhausted", r"too many clients|connection slots", "PostgreSQL has no connection left. Raise max_connections."),
    ("VolumeFull", r"Errno 28|No space left", "The filestore's volume is full. Make it larger."),
    ("DatabaseUnreachable", r"AdminShutdown|psycopg2\.(?:OperationalError|InterfaceError)",
     "The connection to the database broke while Odoo worked. The next start goes on."),
    ("PrepareFailed", r"LockNotAvailable|DeadlockDetected|SerializationFailure", "Others used the tables that Odoo had to change. The next start tries again."),
    ("PrepareFailed", r"MemoryError", "Odoo had too little memory. Raise the memory limit of resources or the size."),
)
PR_SET_PDEATHSIG = 1


class Log:
    # What of the log says how it went: the module at work, the last exception and what it came from.

    def __init__(self):
        self.module, self.raised, self.inside, self.lead, self.wrong, self.passing, self.error = None, [], False, False, None, None, None

    def feed(self, line):
        record = RECORD.match(line)
        if line.startswith(MARK):
            self.wrong = line[len(MARK):]
        elif record:
            self.inside = False
            self.record(record["level"], record["text"])
        elif line.startswith("Traceback (most recent"):
            self.inside, self.lead = True, True
        elif self.inside and self.lead and RAISED.match(line):
            self.raised, self.lead = [*self.raised[-3:], line], False
        elif self.inside and not self.lead and self.raised and len(self.raised[-1]) < 400 and not line.startswith(("The above", "During")):
            self.raised[-1] += f" {line.strip()}"
        if not record or record["level"] in ("ERROR", "CRITICAL"):
            self.passing = next((found for found in PASSING if re.search(found[1], line)), self.passing)

    def record(self, level, text):
        begun = re.match(r"Loading module (\w+) \(", text)
        ended = re.match(r"Module (\w+) loaded in", text)
        if begun:
            self.module, self.raised = begun[1], []
        elif ended and ended[1] == self.module:
            self.module = None
        if level in ("ERROR", "CRITICAL"):
            self.error = text

    def why(self):
        # The outermost exception names the file, the innermost the cause.
        if not self.raised:
            return self.error or "its log says why"
        first, last = self.raised[0], self.raised[-1]
        return last if first == last else f"{last[:600]} (from {first[:400]})"


def configure(parser, series, demo):
    # odoo.conf for this one process: no workers, no limits that are meant for a request, demo data as wanted.
    options = parser["options"]
    options.update(workers="0", max_cron_threads="0", http_enable="False", limit_memory_hard="0")
    options.pop("without_demo", None)
    if int(series.split(".")[0].replace("saas~", "")) >= 19:
        options.update(with_demo=str(demo), db_app_name=SESSION)
    elif not demo:
        options["without_demo"] = "all"
    # Odoo up to 18 reads what the variable names first, and keeps of it what the file of -c does not say.
    os.environ.update(ODOO_RC=CONFIG, **({} if "db_app_name" in options else {"ODOO_PGAPPNAME": SESSION}))
    prepare_pod.write(parser, CONFIG)


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def guard(server, child, lost):
    # Without the lock another pod may begin: then this one has to end.
    while not lost.wait(10) and child.poll() is None:
        try:
            with server.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error:
            lost.set()
            child.kill()


def run(server, arguments, script=None):
    # Runs Odoo to its end; returns the exit code and the log. Whatever ends us ends it: what it has not committed is undone.
    words, log, lost = command(), Log(), threading.Event()
    name = prepare_pod.configuration()["options"]["db_name"]
    words += arguments[:1] if script else []
    words += ["-c", CONFIG, "-d", name, *(arguments[1:] if script else arguments), "--no-http"]
    say(f"prepare: {' '.join(words)}")
    child = subprocess.Popen(
        words, stdin=subprocess.PIPE if script else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", preexec_fn=die_with_parent)
    try:
        threading.Thread(target=guard, args=(server, child, lost), daemon=True).start()
        if script:
            child.stdin.write(script)
            child.stdin.close()
        for line in child.stdout:
            print(line, end="", flush=True)
            log.feed(line.rstrip("\n"))
        code = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
    if lost.is_set():
        raise Failure("DatabaseUnreachable", "The connection that holds the lock broke while Odoo worked. The next start goes on.")
    lost.set()
    return code, log


def passing(code, log):
    # Raises for what is not the inputs' fault.
    if log.wrong:
        raise Failure("ConfigurationInvalid", log.wrong, lasting=True)
    if code < 0 or code in (128 + signal.SIGKILL, 128 + signal.SIGTERM):
        raise Failure("PrepareFailed", f"Odoo was killed (signal {-code if code < 0 else code - 128}), most often for want of memory: "
                                       "raise the memory limit of resources or the size. The next start goes on.")
    if log.passing:
        raise Failure(log.passing[0], log.passing[2])

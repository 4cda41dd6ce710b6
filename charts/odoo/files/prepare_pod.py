# What configure and prepare share: where things lie in the pod, how an end is told, what a stop does.
import configparser
import json
import os
import re
import signal
import sys
from urllib.parse import unquote

OPTIONS = "/etc/odoofleet/{}.json"
CONFIG = "/run/odoo/odoo.conf"
SECRET = "/run/secrets/{}"
SECRETS = {"db_password": "database/password", "admin_passwd": "odoo/admin_passwd", "smtp_password": "mail/password"}
ADMINISTRATOR = "bootstrap/password"
TOLD = "/dev/termination-log"
LIMIT = 4000
SHOWN = 30


class Failure(Exception):
    # An end that people can do something about; `lasting` ones come back as long as nothing that goes in changes.

    def __init__(self, reason, message, lasting=False, modules=()):
        super().__init__(f"{reason}: {message}")
        self.reason, self.message, self.lasting, self.modules = reason, message, lasting, sorted(modules)


def say(text):
    print(hidden(text), flush=True)


def secret(path):
    try:
        with open(SECRET.format(path), encoding="utf-8") as file:
            return file.read().rstrip("\r\n")
    except FileNotFoundError:
        return None


def check_line(key, value):
    # A line break would begin another option, and Odoo strips spaces, so the value would not be the one given.
    if str(value) != str(value).strip() or "\n" in str(value) or "\r" in str(value):
        raise Failure("ConfigurationInvalid", f"{key}: spaces at the ends and line breaks are not possible in odoo.conf. Choose another value.")


def settings(name):
    with open(OPTIONS.format(name), encoding="utf-8") as file:
        return json.load(file)


def configuration():
    parser = configparser.RawConfigParser()
    with open(CONFIG, encoding="utf-8") as file:
        parser.read_file(file)
    return parser


def write(parser, path):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        parser.write(file)


def proxies():
    # The passwords in the addresses of proxies.
    for name in ("http_proxy", "https_proxy"):
        found = re.match(r"[a-z]+://[^/@]*:([^/@]+)@", os.environ.get(name, ""))
        if found:
            yield from {found[1], unquote(found[1])}


def hidden(text):
    # What Odoo and its addons say is theirs: a password in it must not get as far as the status of an object.
    for value in (*map(secret, (*SECRETS.values(), ADMINISTRATOR)), *proxies()):
        if value and len(value) > 3:
            text = text.replace(value, "***")
    return text


def tell(answer):
    # One JSON object for the operator, never longer than the kubelet keeps.
    while len(text := json.dumps(answer, ensure_ascii=False).encode()) > LIMIT:
        answer["error"]["message"] = answer["error"]["message"][:-200] + "…"
    with open(TOLD, "wb") as file:
        file.write(text)


def fail(code, reason, message, known):
    message = hidden(" ".join(message.split()))[:1500]
    tell({"error": {"reason": reason, "message": message}, **known})
    print(f"{reason}: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def stop(*_):
    # Process 1 of a container has no default action for it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def run(main):
    # `known` grows while main works: what of it was true is told at a failure too.
    signal.signal(signal.SIGTERM, stop)
    known = {}
    try:
        main(known)
        tell(known)
    except Failure as failure:
        fail(1, failure.reason, failure.message, known)
    except SystemExit:
        fail(143, "PrepareFailed", "Stopped before it was done; the next start goes on from here.", known)
    except Exception as error:
        fail(1, "PrepareFailed", f"{type(error).__name__}: {error}", known)

"""Network namespaces in which a pod has IPv6 alone, IPv4 alone, or both."""
import pathlib
import shutil
import subprocess

LOOPBACK = "ip link set lo up\n"
SIX = "ip -6 addr add fd00::7/64 dev lo nodad\nip -6 route add default dev lo\n"
FOUR = "ip addr add 10.1.2.3/24 dev lo\nip route add default dev lo\n"
# What some clouds give a pod of IPv6 for its way out.
WAY_OUT = "ip addr add 169.254.172.2/22 dev lo\nip route add default dev lo\n"
# As on a node whose kernel has no IPv6: /proc/net/if_inet6 says nothing, and no address of it can be had.
NONE = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6\n"


def apart(setup, command):
    """The start of a command line that runs what follows it in a namespace of its own."""
    if SIX not in setup:
        setup = NONE + setup
    return ["unshare", "--user", "--map-root-user", "--net", "sh", "-euc", LOOPBACK + setup + command, "sh"]


def can_part():
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return all(subprocess.run(apart(setup, "true"), capture_output=True, check=False).returncode == 0 for setup in (SIX, FOUR))


def listens(pid, table):
    """The TCP ports on which somebody listens in the namespace of a process."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return set()
    return {int(fields[1].rsplit(":", 1)[1], 16) for fields in map(str.split, lines) if fields[3] == "0A"}

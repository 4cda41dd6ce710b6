# A volume of another major version, or one that this user cannot use, stops PostgreSQL in ways that nobody understands.
set -eu
data=${1:-/pgdata}
told=${2:-/dev/termination-log}
user=$(id -u)

refuse() {
  printf '{"error": {"reason": "%s", "message": "%s"}}' "$1" "$2" >"$told"
  echo "$1: $2" >&2
  exit 1
}

if ! [ -w "$data" ]; then
  if awk -v at="$data" '$2 == at && $4 ~ /^ro(,|$)/ { found = 1 } END { exit !found }' /proc/mounts; then
    refuse VolumeReadOnly "The volume of the database is mounted read-only: look at the node and at the storage."
  fi
  refuse VolumeNotOwned "User $user may not write to the volume of the database: give the volume to it, or set postgresql.runAsUser."
fi
if [ -d "$data/data" ] && ! [ -x "$data/data" ]; then
  refuse VolumeNotOwned "The data belong to another user than $user: set postgresql.runAsUser (999 in Debian images, 70 in Alpine ones)."
fi
[ -f "$data/data/PG_VERSION" ] || exit 0
there=$(cat "$data/data/PG_VERSION")
image=$(postgres --version | sed 's/^[^0-9]*//; s/[^0-9].*//')
[ "$there" = "$image" ] || refuse DatabaseMajorMismatch "The volume holds a database of PostgreSQL $there, the image is PostgreSQL $image: go back to an image of $there. Another major version needs a dump and a restore."

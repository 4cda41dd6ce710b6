# Which addresses git may ask, and to which of them it may show the credentials. addons.sh reads this; git runs it, as its credential
# helper and as its ssh, so that what counts is whom it talks to in the end: of submodules, too.
secret=/run/secrets/git

# An address in one form, scheme://host:port/path; nothing for one that might be read in two ways. ssh's own form is one (host:path).
address() {
  printf '%s\n' "$1" | awk '
    { text = text (NR > 1 ? "\n" : "") $0 }
    END {
      # As a text: between slashes, BusyBox would let a backslash through.
      if (text !~ "^[A-Za-z0-9._~%+:@,=/-]+$") exit
      if (match(text, /^[a-z]+:\/\//)) {
        scheme = substr(text, 1, RLENGTH - 3)
        host = substr(text, RLENGTH + 1)
        path = ""
        if (match(host, /\/.*$/)) { path = substr(host, RSTART); host = substr(host, 1, RSTART - 1) }
      } else if (match(text, /^([A-Za-z0-9_.-]+@)?[A-Za-z0-9.-]+:/)) {
        scheme = "ssh"
        host = substr(text, 1, RLENGTH - 1)
        path = substr(text, RLENGTH + 1)
      } else exit
      sub(/^.*@/, "", host)
      port = scheme == "https" ? 443 : scheme == "http" ? 80 : scheme == "ssh" ? 22 : ""
      if (match(host, /:[0-9]*$/)) {
        if (RLENGTH > 1) port = substr(host, RSTART + 1)
        host = substr(host, 1, RSTART - 1)
      }
      host = tolower(host)
      if (scheme != "file" && host !~ /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/) exit
      path = "/" path "/"
      gsub(/\/\/+/, "/", path)
      # Servers and libraries take such steps, the comparison of texts does not.
      if (path ~ /\/\.\.?\// || tolower(path) ~ /%2e|%2f|%5c|%00/) exit
      sub(/\/$/, "", path)
      sub(/\.git$/, "", path)
      print scheme "://" host ":" port path
    }'
}

# Whether an address, in that form, may be asked at all. Without a list every host may: the network policy closes the cluster.
allowed() {
  case ":$GIT_ALLOW_PROTOCOL:" in *":${1%%:*}:"*) ;; *) return 1 ;; esac
  [ "${ALLOWED_HOSTS:-}" ] || return 0
  host=${1#*://}
  case " $ALLOWED_HOSTS " in *" ${host%%:*} "*) ;; *) return 1 ;; esac
}

# What the credentials are for: what lies below the address in the Secret, as in Argo CD's; without one, the repository's own host.
scope() {
  if [ -e "$secret/url" ]; then address "$(cat "$secret/url")"; else address "$URL" | cut -d/ -f1-3; fi
}

served() {
  within=$(scope)
  if [ "$within" ]; then case "$1/" in "$within/"*) return 0 ;; esac; fi
  return 1
}

# git's protocol for helpers: lines in, lines out.
credential() {
  protocol= host= path=
  while IFS='=' read -r key value && [ "$key" ]; do
    case $key in protocol) protocol=$value ;; host) host=$value ;; path) path=$value ;; esac
  done
  # git has taken what is escaped out of the path, which where a host alone is named does not matter.
  case $(scope) in *://*/*) ;; *) path= ;; esac
  served "$(address "$protocol://$host/$(printf %s "$path" | sed 's/ /%20/g')")" || return 0
  echo "username=$(cat "$secret/username")"
  echo "password=$(cat "$secret/password")"
}

# The last two words are host and command. A key without an address serves the hosts of known_hosts, beside it in the Secret.
connect() {
  port=22 host= command=
  for word; do
    if [ "$host" = -p ]; then port=$command; fi
    host=$command command=$word
  done
  key="-o IdentityFile=none -o IdentitiesOnly=yes"
  if [ -f "$HOME/key" ]; then
    path=${command#*\'}
    if ! [ -e "$secret/url" ] || served "$(address "ssh://$host:$port/${path%\'*}")"; then key="-i $HOME/key -o IdentitiesOnly=yes"; fi
  fi
  if [ -f "$secret/known_hosts" ]; then key="$key -o UserKnownHostsFile=$secret/known_hosts"; fi
  exec ssh $key -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 "$@"
}

case "${1:-}" in
  credential) if [ "${2:-}" = get ]; then credential; fi ;;
  connect) shift && connect "$@" ;;
esac

# Brings one repository into $DEST, at the commit that a branch or tag was pinned to at the first start that asked for it: a
# node's drain deploys no new code. What was fetched is kept on the volume, so that a start which changes nothing needs no git
# server. Credentials are files: username and password, or ssh-privatekey and known_hosts; ca.crt.
set -eu
# A file above the limit is an error (EFBIG) and no signal, so that it has a name.
trap '' XFSZ
umask 002
export LC_ALL=C HOME=/tmp GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=https:ssh
secret=/run/secrets/git
told=/dev/termination-log
number=${DEST##*/}
pin=${PIN:-/var/lib/odoo/.odoofleet/addons/$number.json}
limit=${SIZE_LIMIT:-1073741824}
errors=$HOME/errors
deepest=5
commit=

quoted() { printf '"%s"' "$(printf %s "$1" | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g')"; }
shown() { printf %s "$1" | sed 's,//[^/@]*@,//,g'; }

fail() {
  # The last words of git, without the address' user, and short.
  why=$(grep -v '^$' "$errors" 2>/dev/null | tail -n 2 | tr '\n' ' ' | cut -c 1-600)
  text=$(shown "$2${why:+ ($why)}")
  printf '{"error": {"reason": "%s", "message": %s}}' "$1" "$(quoted "$text")" >"$told"
  echo "$1: $text" >&2
  exit 1
}

# What git failed at, told apart by its own and ssh's words, which LC_ALL=C keeps untranslated.
explain() {
  if grep -q 'File too large\|signal 25' "$errors"; then
    fail AddonTooLarge "$URL at $REF is larger than git.sizeLimit ($limit bytes). Raise it, or keep large files out of the repository."
  elif grep -q 'No space left' "$errors"; then
    fail VolumeFull "The node has no space left for the addons of $URL."
  elif [ "$1" ]; then
    fail "$1" "$URL at $REF: the submodules cannot be fetched. Correct .gitmodules, or give credentials that serve them."
  elif grep -q 'not our ref' "$errors"; then
    fail AddonRefNotFound "$URL has no commit $commit any more, to which $REF is pinned. Name another reference, or change git.refresh to take the branch as it is now."
  elif grep -q 'erver certificate\|SSL certificate\|certificate problem\|certificate verif' "$errors"; then
    fail AddonRefused "$URL shows a certificate that is not trusted. Give its authority in git.caBundle, or as ca.crt in the Secret of credentialsSecret."
  elif grep -q 'Authentication failed\|could not read Username\|Permission denied\|Host key verif\|error: 40[13]\|not found\|certificate\|not allowed\|disabled\|does not appear' "$errors"; then
    fail AddonRefused "$URL does not let us in. Correct the address, or the Secret of credentialsSecret (username and password, or ssh-privatekey and known_hosts)."
  fi
  fail AddonUnreachable "$URL cannot be reached. Look at the address, the network and the network policies."
}

try() { "$@" 2>"$errors" || explain ''; }

# On the volume: what the system calls say, as a reason.
store() {
  if (eval "$1") 2>"$errors"; then return; fi
  if grep -q 'Read-only' "$errors"; then fail VolumeReadOnly "The volume of /var/lib/odoo is mounted read-only: look at the node and at the storage."; fi
  if grep -q 'No space\|quota' "$errors"; then fail VolumeFull "The volume of /var/lib/odoo is full: make it larger (persistence.size)."; fi
  fail VolumeNotOwned "The volume of /var/lib/odoo does not let user $(id -u) write: give it to group 101."
}

# What the image trusts, and the authorities of the values and of the Secret: git takes one file for all.
authorities() {
  for file in /etc/odoofleet/ca.crt "$secret/ca.crt"; do
    if [ -f "$file" ]; then
      [ -f "$HOME/ca.crt" ] || cat "${GIT_SSL_CAINFO:-/etc/ssl/certs/ca-certificates.crt}" >"$HOME/ca.crt" 2>/dev/null || true
      (echo && cat "$file") >>"$HOME/ca.crt"
    fi
  done
  if [ -f "$HOME/ca.crt" ]; then export GIT_SSL_CAINFO="$HOME/ca.crt"; fi
}

credentials() {
  if [ -f "$secret/ssh-privatekey" ]; then
    # ssh refuses the mounted file, which the group may read.
    trap 'rm -f $HOME/key' EXIT
    (umask 077 && cat "$secret/ssh-privatekey" >$HOME/key)
    key="-i $HOME/key -o IdentitiesOnly=yes -o UserKnownHostsFile=$secret/known_hosts"
  elif [ -f "$secret/password" ]; then
    # For this host alone: a submodule may lie elsewhere.
    git config --global "credential.$(printf %s "$URL" | cut -d/ -f1-3).helper" \
      '!f() { [ "$1" = get ] && echo "username=$(cat /run/secrets/git/username)" && echo "password=$(cat /run/secrets/git/password)"; }; f'
  fi
  export GIT_SSH_COMMAND="ssh ${key:-} -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20 -o ServerAliveInterval=15"
  # A connection that gives nothing ends.
  git config --global http.lowSpeedLimit 1000
  git config --global http.lowSpeedTime 60
}

is_commit() { [ ${#1} = 40 ] && case $1 in *[!0-9a-f]*) false ;; esac; }

# The commit of $REF now: a full name, a tag (of what it points to), a branch, in git's own order.
resolve() {
  try git ls-remote "$URL" "$REF" "refs/tags/$REF" "refs/tags/$REF^{}" "refs/heads/$REF" >$HOME/refs
  for name in "$REF" "refs/tags/$REF^{}" "refs/tags/$REF" "refs/heads/$REF"; do
    commit=$(name=$name awk -F '\t' '$2 == ENVIRON["name"] { print $1; exit }' $HOME/refs)
    if [ "$commit" ]; then return; fi
  done
  : >"$errors"
  fail AddonRefNotFound "$URL has no branch or tag $REF. Correct the reference; a commit is written in full, with 40 digits."
}

# Web and cron pods start at once: the first to come resolves, and what it wrote counts for all.
pinned() {
  known="{\"url\":$(quoted "$URL"),\"ref\":$(quoted "$REF"),\"refresh\":$(quoted "${REFRESH:-}"),\"commit\":\""
  folder=${pin%/*}
  store 'mkdir -p "$folder" && : >>"$folder/lock"'
  exec 9>>"$folder/lock"
  # Some file systems have no locks; then the last one to write counts.
  flock 9 2>/dev/null || true
  there=$(cat "$pin" 2>/dev/null || true)
  commit=${there#"$known"}
  commit=${commit%\"\}}
  if [ "$known$commit\"}" != "$there" ] || ! is_commit "$commit"; then
    resolve
    # Renamed, so that nobody reads a half.
    store 'printf "%s%s\"}" "$known" "$commit" >"$pin.new" && mv "$pin.new" "$pin"'
  fi
  exec 9>&-
}

# The commit as an earlier start has kept it. What is damaged is fetched again.
kept() {
  [ "${KEEP:-}" ] && [ -f "$KEEP-$commit.tar.gz" ] || return 1
  if tar -xzf "$KEEP-$commit.tar.gz" 2>"$errors"; then
    echo "taken from the volume: $commit"
    return 0
  fi
  rm -rf "$DEST" && mkdir -p "$DEST" && cd "$DEST"
  return 1
}

# One commit is kept. Where there is no room for it, the next start fetches again, and nothing else comes of it.
keep() {
  [ "${KEEP:-}" ] || return 0
  # Step by step: before `||` a shell does not end by itself, and half a list of files would be kept for the whole.
  (
    mkdir -p "${KEEP%/*}" && exec 9>>"${KEEP%/*}/lock" || exit 1
    flock 9 2>/dev/null || true
    find . -name .git -prune -o ! -type d -print >"$HOME/files" && tar -czf "$KEEP.new" -T "$HOME/files" || exit 1
    rm -f "$KEEP"-*.tar.gz && mv "$KEEP.new" "$KEEP-$commit.tar.gz"
  ) 2>"$errors" || {
    rm -f "$KEEP.new" 2>/dev/null || true
    echo "not kept on the volume: $(tail -n 1 "$errors")"
  }
}

fetch() {
  git init --quiet
  git remote add -- origin "$URL"
  # Servers that give no commit by its id give everything.
  git fetch --quiet --depth 1 -- origin "$commit" 2>"$errors" || {
    grep -q unadvertised "$errors" || explain ''
    try git fetch --quiet -- origin '+refs/*:refs/all/*'
  }
  git cat-file -e "$commit^{commit}" 2>/dev/null || {
    echo 'not our ref' >"$errors"
    explain ''
  }
  # Files that are small when packed may be huge: their sizes are known before they are written.
  size=$(git cat-file --batch-all-objects --batch-check='%(objectsize)' | awk '{ n += $1 } END { printf "%d", n / 4 }')
  if [ "$size" -gt "$limit" ]; then
    echo "File too large: $size times 4 bytes unpacked" >"$errors"
    explain ''
  fi
  try git checkout --quiet --detach "$commit"
}

# Level by level, so that repositories which name one another come to an end.
submodules() {
  depth=0
  while find . -name .gitmodules >$HOME/found && grep -v -x -F -f $HOME/done $HOME/found >$HOME/level; do
    depth=$((depth + 1))
    if [ $depth -gt $deepest ]; then
      : >"$errors"
      fail AddonSubmoduleFailed "$URL at $REF: submodules are nested deeper than $deepest levels. Do they name one another?"
    fi
    cat $HOME/level >>$HOME/done
    while read -r file; do
      if [ -e "${file%/*}/.git" ]; then
        git -C "${file%/*}" submodule --quiet update --init --depth 1 </dev/null 2>"$errors" || explain AddonSubmoduleFailed
      fi
    done <$HOME/level
  done
}

check() {
  : >"$errors"
  where=$(cd "$DEST/$SUBPATH" 2>/dev/null && pwd -P) || where=
  case "$where/" in
    "$(pwd -P)/"*) ;;
    *) fail AddonFolderMissing "$URL has no folder $SUBPATH at $REF. Correct the path." ;;
  esac
  for manifest in "$where"/*/__manifest__.py "$where"/*/__openerp__.py; do
    if [ -f "$manifest" ]; then return; fi
  done
  fail AddonManifestMissing "The folder $SUBPATH of $URL at $REF holds no addon (a folder with __manifest__.py). Name the folder that holds the addons."
}

# In blocks of 512 bytes. No pack, and no file, is larger.
ulimit -f $((limit / 512))
rm -f "$errors" "$HOME/ca.crt"
: >$HOME/done
authorities
credentials
# A container that is started again finds what the one before it left.
rm -rf "$DEST" && mkdir -p "$DEST" && cd "$DEST"
if is_commit "$REF"; then commit=$REF; else pinned; fi
kept || {
  fetch
  submodules
  keep
}
check
printf %s "$commit" >"${COMMIT_FILE:-$DEST.commit}"
printf '{"addon": {"url": %s, "ref": %s, "commit": "%s"}}' "$(quoted "$(shown "$URL")")" "$(quoted "$REF")" "$commit" | tee "$told"

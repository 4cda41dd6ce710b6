# Brings one repository into $DEST, at the commit that a branch or tag was pinned to at the first start that asked for it: a
# node's drain deploys no new code. What was fetched is kept on the volume, so that a start which changes nothing needs no git
# server. Credentials are files: username and password, or ssh-privatekey and known_hosts; ca.crt; url, which says what they are for.
set -eu
# A file above the limit is an error (EFBIG) and no signal, so that it has a name.
trap '' XFSZ
umask 002
export LC_ALL=C HOME=/tmp GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=https:ssh GIT_LITERAL_PATHSPECS=1
here=${0%/*}
. "$here/git.sh"
told=/dev/termination-log
number=${DEST##*/}
pin=${PIN:-/var/lib/odoo/.odoofleet/addons/$number.json}
limit=${SIZE_LIMIT:-1073741824}
errors=$HOME/errors
deepest=5
commit=
# The submodule at work, for people.
part=

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
  elif [ "$part" ]; then
    fail AddonSubmoduleFailed "$URL at $REF: $part cannot be fetched. Correct .gitmodules, or give credentials that serve it."
  elif grep -q 'from proxy\|resolve proxy\|CONNECT tunnel\|roxy CONNECT' "$errors"; then
    fail AddonUnreachable "The proxy of outboundProxy does not let us through to $URL. Look at its address, its password and its rules, or name the host in outboundProxy.except."
  elif grep -q 'not our ref' "$errors"; then
    fail AddonRefNotFound "$URL has no commit $commit any more, to which $REF is pinned. Name another reference, or change git.refresh to take the branch as it is now."
  elif grep -q 'erver certificate\|SSL certificate\|certificate problem\|certificate verif' "$errors"; then
    fail AddonRefused "$URL shows a certificate that is not trusted. Give its authority in git.caBundle, or as ca.crt in the Secret of credentialsSecret."
  elif grep -q 'Authentication failed\|could not read Username\|Permission denied\|Host key verif\|error: 40[13]\|not found\|certificate\|not allowed\|disabled\|does not appear' "$errors"; then
    fail AddonRefused "$URL does not let us in. Correct the address, or the Secret of credentialsSecret (username and password, or ssh-privatekey and known_hosts)."
  fi
  fail AddonUnreachable "$URL cannot be reached. Look at the address, the network and the network policies."
}

# git at `origin`, and where that has moved, at the new address: it follows no redirect itself, as it would carry the credentials along.
ask() {
  hops=0
  until "$@" 2>"$errors"; do
    grep -q 'error: 30[12378]$' "$errors" || return 1
    hops=$((hops + 1))
    if [ $hops -gt 3 ]; then return 1; fi
    moved
  done
}

# git does not say where to, but its trace does.
moved() {
  GIT_TRACE_CURL=$HOME/trace GIT_TRACE_CURL_NO_DATA=1 git ls-remote origin HEAD >/dev/null 2>&1 || true
  to=$(sed -n 's/.*<= [Rr]ecv header: [Ll]ocation: *//p' "$HOME/trace" | tr -d '\r' | tail -n 1)
  rm -f "$HOME/trace"
  from=$(git remote get-url origin)
  case $to in /*) to=$(printf %s "$from" | cut -d/ -f1-3)$to ;; esac
  to=${to%%/info/refs*}
  : >"$errors"
  if [ "$part" ]; then refused=AddonSubmoduleFailed; else refused=AddonRefused; fi
  allowed "$(address "$to")" || fail "$refused" "$from redirects to ${to:-nowhere}, which is not followed${ALLOWED_HOSTS:+: git.allowedHosts is $ALLOWED_HOSTS}. Correct the address."
  git remote set-url origin "$to"
}

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
  mine=$(address "$URL")
  allowed "$mine" || fail AddonRefused "$URL is not asked: it is no plain https or ssh address${ALLOWED_HOSTS:+, or its host is none of git.allowedHosts ($ALLOWED_HOSTS)}. Correct the address."
  if [ -f "$secret/password" ] || [ -f "$secret/ssh-privatekey" ]; then
    if [ -e "$secret/url" ] && ! served "$mine"; then
      within=$(scope)
      fail AddonRefused "The Secret of credentialsSecret is for ${within:-an address that cannot be read} (its key url), and not for $URL. Name another Secret."
    fi
  elif [ "${CREDENTIALS:-}" ] && ! [ -f "$secret/ca.crt" ]; then
    fail AddonRefused "The Secret $CREDENTIALS (credentialsSecret of $URL) is missing, or has neither password nor ssh-privatekey. Add the key."
  fi
  if [ -f "$secret/ssh-privatekey" ]; then
    # ssh refuses the mounted file, which the group may read.
    trap 'rm -f $HOME/key' EXIT
    (umask 077 && cat "$secret/ssh-privatekey" >$HOME/key)
  fi
  if [ -f "$secret/password" ]; then
    git config --global credential.helper "!sh $here/git.sh credential"
    git config --global credential.useHttpPath true
  fi
  export GIT_SSH_VARIANT=ssh GIT_SSH_COMMAND="sh $here/git.sh connect"
  git config --global http.followRedirects false
  # A connection that gives nothing ends.
  git config --global http.lowSpeedLimit 1000
  git config --global http.lowSpeedTime 60
}

is_commit() { [ ${#1} = 40 ] && case $1 in *[!0-9a-f]*) false ;; esac; }

# The commit of $REF now: a full name, a tag (of what it points to), a branch, in git's own order.
resolve() {
  ask git ls-remote origin "$REF" "refs/tags/$REF" "refs/tags/$REF^{}" "refs/heads/$REF" >$HOME/refs || explain
  for name in "$REF" "refs/tags/$REF^{}" "refs/tags/$REF" "refs/heads/$REF"; do
    commit=$(name=$name awk -F '\t' '$2 == ENVIRON["name"] { print $1; exit }' $HOME/refs)
    if [ "$commit" ]; then return; fi
  done
  : >"$errors"
  fail AddonRefNotFound "$URL has no branch or tag $REF. Correct the reference; a commit is written in full, with 40 digits."
}

# Odoo could write to the volume's folder before it was mounted read-only there: no link is followed, and nothing but a file is read.
plain() {
  if [ -L "$1" ] || { [ -e "$1" ] && ! [ -f "$1" ]; }; then rm -rf "$1" 2>/dev/null || true; fi
}

# Web and cron pods start at once: the first to come resolves, and what it wrote counts for all.
pinned() {
  known="{\"url\":$(quoted "$URL"),\"ref\":$(quoted "$REF"),\"refresh\":$(quoted "${REFRESH:-}"),\"commit\":\""
  folder=${pin%/*}
  for path in "$folder/lock" "$pin" "$pin.new"; do plain "$path"; done
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

# Makes the folder a repository whose `origin` is the address, and goes there.
open() {
  mkdir -p "$1"
  cd "$1"
  git init --quiet
  git remote add -- origin "$2"
}

# Brings a commit into the repository at hand. From the volume without trust: git names objects by the digest of what they hold, so
# a pack gives that commit or none. What is damaged is fetched again.
content() {
  if [ "${KEEP:-}" ]; then
    printf '%s\n' "$1" >>$HOME/used
    plain "$KEEP-$1.pack"
    if [ -f "$KEEP-$1.pack" ]; then
      printf '%s\n' "$1" >.git/shallow
      if git index-pack --stdin <"$KEEP-$1.pack" >/dev/null 2>"$errors" && fits && git checkout --quiet --detach "$1" 2>"$errors"; then
        echo "taken from the volume: $1"
        return
      fi
      folder=$(pwd) origin=$(git remote get-url origin)
      cd /
      rm -rf "$folder"
      open "$folder" "$origin"
    fi
  fi
  fetch "$1"
  keep "$1"
}

fetch() {
  # Servers that give no commit by its id give everything.
  ask git fetch --quiet --depth 1 -- origin "$1" || {
    grep -q unadvertised "$errors" || explain
    ask git fetch --quiet -- origin '+refs/*:refs/all/*' || explain
  }
  git cat-file -e "$1^{commit}" 2>/dev/null || {
    echo 'not our ref' >"$errors"
    explain
  }
  fits || explain
  git checkout --quiet --detach "$1" 2>"$errors" || explain
}

# Files that are small when packed may be huge: their sizes are known before they are written.
fits() {
  size=$(git cat-file --batch-all-objects --batch-check='%(objectsize)' | awk '{ n += $1 } END { printf "%d", n / 4 }')
  if [ "$size" -gt "$limit" ]; then
    echo "File too large: $size times 4 bytes unpacked" >"$errors"
    return 1
  fi
}

# One commit alone, as a pack. Where there is no room for it, the next start fetches again, and nothing else comes of it.
keep() {
  [ "${KEEP:-}" ] || return 0
  # Step by step: before `||` a shell does not end by itself, and half a list of objects would be kept for the whole.
  (
    mkdir -p "${KEEP%/*}" && plain "${KEEP%/*}/lock" && exec 9>>"${KEEP%/*}/lock" || exit 1
    flock 9 2>/dev/null || true
    rm -rf "$KEEP.new" && git rev-list --objects --no-walk "$1" >"$HOME/objects" || exit 1
    git pack-objects --quiet --stdout <"$HOME/objects" >"$KEEP.new" && mv "$KEEP.new" "$KEEP-$1.pack"
  ) 2>"$errors" || {
    rm -f "$KEEP.new" 2>/dev/null || true
    echo "not kept on the volume: $(tail -n 1 "$errors")"
  }
}

# What this start did not ask for goes: of each repository one commit is kept, with its submodules.
prune() {
  [ "${KEEP:-}" ] || return 0
  for path in "$KEEP"-*; do
    name=${path#"$KEEP-"}
    case $name in *.pack) if grep -q -x -F "${name%.pack}" $HOME/used; then continue; fi ;; esac
    rm -rf "$path" 2>/dev/null || true
  done
}

# Level by level, so that repositories which name one another come to an end.
submodules() {
  depth=0
  while find . -type f -name .gitmodules >$HOME/found && grep -v -x -F -f $HOME/done $HOME/found >$HOME/level; do
    depth=$((depth + 1))
    if [ $depth -gt $deepest ]; then
      : >"$errors"
      fail AddonSubmoduleFailed "$URL at $REF: submodules are nested deeper than $deepest levels. Do they name one another?"
    fi
    cat $HOME/level >>$HOME/done
    while IFS= read -r file; do
      if [ -e "${file%/*}/.git" ]; then
        cd "${file%/*}"
        below
        cd "$DEST"
      fi
    done <$HOME/level
  done
}

# The submodules of the repository at hand. `git submodule init` makes relative addresses whole; all else is done here, so that each
# address is looked at first.
below() {
  top=$(pwd)
  part=submodules
  git submodule --quiet init </dev/null 2>"$errors" || explain
  git config --name-only --get-regexp '^submodule\..*\.url$' >$HOME/names || true
  while IFS= read -r key <&4; do
    name=${key#submodule.}
    name=${name%.url}
    url=$(git config --get "$key")
    way=$(git config -f .gitmodules --get "submodule.$name.path" || true)
    if [ "$(git config --get "submodule.$name.update" || true)" = none ]; then continue; fi
    wanted=$(git ls-files --stage -- "$way" | awk '$1 == 160000 { print $2; exit }')
    is_commit "$wanted" || continue
    part="the submodule $way ($(shown "$url"))"
    : >"$errors"
    allowed "$(address "$url")" || fail AddonSubmoduleFailed "$URL at $REF: $part is not asked: it is no plain https or ssh address${ALLOWED_HOSTS:+, or its host is none of git.allowedHosts ($ALLOWED_HOSTS)}. Correct .gitmodules."
    open "$top/$way" "$url"
    content "$wanted" </dev/null
    cd "$top"
  done 4<$HOME/names
  part=
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
# BusyBox takes a list without a line for one that holds the empty text, which every line has.
echo / >$HOME/done
: >$HOME/used
authorities
credentials
# Of the volume's folders, too, none may be a link: where one leads, Odoo's containers would not see it read-only.
for path in "${pin%/*/*}" "${pin%/*}"; do if [ -L "$path" ]; then rm -f "$path" || true; fi; done
# A container that is started again finds what the one before it left.
rm -rf "$DEST"
open "$DEST" "$URL"
if is_commit "$REF"; then commit=$REF; else pinned; fi
content "$commit"
cd "$DEST"
submodules
prune
check
printf %s "$commit" >"${COMMIT_FILE:-$DEST.commit}"
printf '{"addon": {"url": %s, "ref": %s, "commit": "%s"}}' "$(quoted "$(shown "$URL")")" "$(quoted "$REF")" "$commit" | tee "$told"

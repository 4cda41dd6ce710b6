# Fetches one repository into $DEST. Credentials are files: username and password, or ssh-privatekey and known_hosts.
set -eu
export HOME=/tmp GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=https:ssh
secret=/run/secrets/git
if [ -f "$secret/ssh-privatekey" ]; then
  # ssh refuses the mounted file, which the group may read.
  trap 'rm -f /tmp/key' EXIT
  (umask 077 && cat "$secret/ssh-privatekey" >/tmp/key)
  export GIT_SSH_COMMAND="ssh -i /tmp/key -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=$secret/known_hosts"
elif [ -f "$secret/password" ]; then
  # For this host alone: a submodule may lie elsewhere.
  git config --global "credential.$(printf %s "$URL" | cut -d/ -f1-3).helper" \
    '!f() { [ "$1" = get ] && echo "username=$(cat /run/secrets/git/username)" && echo "password=$(cat /run/secrets/git/password)"; }; f'
fi
# A container that is started again finds what the one before it left.
rm -rf "$DEST" && mkdir -p "$DEST" && cd "$DEST"
git init --quiet
git remote add -- origin "$URL"
git fetch --quiet --depth 1 -- origin "$REF"
git checkout --quiet --detach FETCH_HEAD
git submodule --quiet update --init --recursive --depth 1
git rev-parse HEAD
[ -d "$DEST/$SUBPATH" ] || { echo "the repository has no folder $SUBPATH at $REF" >&2; exit 1; }

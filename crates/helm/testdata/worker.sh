#!/bin/sh
# Speaks as the Helm worker does, for tests of the pool. Its operations end once the file "go" lies in $DIR, or with the
# process if there is a file "die".
echo '{"type":"ready","helmVersion":"v4","workerVersion":"test"}'
while read -r line; do
  case $line in *'"type":"operation"'*) ;; *) continue ;; esac
  [ ! -e "$DIR/die" ] || exit 1
  id=$(printf '%s' "$line" | sed 's/.*"id":"\([^"]*\)".*/\1/')
  echo "{\"type\":\"progress\",\"id\":\"$id\",\"stage\":\"rendered\",\"hooks\":{\"total\":2,\"upgrade\":1}}"
  while [ ! -e "$DIR/go" ]; do sleep 0.01; done
  echo "{\"type\":\"success\",\"id\":\"$id\",\"success\":{\"hooks\":{\"total\":2,\"upgrade\":1}}}"
done

#!/bin/sh
# Builds Mailpit: build.sh WORK OUT. Its Go module holds the sources of its pages, but not the pages; without them go builds it all
# the same, and it shows nothing. Versions are pinned by go.sum and package-lock.json. The page that documents the API is left out, as
# what draws it is not in the registry any more.
set -eu
work=$1 out=$2
cd "$(dirname "$0")"
# A module that nothing has fetched yet lies nowhere.
go mod download github.com/axllent/mailpit
source=$(go list -m -f '{{.Dir}}' github.com/axllent/mailpit)
version=$(go list -m -f '{{.Version}}' github.com/axllent/mailpit)
cp -R "$source" "$work"
chmod -R u+w "$work"
cp package.json package-lock.json "$work"
cd "$work"
: >server/ui-src/docs.js
npm ci --ignore-scripts --no-audit --no-fund
MINIFY=true node esbuild.config.mjs
test -s server/ui/dist/app.js
rm -rf node_modules
go build -trimpath -ldflags "-s -w -X github.com/axllent/mailpit/config.Version=$version" -o "$out" .

# Run once, by initdb's temporary server. Odoo's role may create databases but is no superuser; the superuser keeps no
# password, so that it is reached from inside the pod alone.
if ! [ -s /run/secrets/database/password ]; then
  echo "The Secret of the database has no key password, or an empty one." >&2
  exit 1
fi
# psql itself makes the verifier that it sends, so that no log of statements or errors, and no module that looks at them, sees
# the password. It asks for it twice, and asks a terminal first, which `setsid` takes away.
password=$(cat /run/secrets/database/password)
printf '%s\n%s\n' "$password" "$password" |
  setsid psql --no-psqlrc --quiet --single-transaction --set ON_ERROR_STOP=1 --set role="$ODOO_ROLE" --username postgres --dbname postgres \
    --file /dev/fd/3 3<<'SQL'
SET LOCAL password_encryption = 'scram-sha-256';
CREATE ROLE :"role" LOGIN CREATEDB;
\password :"role"
ALTER ROLE postgres PASSWORD NULL;
SQL
unset password

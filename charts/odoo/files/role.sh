# Run once, by initdb's temporary server. Odoo's role may create databases but is no superuser; the superuser keeps no
# password, so that it is reached from inside the pod alone.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set role="$ODOO_ROLE" --username postgres --dbname postgres <<'SQL'
\set password `cat /run/secrets/database/password`
CREATE ROLE :"role" LOGIN CREATEDB PASSWORD :'password';
ALTER ROLE postgres PASSWORD NULL;
SQL

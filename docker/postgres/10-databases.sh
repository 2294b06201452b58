#!/bin/bash
# Runs once, at the first start of PostgreSQL: a role and a database each for Synapse and for Rialto.
set -euo pipefail

for name in synapse rialto; do
    psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=name="$name" --username=postgres --dbname=postgres <<'SQL'
\set password `cat "${RIALTO_SECRETS:-/run/secrets/postgres}"/:name`
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done

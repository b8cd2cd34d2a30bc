#!/bin/sh
# As the official image's entry point does: makes the cluster, then gives its place to the server.
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
"$bin/initdb" --no-sync --wal-segsize=1 --auth=trust --encoding=UTF8 --locale=C -D /tmp/data
echo 'host all all all trust' >> /tmp/data/pg_hba.conf
exec "$bin/postgres" -D /tmp/data -p 8080 -h 0.0.0.0 -k /tmp

#!/bin/sh
# The commonest mistake: the last line lacks its `exec`.
set -e
echo 'starting nginx'
nginx -g 'daemon off;'

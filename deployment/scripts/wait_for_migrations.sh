#!/usr/bin/env bash
# Waits, in the application's root, until the database answers and no migration is pending. Worker
# and beat start after it.
set -u
export CLOUDIGRADE_LOG_LEVEL=ERROR

until output=$(python manage.py migrate --check 2>&1); do
    echo "$(date --utc +%Y-%m-%dT%H:%M:%SZ) WARNING the database is not ready or has pending migrations:" \
        "$(tail -n 1 <<<"$output")" >&2
    sleep 5
done

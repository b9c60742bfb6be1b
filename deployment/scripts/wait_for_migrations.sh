#!/usr/bin/env bash
# Waits, in the application's root, until the database answers and no migration is pending. Worker
# and beat start after it.
set -u
export CLOUDIGRADE_LOG_LEVEL=ERROR

say() {
    local time
    time=$(date --utc +%Y-%m-%dT%H:%M:%SZ)
    if [[ ${CLOUDIGRADE_LOG_FORMAT:-} == json ]]; then
        # What manage.py wrote is JSON already.
        printf '{"time": "%s", "level": "WARNING", "logger": "wait_for_migrations", "message": "%s"}\n' \
            "$time" "$1"
        [[ -z $2 ]] || printf '%s\n' "$2"
    else
        printf '%s WARNING %s: %s\n' "$time" "$1" "$2"
    fi >&2
}

until output=$(python manage.py migrate --check 2>&1); do
    say "the database is not ready or has pending migrations" "$(tail -n 1 <<<"$output")"
    sleep 5
done

#!/usr/bin/env bash
# What the init container of each API pod does, in the application's root: wait for the database,
# migrate it, provision AWS, tell a webhook. Ends with 0 if the API may serve.
#
# CLOUDIGRADE_INIT_STRICT=true makes failures of AWS count too; DEPLOY_NOTIFICATION_URL is told how
# it went.
set -u
exec python manage.py initialize "$@"

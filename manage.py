#!/usr/bin/env python
"""Django's command line."""

import os
import sys

from django.core.management import execute_from_command_line

from util.transaction_limits import limit_transactions

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudigrade.settings.prod")
    limit_transactions("command")
    execute_from_command_line(sys.argv)

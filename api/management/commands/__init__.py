"""Commands of manage.py: entry points for operators and for deployments."""

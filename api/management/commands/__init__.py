"""Commands of manage.py: doors for operators and for deployments."""

"""The Django project: settings, URLs, Celery, WSGI. Wiring only."""

from cloudigrade.celery import app as celery_app

__all__ = ["celery_app"]

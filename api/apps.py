"""The product's Django app."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """The app with label "api"."""

    name = "api"
    default_auto_field = "django.db.models.BigAutoField"

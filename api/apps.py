"""The product's Django app."""

from django.apps import AppConfig
from django.utils.module_loading import import_string

PROVIDERS = (
    "api.clouds.aws.provider.AwsProvider",
    "api.clouds.azure.provider.AzureProvider",
)
"""The clouds that are installed."""


class ApiConfig(AppConfig):
    """The app with label "api"."""

    name = "api"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Install the clouds, whose modules need the models to be there."""
        register = import_string("api.clouds.provider.register")
        for provider in PROVIDERS:
            register(import_string(provider)())

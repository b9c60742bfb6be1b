"""The app that has the console's templates; its models are those of ``api``."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The app with label "console"."""

    name = "api.console"

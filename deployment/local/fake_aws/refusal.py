"""The error that the fake AWS answers of its own accord."""

from moto.core.exceptions import ServiceException


class Refusal(ServiceException):
    """An error that somebody asked for.

    moto takes an error's service from the module of its class; this one belongs to all services.
    """

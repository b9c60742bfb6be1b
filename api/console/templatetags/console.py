"""Tags of the console's templates."""

from typing import Any

from django import template

from api.console.assets import url_of
from api.console.grafana import Panel, panels_of
from api.console.tables import NOT_KNOWN, shown

register = template.Library()


@register.simple_tag
def asset(name: str) -> str:
    """Return the URL of a style or script."""
    return url_of(name)


@register.simple_tag
def panels(table: str) -> list[Panel]:
    """Return Grafana's panels beside a table; those of the whole page for no table."""
    return panels_of(table)


@register.filter
def known(value: Any) -> str:
    """Return a value as people read it, and say so where it is not known."""
    return NOT_KNOWN if value is None else shown(value)

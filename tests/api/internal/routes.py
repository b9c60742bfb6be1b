"""All routes below ``/internal/`` as a client can call them."""

import re
from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

PLACEHOLDERS = {
    "(?P<pk>[^/.]+)": "1",
    "<str:pk>": "1",
    "<str:key>": "key",
    "<str:async_result_id>": "id",
}


_PARAMETER = re.compile(r"\(\?P<[^>]+>[^)]*\)|<[^>]+>")


def _patterns(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern).lstrip("^").rstrip("$").replace("\\Z", "")
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern, path)
        else:
            yield path, pattern


def internal_routes() -> list[tuple[str, str]]:
    """List path and method of every route, without the forms with a suffix."""
    found = []
    for path, pattern in _patterns(get_resolver()):
        if not path.startswith("internal/") or "format" in path:
            continue
        if path.startswith("internal/console/"):
            # Pages, which follow rules of their own (spec 12 §3).
            continue
        for placeholder, value in PLACEHOLDERS.items():
            path = path.replace(placeholder, value)
        assert not set(path) & set("<>()[]^$\\"), path
        found += [(f"/{path}", method) for method in _methods(pattern)]
    return sorted(set(found))


def routes_with_parameters() -> list[str]:
    """List the paths below ``/internal/`` that take a value, as templates for ``str.format``."""
    found = set()
    for path, _ in _patterns(get_resolver()):
        if path.startswith("internal/console/") or "format" in path:
            continue
        template, count = _PARAMETER.subn("{0}", path)
        if path.startswith("internal/") and count:
            found.add(f"/{template}")
    return sorted(found)


def _methods(pattern: URLPattern) -> list[str]:
    callback = pattern.callback
    actions = getattr(callback, "actions", None)
    if actions:
        return sorted({method.upper() for method in actions} - {"HEAD"})
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    if view is None:
        return ["GET"]
    known = ("get", "post", "put", "patch", "delete")
    return [name.upper() for name in known if hasattr(view, name)]

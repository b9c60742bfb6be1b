"""URL roots (spec 08 §7)."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/cloudigrade/v2/", include("api.public.urls")),
    path("internal/console/", include("api.console.urls")),
    path("internal/", include("api.internal.urls")),
]

if not settings.IS_PRODUCTION:
    urlpatterns += [
        path("admin/", admin.site.urls),
        path("api-auth/", include("rest_framework.urls")),
    ]

handler400 = "api.console.views.bad_request"
handler403 = "util.errors.forbidden"
handler404 = "api.console.views.not_found"
handler500 = "util.errors.server_error"

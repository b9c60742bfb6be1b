"""The REST framework: JSON only, identity headers, Insights pagination (spec 08 §1)."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["api.public.authentication.IdentityHeaderAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "util.pagination.InsightsPagination",
    "PAGE_SIZE": 10,
    "DEFAULT_SCHEMA_CLASS": "api.public.samples.SampleSchema",
    "EXCEPTION_HANDLER": "util.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

_API_DOCS_FILES = "/api/cloudigrade/v2/docs/static"

SPECTACULAR_SETTINGS = {
    "ENUM_NAME_OVERRIDES": {"CoverageStateEnum": "api.models.coverage.CoverageDay.State"},
    "TITLE": "Cloudigrade",
    "VERSION": "2.0.0",
    "OAS_VERSION": "3.0.3",
    # One document of both APIs is never made; tests check the two that are.
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
    "SERVE_INCLUDE_SCHEMA": False,
    # The pages' files are served below their own route: /static/ is not, in production.
    "SWAGGER_UI_DIST": f"{_API_DOCS_FILES}/swagger-ui-dist",
    "SWAGGER_UI_FAVICON_HREF": f"{_API_DOCS_FILES}/swagger-ui-dist/favicon-32x32.png",
    "REDOC_DIST": f"{_API_DOCS_FILES}/redoc",
    # Nothing is asked of others: no validator.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
}

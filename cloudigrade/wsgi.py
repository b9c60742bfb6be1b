"""The WSGI application that gunicorn serves."""

import os
from importlib import import_module

from django.conf import settings

from cloudigrade.settings.environment import clowder
from util.metrics import WSGIApplication, also_on_port
from util.wsgi import django_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudigrade.settings.prod")

application: WSGIApplication = django_application()
# Or else the first request would wait for all views, and the clouds' SDKs, to be loaded.
import_module(settings.ROOT_URLCONF)
if clowder is not None and clowder.metrics is not None:
    metrics_port, metrics_path = clowder.metrics
    if metrics_port != clowder.web_port:
        probes = ("/internal/livez/", "/internal/readyz/", "/internal/healthz/")
        paths = {metrics_path: "/internal/metrics"} | dict(zip(probes, probes, strict=True))
        application = also_on_port(application, metrics_port, paths)

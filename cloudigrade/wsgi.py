"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

from cloudigrade.settings.environment import clowder
from util.metrics import also_on_port

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudigrade.settings.prod")

application = get_wsgi_application()
if clowder is not None and clowder.metrics is not None:
    metrics_port, metrics_path = clowder.metrics
    if metrics_port != clowder.web_port:
        application = also_on_port(application, metrics_port, metrics_path, "/internal/metrics")

"""What stands around the console: Grafana's links, and what is vendored with its licences."""

import json

import pytest
import yaml

from deployment.local.service import REPOSITORY
from deployment.vendor import FILES, FOLDER, versions
from tests.api.console.conftest import Browser

DASHBOARD = (
    REPOSITORY
    / "deployment"
    / "dashboards"
    / "grafana-dashboard-clouddot-cloudigrade-operations.configmap.yaml"
)


def test_each_panel_links_to_the_console():
    document = yaml.safe_load(DASHBOARD.read_text())
    dashboard = json.loads(document["data"]["general.json"])
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert panels
    for panel in panels:
        [link] = panel["links"]
        assert link["url"].startswith("${console}/internal/console/"), panel["title"]
    assert "console" in [one["name"] for one in dashboard["templating"]["list"]]


@pytest.mark.django_db
def test_pages_link_back_to_grafana_where_it_is_known(settings):
    assert "Grafana" not in Browser().get("/search/").content.decode()
    settings.GRAFANA_DASHBOARD_URL = "https://grafana.example/d/O6v4rMpizda"
    text = Browser().get("/search/").content.decode()
    assert '<a href="https://grafana.example/d/O6v4rMpizda">Grafana</a>' in text


def test_vendored_files_are_of_the_versions_that_renovate_knows():
    assert set(versions()) == set(FILES)
    htmx = (FOLDER / "htmx.min.js").read_text()
    assert f'version:"{versions()["htmx.org"]}"' in htmx
    uplot = (FOLDER / "uplot.iife.min.js").read_text()
    assert f"uPlot (v{versions()['uplot']})" in uplot[:200]


def test_vendored_files_have_their_licences():
    for package, files in FILES.items():
        licence = (FOLDER / files["LICENSE"]).read_text()
        assert licence.strip(), package
    assert "The MIT License" in (FOLDER / "uplot.LICENSE").read_text()
    assert "Zero-Clause BSD" in (FOLDER / "htmx.LICENSE").read_text()

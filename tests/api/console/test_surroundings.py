"""What stands around the console: Grafana's links, and what is vendored with its licences."""

import json

import pytest
import yaml

from api.console import grafana
from deployment.local.service import REPOSITORY
from deployment.vendor import FILES, FOLDER, versions
from tests.api.console.conftest import Browser

DASHBOARD = (
    REPOSITORY
    / "deployment"
    / "dashboards"
    / "grafana-dashboard-clouddot-cloudigrade-operations.configmap.yaml"
)


FLEET = "${console}/internal/console/"


def dashboard() -> dict:
    return json.loads(yaml.safe_load(DASHBOARD.read_text())["data"]["general.json"])


def panels() -> list[dict]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def test_each_panel_links_to_the_console():
    assert "console" in [one["name"] for one in dashboard()["templating"]["list"]]
    for panel in panels():
        [link] = panel["links"]
        assert link["url"].startswith(FLEET), panel["title"]


def test_the_console_knows_each_panel_where_it_leads_to():
    expected: dict[str, set] = {
        "accounts": {(34, "Oldest newest log: the ten accounts that lag most")}
    }
    for panel in panels():
        table = panel["links"][0]["url"].removeprefix(FLEET).removeprefix("#")
        expected.setdefault(table, set()).add((panel["id"], panel["title"]))
    assert {table: set(known) for table, known in grafana.PANELS.items()} == expected


def test_lines_of_accounts_lead_to_the_customer_who_has_them():
    [panel] = [one for one in panels() if one["id"] == 34]
    [link] = panel["fieldConfig"]["defaults"]["links"]
    assert link["url"] == f"{FLEET}search/?q=${{__field.labels.aws_account_id}}"


@pytest.mark.django_db
def test_pages_link_back_to_grafana_where_it_is_known(settings, environment):
    paths = ("/", f"/customers/{environment.user.id}/", "/search/")
    for path in paths:
        assert "Grafana" not in Browser().get(path).content.decode()
    settings.GRAFANA_DASHBOARD_URL = "https://grafana.example/d/O6v4rMpizda?var-namespace=x"
    for path in paths:
        text = Browser().get(path).content.decode()
        dashboard = "https://grafana.example/d/O6v4rMpizda?var-namespace=x"
        assert f'<a href="{dashboard}">Grafana</a>' in text


@pytest.mark.django_db
def test_tables_link_back_to_the_panels_that_lead_to_them(settings, environment):
    """Each panel is linked in the table that it leads to (spec 12 §1)."""
    settings.GRAFANA_DASHBOARD_URL = "https://grafana.example/d/O6v4rMpizda?var-namespace=x"
    fleet = Browser().get("/").content.decode()
    for panel in panels():
        table = panel["links"][0]["url"].partition("#")[2]
        part = fleet
        if table:
            part = fleet.partition(f'<section id="{table}">')[2].partition("</section>")[0]
        url = f"https://grafana.example/d/O6v4rMpizda?var-namespace=x&amp;viewPanel={panel['id']}"
        assert f'<a href="{url}">' in part, panel["title"]
    customer = Browser().get(f"/customers/{environment.user.id}/").content.decode()
    part = customer.partition('<section id="accounts">')[2].partition("</section>")[0]
    assert "viewPanel=34" in part


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

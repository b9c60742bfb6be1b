"""The fake Azure answers as the real one where the product looks."""

import os

import pytest
import requests

from deployment.local import azure_resources as resources
from deployment.local.azure import CLIENT_ID, CLIENT_SECRET, TENANT_ID, AzureControl
from deployment.local.fake_azure import State
from deployment.local.http import local_session

SUBSCRIPTION = "d9812b28-6286-4501-9cd5-f43b2a455364"
MACHINES = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/virtualMachines"


class Client:
    """A client that is no SDK, logged in."""

    def __init__(self, control: AzureControl) -> None:
        self.base_url = control.base_url
        self.session = local_session()
        self.session.verify = os.environ["AZURE_CA_BUNDLE"]
        token = self.login().json()["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def login(self, *, secret: str = CLIENT_SECRET) -> requests.Response:
        form = {"client_id": CLIENT_ID, "client_secret": secret, "grant_type": "client_credentials"}
        return self.session.post(f"{self.base_url}/{TENANT_ID}/oauth2/v2.0/token", data=form)

    def get(self, path: str, **query: str) -> requests.Response:
        return self.session.get(self.base_url + path, params=query)


@pytest.fixture
def client(azure: AzureControl) -> Client:
    return Client(azure)


def test_faults_end_and_say_how_often_they_would_still_have_held(azure, client):
    azure.delegate(SUBSCRIPTION)
    azure.fail("GET /subscriptions", status=503, times=3)
    assert client.get("/subscriptions").status_code == 503
    assert [fault["times"] for fault in azure.recover()] == [2]
    assert client.get("/subscriptions").status_code == 200
    assert azure.recover() == []


def test_what_is_delegated_can_be_looked_up(azure):
    azure.delegate(SUBSCRIPTION, machines=[])
    assert azure.delegated() == {SUBSCRIPTION: {"machines": []}}


def test_what_is_known_outlives_the_process(tmp_path):
    state = State(tmp_path / "state.json")
    state.program({"subscriptions": {SUBSCRIPTION: {"machines": []}}, "page_size": 2})
    state.tokens.add("a token")
    state.keep()
    later = State(tmp_path / "state.json")
    assert later.subscriptions == {SUBSCRIPTION: {"machines": []}}
    assert (later.page_size, later.tokens) == (2, {"a token"})


def machine(name: str, **more):
    return resources.machine(resources.machine_id(SUBSCRIPTION, name), **more)


def test_login_wants_the_secret(client):
    answer = client.login(secret="wrong")
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_resources_want_a_token(client):
    client.session.headers["Authorization"] = "Bearer of bad news"
    assert client.get("/subscriptions").status_code == 401


def test_only_delegated_subscriptions_are_seen(azure, client):
    assert client.get("/subscriptions").json() == {"value": []}
    assert client.get(MACHINES).status_code == 404
    azure.delegate(SUBSCRIPTION)
    assert [one["subscriptionId"] for one in client.get("/subscriptions").json()["value"]] == [
        SUBSCRIPTION
    ]
    assert client.get(MACHINES.upper().replace("SUBSCRIPTIONS", "subscriptions")).ok
    azure.withdraw(SUBSCRIPTION)
    assert client.get(MACHINES).json()["error"]["code"] == "SubscriptionNotFound"


def test_lists_come_in_pages(azure, client):
    azure.delegate(SUBSCRIPTION, machines=[machine(name) for name in "abcde"])
    azure.set_page_size(2)
    pages = [client.get(MACHINES, statusOnly="true").json()]
    while "nextLink" in pages[-1]:
        pages.append(client.session.get(pages[-1]["nextLink"]).json())
    assert [[one["name"] for one in page["value"]] for page in pages] == [
        ["a", "b"],
        ["c", "d"],
        ["e"],
    ]
    assert {request["query"].get("statusOnly") for request in azure.requests()[-3:]} == {"true"}


def test_states_are_in_a_list_of_their_own(azure, client):
    silent = machine("c") | {"_no_status": True}
    azure.delegate(
        SUBSCRIPTION,
        machines=[machine("a"), machine("b", power="deallocated"), silent],
        reverse_statuses=True,
    )
    listed = client.get(MACHINES).json()["value"]
    assert [one["name"] for one in listed] == ["a", "b", "c"]
    assert all("instanceView" not in one["properties"] for one in listed)
    states = client.get(MACHINES, statusOnly="true").json()["value"]
    assert [one["name"] for one in states] == ["b", "a"]
    assert all(set(one["properties"]) == {"instanceView"} for one in states)


def test_a_machine_may_be_missing_from_either_list(azure, client):
    azure.delegate(SUBSCRIPTION, machines=[machine("a") | {"_only_status": True}, machine("b")])
    assert [one["name"] for one in client.get(MACHINES).json()["value"]] == ["b"]
    states = client.get(MACHINES, statusOnly="true").json()["value"]
    assert [one["name"] for one in states] == ["a", "b"]


def test_subscriptions_tell_whose_they_are(azure, client):
    azure.delegate(SUBSCRIPTION)
    (one,) = client.get("/subscriptions").json()["value"]
    assert one["tenantId"] != TENANT_ID
    azure.delegate(SUBSCRIPTION, tenant=TENANT_ID)
    (one,) = client.get("/subscriptions").json()["value"]
    assert one["tenantId"] == TENANT_ID


def test_machines_of_a_flexible_scale_set_are_not_listed(azure, client):
    flexible = resources.scale_set("flex", mode="Flexible")
    azure.delegate(SUBSCRIPTION, scale_sets=[flexible, resources.scale_set("web")])
    compute = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute"
    shown = client.get(f"{compute}/virtualMachineScaleSets").json()["value"]
    assert [one["properties"]["orchestrationMode"] for one in shown] == ["Flexible", "Uniform"]
    answers = [client.get(f"{one['id']}/virtualMachines") for one in shown]
    assert [answer.status_code for answer in answers] == [400, 200]


def test_scale_sets_and_images(azure, client):
    one = resources.machine(resources.scale_set_machine_id(SUBSCRIPTION, "web", 0))
    azure.delegate(SUBSCRIPTION, scale_sets=[resources.scale_set("web", one)])
    azure.add_images(resources.image_versions("x64", None))
    compute = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute"
    (found,) = client.get(f"{compute}/virtualMachineScaleSets").json()["value"]
    (shown,) = client.get(f"{found['id']}/virtualMachines").json()["value"]
    assert "instanceView" not in shown["properties"]
    expanded = client.get(f"{found['id']}/virtualMachines", **{"$expand": "instanceView"})
    assert expanded.json()["value"] == [one]
    assert client.get(f"{found['id']}gone/virtualMachines").status_code == 404
    place = f"{compute}/locations/eastus/publishers/redhat/artifacttypes/vmimage/offers/rhel"
    versions = client.get(f"{place}/skus/82gen2/versions").json()
    assert [version["properties"] for version in versions] == [{"architecture": "x64"}, {}]
    assert client.get(f"{place}/skus/other/versions").status_code == 404


def test_an_assignment_is_deleted_in_the_background(azure, client):
    azure.delegate(SUBSCRIPTION, assignments=[resources.assignment(SUBSCRIPTION, "n1")])
    services = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ManagedServices"
    (one,) = client.get(f"{services}/registrationAssignments").json()["value"]
    answer = client.session.delete(client.base_url + one["id"])
    assert answer.status_code == 202
    assert client.get(f"{services}/registrationAssignments").json()["value"] == []
    location = answer.headers["Location"]
    assert [client.session.get(location).status_code for _ in range(2)] == [202, 204]


def test_faults(azure, client):
    azure.delegate(SUBSCRIPTION)
    azure.fail(r"GET .*/virtualMachines\?statusOnly", status=429, retry_after=7, times=1)
    assert client.get(MACHINES).ok
    answer = client.get(MACHINES, statusOnly="true")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert client.get(MACHINES, statusOnly="true").ok
    azure.fail("/elsewhere", status=307, location="/there", headers={"X-More": "1"}, body=[1])
    answer = client.session.get(f"{client.base_url}/elsewhere", allow_redirects=False)
    assert (answer.headers["Location"], answer.headers["X-More"]) == ("/there", "1")
    assert answer.json() == [1]
    assert azure.requests()[-1]["host"] == client.base_url.removeprefix("https://")

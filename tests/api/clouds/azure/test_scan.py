"""A whole subscription, read over HTTPS (spec 06 §3, §4)."""

import pytest

from api.clouds.azure.errors import AzureBusyError, AzureLoginError, AzureRefusedError
from api.clouds.azure.scan import Scan, scan_subscription
from api.clouds.azure.transform import ImageKey
from deployment.local import azure_resources as resources
from tests.api.clouds.azure.conftest import SUBSCRIPTION, calls, machine

KEY = ImageKey("redhat", "rhel", "82gen2")


def scanned(known: set | None = None) -> Scan:
    return scan_subscription(SUBSCRIPTION, known_images=known or set())


def in_scale_set(number: int, scale_set: str = "web", **more) -> dict:
    return resources.machine(
        resources.scale_set_machine_id(SUBSCRIPTION, scale_set, number), **more
    )


def names(scan: Scan) -> list[str]:
    return [key.rpartition("/")[2] for key in scan.machines]


def test_machines_and_scale_sets_in_the_order_of_azure(azure):
    azure.delegate(
        SUBSCRIPTION,
        machines=[machine("b"), machine("a", power="stopped")],
        scale_sets=[
            resources.scale_set("web", in_scale_set(1), in_scale_set(0, power="deallocated")),
            resources.scale_set("db", in_scale_set(7, "db"), resource_group="Other Group"),
        ],
    )
    scan = scanned()
    assert names(scan) == ["b", "a", "1", "0", "7"]
    assert [scan.states[key] for key in scan.machines] == [True, False, True, False, True]
    assert (scan.is_complete, scan.running) == (True, 3)
    assert calls(azure)[1:4] == ["V1", "V2", "V3"]
    assert sorted(calls(azure)[4:]) == ["I1", "V4", "V4"]


def test_a_machine_that_is_listed_twice_counts_once(azure):
    own = machine("a", power="stopped", vmId="1111")
    azure.delegate(
        SUBSCRIPTION,
        machines=[own, machine("b")],
        scale_sets=[resources.scale_set("web", in_scale_set(0, vmId="1111"), machine("B"))],
    )
    scan = scanned()
    assert names(scan) == ["a", "b"]
    assert scan.states[own["id"].lower()] is False


def test_a_scale_set_that_is_gone_is_left_out(azure):
    azure.delegate(
        SUBSCRIPTION,
        machines=[machine("a")],
        scale_sets=[resources.scale_set("web"), resources.scale_set("db", in_scale_set(0, "db"))],
    )
    azure.fail("ScaleSets/web/", status=404, code="ResourceNotFound")
    scan = scanned()
    assert names(scan) == ["a", "0"]
    assert scan.is_complete


@pytest.mark.parametrize(("status", "problem"), [(500, AzureBusyError), (403, AzureRefusedError)])
def test_a_scale_set_that_fails_makes_the_scan_incomplete(azure, status, problem):
    azure.delegate(
        SUBSCRIPTION,
        machines=[machine("a")],
        scale_sets=[resources.scale_set("web"), resources.scale_set("db", in_scale_set(0, "db"))],
    )
    azure.fail("ScaleSets/web/", status=status)
    scan = scanned()
    assert names(scan) == ["a", "0"]
    assert isinstance(scan.problem, problem)
    assert not scan.is_complete


def test_malformed_entries_make_the_scan_incomplete(azure):
    azure.delegate(SUBSCRIPTION, machines=[machine("a"), {"name": "no id"}])
    scan = scanned()
    assert names(scan) == ["a"]
    assert (scan.malformed, scan.is_complete) == (1, False)


@pytest.mark.parametrize("list_", ["virtualMachines\\?api", "statusOnly", "ScaleSets\\?"])
@pytest.mark.parametrize(
    ("status", "problem"),
    [(500, AzureBusyError), (401, AzureLoginError), (403, AzureRefusedError)],
)
def test_a_list_that_fails_fails_the_scan(azure, list_, status, problem):
    azure.delegate(SUBSCRIPTION, machines=[machine("a")])
    azure.fail(list_, status=status)
    with pytest.raises(problem):
        scanned()


def test_a_login_that_ends_in_the_middle_fails_the_scan(azure):
    azure.delegate(SUBSCRIPTION, scale_sets=[resources.scale_set("web")])
    azure.fail("ScaleSets/web/", status=401)
    with pytest.raises(AzureLoginError):
        scanned()


def test_what_is_no_list_is_not_taken_for_an_empty_one(azure):
    azure.delegate(SUBSCRIPTION, machines=[machine("a")])
    azure.fail("virtualMachines\\?api", status=200)
    with pytest.raises(AzureBusyError):
        scanned()


class TestArchitecture:
    """I1: once for each unknown image of the marketplace (spec 06 §4.2, §9.11)."""

    @pytest.fixture(autouse=True)
    def two_machines(self, azure):
        shouting = {**resources.RHEL_IMAGE, "sku": "82GEN2"}
        azure.delegate(SUBSCRIPTION, machines=[machine("a"), machine("b", image=shouting)])

    def test_asked_once(self, azure):
        assert scanned().architectures == {KEY: "x64"}
        assert calls(azure).count("I1") == 1
        request = azure.requests()[-1]
        assert request["path"].endswith(
            "/locations/eastus/publishers/RedHat/artifacttypes/vmimage/offers/RHEL/skus/82gen2"
            "/versions"
        )
        assert request["query"]["$expand"] == "properties"

    def test_remembered_for_everybody(self, azure):
        scanned()
        assert scanned().architectures == {KEY: "x64"}
        assert calls(azure).count("I1") == 1

    def test_not_asked_when_known(self, azure):
        assert scanned({KEY}).architectures == {}
        assert "I1" not in calls(azure)

    @pytest.mark.parametrize(
        "fault", [{"status": 404}, {"status": 403}, {"status": 500}, {"status": 200}]
    )
    def test_what_is_not_told_is_asked_next_time(self, azure, fault):
        azure.fail("/versions", **fault, times=4)
        scan = scanned()
        assert (scan.architectures, scan.is_complete) == ({}, True)
        azure.reset()
        azure.add_images(resources.image_versions("x64"))
        azure.delegate(SUBSCRIPTION, machines=[machine("a")])
        assert scanned().architectures == {KEY: "x64"}

    @pytest.mark.parametrize("versions", [(), (None,)])
    def test_nothing_is_told(self, azure, versions):
        azure.reset()
        azure.add_images(resources.image_versions(*versions))
        azure.delegate(SUBSCRIPTION, machines=[machine("a")])
        assert scanned().architectures == {}

    def test_an_azure_that_is_busy_is_left_alone(self, azure):
        others = [machine(f"m{n}", image={**resources.RHEL_IMAGE, "sku": f"{n}"}) for n in range(9)]
        azure.delegate(SUBSCRIPTION, machines=others)
        azure.fail("/versions", status=429, retry_after=100)
        assert scanned().is_complete
        assert calls(azure).count("I1") == 1

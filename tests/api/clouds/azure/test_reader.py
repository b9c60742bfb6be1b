"""A whole subscription, read over HTTPS (spec 06 §3, §4)."""

from typing import ClassVar

import pytest

from api.clouds.azure.errors import AzureBusyError, AzureLoginError, AzureRefusedError
from api.clouds.azure.reader import SCALE_SETS_AT_ONCE, scan_subscription
from api.clouds.azure.scan import Scan
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


def is_whole(scan: Scan) -> bool:
    return (
        scan.has_all_machines
        and scan.has_all_scale_sets
        and not (scan.unreadable or scan.problems or scan.malformed)
    )


def codes(scan: Scan) -> list[str]:
    return [problem.code for problem in scan.problems]


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
    assert (is_whole(scan), scan.running) == (True, 3)
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


class TestScaleSets:
    """Decisions 33 and 51: V4."""

    @pytest.fixture(autouse=True)
    def two_of_them(self, azure):
        azure.delegate(
            SUBSCRIPTION,
            machines=[machine("a")],
            scale_sets=[
                resources.scale_set("web", in_scale_set(7)),
                resources.scale_set("db", in_scale_set(0, "db")),
            ],
        )

    @pytest.mark.parametrize(
        "code", ["ResourceNotFound", "NotFound", "ResourceGroupNotFound", "resourcenotfound"]
    )
    def test_one_that_is_gone_is_left_out(self, azure, code):
        azure.fail("ScaleSets/web/", status=404, code=code)
        scan = scanned()
        assert names(scan) == ["a", "0"]
        assert is_whole(scan)

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            ({"status": 400, "code": "BadRequest"}, "BadRequest"),
            ({"status": 403, "code": "AuthorizationFailed"}, "AuthorizationFailed"),
            ({"status": 403, "body": "<html>a proxy"}, "403"),
            ({"status": 403, "body": {"code": "Top", "message": "level"}}, "Top"),
            ({"status": 409, "code": "MissingSubscriptionRegistration"}, None),
            ({"status": 404, "code": "ParentResourceNotFound"}, "ParentResourceNotFound"),
            ({"status": 404, "body": "<html>404 Not Found"}, "404"),
            ({"status": 404, "body": ""}, "404"),
            ({"status": 404, "body": {"error": {"details": [{"code": "NotFound"}]}}}, "404"),
            ({"status": 500, "code": "InternalServerError"}, "InternalServerError"),
            ({"status": 429, "retry_after": 3600, "code": "TooManyRequests"}, "TooManyRequests"),
            ({"status": 200, "body": "<html>"}, "NoJson"),
            ({"status": 200, "body": {}}, "NoList"),
            ({"status": 302, "location": "https://localhost/elsewhere"}, "ForeignLink"),
            ({"status": 200, "body": {"value": [], "nextLink": "https://evil/"}}, "ForeignLink"),
            ({"status": 200, "body": {"value": [{"name": "no id"}]}}, "MalformedEntry"),
        ],
    )
    def test_one_that_cannot_be_read_spoils_itself_alone(self, azure, fault, code):
        azure.fail("ScaleSets/web/", **fault)
        scan = scanned()
        assert names(scan) == ["a", "0"]
        [(scale_set, why)] = scan.unreadable.items()
        assert scale_set.endswith("/virtualmachinescalesets/web")
        assert code in {why, None}
        assert (scan.has_all_machines, scan.has_all_scale_sets, scan.outcome) == (True, True, "ok")
        assert scan.problem_to_repeat_for() is None

    @pytest.mark.parametrize("code", ["SubscriptionNotFound", "InvalidSubscriptionId"])
    def test_a_404_that_speaks_of_the_subscription_fails_the_poll(self, azure, code):
        azure.fail("ScaleSets/web/", status=404, code=code)
        scan = scanned()
        assert names(scan) == ["a", "0"]
        assert (scan.has_all_machines, codes(scan), scan.outcome) == (False, [code], "denied")

    def test_a_later_page_that_is_not_found_does_not_mean_gone(self, azure):
        azure.set_page_size(1)
        members = [in_scale_set(number) for number in range(2)]
        azure.delegate(SUBSCRIPTION, scale_sets=[resources.scale_set("web", *members)])
        azure.fail("ScaleSets/web/.*skiptoken", status=404, code="ResourceNotFound")
        scan = scanned()
        assert names(scan) == ["0"]
        assert list(scan.unreadable.values()) == ["ResourceNotFound"]

    def test_a_flexible_one_is_not_asked(self, azure):
        """Its machines are listed as all others."""
        flexible = resources.scale_set("flex", machine("flex_1"), mode="Flexible")
        azure.delegate(SUBSCRIPTION, machines=[machine("flex_1")], scale_sets=[flexible])
        assert is_whole(scanned())
        assert "V4" not in calls(azure)

    def test_one_without_a_mode_is_asked(self, azure):
        """Azure of an older version names no mode; then all are uniform."""
        resource_id = in_scale_set(7)["id"].partition("/virtualMachines/")[0]
        azure.fail("ScaleSets\\?", status=200, body={"value": [{"id": resource_id}]})
        assert names(scanned()) == ["a", "7"]

    def test_a_login_that_ends_fails_the_poll(self, azure):
        azure.fail("ScaleSets/web/", status=401, code="ExpiredAuthenticationToken")
        scan = scanned()
        assert not scan.has_all_machines
        assert isinstance(scan.problem_to_repeat_for(), AzureLoginError)


def test_many_scale_sets_are_not_asked_once_azure_wants_to_be_left_alone(azure):
    """Decision 51: each of them would be one more call that is too early."""
    scale_sets = [resources.scale_set(f"set{number}") for number in range(40)]
    azure.delegate(SUBSCRIPTION, machines=[machine("a")], scale_sets=scale_sets)
    azure.fail("ScaleSets/", status=429, retry_after=3600)
    scan = scanned()
    assert len(scan.unreadable) == 40
    assert names(scan) == ["a"]
    assert calls(azure).count("V4") <= 2 + SCALE_SETS_AT_ONCE
    assert "I1" not in calls(azure)


class TestLists:
    """Decisions 33 and 51: V1, V2 and V3."""

    FAILURES: ClassVar = [
        ({"status": 500}, AzureBusyError),
        ({"status": 429, "retry_after": 3600}, AzureBusyError),
        ({"status": 403}, AzureRefusedError),
        ({"status": 404, "code": "SubscriptionNotFound"}, AzureRefusedError),
        ({"status": 200, "body": {}}, AzureBusyError),
        ({"status": 307, "location": "https://localhost/"}, AzureBusyError),
    ]

    @pytest.fixture(autouse=True)
    def some_of_everything(self, azure):
        azure.delegate(
            SUBSCRIPTION,
            machines=[machine("a"), machine("b", power="stopped")],
            scale_sets=[resources.scale_set("web", in_scale_set(0), in_scale_set(1))],
        )

    @pytest.mark.parametrize(("fault", "problem"), FAILURES)
    def test_without_machines_states_and_scale_sets_are_read(self, azure, fault, problem):
        azure.fail("virtualMachines\\?api[^&]*$", **fault)
        scan = scanned()
        assert names(scan) == ["0", "1"]
        assert [key.rpartition("/")[2] for key in scan.states] == ["a", "b", "0", "1"]
        assert (scan.has_all_machines, scan.has_all_scale_sets) == (False, True)
        [found] = scan.problems
        assert isinstance(found, problem)

    @pytest.mark.parametrize(("fault", "problem"), FAILURES)
    def test_without_states_machines_and_scale_sets_are_read(self, azure, fault, problem):
        azure.fail("statusOnly", **fault)
        scan = scanned()
        assert names(scan) == ["a", "b", "0", "1"]
        assert [scan.states.get(key) for key in scan.machines] == [None, None, True, True]
        assert not scan.has_all_machines

    @pytest.mark.parametrize(("fault", "problem"), FAILURES)
    def test_without_scale_sets_machines_are_read(self, azure, fault, problem):
        azure.fail("ScaleSets\\?", **fault)
        scan = scanned()
        assert names(scan) == ["a", "b"]
        is_withdrawn = fault["status"] == 404
        assert (scan.has_all_machines, scan.has_all_scale_sets) == (not is_withdrawn, False)
        assert scan.outcome == scan.problems[0].outcome

    def test_what_came_before_a_broken_page_is_kept(self, azure):
        azure.set_page_size(1)
        azure.fail("skiptoken", status=500)
        scan = scanned()
        assert names(scan) == ["a", "0"]
        assert scan.states[machine("a")["id"].lower()] is True

    def test_nothing_more_is_asked_when_the_login_fails(self, azure):
        azure.fail("virtualMachines\\?api[^&]*$", status=401)
        scan = scanned()
        assert calls(azure) == ["login", "V1", "login", "V1"]
        assert (scan.has_all_machines, scan.has_all_scale_sets) == (False, False)
        assert isinstance(scan.problem_to_repeat_for(), AzureLoginError)

    def test_an_azure_that_wants_to_be_left_alone_is_left_alone(self, azure):
        """Azure counts calls of each kind, so one more kind is tried."""
        azure.fail("Microsoft.Compute", status=429, retry_after=3600)
        scan = scanned()
        assert calls(azure) == ["login", "V1", "V2"]
        assert (scan.has_all_machines, scan.has_all_scale_sets) == (False, False)
        assert scan.problem_to_repeat_for().retry_after == 3600

    def test_a_login_server_that_is_busy_is_asked_once(self, azure):
        azure.fail("oauth2", status=503, retry_after=3600)
        scan = scanned()
        assert [request["path"].endswith("/token") for request in azure.requests()].count(True) == 1
        assert scan.problem_to_repeat_for().retry_after == 3600

    @pytest.mark.parametrize(
        ("fault", "list_"),
        [
            ("virtualMachines\\?api[^&]*$", "machines"),
            ("statusOnly", "machines"),
            ("ScaleSets\\?", "sets"),
        ],
    )
    def test_an_entry_without_id_may_be_any(self, azure, fault, list_):
        azure.fail(fault, status=200, body={"value": [{"name": "no id"}]})
        scan = scanned()
        assert scan.malformed == 1
        assert (scan.has_all_machines, scan.has_all_scale_sets) == (
            list_ != "machines",
            list_ != "sets",
        )
        assert (scan.outcome, scan.error_code) == ("failed", "MalformedEntry")

    def test_of_several_reasons_the_longest_wait_is_repeated_for(self, azure):
        azure.fail("virtualMachines\\?api[^&]*$", status=503)
        azure.fail("statusOnly", status=429, retry_after=100)
        azure.fail("ScaleSets\\?", status=403)
        scan = scanned()
        assert [one.status for one in scan.problems] == [503, 429, 403]
        assert scan.problem_to_repeat_for() is scan.problems[1]


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
        "fault",
        [{"status": 404}, {"status": 401}, {"status": 403}, {"status": 500}, {"status": 200}],
    )
    def test_what_is_not_told_is_asked_next_time(self, azure, fault):
        azure.fail("/versions", **fault, times=4)
        scan = scanned()
        assert (scan.architectures, is_whole(scan)) == ({}, True)
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
        assert is_whole(scanned())
        assert calls(azure).count("I1") == 1

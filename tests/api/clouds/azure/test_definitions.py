"""Sizes of virtual machines (spec 06 §7, scenarios 30 and 31)."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.azure.definitions import (
    UnusableSizeError,
    as_model,
    definition,
    memory_mib,
    repopulate_definitions,
)
from api.clouds.azure.errors import AzureBusyError, AzureRefusedError
from api.models import InstanceDefinition
from api.tasks import azure as tasks
from deployment.local.azure import OWN_SUBSCRIPTION_ID
from deployment.local.azure_resources import size
from tests.api.clouds.azure.conftest import calls
from tests.factories import make_definition

A5 = size("Standard_A5", vCPUs=2, MemoryGB=14)


@pytest.mark.parametrize(
    ("gigabytes", "mebibytes"),
    [("0.75", 715), ("3.5", 3337), ("7", 6675), ("14", 13351), ("16", 15258), ("384", 366210)],
)
def test_memory_is_rounded_down(gigabytes, mebibytes):
    assert memory_mib(Decimal(gigabytes)) == mebibytes


def test_an_entry_is_kept_as_text_with_the_names_of_the_sdk():
    found = definition(A5)
    assert isinstance(found.json_definition, str)
    kept = json.loads(found.json_definition)
    assert (kept["name"], kept["resource_type"]) == ("Standard_A5", "virtualMachines")
    assert kept["additional_properties"] == {}
    assert kept["capabilities"][0] == {"additional_properties": {}, "name": "vCPUs", "value": "2"}
    assert kept["location_info"][0]["location"] == "eastus"
    assert found.json_definition.startswith(
        '{"additional_properties": {}, "resource_type": "virtualMachines", "name": "Standard_A5"'
    )


@pytest.mark.parametrize(
    "capabilities",
    [
        {"vCPUs": 2},
        {"MemoryGB": 14},
        {"vCPUs": "many", "MemoryGB": 14},
        {"vCPUs": 2, "MemoryGB": "NaN"},
        {"vCPUs": -1, "MemoryGB": 14},
        {"vCPUs": 10**9, "MemoryGB": 14},
        {"vCPUs": 2, "MemoryGB": "Infinity"},
    ],
)
def test_an_unusable_entry_is_refused(capabilities):
    with pytest.raises(UnusableSizeError):
        definition(size("Standard_A5", **capabilities))


@pytest.mark.parametrize("name", [None, "", "x" * 300, 7])
def test_an_entry_without_usable_name_is_refused(name):
    with pytest.raises(UnusableSizeError):
        definition(A5 | {"name": name})


_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(_json)
def test_any_entry_keeps_its_values(value):
    def values(found):
        if isinstance(found, dict):
            return [values(v) for k, v in found.items() if k != "additional_properties"]
        return [values(member) for member in found] if isinstance(found, list) else found

    shaped = as_model(value)
    json.dumps(shaped)
    if not _names_collide(value):
        assert values(shaped) == values(value)


def _names_collide(value) -> bool:
    if isinstance(value, dict):
        names = [*as_model(dict.fromkeys(value))]
        return len(names) != len(value) + 1 or any(map(_names_collide, value.values()))
    return isinstance(value, list) and any(map(_names_collide, value))


@given(st.dictionaries(st.sampled_from(["name", "capabilities", "resourceType"]), _json))
def test_any_entry_makes_a_definition_or_is_unusable(entry):
    try:
        found = definition(entry)
    except UnusableSizeError:
        return
    assert found.memory_mib >= 0


@pytest.mark.django_db
class TestRepopulation:
    def test_scenario_30_created_once_and_never_changed(self, azure):
        azure.add_sizes(
            A5, size("Premium_LRS", resource_type="disks", MaxSizeGiB=4), A5 | {"locations": []}
        )
        azure.set_page_size(2)
        tasks.repopulate_azure_instance_mapping()
        found = InstanceDefinition.objects.get()
        assert (found.instance_type, found.cloud_type) == ("Standard_A5", "azure")
        assert (found.vcpu, found.memory_mib) == (Decimal("2.00"), 13351)
        assert json.loads(found.json_definition)["locations"] == []
        azure.reset()
        azure.add_sizes(size("Standard_A5", vCPUs=2, MemoryGB=41))
        assert repopulate_definitions() == 0
        assert InstanceDefinition.objects.get().memory_mib == 13351

    def test_scenario_31_a_bad_entry_is_left_out(self, azure):
        azure.add_sizes(size("Standard_B1s", MemoryGB=1), A5)
        assert repopulate_definitions() == 1
        assert InstanceDefinition.objects.get().instance_type == "Standard_A5"

    def test_the_own_subscription_is_asked(self, azure):
        repopulate_definitions()
        assert calls(azure) == ["login", "K1"]
        request = azure.requests()[-1]
        assert f"/subscriptions/{OWN_SUBSCRIPTION_ID}/" in request["path"]
        assert request["query"] == {"api-version": "2021-07-01"}

    def test_a_size_of_aws_with_this_name_is_another_one(self, azure):
        make_definition(instance_type="Standard_A5")
        azure.add_sizes(A5)
        assert repopulate_definitions() == 1

    def test_a_failing_second_page_stores_nothing(self, azure):
        azure.add_sizes(A5, size("Standard_A6", vCPUs=4, MemoryGB=28))
        azure.set_page_size(1)
        azure.fail("skiptoken", status=500, times=9)
        with pytest.raises(AzureBusyError):
            repopulate_definitions()
        assert not InstanceDefinition.objects.exists()

    def test_a_refusal_is_raised(self, azure):
        azure.fail("/skus", status=403)
        with pytest.raises(AzureRefusedError):
            repopulate_definitions()

    @pytest.mark.parametrize("number", [10, 1000])
    def test_the_number_of_statements_is_constant(self, azure, django_assert_num_queries, number):
        azure.set_page_size(1000)
        azure.add_sizes(
            *(size(f"Standard_{n}", vCPUs=1, MemoryGB=1) for n in range(number)),
        )
        with django_assert_num_queries(3):
            assert repopulate_definitions() == number

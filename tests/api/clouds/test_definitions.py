"""Sizes of EC2's types, and loading sizes for the first time (spec 04 §9.3, §9.4)."""

import json

import pytest
from django.core.management import call_command

from api.clouds.aws import definitions
from api.clouds.aws.definitions import repopulate_definitions
from api.models import InstanceDefinition
from tests.factories import make_definition

pytestmark = pytest.mark.django_db

AWS = "api.clouds.aws.tasks.repopulate_ec2_instance_mapping"
AZURE = "api.clouds.azure.tasks.repopulate_azure_instance_mapping"


def entry(name="r5.large", memory=16384, vcpu=2):
    return {
        "InstanceType": name,
        "MemoryInfo": {"SizeInMiB": memory},
        "VCpuInfo": {"DefaultVCpus": vcpu},
        "Hypervisor": "nitro",
    }


@pytest.fixture
def offered(monkeypatch):
    """What EC2 offers, by region."""
    regions: dict[str, list] = {"us-east-1": [], "eu-west-1": []}
    monkeypatch.setattr(definitions, "_regions", lambda: list(regions))
    monkeypatch.setattr(definitions, "_types", lambda region: iter(regions[region]))
    return regions


def stored():
    rows = InstanceDefinition.objects.order_by("instance_type")
    return list(rows.values_list("instance_type", "memory_mib", "vcpu"))


def test_scenario_31_a_type_already_stored_is_never_changed(offered):
    offered["us-east-1"] = [entry()]
    assert repopulate_definitions() == 1
    offered["us-east-1"] = [entry(memory=1, vcpu=1), entry("m5.large", 8192, 4)]
    assert repopulate_definitions() == 1
    assert stored() == [("m5.large", 8192, 4), ("r5.large", 16384, 2)]


def test_types_of_all_regions(offered):
    offered["us-east-1"] = [entry("a"), entry("b")]
    offered["eu-west-1"] = [entry("b", 1, 1), entry("c")]
    assert repopulate_definitions() == 3
    assert [row[0] for row in stored()] == ["a", "b", "c"]


def test_the_whole_entry_is_kept_as_text(offered):
    offered["us-east-1"] = [entry()]
    repopulate_definitions()
    row = InstanceDefinition.objects.get()
    assert row.cloud_type == "aws"
    assert json.loads(row.json_definition) == entry()


def test_an_entry_without_sizes(offered):
    offered["us-east-1"] = [{"InstanceType": "odd"}]
    repopulate_definitions()
    assert stored() == [("odd", 0, 0)]


def test_all_or_nothing(offered):
    offered["us-east-1"] = [entry("a")]
    offered["eu-west-1"] = [{"no": "name"}]
    with pytest.raises(KeyError):
        repopulate_definitions()
    assert stored() == []


@pytest.mark.slow
def test_what_ec2_offers(aws_server, monkeypatch):
    monkeypatch.setattr(definitions, "_regions", lambda: ["us-east-1"])
    assert repopulate_definitions() > 500
    assert ("r5.large", 16384, 2) in stored()


class TestCommand:
    def test_loads_both_clouds(self, queued, capsys):
        call_command("load_definitions")
        assert queued.names == [AWS, AZURE]
        assert capsys.readouterr().out.splitlines() == [
            "Async task launched to load AWS instance definitions.",
            "Async task launched to load Azure instance definitions.",
        ]

    def test_loads_both_if_one_is_missing(self, queued):
        make_definition()
        call_command("load_definitions")
        assert queued.names == [AWS, AZURE]

    def test_has_nothing_to_do(self, queued, capsys):
        make_definition()
        make_definition(cloud_type="azure")
        call_command("load_definitions")
        assert queued.names == []
        assert capsys.readouterr().out == ("Nothing to do. Instance definitions already exist.\n")

    def test_can_be_forced(self, queued):
        make_definition()
        make_definition(cloud_type="azure")
        call_command("load_definitions", "--force")
        assert queued.names == [AWS, AZURE]

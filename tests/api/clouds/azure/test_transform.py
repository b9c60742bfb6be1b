"""What is read from Azure's entries (spec 06 §4.2)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.azure import transform
from api.clouds.azure.transform import ImageKey, MalformedEntryError
from deployment.local import azure_resources as resources
from tests.api.clouds.azure.conftest import SUBSCRIPTION, machine

ARM64 = {"properties": {"architecture": "Arm64"}}


def test_a_machine():
    entry = machine(
        "web1",
        tags={"cloudigrade-rhel-present": "", "other": "x"},
        plan={"name": "n", "publisher": "p"},
        licenseType="RHEL_BYOS",
        priority="Spot",
    )
    entry["zones"] = ["1"]
    found = transform.machine(entry)
    assert found.resource_id == resources.machine_id(SUBSCRIPTION, "web1")
    assert found.key == found.resource_id.lower()
    assert (found.size, found.region, found.zone) == ("Standard_B1s", "eastus", "1")
    assert (found.has_rhel_tag, found.has_openshift_tag) == (True, False)
    assert (found.plan, found.license_type) == (("n", "p", None), "RHEL_BYOS")
    assert (found.is_spot, found.is_encrypted, found.is_byos) == (True, False, True)
    assert found.image_key == ImageKey("redhat", "rhel", "82gen2")


def test_a_machine_of_which_little_is_told():
    found = transform.machine({"id": "/x"})
    assert (found.size, found.region, found.image, found.plan) == (None, "", None, None)
    assert not any([found.has_rhel_tag, found.is_encrypted, found.is_byos, found.is_spot])


@pytest.mark.parametrize("entry", [None, "text", [], {}, {"id": None}, {"id": ""}, {"id": 7}])
def test_an_entry_without_id_is_malformed(entry):
    with pytest.raises(MalformedEntryError):
        transform.machine(entry)
    with pytest.raises(MalformedEntryError):
        transform.scale_set(entry)


@pytest.mark.parametrize("tags", [{"Cloudigrade-RHEL-present": "x"}, None, ["x"], {}])
def test_tags_are_case_sensitive(tags):
    assert not transform.machine(machine("a") | {"tags": tags}).has_rhel_tag


@pytest.mark.parametrize(
    ("settings", "encrypted"),
    [({}, True), ({"enabled": True}, True), ({"enabled": False}, False), (None, False)],
)
def test_encryption(settings, encrypted):
    entry = machine("a")
    entry["properties"]["storageProfile"]["osDisk"]["encryptionSettings"] = settings
    assert transform.machine(entry).is_encrypted is encrypted


def test_what_is_too_long_for_a_column_is_cut():
    entry = machine("a" * 1000, size="S" * 100) | {"location": "l" * 1000}
    found = transform.machine(entry)
    assert (found.size, found.region) == ("S" * 64, "l" * 256)
    assert found.resource_id.endswith("a" * 1000)


@pytest.mark.parametrize(
    ("codes", "running"),
    [
        (["ProvisioningState/succeeded", "PowerState/running"], True),
        *(
            ([f"PowerState/{state}"], False)
            for state in ("starting", "stopping", "stopped", "deallocating", "deallocated")
        ),
        (["PowerState/unknown"], False),
        (["powerstate/Running"], False),
        (["PowerState/stopped", "PowerState/running"], True),
        (["ProvisioningState/succeeded"], None),
        ([], None),
        ([None, 7, "", "PowerState", "OSState/running"], None),
    ],
)
def test_power_states(codes, running):
    """Decision 51: a machine without a ``PowerState`` status is unknown."""
    view = {"statuses": [{"code": code} for code in codes]}
    assert transform.is_running({"properties": {"instanceView": view}}) is running


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"properties": None},
        {"properties": {"instanceView": 1}},
        {"properties": {"instanceView": {}}},
        {"properties": {"instanceView": {"statuses": None}}},
        {"properties": {"instanceView": {"statuses": ["PowerState/running"]}}},
    ],
)
def test_without_a_view_nobody_knows(entry):
    assert transform.is_running(entry) is None


@pytest.mark.parametrize(
    ("reference", "key", "name"),
    [
        ({"publisher": "P", "offer": "O", "sku": "S"}, ImageKey("p", "o", "s"), "S"),
        ({"sku": "S", "id": "/i"}, ImageKey("", "", "s"), "S"),
        ({"id": "/a/images/Gold"}, ImageKey("", "", "/a/images/gold"), "Gold"),
        ({"sharedGalleryImageId": "/s/x"}, ImageKey("", "", "/s/x"), "x"),
        ({"communityGalleryImageId": "/c/y/"}, ImageKey("", "", "/c/y/"), "y"),
    ],
)
def test_identity_of_images(reference, key, name):
    image = transform.machine(machine("a", image=reference)).image
    assert image is not None
    assert (image.key, image.name) == (key, name)


@pytest.mark.parametrize("reference", [{}, {"publisher": "P"}, {"id": ""}, {"sku": 7}, None])
def test_a_reference_to_nothing(reference):
    assert transform.machine(machine("a", image=reference)).image is None


def test_a_reference_is_shown_whole():
    image = transform.machine(machine("a")).image
    assert image is not None
    shown = json.loads(image.dump())
    assert list(shown) == ["image_reference"]
    assert list(shown["image_reference"]) == [
        "additional_properties",
        "id",
        "publisher",
        "offer",
        "sku",
        "version",
        "exact_version",
        "shared_gallery_image_id",
        "community_gallery_image_id",
    ]


@pytest.mark.parametrize(
    ("license_type", "publisher", "offer", "byos"),
    [
        ("RHEL_BYOS", "RedHat", "RHEL", True),
        ("rhel_byos", None, None, True),
        ("RHEL_BASE", "RedHat", "RHEL", False),
        (None, "RedHat", "RHEL", False),
        (None, "redhat", "rhel-byos", True),
        (None, "other", "rhel-byos", False),
        ("SLES_BYOS", "SUSE", "sles", False),
    ],
)
def test_own_subscriptions(license_type, publisher, offer, byos):
    image = {"publisher": publisher, "offer": offer, "sku": "9"}
    entry = machine("a", image=image, licenseType=license_type)
    assert transform.machine(entry).is_byos is byos


COMPUTE = "/subscriptions/S/resourceGroups/RG/providers/Microsoft.Compute"
SCALE_SETS = f"{COMPUTE}/virtualMachineScaleSets"


@pytest.mark.parametrize("name", [{"name": "web"}, {}])
def test_scale_sets(name):
    found = transform.scale_set({"id": f"{SCALE_SETS}/web", **name})
    assert (found.resource_group, found.name, found.is_flexible) == ("RG", "web", False)
    assert found.key == f"{SCALE_SETS}/web".lower()


@pytest.mark.parametrize("entry", [{}, None, {"id": "/subscriptions/S"}, {"id": 7}])
def test_what_is_no_scale_set(entry):
    with pytest.raises(MalformedEntryError):
        transform.scale_set(entry)


@pytest.mark.parametrize(
    ("properties", "is_flexible"),
    [
        ({"orchestrationMode": "Flexible"}, True),
        ({"orchestrationMode": "flexible"}, True),
        ({"orchestrationMode": "Uniform"}, False),
        ({"orchestrationMode": None}, False),
        ({}, False),
        (None, False),
    ],
)
def test_modes_of_scale_sets(properties, is_flexible):
    entry = {"id": f"{SCALE_SETS}/web", "properties": properties}
    assert transform.scale_set(entry).is_flexible is is_flexible


@pytest.mark.parametrize(
    ("machine_id", "scale_set"),
    [
        (f"{SCALE_SETS}/web/virtualMachines/0", f"{SCALE_SETS}/web"),
        (f"{SCALE_SETS}/web", None),
        (f"{COMPUTE}/virtualMachines/a", None),
        ("", None),
    ],
)
def test_the_scale_set_of_a_machine(machine_id, scale_set):
    assert transform.scale_set_of(machine_id.lower()) == (scale_set and scale_set.lower())


@pytest.mark.parametrize(
    ("versions", "architecture"),
    [
        (
            [{"properties": {"architecture": "x64"}}, {"properties": {"architecture": "Arm64"}}],
            "x64",
        ),
        ([{"properties": {}}, {"properties": {"architecture": "Arm64"}}], None),
        ([{"properties": None}], None),
        ([], None),
        ([None], None),
        ({"value": []}, None),
        (None, None),
    ],
)
def test_the_first_version_tells_the_architecture(versions, architecture):
    assert transform.architecture(versions) == architecture


_texts = st.text(st.characters(categories=["L", "N", "P", "Cs", "Cc"]), max_size=300)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)


def _odd(**members) -> st.SearchStrategy:
    """An object with some of these members, each as it should be or of any other kind."""
    return st.fixed_dictionaries({}, optional={k: v | _json for k, v in members.items()})


_entries = _odd(
    id=_texts,
    location=_texts,
    tags=st.dictionaries(_texts, _json),
    zones=st.lists(_texts),
    plan=_odd(name=_texts),
    sku=_odd(name=_texts),
    properties=_odd(
        vmId=_texts,
        licenseType=_texts,
        priority=_texts,
        hardwareProfile=_odd(vmSize=_texts),
        instanceView=_odd(statuses=st.lists(_odd(code=_texts))),
        storageProfile=_odd(
            imageReference=_odd(sku=_texts, id=_texts, publisher=_texts, offer=_texts),
            osDisk=_odd(encryptionSettings=_json),
        ),
    ),
)


@given(_entries | _json)
def test_whatever_azure_says_can_be_stored_or_is_malformed(entry):
    try:
        found = transform.machine(entry)
    except MalformedEntryError:
        return
    assert transform.is_running(entry) in {True, False, None}
    texts = [found.resource_id, found.region, found.size or "", found.zone or ""]
    if found.image is not None:
        texts += [found.image.resource_id or "", found.image.name or "", found.image.dump()]
    for text in texts:
        assert "\x00" not in text
        text.encode()
    assert len(found.size or "") <= 64
    assert len(found.region) <= 256


@given(_entries | _json)
def test_whatever_azure_says_of_images_and_scale_sets(entry):
    architecture = transform.architecture([entry])
    assert architecture is None or 0 < len(architecture) <= 32
    try:
        group, name = transform.scale_set(entry)
    except MalformedEntryError:
        return
    assert group
    assert name

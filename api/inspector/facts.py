"""All facts of one root: of 05 §8 those of a partition, and what the image as a whole takes."""

from collections.abc import Callable
from typing import Any

from api.inspector import certificates, machine, packages, purpose, releases, repositories
from api.inspector.tree import Tree

RULES = (
    "rhel_release_files",
    "rhel_product_certs",
    "rhel_signed_packages",
    "rhel_enabled_repos",
)
Facts = dict[str, Any]


def empty_facts() -> Facts:
    """Return the facts of what is no file system that could be looked into."""
    return {rule: {} for rule in RULES}


def inspect_root(tree: Tree) -> Facts:
    """Return the facts of a root. What goes wrong with one of them does not hide the others."""
    notes = tree.notes
    facts: Facts = {}

    def learn(name: str, read: Callable[[], Any], otherwise: Any) -> Any:
        try:
            found = read()
        except Exception as error:
            # A fault of ours must not cost a customer's result either.
            notes.add(name, error)
            found = otherwise
        return found

    nothing = {"rhel_found": False}
    facts["rhel_release_files"] = learn(
        "release files", lambda: releases.release_files(tree), dict(nothing)
    )
    facts["rhel_product_certs"], products = learn(
        "product certificates", lambda: certificates.product_certificates(tree), (nothing, [])
    )
    facts["rhel_enabled_repos"] = learn(
        "repositories", lambda: repositories.enabled_repositories(tree), dict(nothing)
    )
    found = learn("packages", lambda: packages.read_packages(tree), packages.Packages())
    facts["rhel_signed_packages"] = _signed_packages(found)
    system = learn(
        "os-release", lambda: releases.read_system(tree), releases.System(None, (), None)
    )
    text, stated_purpose = learn("syspurpose", lambda: purpose.read_purpose(tree), (None, None))
    facts["os_version"] = system.version
    facts["syspurpose_contents"] = text
    facts["syspurpose"] = stated_purpose
    facts["os_id"] = system.id
    facts["rhel_like"] = system.is_like_rhel
    facts["product_ids"] = products
    facts["package_count"] = found.count
    facts["architecture"] = learn("architecture", lambda: machine.find_architecture(tree), None)
    facts["rhui_client_found"] = found.has_rhui_client or learn(
        "RHUI", lambda: certificates.has_rhui_files(tree), False
    )
    facts["consumer_cert_found"] = learn(
        "consumer certificate", lambda: certificates.has_consumer_certificate(tree), False
    )
    facts["entitlement_certs_found"] = learn(
        "entitlements", lambda: certificates.count_entitlements(tree), 0
    )
    return facts


def _signed_packages(found: packages.Packages) -> Facts:
    fact: Facts = {
        "rhel_found": found.signed > 0,
        "rhel_signed_package_count": found.signed,
        "key_ids": dict(found.keys.most_common(20)),
        "databases": found.paths,
    }
    if not found.has_files:
        fact["status"] = "there are no files of rpm"
    if found.errors:
        fact["error"] = found.errors[0]
    return fact

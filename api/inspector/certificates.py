"""Certificates of products, consumers and entitlements, and RHUI's files (spec 05 §9, 13 §6)."""

import re
from typing import Any

from api.inspector.tree import EntryKind, Tree

FOLDERS = ("/etc/pki/product", "/etc/pki/product-default")
RHEL = frozenset({"69.pem", "479.pem"})
CONSUMER = "/etc/pki/consumer/cert.pem"
ENTITLEMENTS = "/etc/pki/entitlement"
RHUI = "/etc/pki/rhui"
_PRODUCT = re.compile(r"(\d{1,10})\.pem")
MAX_PRODUCTS = 200


def product_certificates(tree: Tree) -> tuple[dict[str, Any], list[int]]:
    """Return the fact of product certificates, and the numbers of all products."""
    rhel, products = [], set()
    for folder in FOLDERS:
        for name in tree.list(folder):
            number = _PRODUCT.fullmatch(name)
            path = f"{folder}/{name}"
            if number is None or tree.kind(path) is not EntryKind.FILE:
                continue
            products.add(int(number[1]))
            if name in RHEL:
                rhel.append(path)
    fact = {"rhel_found": bool(rhel), "rhel_pem_files": rhel}
    return fact, sorted(products)[:MAX_PRODUCTS]


def has_consumer_certificate(tree: Tree) -> bool:
    """Return whether the system is registered."""
    return tree.kind(CONSUMER) is EntryKind.FILE


def count_entitlements(tree: Tree) -> int:
    """Return how many entitlement certificates there are, their keys not counted."""
    names = tree.list(ENTITLEMENTS)
    return sum(name.endswith(".pem") and not name.endswith("-key.pem") for name in names)


def has_rhui_files(tree: Tree) -> bool:
    """Return whether there are files of Red Hat's update infrastructure."""
    return bool(tree.list(RHUI))

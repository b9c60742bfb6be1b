"""Get: the architecture of images of the marketplace that we do not know yet (I1, spec 06 §4.2)."""

import hashlib
import json
import logging
from collections.abc import Iterable, Set

from api.clouds.azure import describe, transform
from api.clouds.azure.errors import AzureBusyError, AzureLoginError, AzureRefusedError
from api.clouds.azure.scan import images_of
from api.clouds.azure.transform import ImageKey, Machine
from util.cache import cached

logger = logging.getLogger(__name__)

ARCHITECTURE_SECONDS = 24 * 60 * 60
"""How long the architecture of an image of the marketplace is cached for all customers."""


def find_architectures(
    subscription_id: str, machines: Iterable[Machine], *, known_images: Set[ImageKey]
) -> dict[ImageKey, str]:
    """Return the architectures of images that are not known, asking once for each.

    What is not told is left out, and asked for again by a later poll. Raises nothing of Azure's.
    """
    found: dict[ImageKey, str] = {}
    for key, machine in images_of(machines).items():
        if key in known_images or not (machine.image and machine.image.sku):
            continue
        try:
            architecture = _architecture(subscription_id, machine)
        except (AzureBusyError, AzureLoginError) as problem:
            logger.warning("Architecture of %s and further images: %s", key, problem)
            break
        except AzureRefusedError as problem:
            logger.warning("Architecture of %s: %s", key, problem)
        else:
            if architecture:
                found[key] = architecture
    return found


def _architecture(subscription_id: str, machine: Machine) -> str | None:
    image = machine.image
    if not (image and image.publisher and image.offer and image.sku and machine.region):
        return None
    place = {
        "location": machine.region,
        "publisher": image.publisher,
        "offer": image.offer,
        "sku": image.sku,
    }
    # Whoever chooses the names does not choose how long the key is.
    names = json.dumps([part.lower() for part in place.values()])
    key = f"azure-architecture:{hashlib.sha256(names.encode()).hexdigest()}"
    architecture: str | None = cached(
        key,
        ARCHITECTURE_SECONDS,
        lambda: transform.architecture(describe.image_versions(subscription_id, **place)),
    )
    return architecture

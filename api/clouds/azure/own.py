"""What is our own: the subscription and the tenant that the settings name (decision 36).

Whoever deploys us may write their ids in any notation of UUIDs.
"""

from uuid import UUID

from django.conf import settings


def is_own_subscription(subscription_id: UUID) -> bool:
    """Check whether this is ``AZURE_SUBSCRIPTION_ID``."""
    return str(subscription_id) == _canonical(settings.AZURE_SUBSCRIPTION_ID)


def is_own_tenant(tenant_id: str) -> bool:
    """Check whether this is ``AZURE_TENANT_ID``."""
    return _canonical(tenant_id) == _canonical(settings.AZURE_TENANT_ID)


def _canonical(identifier: str) -> str:
    try:
        return str(UUID(identifier.strip()))
    except ValueError:
        return identifier.strip().lower()

"""Our own subscription, and those of our own tenant, are nobody's account (decisions 36, 51)."""

import pytest

from api.accounts.onboarding import onboard
from api.accounts.states import KAFKA
from api.clouds.azure.errors import AzureBusyError
from api.clouds.provider import AccountRef, VerificationFailedError, provider_for
from api.models import AccountState, CloudAccount, CloudType
from api.sources.codes import ErrorCode
from api.sources.messages import Tenant
from deployment.local.azure import OWN_SUBSCRIPTION_ID, TENANT_ID
from tests.api.accounts.statuses import statuses, unavailable
from tests.api.clouds.azure.conftest import SUBSCRIPTION, calls
from tests.api.internal.callers import B, customer
from tests.factories import make_azure_account, make_user

pytestmark = pytest.mark.django_db

AZURE = str(CloudType.AZURE)


def add_account(user, token: str = SUBSCRIPTION) -> None:
    onboard(
        cloud_type=AZURE,
        tenant=Tenant(user.account_number, user.org_id),
        token=token,
        authentication_id=22,
        application_id=11,
        source_id=31,
        trigger=KAFKA,
    )


@pytest.fixture
def user(db):
    return make_user()


@pytest.fixture(params=["subscription", "tenant", "tenant in capitals"])
def own(request, azure) -> str:
    """A subscription of ours."""
    if request.param == "subscription":
        azure.delegate(OWN_SUBSCRIPTION_ID)
        return OWN_SUBSCRIPTION_ID
    shouting = request.param == "tenant in capitals"
    azure.delegate(SUBSCRIPTION, tenant=TENANT_ID.upper() if shouting else TENANT_ID)
    return SUBSCRIPTION


class TestKafka:
    def test_refused_with_cg1006(self, azure, user, queued, own):
        add_account(user, own.upper().replace("-", ""))
        assert not CloudAccount.objects.exists()
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG1006)]
        state = AccountState.objects.get()
        assert (state.to_state, state.code) == ("failed", "CG1006")

    def test_before_any_other_check(self, azure, user, queued, own):
        """Another customer's account, of earlier days, does not make it CG1005."""
        make_azure_account(subscription_id=own)
        add_account(user, own)
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG1006)]

    def test_the_subscription_that_we_use_needs_no_question(self, azure, user, queued):
        add_account(user, OWN_SUBSCRIPTION_ID)
        assert calls(azure) == []

    def test_an_update_to_ours_changes_nothing(self, azure, user, queued, own):
        other = "11111111-1111-4111-8111-111111111111"
        account = make_azure_account(
            user=user,
            subscription_id=other,
            platform_authentication_id=22,
            platform_application_id=11,
        )
        add_account(user, own)
        account.refresh_from_db()
        assert (str(account.subscription_id), account.is_enabled) == (other, True)
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG1006)]


@pytest.mark.parametrize("setting", ["{%s}", "urn:uuid:%s", " %s\n", "%s"])
@pytest.mark.parametrize("shape", [str.upper, lambda one: one.replace("-", "")])
def test_however_our_own_ids_are_written(azure, user, queued, settings, setting, shape):
    """Issue 14, item 12: the deployer's notation of our ids decides about nothing."""
    settings.AZURE_SUBSCRIPTION_ID = setting % shape(OWN_SUBSCRIPTION_ID)
    settings.AZURE_TENANT_ID = setting % shape(TENANT_ID)
    add_account(user, OWN_SUBSCRIPTION_ID)
    azure.delegate(SUBSCRIPTION, tenant=TENANT_ID)
    add_account(user, f"{{{SUBSCRIPTION}}}")
    assert not CloudAccount.objects.exists()
    assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG1006)] * 2


def test_the_internal_api_refuses_with_cg1006(azure, queued, own):
    body = {
        "cloud_type": "azure",
        "subscription_id": own,
        "platform_authentication_id": 1001,
        "platform_application_id": 1002,
        "platform_source_id": 1003,
    }
    response = customer(org_id="stranger").post(f"{B}/accounts/", body)
    assert response.status_code == 400
    assert response.json() == {"subscription_id": ErrorCode.CG1006.message}
    assert not CloudAccount.objects.exists()


class TestOthers:
    """Who is not us is not refused, and an Azure that cannot tell lets nobody in."""

    @pytest.mark.parametrize("tenant", ["c0ffee00-0000-4000-8000-000000000002", None, 7, ""])
    def test_another_tenant(self, azure, user, queued, tenant):
        azure.delegate(SUBSCRIPTION, tenant=tenant)
        add_account(user)
        assert CloudAccount.objects.get().is_enabled
        assert calls(azure) == ["login", "S1"]

    def test_a_managing_tenant_is_no_owner(self, azure, user, queued):
        """Of a delegated subscription Azure shows us beside its owner."""
        entry = {
            "subscriptionId": SUBSCRIPTION,
            "tenantId": "c0ffee00-0000-4000-8000-000000000002",
            "managedByTenants": [{"tenantId": TENANT_ID}],
        }
        azure.fail("/subscriptions", status=200, body={"value": [entry]})
        add_account(user)
        assert CloudAccount.objects.get().is_enabled

    def test_an_azure_that_is_busy(self, azure, user, queued):
        azure.fail("/subscriptions", status=429, retry_after=3600)
        with pytest.raises(AzureBusyError) as raised:
            add_account(user)
        assert raised.value.retry_after == 3600
        assert not CloudAccount.objects.exists()
        assert calls(azure) == ["login", "S1"]

    def test_an_azure_that_refuses(self, azure, user, queued):
        azure.fail("/subscriptions", status=403)
        add_account(user)
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG3000)]
        assert [state.code for state in AccountState.objects.all()] == ["CG3000"]
        ref = AccountRef.of(make_azure_account())
        with pytest.raises(VerificationFailedError):
            provider_for(AZURE).is_own(ref)

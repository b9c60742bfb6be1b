"""Creating accounts (spec 03 §6.2, §6.3, §6.7, §11)."""

import datetime

import pytest
import time_machine
from django.db import IntegrityError

from api.accounts import creation, onboarding
from api.accounts.creation import PlatformIds, create_account
from api.accounts.errors import (
    DuplicateAccountError,
    InvalidTokenError,
    PlatformIdsTakenError,
    RefusedAccountError,
    UserGoneError,
)
from api.accounts.lifecycle import enable_account
from api.accounts.onboarding import onboard
from api.accounts.relocation import change_token
from api.accounts.states import API, KAFKA
from api.accounts.users import get_or_create_user
from api.clouds.provider import TransientCloudError, VerificationFailedError, VerificationProblem
from api.models import AccountState, CloudAccount, CloudType, User
from api.sources.codes import ErrorCode
from api.sources.messages import Tenant
from tests.api.accounts.statuses import available, statuses, unavailable
from tests.factories import make_aws_account, make_azure_account, make_user, utc
from util import clock, postgres

pytestmark = pytest.mark.django_db

ARN = "arn:aws:iam::123456789012:role/meter"
OTHER_ROLE = "arn:aws:iam::123456789012:role/other"
SUBSCRIPTION = "6d2fe1f4-3a51-4d3c-a4e2-25c4bd1f0d4e"
IDS = PlatformIds(authentication_id=22, application_id=11, source_id=9)
TOKENS = {str(CloudType.AWS): ARN, str(CloudType.AZURE): SUBSCRIPTION}


@pytest.fixture
def user():
    return make_user(account_number="1701", org_id="3340851")


def create(user, cloud_type="aws", token=None, **arguments):
    return create_account(
        user=user,
        cloud_type=cloud_type,
        token=token or TOKENS[cloud_type],
        platform_ids=IDS,
        trigger=API,
        **arguments,
    )


def onboarded(cloud_type="aws", token=None, tenant=("1701", "3340851"), ids=(22, 11, "9"), **more):
    return onboard(
        cloud_type=cloud_type,
        tenant=Tenant(*tenant),
        token=token or TOKENS[cloud_type],
        authentication_id=ids[0],
        application_id=ids[1],
        source_id=ids[2],
        trigger=KAFKA,
        **more,
    )


class TestCreate:
    @pytest.mark.parametrize("cloud_type", TOKENS)
    def test_scenario_13_account_is_created_enabled(self, clouds, queued, user, cloud_type):
        before = postgres.now()
        account = create(user, cloud_type)
        stored = CloudAccount.objects.get()
        assert stored == account
        assert stored.is_enabled
        assert before <= stored.enabled_at <= postgres.now()
        assert stored.user == user
        assert stored.cloud_type == cloud_type
        assert (
            stored.platform_authentication_id,
            stored.platform_application_id,
            stored.platform_source_id,
        ) == (22, 11, 9)
        cloud = clouds[cloud_type]
        assert cloud.asked == ["verify", "configure", "discover"]
        assert cloud.refs("discover")[0].id == account.id
        assert statuses(queued) == [available(user, 11)]
        log = AccountState.objects.filter(account_id=account.id).order_by("id")
        assert [row.to_state for row in log] == ["created", "enabled"]

    def test_a_worker_whose_clock_is_ahead_loses_no_event_of_the_new_account(
        self, aws, queued, user
    ):
        """Decision 41: what happens from now on counts."""
        with time_machine.travel(clock.now() + datetime.timedelta(seconds=300)):
            account = create(user)
        assert max(account.created_at, account.enabled_at) <= postgres.now()

    def test_late_removal_of_an_earlier_account_is_made_up_for(self, aws, queued, user):
        """03 §11, hazard 4: what was set up is removed before the account is stored."""
        aws.removals = [None, utc("2026-01-01")] + [utc("2026-01-01")] * 2
        account = create(user)
        assert account.is_enabled
        assert aws.asked == ["verify", "configure", "verify", "configure", "discover"]
        assert statuses(queued) == [available(user, 11)]

    @pytest.mark.parametrize(
        ("finding", "code"),
        [
            (VerificationProblem.ACCESS, ErrorCode.CG3002),
            (VerificationProblem.UNKNOWN, ErrorCode.CG3000),
        ],
    )
    def test_outage_that_is_not_waited_for(self, aws, queued, user, finding, code):
        aws.problem = TransientCloudError("down", finding=finding)
        with pytest.raises(TransientCloudError):
            create(user)
        assert queued == []
        with pytest.raises(RefusedAccountError):
            create(user, retry_transient=False)
        assert statuses(queued) == [unavailable(user, 11, code)]
        assert not CloudAccount.objects.exists()

    def test_leading_zeros_are_kept(self, aws, queued, user):
        account = create(user, token="arn:aws:iam::12:role/meter")
        assert account.aws_account_id == "000000000012"
        assert account.account_arn == "arn:aws:iam::12:role/meter"

    @pytest.mark.parametrize(
        ("cloud_type", "token", "code"),
        [
            ("aws", "arn:aws:s3:::bucket", ErrorCode.CG1004),
            ("azure", "not-a-uuid", ErrorCode.CG1006),
        ],
    )
    def test_scenario_16_invalid_token(self, clouds, queued, user, cloud_type, token, code):
        with pytest.raises(InvalidTokenError) as raised:
            create(user, cloud_type, token)
        assert raised.value.code == code
        assert statuses(queued) == [unavailable(user, 11, code)]
        assert not CloudAccount.objects.exists()
        assert clouds[cloud_type].calls == []

    @pytest.mark.parametrize("same_user", [True, False])
    @pytest.mark.parametrize(
        ("arn", "code"), [(ARN, ErrorCode.CG1001), (OTHER_ROLE, ErrorCode.CG1002)]
    )
    def test_scenario_15_duplicates(self, aws, queued, user, same_user, arn, code):
        owner = user if same_user else make_user()
        make_aws_account(user=owner, aws_account_id="123456789012", account_arn=arn)
        with pytest.raises(DuplicateAccountError) as raised:
            create(user)
        assert raised.value.code == code
        assert statuses(queued) == [unavailable(user, 11, code)]
        assert CloudAccount.objects.count() == 1
        assert aws.calls == []

    @pytest.mark.parametrize(
        "token", [SUBSCRIPTION.upper(), SUBSCRIPTION.replace("-", ""), f"{{{SUBSCRIPTION}}}"]
    )
    def test_scenario_16_known_subscription(self, azure, queued, user, token):
        make_azure_account(subscription_id=SUBSCRIPTION)
        with pytest.raises(DuplicateAccountError) as raised:
            create(user, "azure", token)
        assert raised.value.code == ErrorCode.CG1005
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG1005)]

    @pytest.mark.parametrize("cloud_type", TOKENS)
    def test_scenario_14_refused_account_leaves_nothing(self, clouds, queued, user, cloud_type):
        clouds[cloud_type].problem = VerificationFailedError(VerificationProblem.POLICY)
        with pytest.raises(RefusedAccountError):
            create(user, cloud_type)
        assert not CloudAccount.objects.exists()
        assert User.objects.filter(id=user.id).exists()
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG3003)]
        row = AccountState.objects.get()
        assert (row.account_id, row.to_state, row.code) == (0, "failed", "CG3003")

    def test_too_many_trails(self, aws, queued, user):
        aws.trail_problem = VerificationFailedError(VerificationProblem.TRAIL_LIMIT)
        with pytest.raises(RefusedAccountError):
            create(user)
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG3001)]
        assert not CloudAccount.objects.exists()

    def test_cloud_out_of_order_is_not_the_customers_fault(self, aws, queued, user):
        aws.problem = TransientCloudError()
        with pytest.raises(TransientCloudError):
            create(user)
        assert queued == []

    @pytest.mark.parametrize(
        ("arn", "code"), [(ARN, ErrorCode.CG1001), (OTHER_ROLE, ErrorCode.CG1002)]
    )
    def test_lost_race_is_a_duplicate_and_its_trail_is_let_go(self, aws, queued, user, arn, code):
        aws.meanwhile = [lambda: make_aws_account(aws_account_id="123456789012", account_arn=arn)]
        with pytest.raises(DuplicateAccountError) as raised:
            create(user)
        assert raised.value.code == code
        assert aws.asked == ["verify", "configure", "release"]
        assert statuses(queued) == [unavailable(user, 11, code)]

    def test_platform_ids_of_another_account(self, aws, queued, user):
        make_aws_account(platform_authentication_id=22, platform_application_id=11)
        with pytest.raises(PlatformIdsTakenError):
            create(user)
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG3000)]
        assert aws.asked[-1] == "release"

    def test_user_deleted_meanwhile(self, aws, queued, user):
        """Hazard 6: ends with a log and a code, not with half an account."""
        aws.meanwhile = [lambda: User.objects.filter(id=user.id).delete()]
        with pytest.raises(UserGoneError):
            create(user)
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG1000)]
        assert aws.asked == ["verify", "configure", "release"]

    def test_trail_is_let_go_whatever_prevents_the_account(self, aws, queued, user, monkeypatch):
        """Hazard 9."""
        monkeypatch.setattr(creation, "record", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            create(user)
        assert not CloudAccount.objects.exists()
        assert aws.asked == ["verify", "configure", "release"]

    def test_paused_application(self, aws, queued, user):
        """Hazard 2: a pause that came before the create is kept."""
        account = create(user, paused=True)
        account.refresh_from_db()
        assert account.platform_application_is_paused
        assert (account.is_enabled, account.enabled_at) == (False, None)
        assert aws.asked == ["verify"]
        assert statuses(queued) == [available(user, 11)]


class TestOnboard:
    def test_creates(self, aws, queued, user):
        assert "was created" in onboarded()
        assert CloudAccount.objects.get().user == user

    @pytest.mark.parametrize("tenant", [("1701", None), (None, "3340851"), ("1701", "3340851")])
    def test_user_is_found_by_what_is_given(self, aws, queued, user, tenant):
        onboarded(tenant=tenant)
        assert CloudAccount.objects.get().user == user

    @pytest.mark.parametrize("tenant", [("1702", None), ("1701", "5"), (None, "5")])
    def test_unknown_user_is_cg1000(self, aws, queued, user, tenant):
        assert onboarded(tenant=tenant) == "CG1000"
        assert statuses(queued) == [(*tenant, 11, "unavailable", ErrorCode.CG1000.message)]
        assert not CloudAccount.objects.exists()

    def test_user_deleted_since_the_message_came_is_made_again(self, aws, queued):
        """Hazard 5."""
        onboarded(create_user=True)
        account = CloudAccount.objects.get()
        assert (account.user.account_number, account.user.org_id) == ("1701", "3340851")

    def test_repeated_message_enables_again(self, aws, queued, user):
        """Spec 03 §6.7: no CG1001 for the account that the same message made."""
        onboarded()
        queued.clear()
        assert "existed already" in onboarded(ids=("22", "11", "9"))
        assert CloudAccount.objects.count() == 1
        assert statuses(queued) == [available(user, 11)]

    def test_repeated_message_tells_the_real_state(self, aws, queued, user):
        onboarded()
        queued.clear()
        aws.problem = VerificationFailedError(VerificationProblem.ACCESS)
        onboarded()
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG3002)]

    def test_message_for_the_same_ids_with_another_role_is_an_update(self, aws, queued, user):
        onboarded()
        onboarded(token=OTHER_ROLE)
        assert CloudAccount.objects.get().account_arn == OTHER_ROLE

    def test_refusal_is_no_error(self, aws, queued, user):
        aws.problem = VerificationFailedError(VerificationProblem.ACCESS)
        assert onboarded().startswith("CG3002")

    @pytest.mark.parametrize("ids", [("x", 11, 9), (22, None, 9), (22, 11, "9.0"), (0, 11, 9)])
    def test_ids_that_are_no_numbers(self, aws, queued, user, ids):
        onboarded(ids=ids)
        assert not CloudAccount.objects.exists()
        assert queued == []

    @pytest.mark.parametrize("token", [7, ["x"], {"a": 1}, " "])
    def test_token_of_any_type(self, aws, queued, user, token):
        assert onboarded(token=token).startswith("CG1004")


def test_unexpected_integrity_errors_are_not_hidden(user):
    with pytest.raises(IntegrityError):
        make_aws_account(user=user, subscription_id=SUBSCRIPTION)


OWN_NUMBERS = {"aws": "123456789012", "azure": SUBSCRIPTION}
OTHER_SPELLINGS = {
    "aws": (
        ARN,
        OTHER_ROLE,
        "arn:aws-cn:iam::123456789012:role/meter",
        "arn:aws-us-gov:iam::123456789012:role/meter",
    ),
    "azure": (SUBSCRIPTION, SUBSCRIPTION.upper(), f"urn:uuid:{{{SUBSCRIPTION}}}"),
}
OWN = [(cloud_type, token) for cloud_type in OWN_NUMBERS for token in OTHER_SPELLINGS[cloud_type]]
INVALID = {"aws": ErrorCode.CG1004, "azure": ErrorCode.CG1006}


def test_message_with_the_ids_of_another_customers_account(user, aws, queued):
    """Issue 14.16's kind: it may have the account checked, and changes nothing of it."""
    account = make_aws_account(platform_authentication_id=22, platform_application_id=11)
    before = account.account_arn
    counted = onboarding.FOREIGN_MESSAGES._value.get()
    assert onboarded(token=OTHER_ROLE) == f"account {account.id} existed already and can be metered"
    account.refresh_from_db()
    assert account.account_arn == before
    assert statuses(queued) == [available(account.user, 11)]
    assert onboarding.FOREIGN_MESSAGES._value.get() == counted + 1


class TestOwnAccount:
    """Decision 36: a stranger cannot register our own AWS account or Azure subscription."""

    @pytest.fixture(autouse=True)
    def own(self, clouds):
        for cloud_type, number in OWN_NUMBERS.items():
            clouds[cloud_type].own = (number,)

    @pytest.mark.parametrize(("cloud_type", "token"), OWN)
    def test_message_of_sources_is_refused(self, user, clouds, queued, cloud_type, token):
        assert onboarded(cloud_type, token).startswith(INVALID[cloud_type].name)
        assert not CloudAccount.objects.exists()
        assert clouds[cloud_type].asked == []
        assert statuses(queued) == [unavailable(user, 11, INVALID[cloud_type])]

    @pytest.mark.parametrize(("cloud_type", "token"), OWN)
    def test_request_is_refused_before_duplicates_are_looked_for(
        self, user, clouds, queued, cloud_type, token
    ):
        make = make_aws_account if cloud_type == "aws" else make_azure_account
        column = "aws_account_id" if cloud_type == "aws" else "subscription_id"
        make(**{column: OWN_NUMBERS[cloud_type]})
        with pytest.raises(InvalidTokenError) as raised:
            create(user, cloud_type, token, retry_transient=False)
        assert raised.value.code == INVALID[cloud_type]

    def test_existing_account_cannot_be_moved_there(self, user, aws, queued):
        account = make_aws_account(user=user)
        before = (account.account_arn, account.is_enabled)
        assert not change_token(
            account_id=account.id, token=ARN, tenant=Tenant("1701", "3340851"), trigger=KAFKA
        )
        account.refresh_from_db()
        assert (account.account_arn, account.is_enabled) == before
        assert statuses(queued) == [
            unavailable(user, account.platform_application_id, ErrorCode.CG1004)
        ]

    def test_outage_lets_nobody_in(self, user, aws, queued, monkeypatch):
        def fail(_):
            raise TransientCloudError("throttled")

        monkeypatch.setattr(aws, "is_own", fail)
        with pytest.raises(TransientCloudError):
            onboarded()
        with pytest.raises(RefusedAccountError):
            create(user, retry_transient=False)
        assert not CloudAccount.objects.exists()


@pytest.mark.parametrize("minutes", [-5, 5])
def test_worker_whose_clock_is_wrong_enables_from_now_on(aws, queued, minutes):
    """Decision 41: what happens before ``enabled_at`` does not count."""
    before = postgres.now()
    with time_machine.travel(clock.now() + datetime.timedelta(minutes=minutes)):
        customer = get_or_create_user(account_number="1701", org_id="3340851")
        account = create(customer)
        disabled = make_aws_account(user=customer, is_enabled=False, enabled_at=None)
        enable_account(account_id=disabled.id, trigger=API)
    disabled.refresh_from_db()
    for moment in (
        customer.date_joined,
        account.enabled_at,
        disabled.enabled_at,
        *AccountState.objects.values_list("at", flat=True),
    ):
        assert before <= moment <= postgres.now()

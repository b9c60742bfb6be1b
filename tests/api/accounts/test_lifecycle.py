"""Enable, disable, pause and unpause (spec 03 §6.5, §6.6; decision 3; 09 P9)."""

import pytest
import time_machine

from api.accounts.deletion import delete_account
from api.accounts.lifecycle import (
    disable_account,
    enable_account,
    pause_application,
    unpause_application,
)
from api.accounts.states import API, KAFKA, OPERATOR, Trigger
from api.clouds.provider import (
    AccountRef,
    TransientCloudError,
    VerificationFailedError,
    VerificationProblem,
)
from api.models import AccountState, CloudAccount, InstanceEvent, Run
from api.sources.codes import ErrorCode
from tests.api.accounts.statuses import available, statuses, unavailable
from tests.factories import (
    make_account,
    make_aws_account,
    make_azure_account,
    make_event,
    make_instance,
    utc,
)

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-01T12:00:00")


@pytest.fixture(autouse=True)
def stopped_clock(one_clock):
    with time_machine.travel(NOW, tick=False):
        yield


def power_offs(account):
    return InstanceEvent.objects.filter(cloud_account=account, event_type="power_off")


def log_of(account) -> list[tuple]:
    rows = AccountState.objects.filter(account_id=account.id).order_by("id")
    return list(rows.values_list("from_state", "to_state", "code", "cause"))


def running_instance(account):
    instance = make_instance(account=account)
    make_event(instance=instance, occurred_at=utc("2026-02-20T00:00:00"))
    return instance


def stopped_instance(account):
    instance = running_instance(account)
    make_event(instance=instance, event_type="power_off", occurred_at=utc("2026-02-21T00:00:00"))
    return instance


class TestEnable:
    @pytest.mark.parametrize("make", [make_aws_account, make_azure_account])
    def test_disabled_account_is_enabled(self, clouds, queued, make):
        account = make(is_enabled=False, enabled_at=None)
        assert enable_account(account_id=account.id, trigger=API)
        account.refresh_from_db()
        assert (account.is_enabled, account.enabled_at) == (True, NOW)
        assert clouds[account.cloud_type].asked == ["verify", "configure", "discover"]
        assert statuses(queued) == [available(account.user, account.platform_application_id)]
        assert log_of(account) == [("disabled", "enabled", "", "api")]

    def test_enabled_account_is_described_again_and_reported(self, aws, queued):
        account = make_aws_account(enabled_at=utc("2025-01-01"))
        assert enable_account(account_id=account.id, trigger=API)
        account.refresh_from_db()
        assert account.enabled_at == utc("2025-01-01")
        assert aws.asked == ["verify", "configure", "discover"]
        assert len(statuses(queued)) == 1
        assert log_of(account) == [("enabled", "verified", "", "api")]

    def test_synthetic_account_needs_no_cloud_and_tells_nobody(self, aws, queued):
        account = make_aws_account(is_synthetic=True, is_enabled=False, enabled_at=None)
        assert enable_account(account_id=account.id, trigger=API)
        account.refresh_from_db()
        assert account.is_enabled
        assert aws.calls == []
        assert queued == []

    @pytest.mark.parametrize(
        ("finding", "code"),
        [
            (VerificationProblem.POLICY, ErrorCode.CG3003),
            (VerificationProblem.ACCESS, ErrorCode.CG3002),
            (VerificationProblem.TRAIL_LIMIT, ErrorCode.CG3001),
            (VerificationProblem.NOT_VISIBLE, ErrorCode.CG3000),
            (VerificationProblem.UNKNOWN, ErrorCode.CG3000),
        ],
    )
    def test_each_finding_has_its_code(self, aws, queued, finding, code):
        account = make_aws_account()
        aws.problem = VerificationFailedError(finding)
        assert not enable_account(account_id=account.id, trigger=API)
        assert statuses(queued) == [
            unavailable(account.user, account.platform_application_id, code)
        ]
        assert log_of(account) == [("enabled", "failed", code.name, "api")]

    @pytest.mark.parametrize(
        ("finding", "code"),
        [
            (VerificationProblem.ACCESS, ErrorCode.CG3002),
            (VerificationProblem.UNKNOWN, ErrorCode.CG3000),
        ],
    )
    def test_outage_that_is_waited_for_no_longer(self, aws, queued, finding, code):
        """03 §6.6: any answer of AWS is an access error, silence is not."""
        account = make_aws_account()
        aws.problem = TransientCloudError("down", finding=finding)
        with pytest.raises(TransientCloudError):
            enable_account(account_id=account.id, trigger=API)
        assert not enable_account(account_id=account.id, trigger=API, retry_transient=False)
        assert statuses(queued) == [
            unavailable(account.user, account.platform_application_id, code)
        ]

    def test_late_removal_of_an_earlier_disabling_is_made_up_for(self, aws, queued):
        """03 §11, hazard 4: what was set up is removed before the account counts as enabled."""
        account = make_aws_account(is_enabled=False, enabled_at=None)
        aws.removals = [None, utc("2026-01-01")] + [utc("2026-01-01")] * 2
        assert enable_account(account_id=account.id, trigger=API)
        assert aws.asked == ["verify", "configure", "verify", "configure", "discover"]
        assert statuses(queued) == [available(account.user, account.platform_application_id)]

    def test_any_other_error_is_cg3000(self, aws, queued):
        account = make_aws_account()
        aws.trail_problem = ZeroDivisionError()
        assert not enable_account(account_id=account.id, trigger=API)
        assert statuses(queued) == [
            unavailable(account.user, account.platform_application_id, ErrorCode.CG3000)
        ]

    def test_scenario_27_enabled_account_that_became_invalid_stays_enabled(self, aws, queued):
        account = make_aws_account(enabled_at=utc("2025-01-01"))
        running_instance(account)
        aws.problem = VerificationFailedError(VerificationProblem.ACCESS)
        assert not enable_account(account_id=account.id, trigger=API)
        account.refresh_from_db()
        assert account.is_enabled
        assert account.enabled_at == utc("2025-01-01")
        assert statuses(queued) == [
            unavailable(account.user, account.platform_application_id, ErrorCode.CG3002)
        ]
        assert not power_offs(account).exists()
        assert "release" not in aws.asked

    def test_scenario_27_disabled_account_that_is_invalid_stays_disabled(self, aws, queued):
        account = make_aws_account(is_enabled=False, enabled_at=utc("2025-01-01"))
        running_instance(account)
        aws.problem = VerificationFailedError(VerificationProblem.POLICY)
        assert not enable_account(account_id=account.id, trigger=API)
        account.refresh_from_db()
        assert not account.is_enabled
        assert account.enabled_at == utc("2025-01-01")
        assert power_offs(account).count() == 1
        assert aws.asked == ["verify", "release"]
        assert len(statuses(queued)) == 1

    def test_cloud_out_of_order_is_raised_and_nothing_changes(self, aws, queued):
        account = make_aws_account(is_enabled=False)
        aws.problem = TransientCloudError("slow down")
        with pytest.raises(TransientCloudError):
            enable_account(account_id=account.id, trigger=API)
        assert queued == []
        assert log_of(account) == []

    def test_impatient_caller_gets_cg3000_from_a_cloud_out_of_order(self, aws, queued):
        account = make_aws_account()
        aws.problem = TransientCloudError("slow down")
        assert not enable_account(account_id=account.id, trigger=API, retry_transient=False)
        assert statuses(queued) == [
            unavailable(account.user, account.platform_application_id, ErrorCode.CG3000)
        ]

    @pytest.mark.parametrize("problem", [None, VerificationFailedError(VerificationProblem.POLICY)])
    def test_paused_account_is_only_verified(self, aws, queued, problem):
        account = make_aws_account(
            is_enabled=False, enabled_at=None, platform_application_is_paused=True
        )
        running_instance(account)
        aws.problem = problem
        assert enable_account(account_id=account.id, trigger=API) is (problem is None)
        account.refresh_from_db()
        assert (account.is_enabled, account.enabled_at) == (False, None)
        assert aws.asked == ["verify"]
        assert not power_offs(account).exists()
        code = problem and ErrorCode.CG3003
        told = (available if problem is None else unavailable)(
            account.user, account.platform_application_id, *([code] if code else [])
        )
        assert statuses(queued) == [told]

    def test_account_that_is_gone_is_no_error(self, aws, queued):
        assert not enable_account(account_id=4711, trigger=API)
        assert queued == []

    def test_account_deleted_meanwhile_is_not_resurrected(self, aws, queued):
        """Hazard 7: its trail, made again by the check, is removed again."""
        account = make_aws_account()
        ref = AccountRef.of(account)
        aws.meanwhile = [lambda: delete_account(account_id=account.id, trigger=KAFKA)]
        assert not enable_account(account_id=account.id, trigger=API)
        assert not CloudAccount.objects.exists()
        assert aws.refs("release")[-1] == ref
        assert aws.asked[-2:] == ["configure", "release"]
        assert statuses(queued) == [unavailable(account.user, account.platform_application_id)]

    def test_account_deleted_meanwhile_is_not_told_of(self, aws, queued):
        account = make_aws_account()
        aws.problem = VerificationFailedError(VerificationProblem.ACCESS)
        aws.meanwhile = [lambda: CloudAccount.objects.filter(id=account.id).delete()]
        assert not enable_account(account_id=account.id, trigger=API)
        assert queued == []

    def test_account_paused_meanwhile_stays_paused(self, aws, queued):
        account = make_aws_account(is_enabled=False)
        aws.meanwhile = [
            lambda: pause_application(application_id=account.platform_application_id, trigger=KAFKA)
        ]
        assert not enable_account(account_id=account.id, trigger=API)
        account.refresh_from_db()
        assert not account.is_enabled
        assert aws.asked[-2:] == ["configure", "release"]
        assert queued == []


class TestDisable:
    def test_power_off_only_for_what_is_on(self, aws, queued):
        account = make_account()
        running, _, _ = (
            running_instance(account),
            stopped_instance(account),
            make_instance(account=account),
        )
        assert disable_account(account_id=account.id, trigger=OPERATOR, message="because")
        added = power_offs(account).get(occurred_at=NOW)
        assert added.instance == running
        assert (added.instance_type, added.origin) == (None, "disable")
        account.refresh_from_db()
        assert not account.is_enabled
        assert account.enabled_at is not None
        assert aws.asked == ["release"]
        user = account.user
        assert statuses(queued) == [
            (
                user.account_number,
                user.org_id,
                account.platform_application_id,
                "unavailable",
                "because",
            )
        ]

    def test_runs_end_at_once(self, aws, queued):
        account = make_account()
        running_instance(account)
        disable_account(account_id=account.id, trigger=OPERATOR)
        assert Run.objects.get().end_time == NOW

    def test_attribute_change_counts_as_on(self, aws, queued):
        account = make_account()
        make_event(
            instance=make_instance(account=account),
            event_type="attribute_change",
            occurred_at=utc("2026-02-02"),
        )
        disable_account(account_id=account.id, trigger=OPERATOR)
        assert power_offs(account).count() == 1

    def test_disabling_again_adds_nothing(self, aws, queued):
        account = make_account()
        running_instance(account)
        disable_account(account_id=account.id, trigger=OPERATOR)
        with time_machine.travel(utc("2026-03-02"), tick=False):
            disable_account(account_id=account.id, trigger=OPERATOR)
        assert power_offs(account).count() == 1
        assert aws.asked == ["release", "release"]
        assert log_of(account) == [("enabled", "disabled", "", "operator")]

    def test_without_power_off_and_word(self, aws, queued):
        account = make_account()
        running_instance(account)
        disable_account(account_id=account.id, trigger=OPERATOR, power_off=False, notify=False)
        assert not power_offs(account).exists()
        assert statuses(queued) == []

    def test_synthetic_account_is_silent(self, aws, queued):
        account = make_account(is_synthetic=True)
        assert disable_account(account_id=account.id, trigger=OPERATOR)
        assert aws.calls == []
        assert statuses(queued) == []

    def test_one_statement_for_any_number_of_instances(
        self, aws, queued, django_assert_max_num_queries
    ):
        account = make_account()
        for _ in range(30):
            running_instance(account)
        with django_assert_max_num_queries(40):
            disable_account(account_id=account.id, trigger=OPERATOR)
        assert power_offs(account).count() == 30

    def test_missing_account(self, aws, queued):
        assert not disable_account(account_id=4711, trigger=OPERATOR)


class TestPause:
    def test_scenario_20_pause(self, aws, queued):
        account = make_aws_account(platform_application_id=11)
        running = running_instance(account)
        stopped_instance(account)
        assert pause_application(application_id=11, trigger=KAFKA) == 1
        account.refresh_from_db()
        assert account.platform_application_is_paused
        assert not account.is_enabled
        assert power_offs(account).get(occurred_at=NOW).instance == running
        assert power_offs(account).get(occurred_at=NOW).origin == "pause"
        assert statuses(queued) == []
        assert aws.asked == ["release"]
        pause_application(application_id=11, trigger=KAFKA)
        assert power_offs(account).count() == 2
        assert log_of(account) == [
            ("enabled", "paused", "", "kafka"),
            ("paused", "disabled", "", "kafka"),
        ]

    def test_scenario_21_unpause(self, aws, queued):
        account = make_aws_account(platform_application_id=11)
        pause_application(application_id=11, trigger=KAFKA)
        aws.calls.clear()
        assert unpause_application(application_id=11, trigger=KAFKA) == 1
        account.refresh_from_db()
        assert not account.platform_application_is_paused
        assert (account.is_enabled, account.enabled_at) == (True, NOW)
        assert aws.asked == ["verify", "configure", "discover"]
        assert statuses(queued) == [available(account.user, 11)]

    def test_unpause_that_fails_leaves_the_account_disabled(self, aws, queued):
        account = make_aws_account(
            platform_application_id=11, platform_application_is_paused=True, is_enabled=False
        )
        aws.problem = VerificationFailedError(VerificationProblem.POLICY)
        unpause_application(application_id=11, trigger=KAFKA)
        account.refresh_from_db()
        assert not account.platform_application_is_paused
        assert not account.is_enabled
        assert statuses(queued) == [unavailable(account.user, 11, ErrorCode.CG3003)]

    def test_unpause_is_repeated_when_the_cloud_was_out_of_order(self, aws, queued):
        account = make_aws_account(
            platform_application_id=11, platform_application_is_paused=True, is_enabled=False
        )
        aws.problem = TransientCloudError()
        with pytest.raises(TransientCloudError):
            unpause_application(application_id=11, trigger=KAFKA)
        aws.problem = None
        unpause_application(application_id=11, trigger=KAFKA)
        account.refresh_from_db()
        assert account.is_enabled

    def test_all_accounts_of_an_application(self, aws, azure, queued):
        for make in (make_aws_account, make_azure_account):
            make(platform_application_id=11)
        other = make_account(platform_application_id=12)
        assert pause_application(application_id=11, trigger=KAFKA) == 2
        assert unpause_application(application_id=11, trigger=KAFKA) == 2
        assert len(statuses(queued)) == 2
        other.refresh_from_db()
        assert other.is_enabled

    def test_unknown_application(self, aws, queued):
        assert pause_application(application_id=11, trigger=KAFKA) == 0
        assert unpause_application(application_id=11, trigger=KAFKA) == 0


def test_state_log_names_the_kafka_message(aws, queued):
    account = make_account(platform_application_id=11)
    pause_application(application_id=11, trigger=Trigger("kafka", "events", 2, 77))
    row = AccountState.objects.filter(account_id=account.id).first()
    assert (row.topic, row.partition, row.offset) == ("events", 2, 77)
    assert row.cloud_account_number == account.aws_account_id
    assert row.user_id == account.user_id

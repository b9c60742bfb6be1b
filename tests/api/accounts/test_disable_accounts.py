"""The command disable_accounts (spec 03 §12)."""

import builtins

import pytest
from django.core.management import call_command

from api.accounts import lifecycle
from api.management.commands import disable_accounts
from api.models import CloudAccount, InstanceEvent
from tests.api.accounts.statuses import statuses, unavailable
from tests.factories import make_aws_account, make_event, make_instance

pytestmark = pytest.mark.django_db


@pytest.fixture
def accounts(aws):
    accounts = [make_aws_account() for _ in range(2)]
    for account in accounts:
        make_event(instance=make_instance(account=account))
    make_aws_account(is_enabled=False)
    return accounts


def answer(monkeypatch, text):
    def reply(*_):
        if text is None:
            raise EOFError
        return text

    monkeypatch.setattr(builtins, "input", reply)


@pytest.mark.parametrize("text", ["n", "", "yes", "no", None])
def test_scenario_35_no(accounts, queued, monkeypatch, capsys, text):
    answer(monkeypatch, text)
    call_command("disable_accounts")
    shown = capsys.readouterr().out
    assert "Found 2 CloudAccount objects to disable." in shown
    assert (
        "This will DISABLE all enabled 2 CloudAccount objects. "
        "Are you SURE you want to proceed? [y/N] " in shown
    )
    assert shown.endswith("Aborting.\n")
    assert CloudAccount.objects.filter(is_enabled=True).count() == 2


@pytest.mark.parametrize("text", ["y", "Y"])
def test_yes(accounts, queued, monkeypatch, capsys, text):
    answer(monkeypatch, text)
    call_command("disable_accounts")
    assert "Successfully disabled 2 accounts." in capsys.readouterr().out


def test_scenario_35_confirmed(accounts, queued, capsys):
    call_command("disable_accounts", confirm=True)
    assert not CloudAccount.objects.filter(is_enabled=True).exists()
    assert statuses(queued) == [
        unavailable(account.user, account.platform_application_id) for account in accounts
    ]
    assert not InstanceEvent.objects.filter(event_type="power_off").exists()
    assert "[y/N]" not in capsys.readouterr().out


def test_nothing_to_disable(capsys):
    call_command("disable_accounts", confirm=True)
    assert capsys.readouterr().out == "No enabled CloudAccount objects exist.\n"


def test_never_in_production(accounts, settings, queued, capsys):
    settings.IS_PRODUCTION = True
    call_command("disable_accounts", confirm=True)
    assert capsys.readouterr().out == "You cannot run this command in production.\n"
    assert CloudAccount.objects.filter(is_enabled=True).count() == 2


def test_account_is_disabled_though_sources_can_not_be_told(accounts, queued, monkeypatch, capsys):
    monkeypatch.setattr(lifecycle, "notify_unavailable", lambda **_: 1 / 0)
    call_command("disable_accounts", confirm=True)
    assert not CloudAccount.objects.filter(is_enabled=True).exists()
    assert "Successfully disabled 2 accounts." in capsys.readouterr().out


def test_other_errors_skip_the_account(accounts, queued, monkeypatch, capsys):
    disable = disable_accounts.disable_account

    def fail_for_first(**arguments):
        if arguments["account_id"] == accounts[0].id:
            raise ZeroDivisionError
        return disable(**arguments)

    monkeypatch.setattr(disable_accounts, "disable_account", fail_for_first)
    call_command("disable_accounts", confirm=True)
    assert "Successfully disabled 1 accounts." in capsys.readouterr().out
    assert CloudAccount.objects.get(is_enabled=True) == accounts[0]

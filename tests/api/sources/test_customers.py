"""One customer has one queue, whatever ids its messages carry (fault 9, decision 40)."""

import itertools
import random
import threading
import time
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.accounts.users import get_or_create_user
from api.models import InboxMessage, User
from api.sources import inbox, work
from api.sources.messages import CREATE, Tenant
from api.sources.work import ChildTask, MessageOutcome, work_for_customer_of, work_on_child_task
from tests.api.sources.stored import received, store
from tests.factories import make_user
from tests.threads import in_thread, in_threads
from util import postgres

pytestmark = [pytest.mark.django_db, pytest.mark.random_history]

BOTH = Tenant("1701", "3340851")
ACCOUNT = Tenant("1701", None)
ORG = Tenant(None, "3340851")
DONE = MessageOutcome("done")


def send(*tenants):
    """Store messages of these tenants, one batch; returns their ids."""
    return store(*[received(tenant=tenant) for tenant in tenants])


def queues():
    return list(InboxMessage.objects.order_by("id").values_list("customer_key", flat=True))


class TestTies:
    @pytest.mark.parametrize("order", list(itertools.permutations([BOTH, ACCOUNT, ORG])))
    @pytest.mark.parametrize("batches", [1, 3])
    def test_message_with_both_ids_ties_them_together(self, order, batches):
        if batches == 1:
            send(*order)
        else:
            for tenant in order:
                send(tenant)
        assert queues() == ["account 1701"] * 3

    @pytest.mark.parametrize("order", list(itertools.permutations([ACCOUNT, ORG])))
    def test_user_ties_them_together(self, order):
        make_user(account_number="1701", org_id="3340851")
        for tenant in order:
            send(tenant)
        assert queues() == ["account 1701"] * 2

    def test_user_who_is_deleted_meanwhile_has_tied_them_together(self):
        user = make_user(account_number="1701", org_id="3340851")
        send(ACCOUNT)
        user.delete()
        send(ORG)
        assert queues() == ["account 1701"] * 2

    def test_user_who_is_made_meanwhile_ties_what_waits(self):
        send(ORG)
        make_user(account_number="1701", org_id="3340851")
        send(ACCOUNT)
        assert queues() == ["account 1701"] * 2

    @pytest.mark.parametrize("state", ["waiting", "working", "handed_on", "failed"])
    def test_unfinished_message_ties(self, state):
        send(BOTH)
        InboxMessage.objects.update(state=state)
        send(ACCOUNT, ORG)
        assert queues() == ["account 1701"] * 3

    @pytest.mark.parametrize("state", ["processed", "dead"])
    def test_finished_message_ties_nothing(self, state):
        """Where its work has made no user, nobody says that the two are one customer."""
        send(BOTH)
        InboxMessage.objects.update(state=state)
        send(ACCOUNT, ORG)
        assert queues()[1:] == ["account 1701", "org 3340851"]

    def test_nothing_is_tied_without_a_reason(self):
        send(ACCOUNT, ORG)
        assert queues() == ["account 1701", "org 3340851"]

    def test_customer_without_account_number(self):
        make_user(account_number=None, org_id="3340851")
        send(ORG, ORG)
        assert queues() == ["org 3340851"] * 2

    def test_messages_of_nobody(self):
        send(Tenant(None, None), Tenant(None, None))
        assert queues() == ["partition 0"] * 2


class TestConflicts:
    """Tenants do not influence each other: the account number wins (decisions 8 and 26)."""

    def test_org_id_of_another_user_ties_nothing(self):
        make_user(account_number="1701", org_id="3340851")
        send(ORG, Tenant("9", "3340851"), ORG)
        assert queues() == ["account 1701", "account 9", "account 1701"]

    def test_org_id_of_another_waiting_message_ties_nothing(self):
        send(BOTH, Tenant("9", "3340851"), ORG)
        assert queues() == ["account 1701", "account 9", "account 1701"]

    def test_user_with_another_org_id_is_left_unchanged(self):
        make_user(account_number="1701", org_id="1")
        make_user(account_number=None, org_id="3340851")
        send(ORG, BOTH, ORG, Tenant(None, "1"))
        assert queues() == ["org 3340851", "account 1701", "org 3340851", "account 1701"]

    def test_account_number_that_looks_like_an_org_id(self):
        send(Tenant("1", None), Tenant(None, "1"))
        assert queues() == ["account 1", "org 1"]


def test_messages_that_an_older_version_stored_are_joined():
    """It named the queue by the org id, whatever else a message said."""
    send(BOTH)
    InboxMessage.objects.update(customer_key="org 3340851", account_number=None, org_id=None)
    send(BOTH)
    assert queues() == ["account 1701"] * 2


def test_dead_message_comes_back_into_the_queue_of_today(queued):
    (dead,) = send(ORG)
    InboxMessage.objects.filter(id=dead).update(state="dead")
    make_user(account_number="1701", org_id="3340851")
    send(ACCOUNT)
    assert inbox.retry() == 1
    assert queues() == ["account 1701"] * 2


def test_dead_message_whose_sender_no_column_holds_does_not_keep_others_dead():
    """An older version has stored such; nothing but being malformed comes of it."""
    ids = send(ORG, ORG)
    InboxMessage.objects.update(state="dead")
    InboxMessage.objects.filter(id=ids[0]).update(headers=[["x-rh-sources-org-id", "9" * 1000]])
    assert inbox.retry() == 2
    assert queues() == ["partition 0", "org 3340851"]


TENANTS = st.builds(
    Tenant,
    st.none() | st.sampled_from(["a", "b", "c"]),
    st.none() | st.sampled_from(["x", "y", "z"]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", None]))),
    st.lists(st.lists(TENANTS, min_size=1, max_size=4), max_size=6),
)
def test_account_numbers_never_share_a_queue_and_each_has_one(users, batches):
    InboxMessage.objects.all().delete()
    User.objects.all().delete()
    for account_number, org_id in dict(users).items():
        taken = User.objects.filter(org_id=org_id, org_id__isnull=False).exists()
        if account_number or org_id:
            make_user(account_number=account_number, org_id=None if taken else org_id)
    sent = []
    for batch in batches:
        send(*batch)
        sent += batch
    queue_of_account = {}
    for tenant, queue in zip(sent, queues(), strict=True):
        if tenant.account_number:
            assert queue == f"account {tenant.account_number}"
            queue_of_account[tenant.account_number] = queue
    by_org: dict[str, set[str]] = {}
    for tenant, queue in zip(sent, queues(), strict=True):
        if tenant.org_id and not tenant.account_number:
            by_org.setdefault(tenant.org_id, set()).add(queue)
    assert all(len(found) == 1 for found in by_org.values())


class Recorder:
    """Works on messages, and sees to it that no two of one customer are in work at once."""

    def __init__(self, seconds=0.01):
        self.order = []
        self.at_work = 0
        self.most = 0
        self._seconds = seconds
        self._lock = threading.Lock()

    def __call__(self, message):
        with self._lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        time.sleep(self._seconds)
        with self._lock:
            self.at_work -= 1
            self.order.append(message.id)
        return DONE


def work_on(inbox_id, handle):
    work_for_customer_of(inbox_id, handle=handle, give_up=lambda *_: None)


@pytest.fixture
def unpublished(monkeypatch):
    monkeypatch.setattr(work, "publish_later", lambda *_, **__: None)
    monkeypatch.setattr(work, "enqueue", lambda *_, **__: None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unpublished")
class TestOrder:
    def test_workers_keep_it_whatever_ids_messages_carry(self):
        tenants = [random.Random(number).choice([BOTH, ACCOUNT, ORG]) for number in range(40)]
        ids = send(BOTH, *tenants)
        record = Recorder()
        random.Random(1).shuffle(ids)

        def run(share):
            for inbox_id in share:
                work_on(inbox_id, record)

        in_threads(*[partial(run, ids[number::4] * 2) for number in range(4)])
        assert record.most == 1
        assert record.order == sorted(ids)

    def test_queues_that_are_joined_while_they_are_worked_on(self):
        """Before, they may run side by side; from then on one message at a time, in order."""
        first, second = send(ACCOUNT, ORG)
        begun, go_on = threading.Event(), threading.Event()

        def slow(message):
            begun.set()
            assert go_on.wait(60)
            return DONE

        working = in_thread(partial(work_on, second, slow))
        assert begun.wait(60)
        third, fourth = send(BOTH, ORG)
        record = Recorder()
        for inbox_id in (first, third, fourth):
            work_on(inbox_id, record)
        assert record.order == []
        go_on.set()
        working.result(60)
        work_on(fourth, record)
        done = InboxMessage.objects.filter(state="processed").order_by("finished_at")
        assert list(done.values_list("id", flat=True)) == [second, first, third, fourth]

    def test_worker_goes_on_with_the_queue_that_its_own_was_joined_with(self):
        (first,) = send(ORG)
        record = Recorder()

        def join(message):
            if message.id == first:
                send(BOTH)
            return record(message)

        work_on(first, join)
        assert len(record.order) == 2

    def test_listener_and_workers_at_once(self):
        """Queues are joined while workers take messages out of them: none is lost or overtaken."""
        record = Recorder(seconds=0.002)
        done = threading.Event()
        choose = random.Random(2)
        tying = []

        def handle(message):
            outcome = record(message)
            if message.account_number and message.org_id:
                get_or_create_user(account_number="1701", org_id="3340851")
            return outcome

        def listen():
            try:
                send(ACCOUNT, ORG)
                tying.extend(send(BOTH))
                for _ in range(15):
                    send(*[choose.choice([BOTH, ACCOUNT, ORG]) for _ in range(2)])
            finally:
                done.set()

        def run():
            while not done.is_set() or InboxMessage.objects.exclude(state="processed").exists():
                for inbox_id in InboxMessage.objects.exclude(state="processed").values_list(
                    "id", flat=True
                )[:3]:
                    work_on(inbox_id, handle)

        in_threads(listen, run, run, run)
        assert sorted(record.order) == list(
            InboxMessage.objects.order_by("id").values_list("id", flat=True)
        )
        tied = InboxMessage.objects.filter(id__gte=tying[0])
        assert set(tied.values_list("customer_key", flat=True)) == {"account 1701"}
        order = [inbox_id for inbox_id in record.order if inbox_id >= tying[0]]
        assert order == sorted(order)

    @pytest.mark.parametrize("state", ["working", "handed_on"])
    def test_revived_message_waits_for_the_one_in_work(self, state):
        """It comes first by its place, and must not be worked on beside a later one."""
        dead, later = send(ORG, ORG)
        InboxMessage.objects.filter(id=dead).update(state="dead")
        soon = postgres.now().replace(year=2100)
        InboxMessage.objects.filter(id=later).update(
            state=state, lease_until=soon, lease_token="0" * 32, child_tasks=["x"]
        )
        inbox.retry([dead])
        record = Recorder()
        work_on(dead, record)
        assert record.order == []
        InboxMessage.objects.filter(id=later).update(state="processed", lease_until=None)
        work_on(dead, record)
        assert record.order == [dead]

    def test_child_task_ends_before_a_revived_message_begins(self):
        dead, later = send(ORG, ORG)
        InboxMessage.objects.filter(id=dead).update(state="dead")
        begun = MessageOutcome("begun", [ChildTask("x", "api.tasks.enable_account", (1,))])
        work_on(later, lambda message: begun)
        inbox.retry([dead])
        record = Recorder()
        work_on(later, record)
        assert record.order == []
        work_on_child_task(later, "x", work=record, handle=record, give_up=lambda *_: None)
        assert record.order == [later, dead]


def test_what_a_message_is_about_is_stored():
    store(received(event_type=CREATE, value={"application_id": "11", "authentication_id": 22}))
    row = InboxMessage.objects.get()
    assert (row.application_id, row.authentication_id) == (11, 22)

"""Select what is for us in a batch of files, by what is stored of their accounts (04 §8.5)."""

from collections.abc import Sequence

from api.clouds.aws.cloudtrail.filter import select_relevant
from api.clouds.aws.cloudtrail.ingest_log import FileResult
from api.clouds.aws.metered_times import metered_spans
from api.clouds.aws.selectors import Account, load_accounts


def select_from_files(file_results: Sequence[FileResult]) -> dict[int, Account]:
    """Note in the result of each file what is for us; return all accounts that they mention, by id.

    A replayed file is judged by when its accounts were metered (spec 10 §3, acceptance 4).
    """
    logs = [(one, one.file.log) for one in file_results if one.file.log]
    accounts = load_accounts(account_id for _, log in logs for account_id in log.account_ids)
    is_replay = any(one.file.is_replayed for one, _ in logs)
    metered = metered_spans(accounts.values()) if is_replay else None
    for one, log in logs:
        one.relevant = select_relevant(log, accounts, metered if one.file.is_replayed else None)
    return {account.id: account for account in accounts.values()}

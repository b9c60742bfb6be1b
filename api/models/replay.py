"""Replays of log files, so that an interrupted one goes on where it was (spec 10 §3.2)."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class LogReplay(models.Model):
    """A replay of the log files of some days, and how far it came.

    ``position`` is the key of the last file that was worked on; files are worked on in the order of
    account, region and day. ``failed_keys`` are tried again at the end, and by the next attempt.
    """

    aws_account_id = models.CharField(max_length=12, blank=True, help_text="empty: all")
    region = models.CharField(max_length=64, blank=True, help_text="empty: all")
    since = models.DateField()
    until = models.DateField(help_text="inclusive")
    missing_only = models.BooleanField(default=False)
    restore = models.BooleanField(default=False)
    position = models.TextField(blank=True)
    is_walked = models.BooleanField(default=False)
    failed_keys = models.JSONField(default=list)
    found = models.BigIntegerField(default=0)
    known = models.BigIntegerField(default=0)
    replayed = models.BigIntegerField(default=0)
    archived = models.BigIntegerField(default=0)
    restoring = models.BigIntegerField(default=0)
    no_logs = models.BigIntegerField(default=0, db_default=0)
    started_at = models.DateTimeField(db_default=Now())
    worked_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["aws_account_id", "region", "since", "until", "missing_only", "restore"],
                condition=Q(finished_at__isnull=True),
                name="logreplay_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"replay of {self.aws_account_id or 'all accounts'} {self.since} to {self.until}"

"""A customer of Red Hat (spec 03 §10, 01 §2.3) and the lock that serialises work on one."""

import datetime
import uuid
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q

from api.models.base import Timestamped
from util import clock


def new_uuid() -> str:
    """Return a random UUID4 as text."""
    return str(uuid.uuid4())


class UserManager(BaseUserManager["User"]):
    """Makes users; the get-or-create rule of spec 03 §10.1 lives in ``api.accounts.users``."""

    def create_user(
        self,
        account_number: str | None = None,
        org_id: str | None = None,
        password: str | None = None,
        **fields: Any,
    ) -> "User":
        """Create a user together with its task lock; without a password it cannot log in."""
        user = self.model(account_number=account_number, org_id=org_id, **fields)
        if password:
            user.set_password(password)
        else:
            user.set_unusable_password()
        user.save(using=self._db)
        UserTaskLock.objects.using(self._db).create(user=user)
        return user

    def create_superuser(
        self, account_number: str, password: str | None = None, **fields: Any
    ) -> "User":
        """Create an operator who may use Django's admin (never mounted in production)."""
        fields |= {"is_superuser": True, "is_active": True, "is_permanent": True}
        return self.create_user(account_number=account_number, password=password, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """One Red Hat customer account, known by account number, org id, or both."""

    uuid = models.CharField("User Unique Id", max_length=150, unique=True, default=new_uuid)
    account_number = models.CharField("Account Number", max_length=150, unique=True, null=True)  # noqa: DJ001
    org_id = models.CharField("Org Id", max_length=150, unique=True, null=True)  # noqa: DJ001
    date_joined = models.DateTimeField(default=clock.now)
    is_active = models.BooleanField(default=False)
    is_permanent = models.BooleanField(default=False)

    objects = UserManager()

    USERNAME_FIELD = "account_number"

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"user {self.pk} (account {self.account_number}, org {self.org_id})"

    @property
    def username(self) -> str | None:
        """Old alias of the account number, still shown by the internal API."""
        return self.account_number

    @property
    def joined_on(self) -> datetime.date:
        """Return the UTC date on which the customer joined."""
        return self.date_joined.astimezone(datetime.UTC).date()

    @property
    def is_staff(self) -> bool:
        """Return whether the user may enter Django's admin."""
        return self.is_superuser


class UserTaskLock(Timestamped):
    """Row that a transaction locks to be the only one working on a user (spec 03 §11).

    ``locked`` is true only inside the holding transaction: committed rows always show false.
    """

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="task_lock")
    locked = models.BooleanField(default=False)

    class Meta:
        indexes = [
            models.Index(fields=["created_at", "id"], name="usertasklock_created"),
            models.Index(fields=["user"], name="usertasklock_held", condition=Q(locked=True)),
        ]

    def __str__(self) -> str:
        return f"task lock of user {self.user_id}"

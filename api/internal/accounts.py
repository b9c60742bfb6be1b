"""Customers' cloud accounts, read and write (spec 02 §5.4, §5.5)."""

from typing import Any

from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema
from msgspec import to_builtins
from rest_framework import mixins, serializers, status
from rest_framework.exceptions import AuthenticationFailed, NotFound, ValidationError
from rest_framework.fields import empty
from rest_framework.request import Request
from rest_framework.response import Response

from api.accounts.creation import PlatformIds, create_account
from api.accounts.deletion import delete_account, delete_user_if_unused
from api.accounts.errors import (
    AccountError,
    DuplicateAccountError,
    InvalidTokenError,
    PlatformIdsTakenError,
)
from api.accounts.locking import locked_account
from api.accounts.states import API, OPERATOR
from api.accounts.users import UnusableIdError, UserConflictError, get_or_create_user
from api.clouds.aws.arn import InvalidArnError, parse_arn
from api.internal.access import caller_of
from api.internal.browse import BrowsableResource, browse
from api.internal.parsing import BIGINT_END
from api.internal.resources import CLOUD_ACCOUNTS
from api.models import CloudAccount, CloudType
from api.public.authentication import InternalOptionalAuthentication
from api.public.resources import ACCOUNTS as PUBLIC_ACCOUNTS
from api.public.resources import CloudAccount as PublicCloudAccount
from api.public.shapes import serializer_of
from api.sources.messages import TENANT_ID_LENGTH
from util.tasks import enqueue

ACCOUNTS = BrowsableResource(
    name="accounts", model="Account", rows=CloudAccount.objects.all, fields={}, filters={}
)

PAIR_TAKEN = (
    "The fields platform_authentication_id, platform_application_id must make a unique set."
)
REQUIRED = "This field is required."
TOO_LONG = f"Ensure this field has no more than {TENANT_ID_LENGTH} characters."
NOT_ENABLED = "Could not enable cloud account. Please check your credentials."

TOKEN_NAMES = {CloudType.AWS: "account_arn", CloudType.AZURE: "subscription_id"}
"""The member that names the account, by cloud."""


def _valid_arn(text: str) -> None:
    try:
        parse_arn(text)
    except InvalidArnError as error:
        raise ValidationError("Invalid ARN.") from error


class PlatformIdField(serializers.IntegerField):
    """An id of the sources service."""

    def __init__(self) -> None:
        super().__init__(min_value=-BIGINT_END, max_value=BIGINT_END - 1)


class AccountCreationSerializer(serializers.Serializer):
    """What makes an account."""

    cloud_type = serializers.ChoiceField(choices=CloudType.choices)
    account_arn = serializers.CharField(required=False, validators=[_valid_arn])
    subscription_id = serializers.CharField(required=False)
    platform_authentication_id = PlatformIdField()
    platform_application_id = PlatformIdField()
    platform_source_id = PlatformIdField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse authentication and application of another account."""
        pair = {
            name: attrs.get(name, getattr(self.instance, name, None))
            for name in ("platform_authentication_id", "platform_application_id")
        }
        others = CloudAccount.objects.all()
        if isinstance(self.instance, CloudAccount):
            others = others.exclude(id=self.instance.id)
        if others.filter(**pair).exists():
            raise ValidationError(PAIR_TAKEN)
        return attrs

    def to_representation(self, account: CloudAccount) -> dict[str, Any]:
        """Show an account as the public API does."""
        return _shown(account)


class FlagField(serializers.BooleanField):
    """A flag that a form, too, can leave out."""

    default_empty_html = empty


class AccountUpdateSerializer(AccountCreationSerializer):
    """What may be sent for an existing account; what it is cannot be changed, only repeated."""

    platform_application_is_paused = FlagField(required=False)

    CHANGEABLE = (
        "platform_authentication_id",
        "platform_application_id",
        "platform_source_id",
        "platform_application_is_paused",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse another cloud, subscription or ARN. Raises ValidationError naming all of them."""
        account = self.instance
        assert isinstance(account, CloudAccount)
        errors = {}
        if attrs.get("cloud_type", account.cloud_type) != account.cloud_type:
            errors["cloud_type"] = ["You cannot update field cloud_type."]
        stored_id = account.subscription_id and str(account.subscription_id)
        if attrs.get("subscription_id", stored_id or "").lower() != (stored_id or ""):
            errors["subscription_id"] = ["You cannot update field subscription_id."]
        if attrs.get("account_arn", account.account_arn) != account.account_arn:
            errors["account_arn"] = ["You cannot update account_arn."]
        if errors:
            raise ValidationError(errors)
        return super().validate(attrs)

    def update(self, instance: CloudAccount, validated_data: dict[str, Any]) -> CloudAccount:
        """Store the changes. Raises ValidationError if another account was quicker."""
        changes = {name: validated_data[name] for name in self.CHANGEABLE if name in validated_data}
        try:
            with locked_account(instance.id) as account, transaction.atomic():
                if account is None:
                    raise NotFound
                for name, value in changes.items():
                    setattr(account, name, value)
                account.save(update_fields=list(changes))
        except IntegrityError as error:
            raise ValidationError({"non_field_errors": [PAIR_TAKEN]}) from error
        return account


class CreateUserAuthentication(InternalOptionalAuthentication):
    """For who makes an account: the customer must be named, but need not be known yet.

    The user is made by the view, and only stays if the account does.
    """

    tenant_required = True


class InternalAccountsView(mixins.UpdateModelMixin, browse(ACCOUNTS, AccountUpdateSerializer)):  # type: ignore[misc]
    """Browse `accounts`; make, change and delete them."""

    def get_authenticators(self) -> list[Any]:
        """Demand to know whose account it will be."""
        if self.request is not None and self.request.method == "POST" and not self.detail:
            return [CreateUserAuthentication()]
        return super().get_authenticators()

    @extend_schema(
        request=AccountCreationSerializer, responses={201: serializer_of(PublicCloudAccount)}
    )
    def create(self, request: Request) -> Response:
        """Make an account and enable it, or leave nothing behind."""
        serializer = AccountCreationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        token_name = TOKEN_NAMES[data["cloud_type"]]
        if token_name not in data:
            raise ValidationError({token_name: REQUIRED})
        caller = caller_of(request)
        try:
            user = get_or_create_user(account_number=caller.account_number, org_id=caller.org_id)
        except UserConflictError as error:
            raise AuthenticationFailed from error
        except UnusableIdError as error:
            raise ValidationError({error.field: [TOO_LONG]}) from error
        try:
            account = create_account(
                user=user,
                cloud_type=data["cloud_type"],
                token=data[token_name],
                platform_ids=PlatformIds(
                    authentication_id=data["platform_authentication_id"],
                    application_id=data["platform_application_id"],
                    source_id=data["platform_source_id"],
                ),
                trigger=API,
                retry_transient=False,
            )
        except AccountError as error:
            if not request.user.is_authenticated:
                delete_user_if_unused(user_id=user.id)
            raise _refusal(error, token_name) from error
        return Response(_shown(account), status=status.HTTP_201_CREATED)

    @extend_schema(responses={202: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Queue the deletion; the account is there until that is done."""
        enqueue("api.tasks.delete_cloud_account", self.get_object().id)
        return Response(status=status.HTTP_202_ACCEPTED)


def _shown(account: CloudAccount) -> dict[str, Any]:
    """Show an account as the public API does."""
    shown: dict[str, Any] = to_builtins(PUBLIC_ACCOUNTS.of_model(account))
    return shown


def _refusal(error: Exception, token_name: str) -> ValidationError:
    """Return why there is no account, under the member that is at fault."""
    if isinstance(error, PlatformIdsTakenError):
        return ValidationError({"non_field_errors": [PAIR_TAKEN]})
    if isinstance(error, DuplicateAccountError | InvalidTokenError):
        return ValidationError({token_name: error.code.message})
    return ValidationError({"is_enabled": NOT_ENABLED})


class CloudAccountsView(browse(CLOUD_ACCOUNTS)):  # type: ignore[misc]
    """Browse `cloudaccounts`; delete them with all that belongs to them."""

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the account here and now, and its user with the last one."""
        if not delete_account(account_id=self.get_object().id, trigger=OPERATOR):
            raise NotFound
        return Response(status=status.HTTP_204_NO_CONTENT)

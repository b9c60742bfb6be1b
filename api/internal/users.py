"""Users, their task locks, and the schedule: what operators may change (spec 02 §5.5)."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from rest_framework import mixins, serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.accounts import users
from api.internal.browse import browse
from api.internal.resources import PERIODIC_TASKS, USER_TASK_LOCKS, USERS
from api.models import User
from util import clock


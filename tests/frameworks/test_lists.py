"""The shipped lists fit the frameworks that they were learned from: the code behind each name is the reviewed one."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from model_inbox.pickles.allowlist import FRAMEWORKS, read_list
from model_inbox.pickles.hooks import differences, fetch
from model_inbox.pickles.rules import state_rules

"""Why a servicer refuses, for tests that call it without a wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason


def refused(call: Callable[..., Any], *arguments: Any, **named: Any) -> ProviderReason:
    """The reason for which a call is refused."""
    with pytest.raises(ProviderError) as error:
        call(*arguments, **named)
    return error.value.reason


def fields(call: Callable[..., Any], *arguments: Any, **named: Any) -> list[str]:
    """The fields that a refused call names."""
    with pytest.raises(InvalidFieldsError) as error:
        call(*arguments, **named)
    return list(error.value.violations)

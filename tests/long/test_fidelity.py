"""Status fidelity, ten thousand of ten thousand (``make test-fidelity``)."""

from pathlib import Path

import pytest

from tests.support.federation import Federation
from tests.support.fidelity import differences

CALLS = 10_000


@pytest.mark.timeout(600)
def test_ten_thousand_refusals_reach_the_program_as_they_were_said(tmp_path: Path) -> None:
    """As in ``make test``, ten times over."""
    with Federation(tmp_path) as federation:
        assert differences(federation, CALLS) == []
        assert len(federation.adapter.calls) >= CALLS

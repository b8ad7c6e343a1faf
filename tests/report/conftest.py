from __future__ import annotations

from pathlib import Path

import pytest
from reports_folder import make_reports


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return make_reports(tmp_path / "reports")

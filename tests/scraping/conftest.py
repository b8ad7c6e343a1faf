"""What several files of these tests use."""

from collections.abc import Iterator

import pytest

from pipeline.scraping.browser import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("records")) as browser:
        yield browser

"""Versions of TimescaleDB that `vitalflow db migrate` takes or refuses."""

import pytest

from sql.migrate import Edition
from vitals.errors import PermanentError


@pytest.mark.parametrize("version", ["2.18.0", "2.19.3", "2.23.0-dev", "3.0.1"])
def test_a_version_that_has_what_the_statements_use_is_taken(version: str) -> None:
    Edition(True, version, "17.12").require_supported()


@pytest.mark.parametrize("version", ["2.17.2", "2.9.1", "1.7.5"])
def test_an_older_version_is_refused_with_what_to_do(version: str) -> None:
    with pytest.raises(PermanentError, match=rf"{version}, and VitalFlow needs 2\.18 or newer.*ALTER EXTENSION"):
        Edition(False, version, "17.12").require_supported()

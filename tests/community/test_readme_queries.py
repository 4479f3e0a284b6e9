"""The ten questions of sql/README.md, asked on both editions as the reader."""

import re

import psycopg
import pytest

from sql.files import FOLDER
from tests.support.servers import Db

README = (FOLDER / "README.md").read_text(encoding="utf-8")
QUESTIONS = dict(re.findall(r"^\*\*([^*]+)\*\*(?:(?!```).)*```sql\n(.*?)^```$", README, re.DOTALL | re.MULTILINE))


def test_there_are_ten_queries() -> None:
    assert len(QUESTIONS) == len(re.findall(r"^```sql$", README, re.MULTILINE)) == 10


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_query_returns_rows(weeks: Db, question: str) -> None:
    # By SET ROLE, because the WebAssembly build lets everybody in as the superuser.
    with psycopg.connect(weeks.owner_url) as connection:
        connection.execute("SET ROLE vitalflow_reader")
        connection.execute("SET default_transaction_read_only = on")
        found = connection.execute(QUESTIONS[question].encode()).fetchall()
    assert found, "no row"
    assert any(value is not None for value in found[0])

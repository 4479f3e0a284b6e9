"""The settings of `alerts backtest`. Apart from the worker's, which loads no database driver."""

from pydantic import Field

from sql.settings import DatabaseSettings, DatabaseUrl


class ReaderSettings(DatabaseSettings):
    """The database that `alerts backtest` reads stored readings from."""

    reader_url: DatabaseUrl = Field(description="The database, as vitalflow_reader.")

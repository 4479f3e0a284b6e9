"""Retention and refresh periods: how long readings are kept, and how late a reading may arrive."""

from dataclasses import dataclass, fields
from datetime import timedelta

from vitals.errors import PermanentError


@dataclass(frozen=True)
class RetentionSettings:
    """The rows of the table `retention_setting`, which policies and functions read."""

    raw_retention: timedelta = timedelta(days=30)
    minute_retention: timedelta = timedelta(days=365)
    compress_after: timedelta = timedelta(days=7)
    late_after: timedelta = timedelta(hours=6)

    def __post_init__(self) -> None:
        """Raise PermanentError for periods under which one policy would drop data that another one keeps."""
        # The refresh windows extend back by late_after and up to 4 hours more. Where retention has dropped the readings
        # a refresh would empty the rollup.
        if self.late_after + timedelta(hours=4) > self.raw_retention:
            raise PermanentError(
                f"VITALFLOW_LATE_AFTER_HOURS is {self.late_after // timedelta(hours=1)}; with "
                f"VITALFLOW_RAW_RETENTION_DAYS {self.raw_retention.days} it must be at most "
                f"{self.raw_retention // timedelta(hours=1) - 4}"
            )
        if self.minute_retention < self.raw_retention:
            raise PermanentError(
                f"VITALFLOW_MINUTE_RETENTION_DAYS is {self.minute_retention.days}, less than "
                f"VITALFLOW_RAW_RETENTION_DAYS {self.raw_retention.days}: averages must be kept at least as long"
            )
        if self.compress_after <= self.late_after:
            raise PermanentError(
                f"VITALFLOW_COMPRESS_AFTER_DAYS is {self.compress_after.days}; it must be longer than "
                f"VITALFLOW_LATE_AFTER_HOURS {self.late_after // timedelta(hours=1)}"
            )

    def rows(self) -> list[tuple[str, timedelta]]:
        """Return the name and period of each setting."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

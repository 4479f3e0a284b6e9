"""Find the moment of a local time, which the end of summer time repeats and its start omits."""

from datetime import UTC, datetime, timedelta, tzinfo

_A_DAY = timedelta(days=1)


class InvalidTime(ValueError):
    """A text that is no moment; the text of the error is one sentence."""


def to_utc(local: datetime, zone: tzinfo, near: datetime | None = None, *, live: bool = False) -> datetime:
    """Return the moment at which a clock in `zone` showed the naive time `local`; raises InvalidTime.

    near   a moment close to it. In the hour that the end of summer time repeats, the nearer of both moments is meant;
           without `near` such a time is refused
    live   `near` is when it was received: within a day of it, a time in the hour that summer time omits is of a clock
           that was not put forward yet, and the nearer of both moments that it can mean is taken. Else it is refused
    """
    first = local.replace(tzinfo=zone).astimezone(UTC)
    if local.replace(tzinfo=zone, fold=1).astimezone(UTC) == first:
        return first
    both = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    real = [time for time in both if time.astimezone(zone).replace(tzinfo=None) == local]
    if not real and live and near is not None and abs(first - near) < _A_DAY:
        real = list(both)
    if not real:
        raise InvalidTime(f"{local:%Y-%m-%d %H:%M} does not exist in {zone}: the clock is put forward")
    if near is None:
        raise InvalidTime(f"{local:%Y-%m-%d %H:%M} exists twice in {zone}: the clock is put back; send an offset")
    return min(real, key=lambda time: abs(time - near))

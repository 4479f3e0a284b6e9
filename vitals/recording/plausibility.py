"""Detect values that are in another unit than stated."""


def other_unit(key: str, low: float, high: float) -> str | None:
    """Return the unit that all values of a sign, from `low` to `high`, look like if it is not the unit of the sign.

    Only what no patient has in a whole recording: a saturation of at most 1 %, a systolic pressure below 40 mmHg. A
    temperature may also be that of something else.
    """
    if key == "spo2" and 0 < high <= 1:
        return "a fraction"
    if key == "temperature" and low >= 80 and high <= 115:
        return "degrees Fahrenheit"
    if key == "temperature" and high < 30:
        return "that of a room or a device"
    if (key == "systolic_bp" and 0 < high < 40) or (key == "diastolic_bp" and 0 < high < 20):
        return "kPa"
    if key == "resp_rate" and 0 < high < 3:
        return "intervals between two heart beats in seconds, or a waveform"
    return None

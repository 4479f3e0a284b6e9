"""The addresses: built and taken apart."""

from datetime import UTC, datetime

import pytest

from vitals.errors import PermanentError
from vitals.settings import Settings
from vitals.topics import DeviceAddress, InvalidTopic, Topics


def test_what_is_built_is_taken_apart_again() -> None:
    for root in ("vitalflow", "hospital/site-2"):
        topics = Topics(root)
        assert topics.parse(topics.vitals("icu-1", "bed-1")) == ("vitals", DeviceAddress("icu-1", "bed-1"))
        assert topics.parse(topics.status("ICU \N{HEBREW LETTER ALEF}", "\N{HOSPITAL}")) == (
            "status",
            DeviceAddress("ICU \N{HEBREW LETTER ALEF}", "\N{HOSPITAL}"),
        )
        assert topics.parse(topics.limits("icu-1", "bed-1"))[0] == "limits"
        assert topics.parse(topics.assignments("icu-1", "bed-1"))[0] == "assignments"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "vitalflow",
        "vitalflow/vitals/icu-1",
        "vitalflow/vitals/icu-1/bed-1/more",
        "vitalflow/vitals//bed-1",
        "vitalflow/vitals/icu-1/",
        "vitalflow/vitals/icu-1/bed\t1",
        "vitalflow/vitals/icu-1/" + "x" * 201,
        "vitalflow/orders/icu-1/bed-1",
        "vitalflows/vitals/icu-1/bed-1",
        "other/vitals/icu-1/bed-1",
    ],
)
def test_an_invalid_topic_is_rejected_with_a_reason(topic: str) -> None:
    with pytest.raises(InvalidTopic, match="does not fit vitalflow/vitals/WARD/DEVICE"):
        Topics().parse(topic)


@pytest.mark.parametrize(
    ("patterns", "listed"),
    [
        ("", False),
        ("icu-1/bed-1", True),
        ("icu-1/+", True),
        ("+/bed-1", True),
        ("+/+", True),
        ("icu-2/+,+/bed-2", False),
    ],
)
def test_listed_devices_get_the_time_of_arrival_except_for_retained_messages(patterns: str, listed: bool) -> None:
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    topics = Settings.read({"VITALFLOW_ARRIVAL_TIME_DEVICES": patterns}).topics
    place = DeviceAddress("icu-1", "bed-1")
    assert topics.time_of_arrival(place, now) == (now if listed else None)
    assert topics.time_of_arrival(place, now, retained=True) is None


@pytest.mark.parametrize("patterns", ["bed-1", "icu-1/", "icu-1/#", "icu-1/bed-1,", "icu+/bed-1", "a/b/c", "a/b, c/d"])
def test_a_wrong_list_of_devices_without_a_clock_is_rejected(patterns: str) -> None:
    with pytest.raises(PermanentError, match="expected WARD/DEVICE"):
        Settings.read({"VITALFLOW_ARRIVAL_TIME_DEVICES": patterns})

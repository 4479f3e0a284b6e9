"""The addresses: built and taken apart."""

import pytest

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

"""The broker's configuration: ours is fine, and each setting that loses data is named with the line to write."""

from pathlib import Path

import pytest

from ingest.mosquitto_conf import check_mosquitto_conf

OURS = (Path(__file__).parent.parent.parent / "mosquitto/mosquitto.conf").read_text()


def test_our_own_configuration_loses_nothing() -> None:
    assert list(check_mosquitto_conf(OURS, 4000)) == []


def test_the_defaults_of_mosquitto_are_named_one_by_one() -> None:
    told = list(check_mosquitto_conf("listener 1883\n# persistence true\n", 4000))
    for line in (
        "persistence true",
        "autosave_interval 10",
        "max_queued_messages 1000000",
        "max_inflight_messages 4000",
    ):
        assert any(sentence.endswith(f"write: {line}") for sentence in told), line
    assert len(told) == 4


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("persistence true", "persistence false", "persistence is off"),
        ("autosave_interval 10", "autosave_interval 1800", "loses up to 1800 s"),
        ("autosave_interval 10", "autosave_interval 0", "loses up to any number of s"),
        ("autosave_on_changes false", "autosave_on_changes true", "every 10 changes"),
        ("max_queued_messages 1000000", "max_queued_messages 1000", "the newest readings are dropped"),
        ("max_queued_messages 1000000", "max_queued_messages 0", "max_queued_messages is 0"),
        ("max_inflight_messages 4000", "max_inflight_messages 20", "below the receive maximum"),
    ],
)
def test_one_line_that_loses_data_is_one_complaint(line: str, instead: str, said: str) -> None:
    assert line in OURS
    (told,) = check_mosquitto_conf(OURS.replace(line, instead), 4000)
    assert said in told

"""check_mosquitto_conf: our file passes, and each setting that loses data is reported with the line to write."""

from pathlib import Path

import pytest

from ingest.mosquitto_conf import check_mosquitto_conf

OURS = (Path(__file__).parent.parent.parent / "mosquitto/mosquitto.conf").read_text()


def test_our_configuration_passes() -> None:
    assert list(check_mosquitto_conf(OURS, 4000)) == []


def test_each_default_of_mosquitto_that_loses_data_is_reported() -> None:
    sentences = list(check_mosquitto_conf("listener 1883\n# persistence true\n", 4000))
    for line in (
        "persistence true",
        "autosave_interval 10",
        "max_queued_messages 1000000",
        "max_inflight_messages 4000",
    ):
        assert any(sentence.endswith(f"write: {line}") for sentence in sentences), line
    assert len(sentences) == 4


@pytest.mark.parametrize(
    ("line", "replacement", "expected"),
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
def test_one_wrong_line_is_one_sentence(line: str, replacement: str, expected: str) -> None:
    assert line in OURS
    (sentence,) = check_mosquitto_conf(OURS.replace(line, replacement), 4000)
    assert expected in sentence

"""Check a mosquitto.conf for settings that lose data. Pure: text in, sentences out.

MQTT has no way to ask a broker for its limits, and Mosquitto's defaults persist nothing.
"""

from collections.abc import Iterator

MIN_QUEUED_MESSAGES = 100_000  # 1,000 devices at one reading a second fill it in less than two minutes
MAX_AUTOSAVE_S = 60


def check_mosquitto_conf(conf: str, receive_maximum: int) -> Iterator[str]:
    """Yield a sentence for each setting that loses readings or slows ingest down, with the line that corrects it.

    `receive_maximum` is what ingest asks for. Defaults and behaviour: mosquitto.conf(5), and measured with 2.0.21.
    """
    lines = map(str.strip, conf.splitlines())
    values = dict(line.split(None, 1) for line in lines if line.count(" ") and line[0] != "#")
    if values.get("persistence", "false") != "true":
        yield ("persistence is off: a restart loses every session and every queued reading; write: persistence true")
    autosave = _number(values.get("autosave_interval", "1800"))
    if values.get("autosave_on_changes", "false") == "true":
        if autosave < 1000:
            yield (
                f"autosave_on_changes rewrites the whole store every {autosave} changes, many times a second under "
                "load; write: autosave_on_changes false"
            )
    elif autosave == 0 or autosave > MAX_AUTOSAVE_S:
        yield f"a killed broker loses up to {autosave or 'any number of'} s of data; write: autosave_interval 10"
    queued = _number(values.get("max_queued_messages", "1000"))
    if queued < MIN_QUEUED_MESSAGES:
        yield (
            f"max_queued_messages is {queued}: when the queue is full, the newest readings are dropped while ingest "
            "is down; write: max_queued_messages 1000000"
        )
    inflight = _number(values.get("max_inflight_messages", "20"))
    if 0 < inflight < receive_maximum:
        yield (
            f"max_inflight_messages is {inflight}: it limits a client of MQTT 3.1.1 below the receive maximum; "
            f"write: max_inflight_messages {receive_maximum}"
        )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0

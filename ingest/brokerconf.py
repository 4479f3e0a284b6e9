"""Does the broker's configuration lose data? Read at start, where ingest is told the file, and said with the line to
write.

MQTT has no way to ask a broker for this, and Mosquitto's defaults keep nothing. Pure: text in, sentences out.
"""

from collections.abc import Iterator

LEAST_QUEUE = 100_000  # messages; 1,000 devices at 1 Hz fill it in less than two minutes
LONGEST_AUTOSAVE_S = 60


def complaints(conf: str, window: int) -> Iterator[str]:
    """What in a mosquitto.conf loses readings, each with the line that mends it. `window`: what ingest asks for.

    Defaults and behaviour: mosquitto.conf(5), and measured with 2.0.21.
    """
    said = dict(line.split(None, 1) for line in map(str.strip, conf.splitlines()) if line.count(" ") and line[0] != "#")
    if said.get("persistence", "false") != "true":
        yield "persistence is off: a restart forgets every session and every queued reading; write: persistence true"
    autosave = _number(said.get("autosave_interval", "1800"))
    if said.get("autosave_on_changes", "false") == "true":
        if autosave < 1000:
            yield (
                f"autosave_on_changes rewrites the whole store every {autosave} changes, many times a second under "
                "load; write: autosave_on_changes false"
            )
    elif autosave == 0 or autosave > LONGEST_AUTOSAVE_S:
        yield f"a broker that is killed loses up to {autosave or 'any number of'} s; write: autosave_interval 10"
    queue = _number(said.get("max_queued_messages", "1000"))
    if queue < LEAST_QUEUE:
        yield (
            f"max_queued_messages is {queue}: beyond it the newest readings are dropped while ingest is away; "
            "write: max_queued_messages 1000000"
        )
    inflight = _number(said.get("max_inflight_messages", "20"))
    if 0 < inflight < window:
        yield (
            f"max_inflight_messages is {inflight}: a client of MQTT 3.1.1 gets no wider window; "
            f"write: max_inflight_messages {window}"
        )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0

"""Start VitalFlow's services as child processes of a measurement, with default settings except for addresses."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench.environment import Environment
from stack.metrics import counter as read_counter
from stack.servers import Service, free_port


def service(environment: Environment, name: str, *arguments: str, settings: Mapping[str, str] | None = None) -> Service:
    """`python -m name arguments`, not started; it is ready once it is connected to the broker."""
    port = free_port()
    environ = {
        **os.environ,
        "VITALFLOW_MQTT_URL": environment.broker.url,
        "VITALFLOW_INGEST_URL": environment.ingest_url,
        f"VITALFLOW_{'STATION_PORT' if name == 'station' else f'{name.upper()}_METRICS_PORT'}": str(port),
        **(settings or {}),
    }
    sign = f"vitalflow_{name}_mqtt_connections_total"
    line = [sys.executable, "-m", name, *arguments]
    return Service(name, line, environment.folder / f"{name}.log", environ, port, sign)


@contextmanager
def running(
    environment: Environment, name: str, *arguments: str, settings: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """The program while the block runs; asked to end afterwards."""
    started = service(environment, name, *arguments, settings=settings)
    try:
        started.start()
        yield started
    finally:
        started.stop()


def counter(program: Service, name: str) -> float:
    """The value of one of its metrics; 0 if it does not answer."""
    assert program.port is not None
    return read_counter(program.port, f"vitalflow_{program.name}_{name}")

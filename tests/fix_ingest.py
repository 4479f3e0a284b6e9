"""An ingest process for tests: the real program, started, killed and stopped as a supervisor would."""

import os
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stack.servers import free_port
from tests.fix_process import ServiceProcess
from tests.fix_servers import Db


class IngestProcess(ServiceProcess):
    """`vitalflow ingest` with its settings, its log and its metrics."""

    def __init__(self, mqtt_url: str, db_url: str, log: Path, **settings: object) -> None:
        self.metrics_port = free_port()
        self.client_id = str(settings.pop("ingest_client_id", f"ingest-{uuid.uuid4().hex[:8]}"))
        environment = {
            **os.environ,
            "VITALFLOW_MQTT_URL": mqtt_url,
            "VITALFLOW_INGEST_URL": db_url,
            "VITALFLOW_INGEST_CLIENT_ID": self.client_id,
            "VITALFLOW_INGEST_METRICS_PORT": str(self.metrics_port),
            **{f"VITALFLOW_{key.upper()}": str(value) for key, value in settings.items()},
        }
        super().__init__(["ingest"], environment, log)

    def metric(self, name: str, **labels: str) -> float:
        """The present value of a metric, labels summed over where they are not given."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"vitalflow_ingest_{name}" and labels.items() <= sample.labels.items()
        )


MakeIngest = Callable[..., IngestProcess]


@pytest.fixture
def make_ingest(tmp_path: Path) -> Iterator[MakeIngest]:
    """Start ingest processes; all of them are gone when the test ends."""
    made: list[IngestProcess] = []

    def make(mqtt_url: str, db: Db, *, start: bool = True, **settings: object) -> IngestProcess:
        ingest = IngestProcess(mqtt_url, db.ingest_url, tmp_path / f"ingest-{len(made)}.log", **settings)
        made.append(ingest)
        return ingest.start() if start else ingest

    yield make
    for ingest in made:
        if ingest.process is not None and ingest.process.poll() is None:
            ingest.kill()
        sys.stdout.write(ingest.said())  # pytest shows it where the test failed

"""Ingest connects only when no message of the previous connection is in flight."""

from ingest.metrics import Metrics
from ingest.pipeline import Pipeline
from ingest.settings import IngestSettings


def test_it_is_not_drained_while_a_message_is_in_the_open_batch_or_with_the_writer() -> None:
    # The message id belongs to the lost connection. On the next one it could acknowledge another message.
    settings = IngestSettings.read({"VITALFLOW_INGEST_URL": "postgresql://u:p@127.0.0.1:1/d"})
    pipeline = Pipeline(settings, Metrics())
    assert pipeline.is_drained
    pipeline._builder.add(b"vitalflow/vitals/icu-1/bed-1", b"rubbish", 7, False)
    assert not pipeline.is_drained, "it is in the open batch"
    pipeline._submit_batch()
    assert not pipeline.is_drained, "it is with the writer"
    pipeline._wake.close()

"""When ingest may connect: never while it holds a message of the connection before."""

from ingest.metrics import Metrics
from ingest.pipeline import Pipeline
from ingest.settings import IngestSettings


def test_a_message_in_the_open_batch_or_with_the_writer_keeps_a_new_connection_waiting() -> None:
    # Its id belongs to the connection that is gone. Acknowledged on the next one, it could name another message there.
    settings = IngestSettings.read({"VITALFLOW_INGEST_URL": "postgresql://u:p@127.0.0.1:1/d"})
    pipeline = Pipeline(settings, Metrics())
    assert pipeline.is_drained
    pipeline._builder.add(b"vitalflow/vitals/icu-1/bed-1", b"rubbish", 7, False)
    assert not pipeline.is_drained, "it is in the open batch"
    pipeline._submit_batch()
    assert not pipeline.is_drained, "it is with the writer"
    pipeline._wake_in.close()
    pipeline._wake_out.close()

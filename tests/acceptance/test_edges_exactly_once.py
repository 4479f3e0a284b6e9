"""What an edge has acknowledged is in the table exactly once, although any of the processes is killed."""

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from identity.authority import CertificateAuthority, write_secret
from stack.servers import BrokerServer, DatabaseServer
from tests.fixtures.counts import ReportCount
from tests.fixtures.ingest import MakeIngest
from tests.support.edge import EdgeProcess, Hl7Sender, RepeatingSender, site_text
from tests.support.fhir import FhirSender, fhir_site
from tests.support.servers import Db, eventually
from tests.support.webhook import WebhookSender, webhook_site

pytestmark = pytest.mark.slow

BEDS = [f"bed-{number:02}" for number in range(1, 9)]
INTERVAL_S = 0.05
ROUNDS = int(os.environ.get("VITALFLOW_TEST_EDGE_ROUNDS", "2"))  # of each victim


Prepared = tuple[Path, Callable[[int, str, float], RepeatingSender], Sequence[str]]
"""The site's file, what makes a sender of a port, a bed and an interval, and the listener's options."""


def hl7(folder: Path, beds: Sequence[str]) -> Prepared:
    site = folder / "site.toml"
    site.write_text(site_text(beds))
    return site, Hl7Sender, ()


def webhook(folder: Path, beds: Sequence[str]) -> Prepared:
    return webhook_site(folder, beds), WebhookSender, ()


def fhir(folder: Path, beds: Sequence[str]) -> Prepared:
    authority = CertificateAuthority(folder / "ca")
    pair = authority.server_pair("edges", ["127.0.0.1"], datetime.now(UTC))
    certificate, key = folder / "edges.crt", folder / "edges.key"
    certificate.write_bytes(pair.certificate)
    write_secret(key, pair.key)
    sender_of = partial(FhirSender, ca=authority.ca_certificate)
    return fhir_site(folder, beds), sender_of, ("--certificate", str(certificate), "--key", str(key))


@pytest.mark.parametrize("prepare", [hl7, webhook, fhir])
def test_every_acknowledged_message_is_stored_exactly_once_whichever_process_is_killed(
    prepare: Callable[[Path, Sequence[str]], Prepared],
    own_broker: BrokerServer,
    own_database: tuple[DatabaseServer, Db],
    make_ingest: MakeIngest,
    tmp_path: Path,
    report_count: ReportCount,
) -> None:
    server, db = own_database
    ingest = make_ingest(own_broker.url, db, ingest_receipt_every_s=1)
    kind = prepare.__name__
    site, sender_of, options = prepare(tmp_path, BEDS)
    log = tmp_path / "edge.log"
    broker = {"VITALFLOW_MQTT_URL": own_broker.url}
    edge = EdgeProcess(broker, site, tmp_path / "inbox.db", log, *options, kind=kind)
    edge.start()
    senders = [sender_of(edge.port, bed, INTERVAL_S) for bed in BEDS]
    victims: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "edge": (edge.kill, lambda: edge.start(wait=False)),
        "broker": (own_broker.kill, own_broker.start),
        "ingest": (ingest.kill, lambda: ingest.start(wait=False)),
        "database": (server.kill, server.start),
    }
    moment = random.Random(2026)
    kills = 0
    try:
        for sender in senders:
            sender.start()
        for _ in range(ROUNDS):
            for kill, start in moment.sample(list(victims.values()), len(victims)):
                time.sleep(moment.uniform(0.2, 1.0))
                kill()
                time.sleep(moment.uniform(0.0, 0.5))
                start()
                kills += 1
        counts = [len(sender.acknowledged) for sender in senders]
        eventually(
            lambda: all(len(sender.acknowledged) > before for sender, before in zip(senders, counts, strict=True)),
            60,
            "each sender is served after the last kill",
        )
    finally:
        for sender in senders:
            sender.finish()
    acknowledged = {(sender.bed, at) for sender in senders for at in sender.acknowledged}
    eventually(lambda: db.count() >= len(acknowledged), 120, f"{len(acknowledged)} rows")
    eventually(lambda: edge.metric("readings_waiting") == 0, 120, "all receipts")
    rows = Counter(db.rows("SELECT device_id, time FROM patient_vitals"))
    edge.stop()
    sys.stdout.write(edge.said()[-5000:])
    repeats = sum(sender.repeats for sender in senders)
    report_count(f"{kills} kills: {len(acknowledged)} acknowledged, {rows.total()} stored, {repeats} sent once more")
    assert not acknowledged - rows.keys()
    # A message whose answer was lost with the last kill may be stored without being acknowledged.
    assert [row for row, count in rows.items() if count > 1] == []
    assert kills == 4 * ROUNDS
    assert repeats > 0, "nothing had to be repeated: the test shows nothing"
    assert db.count("device_gap") == 0

"""The process that brings beds and alerts into Home Assistant."""

import asyncio
import signal
from dataclasses import replace
from datetime import UTC, datetime

from edges.config.settings import HomeAssistantSettings
from edges.home_assistant.beds import Beds
from edges.home_assistant.discovery import Discovery
from edges.home_assistant.metrics import NAME, Metrics
from edges.home_assistant.publisher import Publisher
from edges.service_connection import Publish, ServiceConnection
from mqtt.endpoint import BrokerEndpoint
from mqtt.metrics import MetricSet

SERVICE = "edges-home-assistant"


def run_service(settings: HomeAssistantSettings) -> None:
    """Run until SIGTERM or SIGINT; raises PermanentError if it cannot go on."""
    asyncio.run(_run(settings))


async def _run(settings: HomeAssistantSettings) -> None:
    client_id = settings.edges_home_assistant_client_id
    beds = Beds(settings.topics, datetime.now(UTC))

    def take(topic: str, payload: bytes, retained: bool) -> None:
        beds.take(topic, payload, retained, datetime.now(UTC))

    async def wait_for_the_end(_: Publish) -> None:
        await asyncio.Event().wait()

    source = ServiceConnection(settings.broker, settings.topics, client_id, beds.filters, take, SERVICE)
    publisher = Publisher(
        _target(settings),
        f"{client_id}-discovery",
        Discovery(settings.topics.root),
        beds,
        lambda: source.connected,
    )
    source.find_problem = lambda: publisher.problem or beds.problem
    metrics = MetricSet(NAME)
    metrics.registry.register(Metrics(beds, publisher, source))
    host, port = settings.edges_home_assistant_metrics_host, settings.edges_home_assistant_metrics_port
    metrics.serve(host, port, settings.broker, lambda: _health(source, beds))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        publisher.stop()
        source.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    tasks = [
        loop.create_task(source.run(lambda: beds.connected(datetime.now(UTC)), wait_for_the_end)),
        loop.create_task(publisher.run()),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop()
        await asyncio.gather(*tasks)


def _health(source: ServiceConnection, beds: Beds) -> tuple[str | None, dict[str, object]]:
    problem = "" if source.connected else "there is no connection to VitalFlow's broker"
    return problem or source.find_problem() or None, {"beds": beds.count}


def _target(settings: HomeAssistantSettings) -> BrokerEndpoint:
    """Return Home Assistant's broker: VitalFlow's own, if no other is set."""
    if settings.home_assistant_url is None:
        return settings.broker
    target = BrokerEndpoint.parse(settings.home_assistant_url)
    return replace(target, ca=settings.home_assistant_ca if target.tls else None)

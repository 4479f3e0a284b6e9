"""Run the subscriptions of a site: from paho's threads into the event loop of the service, and back."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from prometheus_client import Gauge

from edges.config.mqtt_table import MqttSource
from edges.config.secret_file import SecretFile
from edges.config.site import Site
from edges.mqtt.intake import Intake
from edges.mqtt.subscriber import Message, Subscriber
from edges.service.metrics import NAME
from edges.service.service import Service
from mqtt.endpoint import BrokerEndpoint


def endpoint_of(source: MqttSource) -> BrokerEndpoint:
    """Return the broker of a source, with its login; raises PermanentError that names a file."""
    broker = replace(BrokerEndpoint.parse(source.url), ca=source.ca)
    if source.user is None or source.password_file is None:
        return broker
    return broker.as_user(source.user, SecretFile(source.password_file, source.name, 1).value.decode())


@asynccontextmanager
async def subscribed(
    site: Site, brokers: Mapping[str, BrokerEndpoint], service: Service
) -> AsyncIterator[list[Subscriber]]:
    """Subscribe to all brokers for the time of the block. What is received before its end is kept and acknowledged."""
    sources = Gauge(
        f"{NAME}source_connected",
        "1 if connected to a broker of the site, with each subscription granted; else 0",
        ["source"],
        registry=service.metrics.registry,
    )
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(_subscribed(site, source, brokers[source.name], service, sources))
            for source in site.mqtt
        ]


@asynccontextmanager
async def _subscribed(
    site: Site, source: MqttSource, broker: BrokerEndpoint, service: Service, sources: Gauge
) -> AsyncIterator[Subscriber]:
    loop = asyncio.get_running_loop()
    handling: set[asyncio.Task[None]] = set()

    def take(message: Message) -> None:
        # A task begins in the order of its creation, and a message is queued at the inbox before the first wait.
        task = loop.create_task(intake.handle(message))
        handling.add(task)
        task.add_done_callback(handling.discard)

    filters = dict.fromkeys(mapping.topic_filter for name in source.mappings for mapping in site.mappings_named(name))
    client_id = source.client_id or f"vitalflow-{source.name}"

    def deliver(message: Message) -> None:
        loop.call_soon_threadsafe(take, message)

    subscriber = Subscriber(broker, client_id, list(filters), deliver)
    intake = Intake(site, source, service.inbox, service.metrics, subscriber.handled)
    service.checks.append(lambda: subscriber.problem)
    sources.labels(source.name).set_function(lambda: not subscriber.problem)
    subscriber.start()
    try:
        yield subscriber
    finally:
        if handling:
            await asyncio.wait(handling, timeout=3.0)
        await asyncio.to_thread(subscriber.stop)
        for task in handling:
            task.cancel()

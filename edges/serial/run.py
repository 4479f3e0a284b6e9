"""Run all ports of a site beside the service that publishes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edges.config.site import Site
from edges.serial.intake import Intake
from edges.serial.metrics import PortMetrics
from edges.serial.reader import PortReader, poll_ports
from edges.service.service import Service


@asynccontextmanager
async def reading(site: Site, service: Service) -> AsyncIterator[None]:
    """Read the ports of a site for the time of the block; what was received is kept at its end."""
    ports = []
    for table in site.serial:
        intake = Intake(table, site.tz, service.inbox, service.metrics)
        ports.append((PortReader(table, intake.put), intake))
    readers = [reader for reader, _ in ports]
    service.metrics.registry.register(PortMetrics(ports))
    service.checks.append(lambda: next((reader.problem for reader in readers if reader.problem), ""))
    keeping = [asyncio.create_task(intake.run()) for _, intake in ports]
    polling = asyncio.create_task(poll_ports(readers))
    service.background.extend([polling, *keeping])  # a defect ends the service
    try:
        yield
    finally:
        polling.cancel()
        for reader, intake in ports:
            await reader.close()
            intake.stop()
        await asyncio.gather(*keeping, return_exceptions=True)

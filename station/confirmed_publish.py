"""What a person asks for, on its way to the broker: taken now, or not sent at all.

Last step of `listener`, which publishes limits, and of `person`, who acknowledges. Kept and sent later it would change
or silence an alert that no person has looked at since.
"""

import asyncio

from aiomqtt import Client, MqttError

from mqtt.async_client import publish
from vitals.errors import TransientError

TAKEN_S = 3.0  # seconds for the broker to take it


async def publish_confirmed(client: Client | None, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publish; raises TransientError with a message for the page if it is not acknowledged in time."""
    if client is None:
        raise TransientError("nothing was sent: no connection to the broker")
    try:
        async with asyncio.timeout(TAKEN_S):
            await publish(client, topic, payload, retain)
    except (MqttError, TimeoutError):
        raise TransientError("the broker did not confirm it; check the page before trying again") from None

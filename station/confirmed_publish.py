"""Publish a user's request to the broker now, or report that it failed; it is never queued.

Used by `listener` for limits and assignments, and by `user_connection` for commands and admissions. A request that is
sent later could change or silence an alert that the user has not seen.
"""

import asyncio

from aiomqtt import Client, MqttError

from mqtt.async_client import PublishDenied, publish
from vitals.errors import TransientError
from vitals.limits import RequestRejected

TAKEN_S = 3.0  # seconds for the broker to confirm it


async def publish_confirmed(client: Client | None, topic: str, payload: bytes, *, retain: bool = False) -> bool:
    """Publish; raises TransientError with a message for the page if it is not acknowledged in time.

    With MQTT 5, returns False if the topic has no subscriber, and raises RequestRejected if the broker does not permit
    it.
    """
    if client is None:
        raise TransientError("nothing was changed: there is no connection to the monitors; try again when it is back")
    try:
        async with asyncio.timeout(TAKEN_S):
            return await publish(client, topic, payload, retain)
    except PublishDenied:
        raise RequestRejected(
            "nothing was changed: you do not have the right to do this; an administrator can give it"
        ) from None
    except (MqttError, TimeoutError):
        raise TransientError("it is not certain that this was done; check the page before trying again") from None

"""Wait as a standby until the active process of a service is gone, without holding its client id.

The active one is gone when its will says so, or when it is silent for SILENCE_S while the broker answers this process.
Then the standby connects with the same client id: the broker ends the connection of the former one and passes on the
session with all that it has queued. Every standby publishes its own status below the service's.
"""

import random
import time

from mqtt.instance import Instance
from mqtt.one_shot import OneShotClient, SubscriptionRefused, connect_once
from mqtt.service_status import HEARTBEAT_S, ServiceStatus, decode_service_status, encode_service_status
from mqtt.session import SessionTakenOver
from vitals.errors import PermanentError, TransientError
from vitals.log import WaitLog

SILENCE_S = 2.5 * HEARTBEAT_S  # without a heartbeat for this long, the active one is gone
NO_STATUS_S = 3.0  # without any status at the broker: an active one that has just lost its connection comes first
SETTLE_S = (0.2, 1.0)  # drawn by each standby: of several, one is first, and the others receive its status
ANSWER_TIMEOUT_S = 2.0  # for the broker's acknowledgement; without it this process is cut off, not the active one
POLL_S = 0.2


class ActiveWatch:
    """Decide from the status of the active process whether it is gone. Pure.

    settle_s   how long to wait longer than the others: of several standbys one is first
    boot       the newest known instance: an older one that ends, ends because the newer one is there
    """

    def __init__(self, now: float, settle_s: float, boot: int = 0) -> None:
        self.boot = boot
        self._settle_s = settle_s
        self._ends = now + NO_STATUS_S + settle_s

    def take(self, status: ServiceStatus, now: float) -> None:
        """Apply a status of the service."""
        if status.boot < self.boot:
            return
        self.boot = status.boot
        if status.state == "offline":
            self._ends = min(self._ends, now + self._settle_s)
        else:
            self._ends = now + SILENCE_S + self._settle_s

    def is_gone(self, now: float) -> bool:
        """Return whether the active process is gone."""
        return now >= self._ends


class ActiveRole:
    """The role of the one process of a service that acts.

    standby          wait for the role, where otherwise a process that has it is an error; raises PermanentError if the
                     broker is a list
    is_standing_by   whether it waits, and
    problem          why it cannot take over, None if it can; both may be read from any thread
    """

    def __init__(self, instance: Instance, *, standby: bool) -> None:
        if standby and instance.broker.others:
            raise PermanentError(
                "--standby needs one address in VITALFLOW_MQTT_URL: if a broker of a list was left and returns, both "
                "processes would act; give the address of a proxy in front of the brokers (docs/broker-pair.md), or "
                "start one process without --standby"
            )
        self.is_standing_by = self._standby = standby
        self.problem: str | None = None
        self._boot = 0  # of the newest instance that is known
        self._instance = instance
        self._status = ServiceStatus.here("standby", time.time_ns())
        self._watch: ActiveWatch | None = None

    def acquire(self) -> int:
        """Return the boot of the last instance, 0 if none is known, when no other one acts, or when `stopping`.

        Raises PermanentError if the broker's user may not act as the service, or without `standby` if another one acts.
        """
        if self._standby:
            self._wait()
            self.is_standing_by = False
            return self._boot
        return self._instance.refuse_second()

    def lose(self, error: SessionTakenOver) -> None:
        """Stand by again after a later instance took over; without `standby` raise the error."""
        if not self._standby:
            raise error
        self._instance.log.warning("%s", error)
        self._boot = max(self._boot, error.boot)
        self.is_standing_by = True

    def _wait(self) -> None:
        instance, broker = self._instance, self._instance.broker
        filters = [(topic, 0) for topic in (instance.topic, *instance.own_topics)]
        wait_log = WaitLog(f"the broker at {broker}", instance.log.warning)
        instance.log.info("standing by: waiting until %s is gone", instance)
        while not instance.stopping():
            self._watch = None
            try:
                with connect_once(broker, filters) as client:
                    self._wait_connected(client)
                    return
            except SubscriptionRefused:
                raise instance.not_authorized(broker) from None
            except TransientError as error:
                self.problem = f"not connected to the broker at {broker}: {error}"
                wait_log.waiting(str(error), time.monotonic())
                time.sleep(POLL_S)

    def _wait_connected(self, client: OneShotClient) -> None:
        started, next_beat = time.monotonic(), 0.0
        while not self._instance.stopping():
            self._receive(client, POLL_S)
            now = time.monotonic()
            if self._watch is None:
                if now - started > ANSWER_TIMEOUT_S:
                    raise TransientError(f"no answer within {ANSWER_TIMEOUT_S:g} s")
                continue
            gone = self._watch.is_gone(now)
            if gone or now >= next_beat:
                # The acknowledgement shows that this process is not cut off, and that it has received all statuses.
                self._publish_status(client)
                self.problem, next_beat = None, now + HEARTBEAT_S
                self._receive(client, 0.0)
                if gone and self._watch.is_gone(time.monotonic()):
                    self._instance.log.info("%s is gone; taking over", self._instance)
                    return

    def _receive(self, client: OneShotClient, timeout_s: float) -> None:
        message = client.next(timeout_s)
        while message is not None:
            now = time.monotonic()
            if self._watch is None or not message.topic:  # a new subscription: silence before it proves nothing
                self._watch = ActiveWatch(now, random.uniform(*SETTLE_S), self._boot)
            if (status := decode_service_status(message.payload)) is not None:
                self._watch.take(status, now)
                self._boot = self._watch.boot
            message = client.next(0.0)

    def _publish_status(self, client: OneShotClient) -> None:
        topic, expiry_s = f"{self._instance.topic}/standby", int(3 * HEARTBEAT_S)
        client.publish(topic, encode_service_status(self._status), retain=True, expiry_s=expiry_s)
        client.wait_for_publishes(ANSWER_TIMEOUT_S)

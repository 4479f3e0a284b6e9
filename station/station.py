"""Assemble and run the station; `Station.run` lists its tasks. One process, one thread, no state on disk: it shows what
it has received since its start, and the broker sends retained messages at each subscription. Sessions are in memory:
after a restart users sign in anew.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from datetime import UTC, datetime

import uvicorn

from mqtt.certificate_expiry import CertificateExpiry
from mqtt.http_socket import listening
from mqtt.server_certificate import ReloadingCertificate
from station import frame
from station.admissions import Admissions
from station.api import api
from station.auth.password_salts import PasswordSalts
from station.auth.routes import auth_routes
from station.auth.sessions import SessionManager
from station.clock import find_step, present_time
from station.fhir.routes import fhir_api
from station.fhir.store import FhirStore
from station.history import History
from station.listener import Listener
from station.metrics import Metrics
from station.names_api import names_api
from station.patient_names import PatientNames
from station.pending_commands import PendingCommands
from station.review_api import review_api
from station.services import Services
from station.settings import StationSettings
from station.ui_api import ui_api
from station.views import Views
from station.ward import Ward
from station.web import web
from vitals.errors import TransientError
from vitals.version import VERSION

log = logging.getLogger("station")

FRAME_S = 0.2  # seconds between two frames: the maximum delay of a reading here
EXPIRE_INTERVAL_S = 5.0  # seconds between two searches for unused sessions
RECORD_INTERVAL_S = 0.5  # seconds between two looks for sign-ins to record
MAX_UNRECORDED = 10_000
GOODBYE_S = 5.0  # seconds to publish the offline status
# The send buffer of a connection, small: a browser that does not read would later receive old data.
SEND_BUFFER = 64 * 1024


class Station:
    """The assembled station."""

    def __init__(self, settings: StationSettings) -> None:
        self._settings = settings
        now = present_time()
        commands = PendingCommands(settings.topics)
        services = Services(settings.services, has_database=settings.reader_url is not None, now=now)
        self._ward = ward = Ward(
            settings.topics, services, now, on_alert=commands.on_alert, on_rejection=commands.on_rejection
        )
        salts = PasswordSalts(settings.topics)
        self._listener = Listener(settings, ward, salts)
        names = PatientNames(settings.names_url if settings.patient_names else None)
        admissions = Admissions(ward, self._listener.publish, names)
        ward.on_assignment = admissions.on_assignment
        self._admissions = admissions
        self._history = History(settings.reader_url)
        self._sessions = sessions = SessionManager(self._listener.order, settings.topics, salts, ward.wards)
        self._unrecorded: list[bytes] = []
        hello = frame.hello(VERSION, history=settings.reader_url is not None, names=names.enabled)
        self._views = views = Views(ward, hello)
        metrics = Metrics(ward, views, sessions, self._listener, self._history)
        self._expiry = CertificateExpiry(
            metrics.registry, "vitalflow_station_", settings.broker, {"station": settings.station_certificate}
        )
        routers: list[object] = [
            auth_routes(sessions, settings.cookie),
            api(ward, self._history),
            review_api(self._history),
            fhir_api(FhirStore(self._history, ward), now),
            ui_api(ward, views, commands, admissions, self._listener.publish),
            names_api(ward, names, self._history),
        ]
        app = web(settings.names, sessions, settings.cookie, VERSION, routers, self._healthz, metrics.page)
        self._encryption = encryption = None
        if settings.station_certificate is not None and settings.station_key is not None:
            self._encryption = encryption = ReloadingCertificate(settings.station_certificate, settings.station_key)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # any client can forge these headers
            lifespan="off",
            timeout_graceful_shutdown=2,
            ssl_context_factory=None if encryption is None else lambda *_: encryption.context,
        )
        self._server = _Server(config)

    async def run(self) -> None:
        """Serve until a signal; raises PermanentError if the port or the client id is taken.

        1. Bind the port.
        2. Subscribe at the broker; check the database. Each may be unreachable for a time.
        3. A few times a second send every browser what has changed.
        4. Serve pages and API to signed-in users, and end unused sessions.
        """
        host, port = self._settings.station_host, self._settings.station_port
        with listening(host, port, "; set VITALFLOW_STATION_HOST and _PORT") as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # inherited by each connection
            self._server.stopping = self._stop
            self._expiry.start()
            log.info("the ward is at %s", self._settings.address)
            if self._settings.broker.username is None:
                log.warning(
                    "VITALFLOW_MQTT_URL has no user name: if the broker accepts anonymous clients, "
                    "the sign-in page may accept any name"
                )
            try:
                async with asyncio.TaskGroup() as group:
                    listener = group.create_task(self._listener.run())
                    background = [
                        group.create_task(self._history.watch(self._ward.services.database)),
                        group.create_task(self._send_changes()),
                        group.create_task(self._tidy()),
                        group.create_task(self._record_sign_ins()),
                        group.create_task(self._note_use()),
                    ]
                    try:
                        await self._server.serve(sockets=[taken])
                    finally:
                        self._stop()
                    await asyncio.wait([listener], timeout=GOODBYE_S)
                    for task in (listener, *background):
                        task.cancel()
                    if waiting := len(self._unrecorded) + self._sessions.audit.waiting:
                        log.warning("%d sign-ins before this stop are not in the audit record", waiting)
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
            finally:
                await self._sessions.close()
                await self._history.close()

    async def _send_changes(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            self._sessions.refresh_wards()
            self._views.send_changes(now)
            if step := find_step():  # until the clocks agree again, times of alerts would be wrong on every page
                raise TransientError(f"{step}: the station must start again with the host's time")
            await asyncio.sleep(max(FRAME_S - (loop.time() - now), 0))

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_INTERVAL_S)
            self._sessions.expire_sessions(asyncio.get_running_loop().time())
            if self._encryption is not None:
                self._encryption.renew()

    async def _record_sign_ins(self) -> None:
        """Publish sign-ins for the audit record; while the broker is unreachable they wait, up to MAX_UNRECORDED."""
        audit, topic = self._sessions.audit, self._settings.topics.sign_ins
        while True:
            self._unrecorded += audit.take_due(datetime.now(UTC))
            if (lost := len(self._unrecorded) - MAX_UNRECORDED) > 0:
                del self._unrecorded[:lost]
                log.error("%d sign-ins are not in the audit record: the broker was unreachable for too long", lost)
            with contextlib.suppress(TransientError):  # published again: a record with a time is stored once
                while self._unrecorded:
                    await self._listener.publish(topic, self._unrecorded[0], retain=False)
                    del self._unrecorded[0]
            await asyncio.sleep(RECORD_INTERVAL_S)

    async def _note_use(self) -> None:
        """State in the retained discharges which beds are in use again, for services that start later."""
        while True:
            with contextlib.suppress(TransientError):  # without the broker; the next attempt follows
                await self._admissions.note_use(datetime.now(UTC))
            await asyncio.sleep(RECORD_INTERVAL_S)

    def _stop(self) -> None:
        self._listener.stop()
        self._views.close()

    def _healthz(self) -> tuple[str | None, dict[str, object]]:
        """Return why the station does not work, or None, and what is down, for /healthz.

        It works without the other services: each of them has its own health check.
        """
        outages = self._ward.services.outages(present_time())
        reasons = {outage.name: outage.reason for outage in outages}
        failures = [f"{name}: {reasons[name]}" for name in ("broker", "database") if name in reasons]
        return "; ".join(failures) or None, {"version": VERSION, "outages": list(reasons), "reasons": reasons}


class _Server(uvicorn.Server):
    """uvicorn server that ends the event streams on a signal; uvicorn alone would wait for them."""

    stopping: Callable[[], None] = staticmethod(lambda: None)

    def handle_exit(self, sig: int, frame: object) -> None:
        """Handle SIGTERM or SIGINT."""
        self.stopping()
        self.should_exit = True

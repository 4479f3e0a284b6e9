"""mosquitto/start.sh, which starts the broker in a container: new certificates are taken, and it ends in order."""

import ssl
import subprocess
from datetime import UTC, datetime

from cryptography.x509 import load_pem_x509_certificate

from stack.doors import MOSQUITTO
from stack.programs import CHECKOUT, Programs
from stack.servers import listens
from tests.fix_secured import Secured
from tests.fix_servers import eventually
from tests.guest import Guest


def test_a_new_certificate_is_taken_by_the_running_broker_and_sigterm_ends_it(
    own_secured: Secured, programs: Programs
) -> None:
    server = own_secured.server
    server.stop()
    inside = programs.seen_from_inside(server.folder)
    told = (f"MOSQUITTO_CONF={inside}/mosquitto.conf", f"MOSQUITTO_IDENTITY={inside}", "MOSQUITTO_LOOK_S=0.5")
    script = (CHECKOUT / "mosquitto/start.sh").read_text()
    line = programs.command(MOSQUITTO, "env", *told, "sh", "-c", script)

    def shown() -> int:
        pem = ssl.get_server_certificate(("127.0.0.1", server.port))
        return load_pem_x509_certificate(pem.encode()).serial_number

    with subprocess.Popen(line) as process:
        eventually(lambda: listens(server.port), 10, "the broker")
        before = shown()
        with Guest(own_secured.broker("grace")) as person:
            assert person.connected == "Success"
            (own_secured.doors.authority.folder / "broker.crt").unlink()
            assert own_secured.doors.renew(programs, server.folder, datetime.now(UTC))
            eventually(lambda: shown() != before, 10, "the new certificate")
            assert person.subscribe("vitalflow/alerts/#") == "Granted QoS 1", "the connection is lost"
        process.terminate()
        assert process.wait(10) == 0
    assert not listens(server.port)

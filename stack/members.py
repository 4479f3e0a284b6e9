"""Who belongs to a stack at the broker: its services, the person at its shell, and the simulated monitors."""

from collections.abc import Mapping

from devices.simulated_ward import simulated_ward
from identity.authority import Authority, Say
from identity.furnishing import members, monitors
from identity.settings import IdentitySettings
from stack.doors import Doors, Ways
from stack.home import Home, Secrets
from stack.plan import WARD, Ports


def doors_of(home: Home, ports: Ports, secrets: Secrets, devices: int, environ: Mapping[str, str], say: Say) -> Doors:
    """The doors of the stack's broker, with everybody who belongs to it."""
    # What the caller's shell says of another stack's broker is no matter of ours.
    own = ("TOPIC_ROOT", "IDENTITY_NAMES", "MQTT_PLAINTEXT_PORT")
    settings = IdentitySettings.read(
        {name: value for name, value in environ.items() if name.startswith(tuple(f"VITALFLOW_{word}" for word in own))}
    )
    ways = Ways(ports.broker, ports.certificates, settings.mqtt_plaintext_port)
    names = [source.device for source in simulated_ward(devices, ward=WARD, boot=0)] if devices else []
    users = [*members(secrets.broker), *monitors(home.credentials, names, WARD)]
    return Doors(ways, Authority(home.identity), settings.names, users, settings.topics, say)

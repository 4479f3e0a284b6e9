"""Who belongs to a stack at the broker: its services, the person at its shell, and the simulated monitors."""

from collections.abc import Mapping

from devices.simulated_ward import simulated_ward
from identity.authority import CertificateAuthority, Emit
from identity.broker_bootstrap import builtin_users, simulated_device_users
from identity.settings import IdentitySettings
from stack.broker_access import BrokerAccess, Listeners
from stack.plan import WARD, Ports
from stack.stack_dir import Secrets, StackDir


def broker_access_of(
    home: StackDir, ports: Ports, secrets: Secrets, devices: int, environ: Mapping[str, str], emit: Emit
) -> BrokerAccess:
    """The access of the stack's broker, with everybody who belongs to it."""
    # What the caller's shell says of another stack's broker is no matter of ours.
    own = ("TOPIC_ROOT", "IDENTITY_NAMES", "MQTT_PLAINTEXT_PORT")
    settings = IdentitySettings.read(
        {name: value for name, value in environ.items() if name.startswith(tuple(f"VITALFLOW_{word}" for word in own))}
    )
    listeners = Listeners(ports.broker, ports.certificates, settings.mqtt_plaintext_port)
    names = [source.device for source in simulated_ward(devices, ward=WARD, boot=0)] if devices else []
    users = [*builtin_users(secrets.broker), *simulated_device_users(home.credentials, names, WARD)]
    return BrokerAccess(
        listeners, CertificateAuthority(home.identity), settings.broker_names, users, settings.topics, emit
    )

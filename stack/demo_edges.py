"""The edges of the demo: a bed for each kind of other system, with the service that receives it and a simulated sender.

All but `write_files` is pure. The files are in a folder of their own, so that those of a user's edges stay unchanged.
"""

import secrets
from pathlib import Path

from stack.plan import WARD, Ports, ServiceSpec
from stack.stack_dir import DEMO_EDGES
from vitals.files import write_atomic

BROKER = "foreign"
"""The process of the foreign broker."""
BEDS = {kind: f"{WARD}-{kind}-01" for kind in ("webhook", "serial", "mqtt")}
"""The bed of each kind; those of HL7 are in the stack's own site."""

_SITE = """\
# Written at each start of the demo.
zone = "UTC"

[[webhook]]
name = "phone"
kind = "health-auto-export"
secret_file = "{folder}/phone.secret"
interval_s = 5
ward = "{ward}"
device = "{webhook}"

[[serial]]
port = "{folder}/oximeter"
decoder = "nonin-7"
ward = "{ward}"
device = "{serial}"

[[mqtt]]
name = "smart-home"
url = "mqtt://127.0.0.1:{port}"
mappings = ["esphome"]
interval_s = 5

[[place]]
equipment = "oximeter"
source = "smart-home"
ward = "{ward}"
device = "{mqtt}"
"""


def demo_edges(ports: Ports, files: Path) -> list[ServiceSpec]:
    """Return the services and their senders in the order of their start; `files`: the folder of `write_files`."""
    receiving = {
        "webhook": (("listen", "--listen", f"127.0.0.1:{ports.demo_webhook}"), ports.demo_webhook),
        "serial": (("read",), None),
        "mqtt": (("run",), None),
    }
    sending = {
        "monitors": ("hl7", "simulate", "--to", f"127.0.0.1:{ports.hl7}"),
        "phone": (
            *("webhook", "simulate", "--to", f"http://127.0.0.1:{ports.demo_webhook}/webhooks/phone"),
            *("--secret-file", str(files / "phone.secret")),
        ),
        "oximeter": ("serial", "simulate", "nonin-7", "--link", str(files / "oximeter")),
        "sensor": ("mqtt", "simulate", "--to", f"mqtt://127.0.0.1:{ports.demo_broker}"),
    }
    return [
        *(
            ServiceSpec(
                kind,
                ("edges", kind, *command, "--site", str(files / "site.toml"), "--inbox", str(files / f"{kind}.db")),
                port,
                needs_database=False,
                user=user,
            )
            for user, (kind, (command, port)) in zip(DEMO_EDGES, receiving.items(), strict=True)
        ),
        *(
            ServiceSpec(name, ("edges", *command, "--scenario", "stable"), needs_database=False)
            for name, command in sending.items()
        ),
    ]


def write_files(ports: Ports, files: Path) -> None:
    """Write the site of the demo, and the secret of its webhook once."""
    files.mkdir(parents=True, exist_ok=True)
    text = _SITE.format(folder=files, ward=WARD, port=ports.demo_broker, **BEDS)
    write_atomic(files / "site.toml", text.encode(), mode=0o644)
    secret = files / "phone.secret"
    if not secret.exists():
        write_atomic(secret, secrets.token_hex(32).encode(), mode=0o600)

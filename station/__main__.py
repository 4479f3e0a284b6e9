"""`vitalflow station`: options, settings, start."""

import asyncio
import logging
import os

from station.settings import StationSettings
from station.station import Station
from vitals import log
from vitals.command_line import Verbose, examples, single_command
from vitals.errors import exit_on_error

app = single_command()


@app.command(
    epilog=examples(
        "VITALFLOW_MQTT_URL=mqtts://station@broker:8883 VITALFLOW_MQTT_PASSWORD_FILE=password vitalflow station",
        "curl --user ada http://127.0.0.1:8080/api/ward",
    ),
)
def main(verbose: Verbose = False) -> None:
    """Serve the live ward to browsers, at http://127.0.0.1:8080.

    Users sign in with a name and password of `vitalflow user add`; the broker decides what each may see and do. Trends
    and past alerts come from the database at VITALFLOW_READER_URL, if it is set. Settings are environment variables,
    listed in .env.example.
    """
    log.configure("station", verbose, os.environ)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with exit_on_error("vitalflow station"):
        settings = StationSettings.read(os.environ)
        asyncio.run(Station(settings).run())


if __name__ == "__main__":
    app(prog_name="python -m station")

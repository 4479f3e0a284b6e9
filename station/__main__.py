"""`vitalflow station`: options, settings, start."""

import asyncio
import logging
import os
from typing import Annotated

import typer

from station.settings import StationSettings
from station.station import Station
from vitals import log
from vitals.errors import exit_on_error

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(
    epilog="""Examples:

    VITALFLOW_MQTT_URL=mqtts://station@broker:8883 VITALFLOW_MQTT_PASSWORD_FILE=password vitalflow station

    curl --user ada http://127.0.0.1:8080/api/ward
    """
)
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """The live ward in a browser, at http://127.0.0.1:8080.

    People sign in with the name and password that `vitalflow user add` gives them; the broker says what
    each may see and do. Trends and past alerts come from the database at VITALFLOW_READER_URL, if it is set. The
    settings are environment variables, all listed in .env.example.
    """
    log.configure("station", verbose, os.environ)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with exit_on_error("vitalflow station"):
        settings = StationSettings.read(os.environ)
        asyncio.run(Station(settings).run())


if __name__ == "__main__":
    app(prog_name="python -m station")

"""Command line of the bedside monitors: `vitalflow devices`.

Neither a wrong option nor a failed connection shows a traceback.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from devices.doctor import examine
from devices.enroll import enroll_devices, ensure_writable, save_passwords
from devices.fleet import run_fleet
from devices.fleet_stats import FleetStats
from devices.outbox.file import OutboxFile
from devices.outbox.queue import CAPACITY
from devices.replay import describe_formats, describe_omissions, describe_times, prepare, replay_sources
from devices.scenario import Scenario
from devices.settings import DevicesSettings, DoctorSettings, device_endpoints
from devices.simulated_ward import simulated_ward
from devices.source import Source
from devices.try_recording import show_json, show_text
from identity.dynsec import connect_dynsec
from identity.enrolment import assign, discharge, list_users, revoke
from identity.policy import Kind
from identity.settings import IdentitySettings
from mqtt.credentials import read_credentials
from vitals.assignment import Assignment, Profile
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError
from vitals.recording.options import DateOrderOption, FormatOption, OnlyPatientOption, ZoneOption, open_recordings

PROGRAM = "vitalflow devices"
REWRITE_S, REPEAT_S = 1.0, 10.0  # interval of progress lines: rewritten on a terminal, appended to a log

app = command_group(PROGRAM)


@app.callback()
def about() -> None:
    """Bedside monitors, simulated or replayed from recordings, that publish readings over MQTT.

    VITALFLOW_MQTT_URL is the broker (default mqtt://127.0.0.1:1883). If the broker requires a password per device,
    VITALFLOW_DEVICES_CREDENTIALS names the file that contains them. While the broker is unavailable, each device keeps
    its readings and sends them afterwards, in order. If ingest sends receipts, a device keeps each reading until it is
    stored (docs/receipts.md). Ctrl-C sends what is left and stops.
    """


OutboxReadings = Annotated[
    int,
    typer.Option(
        min=1, help="Maximum readings that each device keeps until they are stored; then the oldest are dropped."
    ),
]
OutboxPath = Annotated[
    Path | None,
    typer.Option(
        "--outbox", help="Also keep the readings in this file, so that they survive this process.", dir_okay=False
    ),
]
Seconds = Annotated[float | None, typer.Option(min=0.1, max=1e9, help="Stop after this number of seconds.")]


@app.command(
    epilog=examples(
        "vitalflow devices simulate",
        "vitalflow devices simulate --count 1 --scenario sepsis --ward icu-2",
        "vitalflow devices simulate --count 2000 --seconds 60",
        "vitalflow devices simulate --outbox ward.db",
    ),
)
def simulate(
    count: Annotated[int, typer.Option(min=1, max=50_000, help="Number of devices, each with one patient.")] = 20,
    interval: Annotated[float, typer.Option(min=0.05, max=3600, help="Seconds between two readings.")] = 1.0,
    ward: Annotated[str, typer.Option(help="Ward of the devices; it is part of their topics.")] = "icu-1",
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the random generator; the same seed gives the same patients.")
    ] = 7,
    scenario: Annotated[
        Scenario, typer.Option(help="What happens to the patients; with mixed, most of them are stable.")
    ] = Scenario.MIXED,
    name_prefix: Annotated[
        str | None, typer.Option(help="Devices are named PREFIX01, PREFIX02 and so on. Default: WARD-bed-.")
    ] = None,
    outbox: OutboxPath = None,
    outbox_readings: OutboxReadings = CAPACITY,
    seconds: Seconds = None,
) -> None:
    """Simulate patients whose vital signs fluctuate, drift and follow a scenario."""
    sources = simulated_ward(
        count,
        ward=ward,
        boot=int(time.time()),
        seed=seed,
        scenario=scenario,
        interval_s=interval,
        prefix=name_prefix,
    )
    raise typer.Exit(asyncio.run(_run(sources, outbox_readings, outbox, seconds)))


@app.command(
    epilog=examples(
        "vitalflow devices replay recordings/*.csv --speed 60",
        "vitalflow devices replay my-own.csv --loop --ward icu-2",
        "vitalflow devices replay monitor.csv --zone Europe/Berlin --date-order dmy",
    ),
)
def replay(
    files: Annotated[
        list[Path], typer.Argument(help="Recordings; each is replayed by a device of its own.", metavar="FILE")
    ],
    format: FormatOption = None,
    zone: ZoneOption = None,
    date_order: DateOrderOption = None,
    only_patient: OnlyPatientOption = None,
    ward: Annotated[str, typer.Option(help="Ward of the devices; it is part of their topics.")] = "icu-1",
    speed: Annotated[float, typer.Option(min=0.001, max=1e6, help="Replay this many times as fast as recorded.")] = 1.0,
    loop: Annotated[
        bool, typer.Option("--loop", help="Start again at the end; each reading has the time of its sending.")
    ] = False,
    as_live: Annotated[
        bool,
        typer.Option("--as-live", help="Give each reading the time of its sending, as if measured now."),
    ] = False,
    outbox: OutboxPath = None,
    outbox_readings: OutboxReadings = CAPACITY,
    seconds: Seconds = None,
) -> None:
    """Replay recordings of patients, one device per file.

    The times are shifted so that the last reading of each is from now, except with --as-live or --loop
    (docs/replay.md). Waits at the end until ingest has confirmed what is stored.
    """
    prepared = prepare(open_recordings(files, format, zone, date_order, only_patient))
    readings = sum(recording.summary.readings for recording in prepared)
    max_duration_s = max(recording.summary.duration_s for recording in prepared)
    recordings = "1 recording" if len(prepared) == 1 else f"{len(prepared)} recordings"
    formats = ", ".join(dict.fromkeys(recorded.recording.layout.format for recorded in prepared))
    print(f"{PROGRAM}: {readings} readings in {recordings} ({formats}); {max_duration_s / speed:.0f} s at this speed")
    for sentence in (*describe_formats(prepared), *describe_omissions(prepared)):
        print(f"{PROGRAM}: {sentence}")
    if not (loop or as_live) and (note := describe_times(speed)):
        print(f"{PROGRAM}: {note}")
    sources = replay_sources(prepared, ward=ward, now=datetime.now(UTC), speed=speed, loop=loop, as_live=as_live)
    raise typer.Exit(asyncio.run(_run(sources, outbox_readings, outbox, seconds)))


@app.command("try", epilog=examples("vitalflow devices try my-own.csv", "vitalflow devices try my-own.csv --json"))
def try_file(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    format: FormatOption = None,
    zone: ZoneOption = None,
    date_order: DateOrderOption = None,
    only_patient: OnlyPatientOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with every reading.")] = False,
) -> None:
    """Show what would become of a recording: its format, the columns of each sign, readings, and what is not used.

    Nothing is sent. Exit code 2 if the file cannot be read.
    """
    (recording,) = open_recordings([file], format, zone, date_order, only_patient)
    for line in show_json(recording) if as_json else show_text(recording):
        print(line)


@app.command(
    "enroll",
    epilog=examples(
        "vitalflow devices enroll my-monitor --ward icu-1",
        "vitalflow devices enroll my-monitor --ward icu-1 --folder my-monitor",
        "vitalflow devices enroll icu-2-bed-0{1,2,3} --ward icu-2 --credentials .stack/identity/devices.json",
    ),
)
def enroll(
    names: Annotated[
        list[str], typer.Argument(help="Device names; each is the user name at the broker and part of the topics.")
    ],
    ward: Annotated[str, typer.Option(help="The only ward that the devices may publish for.")],
    certificate: Annotated[
        bool, typer.Option("--certificate", help="Create a certificate instead of a password.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Write the device's files to this folder instead of printing the password.", file_okay=False),
    ] = None,
    credentials: Annotated[
        Path | None, typer.Option(help="Add the passwords to this file, for simulate and replay.", dir_okay=False)
    ] = None,
    qr: Annotated[bool, typer.Option("--qr", help="Show address, user name and password as a QR code.")] = False,
    rotate_password: Annotated[
        bool, typer.Option("--rotate-password", help="Give devices that are enrolled already a new password.")
    ] = False,
    host: Annotated[
        str | None, typer.Option(help="The broker's host name for the devices, if it differs from the setting.")
    ] = None,
) -> None:
    """Enrol devices: each may publish its own readings and status, and read its own receipts and limits.

    Takes effect immediately. Needs VITALFLOW_ADMIN_URL, which `vitalflow dev env` sets; a certificate also needs
    VITALFLOW_CA_DIR. A password is shown once and cannot be shown again.
    """
    settings = IdentitySettings.read(os.environ)
    if folder is not None and len(names) > 1:
        raise PermanentError("--folder takes one device; give one name")
    if credentials is not None and certificate:
        raise PermanentError("--credentials stores passwords, and a device with a certificate has none")
    # Without --folder a certificate goes into a folder of the device's name.
    folders = {name: folder or Path(name) for name in names} if folder is not None or certificate else {}
    ensure_writable(folders, credentials)
    enrolled = enroll_devices(
        settings,
        names,
        ward,
        certificate=certificate,
        rotate_password=rotate_password,
        by=settings.administrator,
        host=host,
    )
    if credentials is not None:
        save_passwords(credentials, enrolled)
    for device in enrolled:
        print(f"{PROGRAM}: {device.name} is enrolled for ward {device.ward}")
        if (destination := folders.get(device.name)) is not None:
            device.write(destination)
            files = ", ".join(sorted(path.name for path in destination.iterdir()))
            print(f"  copy to the device the files in {destination}: {files}")
        elif credentials is not None:
            print(f"  its password is in {credentials}")
        else:
            for line in device.describe(settings.topics.vitals(device.ward, device.name)):
                print(f"  {line}")
        if qr:
            show_qr(device.url)


@app.command("enroll-simulated")
def enroll_simulated(
    credentials: Annotated[
        Path, typer.Option(help="File for the passwords, as named by VITALFLOW_DEVICES_CREDENTIALS.", dir_okay=False)
    ],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Number of devices, named as by `simulate`.")] = 20,
    ward: Annotated[str, typer.Option(help="Ward of the devices.")] = "icu-1",
) -> None:
    """Enrol those devices of `simulate` that are not enrolled yet. It can be run repeatedly."""
    settings = IdentitySettings.read(os.environ)
    stored = read_credentials(credentials) if credentials.exists() else {}
    with connect_dynsec(settings.admin) as dynsec:
        enrolled = {user.name for user in list_users(dynsec)}
    names = [source.device for source in simulated_ward(count, ward=ward, boot=0)]
    missing = [name for name in names if name not in enrolled or name not in stored]
    if missing:
        # A device that only the broker or only the file knows needs a new password.
        save_passwords(
            credentials,
            enroll_devices(settings, missing, ward, certificate=False, rotate_password=True, by=settings.administrator),
        )
    print(f"{PROGRAM}: {len(missing)} enrolled for ward {ward}, {count - len(missing)} were enrolled already")


@app.command("list")
def list_devices() -> None:
    """List the enrolled devices with their wards."""
    settings = IdentitySettings.read(os.environ)
    with connect_dynsec(settings.admin) as dynsec:
        devices = [user for user in list_users(dynsec) if user.kind == Kind.DEVICE]
    width = max((len(device.name) for device in devices), default=0)
    for device in devices:
        print(f"{device.name:<{width}}  {device.ward}")
    print(f"{PROGRAM}: {len(devices)} enrolled")


@app.command(
    epilog=examples(
        "vitalflow devices doctor my-monitor",
        "vitalflow devices doctor my-monitor --seconds 120",
    ),
)
def doctor(
    name: Annotated[str, typer.Argument(help="Name of the device.")],
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="How long to observe it.")] = 30.0,
) -> None:
    """Show why a device's readings do not arrive: its login, topics, rejections, clock and numbers.

    The exit code is 1 if something is wrong. VITALFLOW_MQTT_URL names a person who may read the ward,
    VITALFLOW_ADMIN_URL the admin, who may read the broker's log, and VITALFLOW_READER_URL the database, if its rejected
    messages are wanted.
    """
    report = examine(DoctorSettings.read(os.environ), name, seconds, lambda line: print(line, flush=True))
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for what, text in report.facts:
        table.add_row(what, Text(text))
    print()
    Console(highlight=False).print(table)
    print()
    for finding in report.findings:
        print(f"{finding.severity}: {finding.text}")
        if finding.advice:
            print(f"    {finding.advice}")
    if not report.findings:
        print("nothing is wrong")
    if report.rejected:
        print("\nlast rejected messages of this day:")
        for line in report.rejected:
            print(f"    {line}")
    raise typer.Exit(1 if report.is_wrong else 0)


@app.command("revoke")
def revoke_device(name: Annotated[str, typer.Argument(help="Name of the device.")]) -> None:
    """Revoke a device: it is disconnected immediately and cannot reconnect, and its alerts end."""
    settings = IdentitySettings.read(os.environ)
    with connect_dynsec(settings.admin, settings.pair) as dynsec:
        revoke(dynsec, name, settings.topics, by=settings.administrator, now=datetime.now(UTC), kind=Kind.DEVICE)
    certificates = 0 if settings.ca_dir is None else settings.authority.revoke(name, datetime.now(UTC))
    note = "; its certificate is revoked" if certificates else ""
    print(f"{PROGRAM}: {name} is revoked and disconnected{note}")


@app.command(
    "assign",
    epilog=examples(
        "vitalflow devices assign icu-1-bed-03 --patient p-0007",
        "vitalflow devices assign icu-1-bed-03 --patient p-0007 --spo2-scale 2",
        "vitalflow devices assign pic-1-bed-01 --patient p-0011 --profile child-1-4",
    ),
)
def assign_patient(
    name: Annotated[str, typer.Argument(help="Name of the bed's device.")],
    patient: Annotated[str, typer.Option(help="The hospital's patient id. Not the patient's name.")],
    profile: Annotated[
        Profile, typer.Option(help="Age group: adult from 16 years, infant from 1 month, neonate below 28 days.")
    ] = "adult",
    spo2_scale: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="SpO2 scale of NEWS2, if a clinician chose it. Default: that of the rules."),
    ] = None,
) -> None:
    """Assign a patient to a bed: readings without a patient id are that patient's from now on.

    Needs VITALFLOW_ADMIN_URL, which `vitalflow dev env` sets.
    """
    settings = IdentitySettings.read(os.environ)
    assignment = Assignment(
        patient_id=patient,
        profile=profile,
        spo2_scale=cast(Literal[1, 2] | None, spo2_scale),
        by=settings.administrator,
        time=datetime.now(UTC),
    )
    with connect_dynsec(settings.admin) as dynsec:
        ward = assign(dynsec, name, assignment, settings.topics)
    print(f"{PROGRAM}: {patient} is assigned to {name} in ward {ward}, profile {profile}")


@app.command("discharge")
def discharge_patient(name: Annotated[str, typer.Argument(help="Name of the bed's device.")]) -> None:
    """Discharge the patient of a bed: ends its alerts and removes the limits of the bed."""
    settings = IdentitySettings.read(os.environ)
    with connect_dynsec(settings.admin) as dynsec:
        ward = discharge(dynsec, name, settings.topics, by=settings.administrator, now=datetime.now(UTC))
    print(f"{PROGRAM}: {name} in ward {ward} is discharged; it has no patient")


def show_qr(text: str) -> None:
    """Print a QR code in the terminal."""
    import segno  # slow to import, and needed only here

    segno.make(text, error="m", micro=False).terminal(compact=True)


async def _run(sources: Sequence[Source], outbox: int, path: Path | None, seconds: float | None) -> int:
    """Run the fleet until its end, a signal or `seconds`; return the exit code."""
    settings = DevicesSettings.read(os.environ)
    endpoint_of = device_endpoints(settings, sources)
    stop = asyncio.Event()
    code = 0

    def interrupted() -> None:
        nonlocal code
        code = 130  # the exit code of a process that Ctrl-C ended
        stop.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    stats = FleetStats(len(sources))
    screen = Screen()
    file = None if path is None else OutboxFile(path, screen.emit)
    devices = "1 device" if len(sources) == 1 else f"{len(sources)} devices"
    screen.emit(f"{devices}, publishing to {settings.broker} under {settings.topics.root}/")
    progress = asyncio.create_task(_show_progress(stats, screen))
    try:
        await run_fleet(
            sources,
            settings.broker,
            settings.topics,
            stop=stop,
            capacity=outbox,
            outbox_file=file,
            emit=screen.emit,
            stats=stats,
            endpoint_of=endpoint_of,
        )
    finally:
        progress.cancel()
    kept = "" if file is None else f"; {file.close()} readings kept in {path} for the next start"
    screen.emit(f"ended: {stats.summary()}{kept}")
    return code


async def _show_progress(stats: FleetStats, screen: "Screen") -> None:
    while True:
        await asyncio.sleep(REWRITE_S if screen.is_terminal else REPEAT_S)
        screen.progress(stats.line())


class Screen:
    """Standard output: on a terminal the progress line is rewritten, elsewhere each line is appended."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()

    def emit(self, sentence: str) -> None:
        """Print a line that stays."""
        erase = "\r\x1b[K" if self.is_terminal else ""
        print(f"{erase}{PROGRAM}: {sentence}", flush=True)

    def progress(self, line: str) -> None:
        """Print a line that the next one replaces."""
        if self.is_terminal:
            print(f"\r\x1b[K{line}", end="", flush=True)
        else:
            self.emit(line)


if __name__ == "__main__":
    app(prog_name="python -m devices")

"""What a stack keeps on disk, what it tells its services, and how patiently it restarts them."""

import os
import socket
from pathlib import Path
from threading import Event

import pytest

from identity.broker_bootstrap import BUILTIN_USERS
from stack.binaries import STACK, ServerBinaries
from stack.plan import Ports, addresses, environment, services
from stack.processes import creation_time, find
from stack.stack_dir import EDGES, Running, Secrets, StackDir, State
from stack.supervisor import Supervisor
from vitals.errors import PermanentError

STATE = State(Running("supervisor", 1, 2.0, 3.0), 21883, 20, True, [Running("broker", 4, 5.0, 6.0, 21883, 1, True)])
SECRETS = Secrets(
    "owner-word", "ingest-word", "reader-word", {name: f"{name}-at-broker" for name in (*BUILTIN_USERS, EDGES)}
)


@pytest.fixture
def home(tmp_path: Path) -> StackDir:
    return StackDir.at(tmp_path / "stack")


def test_the_saved_state_is_restored_and_private(home: StackDir) -> None:
    assert home.state() is None
    home.write_state(STATE)
    assert home.state() == STATE
    assert (home.folder / "state.json").stat().st_mode & 0o777 == 0o600
    home.write_state(None)
    assert home.state() is None


def test_secrets_are_created_once_and_readable_by_their_owner_only(home: StackDir) -> None:
    assert home.secrets() is None
    made = home.make_secrets()
    assert home.make_secrets() == home.secrets() == made
    assert len({made.owner, made.ingest, made.reader}) == 3
    assert (home.folder / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_damaged_state_is_one_sentence(home: StackDir) -> None:
    home.write_state(STATE)
    (home.folder / "state.json").write_text("{")
    with pytest.raises(PermanentError, match="delete it"):
        home.state()


def test_two_folders_are_two_stacks_with_data_of_their_own(tmp_path: Path) -> None:
    assert StackDir.at(tmp_path / "a").data != StackDir.at(tmp_path / "b").data
    assert StackDir.at(STACK).data == "stack"


def test_only_one_supervisor_lives_in_a_folder(home: StackDir) -> None:
    assert not home.is_locked()
    with home.lock():
        assert home.is_locked()
        with pytest.raises(PermanentError, match="already running"), home.lock():
            pass
    assert not home.is_locked()


def test_a_reused_pid_is_not_ours() -> None:
    me = os.getpid()
    assert find(Running("me", me, creation_time(me), 0.0)) is not None
    assert find(Running("me", me, creation_time(me) - 60, 0.0)) is None
    assert find(Running("none", 0, 0.0, 0.0)) is None


def test_settings_of_the_stack_override_those_of_the_caller(home: StackDir) -> None:
    given = {"VITALFLOW_MQTT_URL": "mqtt://elsewhere", "VITALFLOW_INGEST_URL_FILE": "/x", "VITALFLOW_TOPIC_ROOT": "t"}
    ingest = next(one for one in services(Ports(2000), 1) if one.name == "ingest")
    variables = environment(given, Ports(2000), SECRETS, home, ingest)
    assert variables["VITALFLOW_MQTT_URL"] == "mqtts://ingest:ingest-at-broker@127.0.0.1:2000"
    assert "VITALFLOW_ADMIN_URL" not in variables
    address = "postgresql://vitalflow_ingest:ingest-word@127.0.0.1:2001/vitalflow"
    assert variables["VITALFLOW_INGEST_URL"] == f"{address}?sslmode=verify-full&sslrootcert={home.identity}/ca.crt"
    assert "VITALFLOW_DATABASE_URL" not in variables, "it has no use for the owner's rights"
    assert variables["VITALFLOW_INGEST_METRICS_PORT"] == "2002"
    assert variables["VITALFLOW_TOPIC_ROOT"] == "t"
    assert "VITALFLOW_INGEST_URL_FILE" not in variables


def test_no_service_receives_secrets_of_others_or_of_the_caller(home: StackDir) -> None:
    """A fleet of devices could read every patient with a reader's password, and ingest look back."""
    given = {name: "of-the-caller" for name in ("PGPASSWORD", "VITALFLOW_MQTT_PASSWORD_FILE", "VITALFLOW_MQTT_KEY")}
    words = {"owner-word", "ingest-word", "reader-word", *SECRETS.broker.values(), "of-the-caller"}
    own = {
        "alerts": {SECRETS.broker["alerts"]},
        "ingest": {SECRETS.broker["ingest"], "ingest-word"},
        "station": {SECRETS.broker["station"], "reader-word"},
        "accounts": {SECRETS.broker["admin"]},
        "edges": {SECRETS.broker["edges"]},
        "devices": set(),
    }
    for service in services(Ports(2000), 1):
        variables = environment(given, Ports(2000), SECRETS, home, service)
        assert {word for word in words if any(word in value for value in variables.values())} == own[service.name]


def test_each_address_carries_the_password_of_its_own_role(home: StackDir) -> None:
    where = addresses(Ports(2000), SECRETS, home)
    assert "owner-word" in where["VITALFLOW_DATABASE_URL"]
    assert "reader-word" in where["VITALFLOW_READER_URL"]
    assert "owner-word" not in where["VITALFLOW_READER_URL"]


def test_the_error_about_a_used_port_names_the_option_and_the_variable_of_make(home: StackDir) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        binaries = ServerBinaries(None, "mosquitto", "mosquitto_sub", "plugin.so", "bin")
        supervisor = Supervisor(home, binaries, Ports(port), 0, lambda _: None)
        with pytest.raises(PermanentError, match=rf"port {port} is in use .* --port-base, or make demo PORT_BASE="):
            supervisor.run(Event())

"""Settings: read once, complained about by name, complete in .env.example, and without a secret in an error."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import ValidationError

from alerts.settings import AlertsSettings
from devices.settings import DevicesSettings
from edges.config.settings import EdgesOutSettings, EdgesSettings, HomeAssistantSettings
from identity.settings import IdentitySettings
from ingest.settings import IngestSettings
from mqtt.endpoint import BrokerEndpoint
from sql.__main__ import SqlSettings
from sql.address import without_password
from station.settings import StationSettings
from vitals.errors import PermanentError
from vitals.settings import PREFIX, RENAMED, Settings

ROOT = Path(__file__).parent.parent.parent
DB = "postgresql://vitalflow_ingest:s3cret@127.0.0.1:5432/vitalflow"
CLASSES: list[type[Settings]] = [
    Settings,
    IngestSettings,
    AlertsSettings,
    SqlSettings,
    DevicesSettings,
    IdentitySettings,
    StationSettings,
    EdgesSettings,
    EdgesOutSettings,
    HomeAssistantSettings,
]


def read(**environ: str) -> IngestSettings:
    return IngestSettings.read({"VITALFLOW_INGEST_URL": DB} | {PREFIX + key: value for key, value in environ.items()})


def test_defaults_are_enough_but_for_the_database() -> None:
    assert read().ingest_batch_size == 1000
    with pytest.raises(PermanentError, match=r"^VITALFLOW_INGEST_URL is not set; see \.env\.example$"):
        IngestSettings.read({})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("INGEST_BATCH_SIZE", "many", "VITALFLOW_INGEST_BATCH_SIZE has the value 'many': .*integer"),
        ("INGEST_BATCH_SIZE", "0", "VITALFLOW_INGEST_BATCH_SIZE has the value '0': .*greater than or equal to 1"),
        (
            "INGEST_RECEIVE_MAXIMUM",
            "1999",
            "RECEIVE_MAXIMUM is 1999; with VITALFLOW_INGEST_BATCH_SIZE 1000 it must be at least 2000",
        ),
        ("INGEST_RECEIVE_MAXIMUM", "70000", "VITALFLOW_INGEST_RECEIVE_MAXIMUM has the value '70000': .*65535"),
        ("INGEST_CLIENT_ID", "a b", "VITALFLOW_INGEST_CLIENT_ID has the value 'a b'"),
        (
            "MQTT_URL",
            "http://x",
            "VITALFLOW_MQTT_URL has the value 'http://x': expected mqtts://USER:PASSWORD@HOST:PORT",
        ),
        ("MQTT_URL", "mqtt://x:99999", "VITALFLOW_MQTT_URL has the value 'mqtt://x:99999': port out of range"),
        ("TOPIC_ROOT", "a/#", "VITALFLOW_TOPIC_ROOT has the value 'a/#': expected a topic without wildcards"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_was_expected(key: str, value: str, said: str) -> None:
    with pytest.raises(PermanentError, match=said):
        read(**{key: value})


def test_no_error_shows_a_password() -> None:
    with pytest.raises(PermanentError) as raised:
        IngestSettings.read({"VITALFLOW_INGEST_URL": "mysql://user:s3cret@db/x"})
    assert "s3cret" not in str(raised.value)
    assert "'...@db/x'" in str(raised.value)
    assert "s3cret" not in without_password(DB)
    assert "s3cret" not in f"{read(MQTT_URL='mqtt://u:s3cret@h')} {read()!r}"
    assert "s3cret" not in f"{BrokerEndpoint.parse('mqtt://u:s3cret@h')} {BrokerEndpoint.parse('mqtt://u:s3cret@h')!r}"


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text(DB + "\n")
    secret.chmod(0o600)
    assert IngestSettings.read({"VITALFLOW_INGEST_URL_FILE": str(secret)}).ingest_url == DB
    with pytest.raises(
        PermanentError, match="VITALFLOW_INGEST_URL_FILE names '/nowhere', which cannot be read: No such file"
    ):
        IngestSettings.read({"VITALFLOW_INGEST_URL_FILE": "/nowhere"})
    with pytest.raises(PermanentError, match="both set; keep one"):
        IngestSettings.read({"VITALFLOW_INGEST_URL": DB, "VITALFLOW_INGEST_URL_FILE": str(secret)})


def test_a_file_that_everybody_can_read_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with TemporaryDirectory() as name:  # not pytest's folder, which is closed to others anyway
        folder = Path(name)
        secret = folder / "url"
        secret.write_text(DB)
        for folder_mode, mode, warned in ((0o755, 0o600, 0), (0o755, 0o640, 0), (0o700, 0o644, 0), (0o755, 0o644, 1)):
            folder.chmod(folder_mode)
            secret.chmod(mode)
            IngestSettings.read({"VITALFLOW_INGEST_URL_FILE": str(secret)})
            assert len(caplog.messages) == warned, f"{folder_mode:o} {mode:o}"
    assert caplog.messages[0].endswith(f"which every local user can read; run: chmod 600 {secret}")
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("place", "danger"),
    [
        ("127.0.0.1", None),
        ("localhost:5432", None),
        ("[::1]", None),
        ("127.0.0.1/d?host=/run/postgresql", None),
        ("db/d?sslmode=verify-full&sslrootcert=/ca.crt", None),
        ("db", "without mandatory encryption (sslmode=prefer)"),
        ("db/d?sslmode=disable", "without mandatory encryption (sslmode=disable)"),
        ("db/d?sslmode=require", "without verifying the server's certificate (sslmode=require)"),
        ("127.0.0.1/d?host=db", "sslmode=prefer"),
        ("127.0.0.1/d?hostaddr=192.0.2.1", "sslmode=prefer"),
        ("127.0.0.1,db/d", "sslmode=prefer"),
    ],
)
def test_a_database_elsewhere_must_prove_that_it_is_the_one(place: str, danger: str | None) -> None:
    url = f"postgresql://u:s3cret@{place}"
    if danger is None:
        assert IngestSettings.read({"VITALFLOW_INGEST_URL": url}).ingest_url == url
        return
    with pytest.raises(PermanentError) as raised:
        IngestSettings.read({"VITALFLOW_INGEST_URL": url})
    assert danger in str(raised.value)
    assert "VITALFLOW_INGEST_URL would connect to postgresql://u@" in str(raised.value)
    assert "sslmode=verify-full" in str(raised.value)
    assert "s3cret" not in str(raised.value)
    allowed = {"VITALFLOW_INGEST_URL": url, "VITALFLOW_DATABASE_ALLOW_INSECURE": "true"}
    assert IngestSettings.read(allowed).ingest_url.startswith(url)


def test_an_unknown_variable_is_reported_with_the_nearest_name(caplog: pytest.LogCaptureFixture) -> None:
    read(INGEST_BATCHSIZE="5", TEST_ANYTHING="1", TOPIC_ROOT="x")
    assert caplog.messages == [
        "VITALFLOW_INGEST_BATCHSIZE is not a setting of VitalFlow; did you mean VITALFLOW_INGEST_BATCH_SIZE?"
    ]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_warned_of_with_the_present_one(old: str, new: str, caplog: pytest.LogCaptureFixture) -> None:
    read(**{old: "5"})
    assert caplog.messages == [f"VITALFLOW_{old} is not a setting of VitalFlow; did you mean VITALFLOW_{new}?"]
    assert f"VITALFLOW_{new}=" in (ROOT / ".env.example").read_text()


def test_settings_do_not_change_after_start() -> None:
    with pytest.raises(ValidationError):
        read().ingest_batch_size = 5


def test_the_example_lists_every_setting_with_its_default() -> None:
    listed = dict(re.findall(r"^#? ?(VITALFLOW_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    fields = {name: field for kind in CLASSES for name, field in kind.model_fields.items()}
    assert {name for name in listed if not name.endswith("_FILE")} == {PREFIX + name.upper() for name in fields}
    for name, field in fields.items():
        if not field.is_required() and field.default is not None:
            assert listed[PREFIX + name.upper()] == str(field.default), name


def test_an_admin_of_a_list_of_brokers_changes_users_at_each_and_a_pair_goes_first() -> None:
    admin = {"VITALFLOW_ADMIN_URL": "mqtts://admin:s3cret@a,mqtts://b:9883"}
    pair = IdentitySettings.read(admin).pair
    assert [(one.address, one.username, one.others) for one in pair] == [
        ("a:8883", "admin", ()),
        ("b:9883", "admin", ()),
    ]
    standby = {"VITALFLOW_MQTT_STANDBY_URLS": "mqtts://x,mqtts://y"}
    assert [one.address for one in IdentitySettings.read(admin | standby).pair] == ["x:8883", "y:8883"]
    alone = {"VITALFLOW_ADMIN_URL": "mqtts://admin:s3cret@a"}
    assert IdentitySettings.read(alone).pair == ()


def test_a_list_of_addresses_for_devices_is_refused_with_what_to_set() -> None:
    with pytest.raises(PermanentError, match=r"DEVICES_URL .*one address .*set VITALFLOW_MQTT_URL of the device"):
        IdentitySettings.read({"VITALFLOW_DEVICES_URL": "mqtts://a:8883,mqtts://b:8883"})

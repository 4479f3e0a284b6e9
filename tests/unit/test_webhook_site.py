"""`edges check` names each mistake of a [[webhook]]."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edges.__main__ import app
from edges.config.site import read_site
from vitals.errors import PermanentError

GOOD = 'name = "phone"\nkind = "health-connect"\nsecret_file = "phone.secret"\n'
DEVICE = 'ward = "home"\ndevice = "phone-1"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD.replace("health-connect", "fitbits"), "webhook 1, kind 'fitbits'"),
        (GOOD.replace("phone.secret", "") + "secret = 1\n", "webhook 1, secret is no key of this table"),
        ('kind = "oura"\nsecret_file = "x"\n', "webhook 1, name is missing"),
        ('name = "a"\nkind = "oura"\n', "webhook 1, secret_file is missing"),
        (GOOD.replace('"phone"', '"my phone"'), "webhook 1, name"),
        (GOOD.replace('"phone.secret"', "[]"), "secret_file names 0 files"),
        (GOOD + 'ward = "home"\n', "ward and device go together"),
        (GOOD + 'ward = "home"\ndevice = "a/b"\n', "webhook 1, device holds /"),
        (GOOD + 'proof = "header"\n', 'header and proof = "header" go together'),
        (GOOD + 'proof = "path"\nheader = "api-key"\n', 'header and proof = "header" go together'),
        (GOOD + 'proof = "basic"\n', "webhook 1, proof 'basic'"),
        (GOOD + 'clock = "mine"\n', "webhook 1, clock 'mine'"),
        (GOOD + "interval_s = 0\n", "webhook 1, interval_s 0"),
        (GOOD + 'verify_file = "x"\n', "verify_file: only oura and fitbit"),
        (GOOD.replace("health-connect", "garmin") + DEVICE, "name each in a [[place]]"),
        (GOOD.replace("health-connect", "withings") + DEVICE, "notices, which have no values"),
        (GOOD + f"[[webhook]]\n{GOOD}", "two of source, webhook and mqtt have the same name"),
        (GOOD + 'mapping = "x"\n', 'mapping and kind = "mapping" go together'),
        (GOOD.replace("health-connect", "mapping"), 'mapping and kind = "mapping" go together'),
        (
            GOOD.replace("health-connect", "mapping") + 'mapping = "x"\n',
            "webhook phone: there is no [[mapping]] 'x'; there are none",
        ),
        (
            GOOD.replace("health-connect", "mapping") + DEVICE + 'mapping = "x"\n[[mapping]]\nname = "x"\n'
            'account = "/id"\nvalue = [{ sign = "spo2", pointer = "/s", unit = "%" }]\n',
            "webhook phone: the device is named, and the mapping has an account too",
        ),
        (
            GOOD + DEVICE + f"[[webhook]]\n{GOOD.replace('phone', 'other')}" + DEVICE.replace("home", "icu-1"),
            "webhook other: device 'phone-1' is in two wards",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, problem: str) -> None:
    site = tmp_path / "site.toml"
    site.write_text(f'zone = "UTC"\n[[webhook]]\n{text}')
    with pytest.raises(PermanentError) as error:
        read_site(site)
    assert problem in str(error.value)


def test_a_webhook_without_a_mistake_is_read(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    text = f'zone = "UTC"\n[[webhook]]\n{GOOD}{DEVICE}'.replace('"phone.secret"', '["new", "old"]')
    site.write_text(text + 'proof = "standard-webhooks"\n')
    [found] = read_site(site).webhook
    assert (found.required_proof, [str(path) for path in found.secret_files]) == ("standard-webhooks", ["new", "old"])


def test_check_names_each_file_of_a_secret_that_cannot_be_used(tmp_path: Path) -> None:
    names = ("good", "short", "open", "empty", "none")
    contents = {"good": "f" * 32, "short": "f" * 8, "open": "f" * 32, "empty": ""}
    tables = []
    for name in names:
        path = tmp_path / f"{name}.secret"
        if name in contents:
            path.write_text(contents[name])
            path.chmod(0o644 if name == "open" else 0o600)
        tables.append(f"[[webhook]]\n{GOOD.replace('phone.secret', str(path)).replace('phone', name)}")
    site = tmp_path / "site.toml"
    site.write_text("\n".join(['zone = "UTC"', *tables]))
    ended = CliRunner().invoke(app, ["check", str(site)])
    assert ended.exit_code == 0
    lines = [line for line in ended.output.splitlines() if ".secret" in line]
    for line, (name, text) in zip(
        lines,
        [
            ("short", "has less than 16 characters"),
            ("open", "others can read it"),
            ("empty", "holds no secret"),
            ("none", "No such file or directory"),
        ],
        strict=True,
    ):
        assert f"{name}.secret" in line
        assert text in line

"""`edges check` names each mistake of a [[webhook]]."""

from pathlib import Path

import pytest

from edges.site import read_site
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

"""Mutated messages of monitors: no exception but InvalidMessage, one reason for each OBX, and no invented value.

2,000 messages by default; VITALFLOW_MUTATIONS=100000 sets another number.
"""

import os
import random
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from edges.config.site import Site
from edges.hl7.er7 import InvalidMessage, Message, Segment, parse_message
from edges.hl7.oru import Report, read_report
from edges.observations.observed import Reason, Verdict
from vitals.codec import ANY_TIME, decode, encode
from vitals.signs import BY_KEY, SIGN_KEYS

MUTATIONS = int(os.environ.get("VITALFLOW_MUTATIONS", "2000"))
RECEIVED = datetime(2026, 11, 29, 9, 5, tzinfo=UTC)
SITE = Site.model_validate(
    {
        "zone": "Europe/Berlin",
        "patients": {"authority": ["MR", ""]},
        "place": [{"unit": "ICU", "bed": "1", "ward": "icu-1", "device": "bed-1"}],
        "source": [
            {"name": "labels", "application": "GE", "codes": ["ge_gateway", "labels"]},
            {"name": "hundredfold", "application": "NC3A", "codes": ["comen_nc3a"]},
        ],
    }
)

BODIES = {
    "GW": """OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X
OBX|2|NM|147842^MDC_ECG_HEART_RATE^MDC|1.7.4.1|74|264864^MDC_DIM_BEAT_PER_MIN^MDC|50-120||||R
OBX|3|NM|149530^MDC_PULS_OXIM_PULS_RATE^MDC|1.3.1.2|73|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R
OBX|4|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC^59408-5^SpO2^LN|1.3.1.1|97|262688^MDC_DIM_PERCENT^MDC|||||R
OBX|5|NM|151578^MDC_TTHOR_RESP_RATE^MDC|1.7.1.1|18|264928^MDC_DIM_RESP_PER_MIN^MDC|||||R
OBX|6|NM|150344^MDC_TEMP^MDC|1.2.1.1|36.7|268192^MDC_DIM_DEGC^MDC|||||R
OBX|7|NM|150344^MDC_TEMP^MDC|1.2.2.1|33.1|268192^MDC_DIM_DEGC^MDC|||||R
OBX|8|NM|150033^MDC_PRESS_BLD_ART_SYS^MDC|1.13.1.1|118|mm[Hg]^mm[Hg]^UCUM|||||R
OBX|9|NM|150034^MDC_PRESS_BLD_ART_DIA^MDC|1.13.1.2|78|mm[Hg]^mm[Hg]^UCUM|||||R
OBX|10|NM|150087^MDC_PRESS_BLD_VEN_CENT_MEAN^MDC|1.13.2.1|8|266016^MDC_DIM_MMHG^MDC|||||R
OBX|11|NM|150021^MDC_PRESS_BLD_NONINV_SYS^MDC|1.1.9.1|126|266016^MDC_DIM_MMHG^MDC|||||F|||20261129094500+0100
OBX|12|NM|150022^MDC_PRESS_BLD_NONINV_DIA^MDC|1.1.9.2|81|266016^MDC_DIM_MMHG^MDC|||||F|||20261129094500+0100
OBX|13|NM|150456^MDC_AWAY_CO2_ET^MDC|1.9.1.1|35|266016^MDC_DIM_MMHG^MDC|||||R
OBX|14|CWE|1^MNDRY_EWS_LOC_AVPU^99MNDRY||60036^MNDRY_SCORE_LOC_AVPU_VOICE^99MNDRY||||||R""",
    "SPOT": """OBX|1|NM|8867-4^Heart Rate||77|bpm|60-100||||F
OBX|2|NM|2708-6^SpO2||96|%|95-100||||F
OBX|3|NM|8480-6^Systolic BP||123|mmHg|90-140||||F
OBX|4|NM|8462-4^Diastolic BP||76|mmHg|60-90||||F
OBX|5|NM|8310-5^Temperature||98.2|[degF]|||||F
OBX|6|SN|9279-1^Respiratory Rate||=^15|/min|12-20||||F""",
    "PHILIPS": """OBX||NM|0002-4bb8^SpO2^MDIL|0|94|0004-0220^%^MDIL|||||F
OBX||NM|0002-5000^Resp^MDIL|0|16|0004-0ae0^rpm^MDIL|||||F
OBX||NM|0002-4182^HR^MDIL|0|61|0004-0aa0^bpm^MDIL|||||F
OBX||NM|0002-4a15^ABPs^MDIL|0|121|0004-0f20^mmHg^MDIL|||||F
OBX||NM|0002-4a16^ABPd^MDIL|0|71|0004-0f20^mmHg^MDIL|||||F
OBX||TX|5^HardInop^MDIL-ALERT||SpO2 no pulse||||||F""",
    "GE": """OBX|1|ST|HR||68|/min|||||R
OBX|2|ST|PVC||2|#/min|||||R
OBX|3|ST|RR||14|breaths/min|||||R
OBX|4|ST|SPO2R||71|/min|||||R
OBX|5|ST|SPO2P||99|%|||||R""",
    "NC3A": """OBX||NM|40^HR||7800|0002-4182^bpm^MDIL|5000^12000||||F
OBX||NM|188^SPO2||9600|0002-4bb8^%^MDIL|9000^10000||||F
OBX||NM|100^T1||3650|0401-0b54^C^MDIL|3600^3900||||F
OBX||NM|90^NIBP_S||-100|0002-4a05^mmhg^MDIL|9000^16000||||F""",
    "NK": """OBX|1|NM|007001^VITAL PR(spo2)|1|78|/min|||||F|||20261129094400
OBX|2|NM|007000^VITAL SpO2|1|98|%|||||F|||20261129094400
OBX|3|NM|009000^NIBP SYS|1|132|mmHg|||||F|||20261129094337
OBX|4|NM|009001^NIBP DIAS|1|76|mmHg|||||F|||20261129094337""",
}
MESSAGES = [
    f"MSH|^~\\&|{application}|W|||20261129100100+0100||ORU^R01^ORU_R01|M-1|P|2.6\r"
    "PID|||77^^^H^MR||Name\rPV1||I|ICU^^1\rOBR|1|||182777000^monitoring of patient^SCT|||20261129100000+0100\r"
    + body.replace("\n", "\r")
    + "\r"
    for application, body in BODIES.items()
]
WORDS = [
    *("", '""', "0", "-1", "97", "35", "1e3", "8388607", "-100", "\\F\\", "\\X37\\", "\\E\\", "^", "&", "~", "|", "\r"),
    *("X", "F", "D", "INV", "NM", "SN", "NA", "CWE", "MDC", "LN", "MDIL", "EHC", "UCUM", "%", "bpm", "mmHg", "kPa"),
    *("147842", "150456", "150087", "MDC_ECG_HEART_RATE", "MDC_TEMP", "HR", "SpO2", "8867-4", "0002-4bb8", "20261129"),
    *("266016^MDC_DIM_MMHG^MDC", "262688^MDC_DIM_PERCENT^MDC", "20261129090000", "9" * 40, "\u00e9", "\0", "\x0b"),
]
SPEAK_OF = {
    "heart_rate": r"\b(147842|149530|149538|149514|149522|8867-4|8889-8|8893-0|007001|072007"
    r"|0002-4(182|81a|822|80a|812)|001000|131072|327681|40)\b|MDC_ECG_(HEART|CARD_BEAT)_RATE|MDC_\w*PULS\w*_RATE|\b(hr|spo2r|spo2-r|pulse|pr)\b",
    "spo2": r"\b(150456|2708-6|59408-5|0002-4bb8|007000|327680|188)\b|MDC_PULS_OXIM_SAT_O2|spo2|sao2",
    "resp_rate": r"\b(1515(62|78|70|94)|151650|151658|9279-1|0002-50\w\w)\b|MDC_\w*RESP_RATE|\b(rr|resp)\b",
    "temperature": r"\b(1503\d\d|1884\d\d|83\d\d-\d|0002-4b\w\w|0002-e004|458752|100)\b|MDC_TEMP|\b(temp|t1)\b",
    "systolic_bp": r"\b(150021|150301|15003[37]|150017|8480-6|0002-4a(05|11|15)|009000|393216|90)\b"
    r"|MDC_PRESS_\w*_SYS|\b(n|ni|a)bp-?s|\barts|\bsys",
    "diastolic_bp": r"\b(150022|150302|15003[48]|150018|8462-4|0002-4a(06|12|16)|009001|393217)\b"
    r"|MDC_PRESS_\w*_DIA|\b(n|ni|a)bp-?d|\bartd|\bdia",
}
"""Written independently of the tables: what a code has to hold so that its value may be one of the sign."""
CONVERTED: tuple[Callable[[float], float], ...] = (
    lambda number: number,
    lambda number: number / 100,
    lambda number: number * 100,
    lambda number: number * 60,
    lambda number: (number - 32) / 1.8,
    lambda number: number - 273.15,
    lambda number: number * 7.500617,
    lambda number: number * 0.7500617,
    lambda number: number * 0.735559,
)


def mutated(rng: random.Random) -> bytes:
    text = rng.choice(MESSAGES)
    for _ in range(rng.randint(1, 4)):
        text = rng.choice((mutate_characters, mutate_field, mutate_segments))(rng, text)
    content = text.encode(rng.choice(("utf-8", "latin-1")), "replace")
    if rng.random() < 0.2:
        at = rng.randrange(len(content) + 1)
        content = content[:at] + bytes([rng.randrange(256)]) + content[at + rng.randint(0, 2) :]
    return content


def mutate_characters(rng: random.Random, text: str) -> str:
    start = rng.randrange(len(text) + 1)
    return text[:start] + rng.choice((*WORDS, rng.choice("0123456789.^|&~\\ "))) + text[start + rng.randint(0, 3) :]


def mutate_field(rng: random.Random, text: str) -> str:
    lines = text.split("\r")
    at = rng.randrange(len(lines))
    fields = lines[at].split("|")
    other = rng.choice(rng.choice(lines).split("|"))
    fields[rng.randrange(len(fields))] = rng.choice((other, rng.choice(WORDS)))
    if rng.random() < 0.3:
        fields.insert(rng.randrange(len(fields)), "")
    return "\r".join([*lines[:at], "|".join(fields), *lines[at + 1 :]])


def mutate_segments(rng: random.Random, text: str) -> str:
    lines = text.split("\r")
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, rng.choice(lines))
        case 2:
            lines.insert(at, rng.choice(rng.choice(MESSAGES).split("\r")[1:]))
        case _:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
    return rng.choice(("\r", "\r", "\n", "\r\n")).join(lines)


def check(content: bytes) -> Report | None:
    try:
        message = parse_message(content)
    except InvalidMessage:
        return None
    report = read_report(message, SITE, RECEIVED)
    expected = sum(segment.name == "OBX" for segment in message.segments)
    assert sum(report.counts.values()) in (expected, 0)
    assert report.error is not None or sum(report.counts.values()) == expected
    for item in report.readings:
        assert decode(encode(item.reading), ANY_TIME).readings == [item.reading]
        for key in SIGN_KEYS:
            value = item.reading.value(key)
            assert value is None or any(states(segment, key, value) for segment in used(message, report.verdicts)), key
    return report


def used(message: Message, verdicts: list[Verdict]) -> list[Segment]:
    reasons = (Reason.USED, Reason.UNKNOWN_PLACE)
    return [message.segments[item.observation.segment - 1] for item in verdicts if item.reason in reasons]


def states(segment: Segment, key: str, value: float) -> bool:
    """Whether an OBX speaks of the sign and holds the number, in one of the units."""
    if not re.search(SPEAK_OF[key], segment.separators.unescape(segment.raw(3)), re.IGNORECASE):
        return False
    found = re.search(r"[-+]?\d+(\.\d+)?", segment.separators.unescape(segment.raw(5)))
    tolerance = 0.5 * 10 ** -BY_KEY[key].decimals + 1e-6
    return found is not None and any(abs(change(float(found[0])) - value) <= tolerance for change in CONVERTED)


def test_mutated_messages_lose_no_observation_and_invent_no_value() -> None:
    rng = random.Random(19)
    counts: Counter[str] = Counter()
    for number in range(MUTATIONS):
        content = mutated(rng)
        try:
            report = check(content)
        except Exception as error:
            raise AssertionError(f"mutation {number}: {content!r}") from error
        counts["read" if report else "refused"] += 1
        counts.update(report.counts if report else {})
    assert counts["read"] > counts["refused"]
    assert counts["used"] > MUTATIONS


def test_the_messages_that_are_mutated_are_read() -> None:
    for message in MESSAGES:
        report = check(message.encode())
        assert report is not None
        assert report.counts["used"] >= 3, message

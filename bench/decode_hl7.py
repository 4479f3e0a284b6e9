"""What it costs to decode an HL7 message of a monitor, beside splitting it by hand: no sockets, no storage.

By hand means: split all fields at the separators of this message, look the number of the code up in a table, and
convert the value, without a check of names, units, states, times and places. The message has the fourteen observations
of a bed.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from bench.environment import describe_machine
from bench.report import Figures, Log
from edges.config.site import Site
from edges.hl7.er7 import parse_message
from edges.hl7.oru import read_report

ROUNDS = 5  # the best of so many, in turn: what disturbs a measurement only ever makes it slower
RECEIVED = datetime(2026, 11, 29, 9, 5, tzinfo=UTC)
SITE = Site.model_validate(
    {
        "zone": "UTC",
        "patients": {"authority": ["MR"]},
        "place": [
            {"unit": "ICU", "bed": str(number), "ward": "icu", "device": f"bed-{number}"} for number in range(40)
        ],
    }
)
CODES = {
    "147842": "heart_rate",
    "150456": "spo2",
    "151578": "resp_rate",
    "150344": "temperature",
    "150021": "systolic_bp",
    "150022": "diastolic_bp",
}
OBSERVATIONS = """||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X
|NM|147842^MDC_ECG_HEART_RATE^MDC|1.7.4.1|74|264864^MDC_DIM_BEAT_PER_MIN^MDC|50-120||||R
|NM|149530^MDC_PULS_OXIM_PULS_RATE^MDC|1.3.1.2|73|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R
|NM|148066^MDC_ECG_V_P_C_RATE^MDC|1.7.2.148066|1|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R
|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.3.1.1|97|262688^MDC_DIM_PERCENT^MDC|||||R
|NM|150488^MDC_BLD_PERF_INDEX^MDC|1.3.1.150488|1.76|262688^MDC_DIM_PERCENT^MDC|||||R
|NM|151578^MDC_TTHOR_RESP_RATE^MDC|1.7.1.1|18|264928^MDC_DIM_RESP_PER_MIN^MDC|||||R
|NM|150344^MDC_TEMP^MDC|1.2.1.1|36.7|268192^MDC_DIM_DEGC^MDC|||||R
|NM|150344^MDC_TEMP^MDC|1.2.2.1|33.1|268192^MDC_DIM_DEGC^MDC|||||R
|NM|150087^MDC_PRESS_BLD_VEN_CENT_MEAN^MDC|1.13.2.1|8|266016^MDC_DIM_MMHG^MDC|||||R
||150020^MDC_PRESS_BLD_NONINV^MDC|1.1.9|||||||X|||20261129094500+0100
|NM|150021^MDC_PRESS_BLD_NONINV_SYS^MDC|1.1.9.1|126|266016^MDC_DIM_MMHG^MDC|||||F|||20261129094500+0100
|NM|150022^MDC_PRESS_BLD_NONINV_DIA^MDC|1.1.9.2|81|266016^MDC_DIM_MMHG^MDC|||||F|||20261129094500+0100
|NM|150023^MDC_PRESS_BLD_NONINV_MEAN^MDC|1.1.9.3|96|266016^MDC_DIM_MMHG^MDC|||||F|||20261129094500+0100"""


def decode_hl7(messages: int, log: Log) -> Figures:
    """Decode so many messages of 40 beds, and split the same ones by hand."""
    contents = [_message(number % 40) for number in range(messages)]
    best = {"decode": float("inf"), "by_hand": float("inf")}
    for _ in range(ROUNDS):
        for name, work in (("decode", _decode), ("by_hand", _split)):
            best[name] = min(best[name], _cost(work, contents))
            log(f"{name}: {best[name]:.1f} µs a message")
    return {
        "messages": messages,
        "decode_us_per_message": round(best["decode"], 1),
        "by_hand_us_per_message": round(best["by_hand"], 1),
        "ratio": round(best["decode"] / best["by_hand"], 2),
        "machine": describe_machine(),
    }


def _cost(work: Callable[[bytes], int], contents: list[bytes]) -> float:
    begun = time.process_time()
    values = sum(work(content) for content in contents)
    elapsed = time.process_time() - begun
    assert values == 6 * len(contents)
    return elapsed / len(contents) * 1e6


def _decode(content: bytes) -> int:
    return read_report(parse_message(content), SITE, RECEIVED).counts["used"]


def _split(content: bytes) -> int:
    values: dict[str, float] = {}
    for line in content.decode().split("\r"):
        fields = [field.split("^") for field in line.split("|")]
        if fields[0][0] == "OBX" and fields[2][0] == "NM":
            sign = CODES.get(fields[3][0])
            if sign and sign not in values:
                values[sign] = float(fields[5][0])
    return len(values)


def _message(bed: int) -> bytes:
    lines = [
        "MSH|^~\\&|GW|W|||20261129100100+0100||ORU^R01^ORU_R01|M-1|P|2.6",
        "PID|||77^^^H^MR||Name",
        f"PV1||I|ICU^^{bed}",
        "OBR|1|||182777000^monitoring of patient^SCT|||20261129100000+0100",
        *(f"OBX|{number}{text}" for number, text in enumerate(OBSERVATIONS.split("\n"), 1)),
    ]
    return "".join(f"{line}\r" for line in lines).encode()

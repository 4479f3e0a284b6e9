"""The formats of recordings: by which columns each is recognized, and which columns hold times and signs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from vitals.recording.names import plain
from vitals.signs import BY_KEY, SIGNS, Sign


class Format(StrEnum):
    """Supported formats."""

    BIDMC = "bidmc"
    MIMIC = "mimic"
    CHALLENGE = "challenge"
    VSCAPTURE = "vscapture"
    VSCAPTUREMP = "vscapturemp"
    VITALDB = "vitaldb"
    EICU = "eicu"
    CHARTEVENTS = "chartevents"
    WFDB = "wfdb"
    CSV = "csv"


class DateOrder(StrEnum):
    """Order of day and month in dates such as 03/04/2026."""

    DMY = "dmy"
    MDY = "mdy"


@dataclass(frozen=True, slots=True)
class Column:
    """The columns of a sign.

    sources      in order of preference; each is the names that the column of one sensor may have
    continuous   a missing value or 0 means that the sensor is off
    """

    sources: tuple[tuple[str, ...], ...]
    continuous: bool = False

    def names(self) -> frozenset[str]:
        """Return all names, for comparison."""
        return frozenset(plain(name) for source in self.sources for name in source)


def one_of_each(*names: str, continuous: bool = False) -> Column:
    """Return a column whose sources have one name each."""
    return Column(tuple((name,) for name in names), continuous)


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of one format.

    signs            columns of each sign; the sources of both pressures are pairs, of which one pair is used in a row
    identified_by    the format is recognized if a file has all of these columns
    instants         names of a column of dates with times of day; `date` and `time` together are one too, `date`
                     alone is the last choice
    elapsed          name of a column of elapsed time -> seconds in its unit, None if the unit has to be in the file
    pairs            names of columns that hold both pressures, as 120/80, by the rank of their sensor
    step_s           without a column of times: seconds between two rows
    zero_is_missing  0 means that nothing was measured, unless another sensor shows that it was
    date_order       order of day and month, if the format has a fixed one
    local_is_utc     times without offset need no zone: their dates are shifted, and only the intervals are real
    is_unordered     rows of a database table, in any order
    has_longer_rows  rows may have more values than names, because what follows the columns in use is misaligned
    """

    format: Format
    signs: Mapping[str, Column]
    identified_by: tuple[str, ...] = ()
    instants: tuple[str, ...] = ()
    elapsed: Mapping[str, float | None] = field(default_factory=dict)
    pairs: tuple[tuple[str, ...], ...] = ()
    step_s: float = 0.0
    zero_is_missing: bool = False
    date_order: DateOrder | None = None
    local_is_utc: bool = False
    is_unordered: bool = False
    has_longer_rows: bool = False


DATE_NAMES = ("date", "Datum", "fecha", "data", "дата", "tarih", "日期", "日付")
CLOCK_NAMES = (
    "time", "Uhrzeit", "Zeit", "heure", "hora", "ora", "tijd", "tid", "czas", "godzina", "время", "saat", "zaman",
    "时间", "時間", "時刻",
)  # fmt: skip
"""Columns of a date and of a time of day, which together are a moment; `data` is Italian and Polish."""

# A cuff is taken before an arterial line.
_PAIRS = (
    (
        "BP", "NIBP", "NBP", "blood pressure", "sys/dia", "systolic/diastolic", "BP (sys/dia)", "Blutdruck",
        "tension artérielle", "TA", "presión arterial", "pressione arteriosa", "pressão arterial", "bloeddruk",
        "blodtryck", "ciśnienie", "ciśnienie krwi", "АД", "артериальное давление", "tansiyon", "kan basıncı", "血压",
        "血壓", "血圧",
    ),
    ("ABP", "ART", "IBP", "arterial pressure"),
)  # fmt: skip
# HR is measured by ECG, PULSE by the oximeter.
_MONITOR = {
    "heart_rate": one_of_each("HR", "PULSE", continuous=True),
    "resp_rate": one_of_each("RESP", continuous=True),
    "spo2": one_of_each("SpO2", continuous=True),
}
_BIDMC = Layout(
    Format.BIDMC,
    _MONITOR,
    identified_by=("Time [s]", "HR", "RESP", "SpO2"),
    elapsed={"time": None},
    zero_is_missing=True,
)
# A cuff is taken before an arterial line, as edges/config/codes does.
_MIMIC = Layout(
    Format.MIMIC,
    {
        **_MONITOR,
        "systolic_bp": Column((("NBPSys",), ("ABPSys", "ARTSys"))),
        "diastolic_bp": Column((("NBPDias", "NBPDia"), ("ABPDias", "ABPDia", "ARTDias", "ARTDia"))),
    },
    identified_by=("elapsed_s", "HR", "RESP", "SpO2"),
    elapsed={"elapsed": None},
    zero_is_missing=True,
)
_WFDB = replace(_MIMIC, format=Format.WFDB, identified_by=(), instants=("time",))
_CHALLENGE = Layout(
    Format.CHALLENGE,
    {
        "heart_rate": one_of_each("HR"),
        "spo2": one_of_each("O2Sat"),
        "resp_rate": one_of_each("Resp"),
        "temperature": one_of_each("Temp"),
        "systolic_bp": one_of_each("SBP"),
        "diastolic_bp": one_of_each("DBP"),
    },
    identified_by=("HR", "O2Sat", "Resp"),
    elapsed={"Hour": 3600.0, "ICULOS": 3600.0},
    step_s=3600.0,
)
CHALLENGE_MARKS = frozenset(("hour", "iculos", "sepsislabel"))
"""Columns of the Challenge that no other file has."""

CHALLENGE_NAMES = frozenset(("temp", "sbp", "map", "dbp"))
"""Columns that a file of the Challenge has between `|`, and by which it is recognized without CHALLENGE_MARKS."""

OTHER_MEANINGS = (
    (frozenset(("pleth", "ppg", "ecg", "i", "ii", "iii", "avr", "avl", "avf", "mcl1")), frozenset(("resp",))),
    (frozenset(("qrs", "qrsd", "qt", "qtc")), frozenset(("pr", "rr"))),
    (
        frozenset((
            "humidity", "hum", "rh", "relativehumidity", "luftfeuchtigkeit", "cadence", "altitude", "positionlat",
            "speed",
        )),
        frozenset(("temp", "temperature")),
    ),
)  # fmt: skip
"""Columns that show that others, named like signs, are waveforms, intervals of an ECG, and temperatures of a room.

Cadence, altitude and the like: of a sports watch, whose temperature is its own.
"""

# In Romance languages; elsewhere pressures of the pulmonary artery (PAS, PAD), flow rates and other quantities.
_SHORT = frozenset(("fc", "fr", "ta", "tas", "tad", "pas", "pad"))
_SATURATIONS = frozenset(("spo2", "sato2", "sao2", "sat", "saturation", "saturación", "saturazione"))
NEEDS_BESIDE = {
    "fc": (_SHORT | _SATURATIONS) - {"fc"},
    "ta": (_SHORT | _SATURATIONS) - {"ta"},
    **dict.fromkeys(("fr", "tas", "tad", "pas", "pad"), frozenset(("fc",))),
}
"""Short names -> the names of which one has to be beside them."""

# VitalSignsCapture of Datex AS3 and later. In its rows the values from AA on stand below other names: not used.
_VSCAPTURE = Layout(
    Format.VSCAPTURE,
    {
        "heart_rate": one_of_each("Heart Rate"),
        "systolic_bp": one_of_each("Systolic BP"),
        "diastolic_bp": one_of_each("Diastolic BP"),
        "spo2": one_of_each("SpO2"),
    },
    identified_by=("Time", "Heart Rate", "SpO2", "AA ET"),
    instants=("Time",),
    has_longer_rows=True,
)
_VSCAPTUREMP = Layout(
    Format.VSCAPTUREMP,
    {
        "heart_rate": one_of_each("NOM_ECG_CARD_BEAT_RATE", "NOM_PLETH_PULS_RATE", "NOM_PULS_RATE"),
        "spo2": one_of_each("NOM_PULS_OXIM_SAT_O2"),
        "resp_rate": one_of_each("NOM_RESP_RATE", "NOM_AWAY_RESP_RATE", "NOM_CO2_RESP_RATE"),
        "temperature": one_of_each(
            "NOM_TEMP_BODY",
            "NOM_TEMP_CORE",
            "NOM_TEMP_ESOPH",
            "NOM_TEMP_NASOPH",
            "NOM_TEMP_RECT",
            "NOM_TEMP_TYMP",
            "NOM_TEMP",
        ),
        "systolic_bp": one_of_each("NOM_PRESS_BLD_NONINV_SYS", "NOM_PRESS_BLD_ART_ABP_SYS", "NOM_PRESS_BLD_ART_SYS"),
        "diastolic_bp": one_of_each("NOM_PRESS_BLD_NONINV_DIA", "NOM_PRESS_BLD_ART_ABP_DIA", "NOM_PRESS_BLD_ART_DIA"),
    },
    instants=("Time",),
    date_order=DateOrder.DMY,  # the program writes dd-MM-yyyy in every country
)
_VITALDB = Layout(
    Format.VITALDB,
    {
        "heart_rate": one_of_each("Solar8000/HR", "Solar8000/PLETH_HR"),
        "spo2": one_of_each("Solar8000/PLETH_SPO2"),
        "resp_rate": one_of_each("Solar8000/RR", "Solar8000/RR_CO2"),
        "temperature": one_of_each("Solar8000/BT"),
        "systolic_bp": one_of_each("Solar8000/NIBP_SBP", "Solar8000/ART_SBP", "Solar8000/FEM_SBP"),
        "diastolic_bp": one_of_each("Solar8000/NIBP_DBP", "Solar8000/ART_DBP", "Solar8000/FEM_DBP"),
    },
    elapsed={"Time": 1.0},
    zero_is_missing=True,
)
# vitalPeriodic has pressures of an arterial line, vitalAperiodic those of a cuff; offsets are minutes.
_EICU = Layout(
    Format.EICU,
    {
        "heart_rate": one_of_each("heartrate"),
        "spo2": one_of_each("sao2"),
        "resp_rate": one_of_each("respiration"),
        "temperature": one_of_each("temperature"),
        "systolic_bp": one_of_each("noninvasivesystolic", "systemicsystolic"),
        "diastolic_bp": one_of_each("noninvasivediastolic", "systemicdiastolic"),
    },
    identified_by=("patientunitstayid", "observationoffset"),
    elapsed={"observationoffset": 60.0},
    is_unordered=True,
)
_CHARTEVENTS = Layout(
    Format.CHARTEVENTS,
    {},  # one value in a row: `items`
    identified_by=("charttime", "itemid", "valuenum"),
    instants=("charttime",),
    local_is_utc=True,
    is_unordered=True,
)


# English, German, French, Spanish, Italian, Dutch, Portuguese, Swedish, Polish, Russian, Turkish, Chinese, Japanese.
# Not here, as they have other meanings too: AF and HF (fibrillation and failure), САД (a mean pressure), PA.
_USUAL_NAMES = {
    "heart_rate": (
        "heartrate", "beats per minute", "ECG HR", "HR ECG", "Herzfrequenz", "fréquence cardiaque",
        "frecuencia cardíaca", "frequenza cardiaca", "hartslag", "hartfrequentie", "frequência cardíaca",
        "hjärtfrekvens",
        "FC",
        "częstość akcji serca", "częstość pracy serca", "ЧСС", "частота сердечных сокращений", "kalp hızı",
        "kalp atış hızı", "心率", "心拍数", "心拍",
    ),
    "spo2": (
        "O2Sat", "SatO2", "O2 saturation", "oxygen level", "pulse oximetry", "blood oxygen", "SpO2 level",
        "Sauerstoffsättigung", "Sauerstoffsaettigung", "O2-Sättigung", "saturation", "saturatie",
        "saturation en oxygène", "saturación de oxígeno",
        "saturazione di ossigeno", "saturazione ossigeno", "zuurstofsaturatie", "saturação de oxigénio",
        "saturação de oxigênio", "syremättnad", "saturacja", "saturacja krwi", "сатурация", "сатурация крови",
        "насыщение крови кислородом", "oksijen satürasyonu", "satürasyon", "血氧", "血氧饱和度", "氧饱和度",
        "血氧飽和度", "酸素飽和度", "経皮的酸素飽和度", "経皮的動脈血酸素飽和度",
    ),
    "resp_rate": (
        "RESP", "respiration", "respiration rate", "breathing rate", "Atemfrequenz", "fréquence respiratoire",
        "frecuencia respiratoria", "frequenza respiratoria", "ademhalingsfrequentie", "frequência respiratória",
        "andningsfrekvens", "FR", "częstość oddechów", "liczba oddechów", "ЧДД", "частота дыхания",
        "частота дыхательных движений", "solunum sayısı", "solunum hızı", "呼吸频率", "呼吸率", "呼吸頻率", "呼吸数",
    ),
    "temperature": (
        "body temp", "Temperatur", "Körpertemperatur", "Koerpertemperatur", "température", "température corporelle",
        "temperatura", "temperatura corporal", "temperatura corporea", "temperatuur", "lichaamstemperatuur",
        "kroppstemperatur", "temperatura ciała", "температура", "температура тела", "vücut sıcaklığı", "vücut ısısı",
        "体温", "體溫",
    ),
    "systolic_bp": (
        "systolic", "sys", "systolic BP", "NBPSys", "NBP systolic", "NIBP sys", "NIBP SBP", "BP sys", "BP (sys)",
        "BP systolic", "blood pressure systolic", "blood pressure (systolic)", "systolisch", "Systole",
        "Blutdruck systolisch", "systolischer Blutdruck", "systolique", "pression systolique", "sistólica",
        "presión sistólica", "pressione sistolica", "pressão sistólica", "bovendruk", "pression artérielle systolique",
        "presión arterial sistólica", "pressione arteriosa sistolica", "pressão arterial sistólica", "TAS", "PAS",
        "systoliskt blodtryck", "ciśnienie skurczowe", "систолическое", "систолическое АД", "систолическое давление",
        "sistolik", "sistolik kan basıncı", "收缩压", "收縮壓", "収縮期血圧", "最高血圧",
    ),
    "diastolic_bp": (
        "diastolic", "dia", "diastolic BP", "NBPDias", "NBPDia", "NBP diastolic", "NIBP dia", "NIBP DBP", "BP dia",
        "BP (dia)", "BP diastolic", "blood pressure diastolic", "blood pressure (diastolic)", "diastolisch", "Diastole",
        "Blutdruck diastolisch", "diastolischer Blutdruck", "diastolique", "pression diastolique", "diastólica",
        "presión diastólica", "pressione diastolica", "pressão diastólica", "onderdruk",
        "pression artérielle diastolique", "presión arterial diastólica", "pressione arteriosa diastolica",
        "pressão arterial diastólica", "TAD", "PAD", "diastoliskt blodtryck", "ciśnienie rozkurczowe",
        "диастолическое", "диастолическое АД", "диастолическое давление", "diyastolik", "diyastolik kan basıncı",
        "舒张压", "舒張壓", "拡張期血圧", "最低血圧",
    ),
}  # fmt: skip
_SECOND_SENSOR = {
    "heart_rate": (
        "PULSE", "pulse rate", "PR", "PLETH HR", "Puls", "Pulsfrequenz", "pouls", "pulso", "polso", "tętno", "пульс",
        "nabız", "脉搏", "脉率", "脈搏", "脈拍", "脈拍数",
    ),
    "systolic_bp": ("ABPSys", "ABP systolic", "ART sys", "ART SBP"),
    "diastolic_bp": ("ABPDias", "ABPDia", "ABP diastolic", "ART dia", "ART DBP"),
}  # fmt: skip
_INSTANTS = (
    "time", "timestamp", "datetime", "date time", "date/time", "date & time", "date and time", "time and date",
    "recorded at", "measured at", "measurement date", "measurement time", "Messdatum", "Messzeitpunkt",
    "charttime", "ts", "epoch", "unix time", "unix timestamp", "Datum und Uhrzeit",
    "Datum/Uhrzeit", "date et heure", "date/heure", "fecha y hora", "fecha/hora", "data e ora", "data/ora",
    "data e hora", "data/hora", "datum en tijd", "datum och tid", "data i godzina", "data i czas", "дата и время",
    "дата/время", "tarih saat", "tarih ve saat", "tarih/saat", "测量时间", "记录时间", "采集时间", "日期时间", "日時",
    "測定日時", "記録日時",
)  # fmt: skip
# Any sign, by its key, label or short name, or by a usual name.
_CSV = Layout(
    Format.CSV,
    {
        sign.key: Column(
            (
                # Without the names that tell the sensor.
                (sign.key, sign.label, sign.short, *_USUAL_NAMES.get(sign.key, ())),
                *((_SECOND_SENSOR[sign.key],) if sign.key in _SECOND_SENSOR else ()),
            )
        )
        for sign in SIGNS
    },
    instants=(*_INSTANTS, *CLOCK_NAMES[1:], "Zeitpunkt", "Zeitstempel", "horodatage", *DATE_NAMES),
    elapsed={
        "elapsed": None,
        "elapsed time": None,
        "seconds": 1.0,
        "sec": 1.0,
        "minutes": 60.0,
        "hours": 3600.0,
        "milliseconds": 0.001,
    },
    pairs=_PAIRS,
)
_LAYOUTS = (_BIDMC, _MIMIC, _CHALLENGE, _VSCAPTURE, _VSCAPTUREMP, _VITALDB, _EICU, _CHARTEVENTS, _WFDB, _CSV)
LAYOUTS: dict[Format, Layout] = {layout.format: layout for layout in _LAYOUTS}
KNOWN_FORMATS = (
    "bidmc (Time [s], HR, PULSE, RESP, SpO2), mimic (elapsed_s, HR, PULSE, RESP, SpO2, NBPSys, NBPDias), "
    "challenge (HR|O2Sat|Temp|SBP|MAP|DBP|Resp|...), vscapture, vscapturemp, vitaldb, eicu, chartevents, "
    f"wfdb (a .hea file), csv (time, elapsed_s or seconds, and any of {', '.join(sign.key for sign in SIGNS)})"
)


def known_names(layout: Layout) -> dict[str, Sign | None]:
    """Return the names of all columns, for comparison, with the sign of each; None: a time."""
    times: dict[str, Sign | None] = {plain(name): None for name in (*layout.instants, *layout.elapsed)}
    times |= {plain(name): BY_KEY["systolic_bp"] for names in layout.pairs for name in names}
    return times | {name: BY_KEY[key] for key, column in layout.signs.items() for name in column.names()}

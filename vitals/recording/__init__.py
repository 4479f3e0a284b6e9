"""Read recordings of patients row by row, for `devices replay`, `import`, and for back-testing of rules.

Files are read as streams of any size. `layouts` has the formats, which `recognition` finds by the line of names; the
separator is `|`, `;`, a tab or a comma. `recording.Recording` reads the rows with `cells`, `times` and, for one value a
row, `items`.

Nothing is guessed: a time without offset or zone, a date whose order is not given, a unit that is unknown and a second
patient are rejected, because a wrong number looks like a right one.

The meaning of a missing value depends on the source. The numerics of a monitor are continuous: NaN or 0 for heart rate,
respiratory rate or saturation means that the sensor is off, unless another sensor shows that the 0 was measured
(`choice`). A cuff measures now and then, and hourly charts are filled in by hand: there a missing value was not
measured.
"""

from vitals.recording.layouts import DateOrder as DateOrder
from vitals.recording.layouts import Format as Format
from vitals.recording.plausibility import other_unit as other_unit
from vitals.recording.recording import Recording as Recording
from vitals.recording.recording import Row as Row
from vitals.recording.recording import Summary as Summary

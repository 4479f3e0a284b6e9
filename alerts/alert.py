"""Moved to `vitals.alert`, because ingest keeps alerts too; this name goes when nothing imports it any more."""

from vitals.alert import MAX_ALERT as MAX_ALERT
from vitals.alert import Alert as Alert
from vitals.alert import Change as Change
from vitals.alert import Event as Event
from vitals.alert import Kind as Kind
from vitals.alert import Moment as Moment
from vitals.alert import Priority as Priority
from vitals.alert import State as State
from vitals.alert import Text as Text
from vitals.alert import alert_id as alert_id
from vitals.alert import decode_alert as decode_alert
from vitals.alert import encode_alert as encode_alert

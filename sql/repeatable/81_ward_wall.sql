-- One short text per bed, for a screen that is read across a room. It begins with the mark of the worst alert, so that no
-- information depends on its colour alone.
--
-- Without readings only that is shown. Else: the present value of the sign of the alert, `ended` if its condition has
-- ended, or its first words; CRITICAL if a value is beyond a critical limit and no high alert says so; or heart rate and
-- SpO2.
CREATE OR REPLACE VIEW ward_wall AS
SELECT ward, device_id, CASE WHEN starts_with(device_id, ward || '-') THEN substr(device_id, length(ward) + 2) ELSE device_id END
       AS bed, urgency, news2,
       CASE WHEN badge IS NULL OR hidden THEN '' ELSE split_part(badge, ' ', 1) || ' ' END
       || CASE WHEN condition IN ('OFFLINE', 'SILENT', 'WAITING', 'VACANT') OR hidden THEN condition
               WHEN alert_state = 'latched' THEN 'ended'
               WHEN label IS NOT NULL THEN label || ' ' || trim_scale(alert_now)
               WHEN condition = 'SENSOR OFF' THEN condition
               WHEN badge IS NOT NULL THEN words[1] || CASE WHEN length(words[1]) < length(words[2]) THEN '…' ELSE '' END
               ELSE coalesce(nullif(concat_ws(' ', round(heart_rate) || '/min', round(spo2) || '%'), ''), '–') END
       AS tile
FROM ward_board
CROSS JOIN LATERAL (
    SELECT condition = 'CRITICAL' AND (badge IS NULL OR badge LIKE '[%' OR urgency = 8) AS hidden,
           CASE WHEN alert_now IS NULL THEN NULL
                ELSE CASE alert_sign WHEN 'heart_rate' THEN 'HR' WHEN 'spo2' THEN 'SpO2' WHEN 'resp_rate' THEN 'RR'
                                     WHEN 'temperature' THEN 'Temp' WHEN 'systolic_bp' THEN 'Sys' END END AS label,
           -- The words before the limit, as in "NEWS2: 9 (RR 3, SpO2 2)", and their beginning.
           (SELECT ARRAY[rtrim(left(text, 12)), text] FROM regexp_substr(alert_text, '^[^,(]*[^,( ]') AS text) AS words
) AS shown;
COMMENT ON VIEW ward_wall IS 'one row per bed: its name, and a short text with the mark of its worst alert';

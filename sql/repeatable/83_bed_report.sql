-- One bed, hour by hour, for the printed report of the station: a row for each patient and ward of an hour. wards: only
-- what was measured in these, NULL for all. news2 is the highest score of a minute, a lower bound (news2_chart); NULL
-- for an hour of several patients or wards, because the scores do not say whose they are. Readings that name no patient are
-- those of the assigned one, if the bed had no other and no discharge in the whole hour.
DO $$
DECLARE
    definition CONSTANT text := format($function$
CREATE OR REPLACE FUNCTION bed_report(device text, from_time timestamptz, to_time timestamptz, wards text[])
RETURNS TABLE ("time" timestamptz, ward text, patient_id text, readings bigint, minutes bigint, news2 integer, %1$s)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $body$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH hour AS MATERIALIZED (
        SELECT bucket, h.ward, coalesce(h.patient_id, assigned.patient_id) AS patient_id, h.readings, h.minutes,
               count(*) OVER (PARTITION BY bucket) AS parts, %2$s
        FROM vitals_1h h
        LEFT JOIN LATERAL (
            SELECT min(a.patient_id) AS patient_id FROM assignment a
            WHERE a.device_id = device AND a.from_time < bucket + interval '1 hour'
              AND (a.to_time IS NULL OR a.to_time > bucket)
            HAVING count(*) = count(a.patient_id) AND min(a.patient_id) = max(a.patient_id)
               AND min(a.patient_since) <= bucket
        ) AS assigned ON h.patient_id IS NULL
        WHERE h.device_id = device AND bucket >= from_time AND bucket < to_time
    ), score AS (
        SELECT time_bucket('1 hour', c."time") AS bucket, max(total) AS total
        FROM news2_chart(ARRAY[device], from_time, to_time, 60000) c GROUP BY 1
    )
    SELECT hour.bucket, hour.ward, hour.patient_id, hour.readings, hour.minutes,
           CASE WHEN parts = 1 THEN score.total END, %2$s
    FROM hour LEFT JOIN score ON score.bucket = hour.bucket
    WHERE wards IS NULL OR hour.ward = ANY (wards)
    ORDER BY 1, 2, 3;
END
$body$
$function$, format_per_sign('%1$s_avg float8, %1$s_min real, %1$s_max real'),
            format_per_sign('%1$s_avg, %1$s_min, %1$s_max'));
BEGIN
    EXECUTE definition;
EXCEPTION WHEN invalid_function_definition THEN  -- a new sign adds columns
    DROP FUNCTION bed_report(text, timestamptz, timestamptz, text[]);
    EXECUTE definition;
END $$;
COMMENT ON FUNCTION bed_report IS 'one bed, hour by hour, per patient and ward: averages, minima, maxima and the highest NEWS2';

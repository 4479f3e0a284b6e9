-- NEWS2, the National Early Warning Score of the Royal College of Physicians (London, 2017, chart 1), with its parts.
-- vitals/news2.py is the same in Python; a test compares the two.

-- Values are rounded as the chart is printed: temperature to 0.1 and the others to whole numbers, halves upwards. The
-- part of an input that was not measured is NULL and the input is listed in `missing`; the total is then a lower bound.
-- scale: the SpO2 scale; 2 only if a clinician prescribed it (hypercapnic respiratory failure).
CREATE OR REPLACE FUNCTION news2(
    resp_rate float8, spo2 float8, on_oxygen boolean, systolic_bp float8, heart_rate float8, consciousness text,
    temperature float8, scale integer DEFAULT 1,
    OUT total integer, OUT worst integer,
    OUT resp_rate_part integer, OUT spo2_part integer, OUT on_oxygen_part integer, OUT systolic_bp_part integer,
    OUT heart_rate_part integer, OUT consciousness_part integer, OUT temperature_part integer,
    OUT missing text[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    breaths CONSTANT float8 := floor(resp_rate + 0.5);
    saturation CONSTANT float8 := floor(spo2 + 0.5);
    pressure CONSTANT float8 := floor(systolic_bp + 0.5);
    beats CONSTANT float8 := floor(heart_rate + 0.5);
    tenths CONSTANT float8 := floor(temperature * 10 + 0.5);
BEGIN
    IF scale IS NULL OR scale NOT IN (1, 2) THEN
        RAISE EXCEPTION 'scale is %', coalesce(scale::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
            HINT = 'scale: the SpO2 scale, 1, or 2 for patients with hypercapnic respiratory failure';
    ELSIF consciousness NOT IN ('A', 'C', 'V', 'P', 'U') THEN
        RAISE EXCEPTION 'consciousness is %', quote_literal(consciousness) USING ERRCODE = 'invalid_parameter_value',
            HINT = 'consciousness: A, C, V, P or U (Alert, new Confusion, Voice, Pain, Unresponsive)';
    END IF;
    resp_rate_part := CASE WHEN breaths <= 8 THEN 3 WHEN breaths <= 11 THEN 1 WHEN breaths <= 20 THEN 0
                           WHEN breaths <= 24 THEN 2 WHEN breaths > 24 THEN 3 END;
    spo2_part := CASE
        WHEN saturation IS NULL THEN NULL
        WHEN scale = 1 THEN CASE WHEN saturation <= 91 THEN 3 WHEN saturation <= 93 THEN 2
                                 WHEN saturation <= 95 THEN 1 ELSE 0 END
        WHEN saturation <= 83 THEN 3 WHEN saturation <= 85 THEN 2 WHEN saturation <= 87 THEN 1
        WHEN saturation <= 92 OR on_oxygen IS NOT true THEN 0
        WHEN saturation <= 94 THEN 1 WHEN saturation <= 96 THEN 2 ELSE 3 END;
    on_oxygen_part := CASE WHEN on_oxygen THEN 2 WHEN NOT on_oxygen THEN 0 END;
    systolic_bp_part := CASE WHEN pressure <= 90 THEN 3 WHEN pressure <= 100 THEN 2 WHEN pressure <= 110 THEN 1
                             WHEN pressure <= 219 THEN 0 WHEN pressure > 219 THEN 3 END;
    heart_rate_part := CASE WHEN beats <= 40 THEN 3 WHEN beats <= 50 THEN 1 WHEN beats <= 90 THEN 0
                            WHEN beats <= 110 THEN 1 WHEN beats <= 130 THEN 2 WHEN beats > 130 THEN 3 END;
    consciousness_part := CASE WHEN consciousness = 'A' THEN 0 WHEN consciousness IS NOT NULL THEN 3 END;
    temperature_part := CASE WHEN tenths <= 350 THEN 3 WHEN tenths <= 360 THEN 1 WHEN tenths <= 380 THEN 0
                             WHEN tenths <= 390 THEN 1 WHEN tenths > 390 THEN 2 END;
    total := coalesce(resp_rate_part, 0) + coalesce(spo2_part, 0) + coalesce(on_oxygen_part, 0)
           + coalesce(systolic_bp_part, 0) + coalesce(heart_rate_part, 0) + coalesce(consciousness_part, 0)
           + coalesce(temperature_part, 0);
    worst := coalesce(greatest(resp_rate_part, spo2_part, on_oxygen_part, systolic_bp_part, heart_rate_part,
                               consciousness_part, temperature_part), 0);
    missing := array_remove(ARRAY[
        CASE WHEN resp_rate_part IS NULL THEN 'resp_rate' END, CASE WHEN spo2_part IS NULL THEN 'spo2' END,
        CASE WHEN systolic_bp_part IS NULL THEN 'systolic_bp' END,
        CASE WHEN heart_rate_part IS NULL THEN 'heart_rate' END,
        CASE WHEN temperature_part IS NULL THEN 'temperature' END,
        CASE WHEN on_oxygen_part IS NULL THEN 'on_oxygen' END,
        CASE WHEN consciousness_part IS NULL THEN 'consciousness' END], NULL);
END $$;

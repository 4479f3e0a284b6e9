// Copy to config.h and fill in what `vitalflow devices enroll NAME --ward WARD --folder FOLDER` wrote to device.json.
// config.h holds secrets: keep it out of version control.
#pragma once

static const char WIFI_NAME[] = "ward-network";
static const char WIFI_PASSWORD[] = "";

static const char BROKER_HOST[] = "vitalflow.example";
static const int BROKER_PORT = 8883;
static const char DEVICE[] = "icu-1-esp32-1";      // the user at the broker
static const char PASSWORD[] = "";
static const char CLIENT_ID[] = "";                // the broker accepts no other with this password
static const char STATUS_TOPIC[] = "vitalflow/status/icu-1/icu-1-esp32-1";
static const char VITALS_TOPIC[] = "vitalflow/vitals/icu-1/icu-1-esp32-1";
static const char RECEIPTS_TOPIC[] = "vitalflow/receipts/icu-1/icu-1-esp32-1";

static const char TIME_SERVER[] = "pool.ntp.org";

// ca.crt, which the broker's certificate is checked with.
static const char CA[] = R"(-----BEGIN CERTIFICATE-----
-----END CERTIFICATE-----
)";

// An ESP32 with a MAX30102 as a device of VitalFlow: heart rate and SpO2 once a second, over MQTT with TLS and a login of
// its own, numbered, and kept until the receipt that the database has them. An example, no medical device.
//
// Libraries (Arduino library manager): "SparkFun MAX3010x Pulse and Proximity Sensor Library", "MQTT" by Joel Gaehwiler.
// Board: any ESP32; the sensor is at the default I2C pins. Settings: config.h, see config.example.h.
//
// Two tasks: `loop` measures, and `network` sends, so that a slow broker delays no measurement. A mutex guards the outbox.

#include <MAX30105.h>
#include <MQTT.h>
#include <Preferences.h>
#include <WiFi.h>
#include <WiFiClientSecure.h>
#include <Wire.h>
#include <spo2_algorithm.h>
#include <sys/time.h>

#include "config.h"
#include "vitalflow_outbox.h"

const char MODEL[] = "ESP32 MAX30102";
const int RATE = 25;                  // samples a second, which the library's algorithm expects
const int WINDOW = 4 * RATE;          // samples that it looks at
const uint32_t FINGER = 50000;        // infrared light that comes back from a finger
const int64_t EARLIEST_MS = 1767225600000LL;  // 2026: before that the clock is not set
const uint32_t STATUS_INTERVAL_MS = 5000;

typedef vitalflow::Outbox<600, 20> Outbox;

MAX30105 sensor;
WiFiClientSecure socket_;
MQTTClient mqtt(4096);
Outbox* outbox = nullptr;
SemaphoreHandle_t mutex;
char message[3072];

uint32_t infrared[WINDOW], red[WINDOW];

struct Locked {
  Locked() { xSemaphoreTake(mutex, portMAX_DELAY); }
  ~Locked() { xSemaphoreGive(mutex); }
};

uint64_t uptime_ms() { return static_cast<uint64_t>(esp_timer_get_time() / 1000); }

int64_t unix_ms() {
  timeval now;
  gettimeofday(&now, nullptr);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_usec / 1000;
}

// The second of this start, later than that of every earlier one, even if the clock was set back.
uint32_t next_boot() {
  Preferences memory;
  memory.begin("vitalflow", false);
  const uint32_t last = memory.getUInt("boot", 0);
  const uint32_t now = static_cast<uint32_t>(unix_ms() / 1000);
  const uint32_t boot = now > last ? now : last + 1;
  memory.putUInt("boot", boot);
  memory.end();
  return boot;
}

// Called by the MQTT client while it waits; it must not send anything.
void on_message(MQTTClient*, char[], char payload[], int length) {
  Locked lock;
  outbox->receipt(payload, static_cast<size_t>(length));
}

bool publish_status(bool online, uint32_t dropped) {
  char status[160];
  const size_t length = vitalflow::write_status(status, sizeof status, online, outbox->boot(), MODEL, dropped);
  return mqtt.publish(STATUS_TOPIC, status, static_cast<int>(length), true, 1);
}

// Connect with a last will, subscribe to the receipts, and then publish the birth.
bool connect() {
  char will[160];
  vitalflow::write_status(will, sizeof will, false, outbox->boot(), MODEL, 0);
  mqtt.setWill(STATUS_TOPIC, will, true, 1);
  if (!mqtt.connect(CLIENT_ID, DEVICE, PASSWORD)) return false;
  mqtt.subscribe(RECEIPTS_TOPIC, 1);  // if the broker refuses it, the device goes on without receipts
  return publish_status(true, outbox->dropped());
}

// Send the message that is due; false if the connection broke.
bool send_one(bool* sent) {
  size_t length;
  {
    Locked lock;
    length = outbox->next(message, sizeof message, uptime_ms());
  }
  *sent = length > 0;
  if (length == 0) return true;
  const bool acknowledged = mqtt.publish(VITALS_TOPIC, message, static_cast<int>(length), false, 1);
  Locked lock;
  if (acknowledged) {
    outbox->acknowledged(uptime_ms());
  } else {
    outbox->interrupted();
  }
  return acknowledged;
}

void network(void*) {
  uint32_t pause_ms = 500;
  uint32_t reported = 0;
  uint32_t reported_at = 0;
  for (;;) {
    if (!mqtt.connected()) {
      if (WiFi.status() != WL_CONNECTED || !connect()) {
        delay(pause_ms + esp_random() % 500);
        pause_ms = pause_ms < 15000 ? 2 * pause_ms : 30000;
        continue;
      }
      pause_ms = 500;
      reported = outbox->dropped();
    }
    bool sent = false;
    if (!mqtt.loop() || !send_one(&sent)) {
      mqtt.disconnect();
      continue;
    }
    const uint32_t dropped = outbox->dropped();
    if (dropped != reported && millis() - reported_at >= STATUS_INTERVAL_MS && publish_status(true, dropped)) {
      reported = dropped;
      reported_at = millis();
    }
    if (!sent) delay(50);
  }
}

void wait_for_time() {
  configTime(0, 0, TIME_SERVER);
  while (unix_ms() < EARLIEST_MS) delay(200);
}

void setup() {
  Serial.begin(115200);
  mutex = xSemaphoreCreateMutex();
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  while (WiFi.status() != WL_CONNECTED) delay(200);
  wait_for_time();  // TLS needs it too
  outbox = new Outbox(next_boot());
  socket_.setCACert(CA);
  mqtt.begin(BROKER_HOST, BROKER_PORT, socket_);
  mqtt.setKeepAlive(15);
  mqtt.setTimeout(10000);
  mqtt.onMessageAdvanced(on_message);
  if (!sensor.begin(Wire, I2C_SPEED_FAST)) {
    Serial.println("the MAX30102 does not answer");
    delay(10000);
    ESP.restart();
  }
  sensor.setup(60, 4, 2, 100, 411, 4096);  // 100 samples a second, averages of 4
  xTaskCreatePinnedToCore(network, "network", 16384, nullptr, 1, nullptr, 0);
}

// Measure for a second, and keep one reading.
void loop() {
  memmove(infrared, infrared + RATE, sizeof(uint32_t) * (WINDOW - RATE));
  memmove(red, red + RATE, sizeof(uint32_t) * (WINDOW - RATE));
  for (int i = WINDOW - RATE; i < WINDOW; ++i) {
    while (!sensor.available()) {
      sensor.check();
      delay(1);
    }
    red[i] = sensor.getFIFORed();
    infrared[i] = sensor.getFIFOIR();
    sensor.nextSample();
  }
  bool finger = true;
  for (int i = 0; i < WINDOW; ++i) finger = finger && infrared[i] >= FINGER;
  int32_t spo2 = 0, heart_rate = 0;
  int8_t spo2_valid = 0, heart_rate_valid = 0;
  if (finger) {
    maxim_heart_rate_and_oxygen_saturation(infrared, WINDOW, red, &spo2, &spo2_valid, &heart_rate, &heart_rate_valid);
  }
  vitalflow::Reading reading = {};
  reading.time_ms = unix_ms();
  reading.heart_rate = heart_rate_valid ? static_cast<int>(heart_rate) : 0;
  reading.spo2 = spo2_valid ? static_cast<int>(spo2) : 0;
  reading.finger_off = infrared[WINDOW - 1] < FINGER;
  Locked lock;
  outbox->put(reading);  // a second in which it finds no value says nothing: silence alarms
}

// What a device needs beside an MQTT client: readings as JSON, and an outbox that keeps each one until its receipt.
// Standard C++11 without Arduino, so that the tests of VitalFlow compile it. All functions take the time as an argument.
// The rules are those of docs/receipts.md, the payloads those of docs/wire-format.md.
#pragma once

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

namespace vitalflow {

// One measurement. A value of 0 or less, or beyond what is plausible, is no value.
struct Reading {
  uint32_t seq;        // assigned by the outbox
  int64_t time_ms;     // unix milliseconds, UTC
  int heart_rate;      // per minute
  int spo2;            // percent
  bool finger_off;     // no finger is on the sensor; then there are no values
};

inline bool has_heart_rate(const Reading& r) { return !r.finger_off && r.heart_rate > 0 && r.heart_rate <= 350; }
inline bool has_spo2(const Reading& r) { return !r.finger_off && r.spo2 > 1 && r.spo2 <= 100; }

// Write a time as RFC 3339 in UTC (25 bytes with the final 0); `civil` from the days is that of Howard Hinnant.
inline void write_time(char* out, size_t size, int64_t time_ms) {
  const int64_t day_ms = 86400000;
  const int64_t days = time_ms / day_ms + 719468;
  const int ms_of_day = static_cast<int>(time_ms % day_ms);
  const int64_t era = days / 146097;
  const unsigned day_of_era = static_cast<unsigned>(days - era * 146097);
  const unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * day_of_year + 2) / 153;
  const unsigned day = day_of_year - (153 * shifted + 2) / 5 + 1;
  const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  const unsigned year = static_cast<unsigned>(year_of_era + era * 400) + (month <= 2 ? 1 : 0);
  const unsigned seconds = static_cast<unsigned>(ms_of_day / 1000);
  snprintf(out, size, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year % 10000, month, day, seconds / 3600,
           seconds / 60 % 60, seconds % 60, static_cast<unsigned>(ms_of_day % 1000));
}

// Write a reading as JSON; return its length, 0 if it does not fit.
inline size_t write_reading(char* out, size_t size, uint32_t boot, const Reading& r) {
  char time[40];
  write_time(time, sizeof time, r.time_ms);
  char signs[64] = "";
  if (r.finger_off) {
    snprintf(signs, sizeof signs, ",\"sensor_off\":[\"heart_rate\",\"spo2\"]");
  } else {
    size_t at = 0;
    if (has_heart_rate(r)) at += static_cast<size_t>(snprintf(signs, sizeof signs, ",\"heart_rate\":%d", r.heart_rate));
    if (has_spo2(r)) snprintf(signs + at, sizeof signs - at, ",\"spo2\":%d", r.spo2);
  }
  const int length = snprintf(out, size, "{\"boot\":%lu,\"seq\":%lu,\"time\":\"%s\"%s}", static_cast<unsigned long>(boot),
                              static_cast<unsigned long>(r.seq), time, signs);
  return length > 0 && static_cast<size_t>(length) < size ? static_cast<size_t>(length) : 0;
}

// Write the status of a device (birth, or last will); return its length, 0 if it does not fit.
inline size_t write_status(char* out, size_t size, bool online, uint32_t boot, const char* model, uint32_t dropped) {
  char more[40] = "";
  if (dropped > 0) snprintf(more, sizeof more, ",\"dropped\":%lu", static_cast<unsigned long>(dropped));
  const int length =
      snprintf(out, size, "{\"state\":\"%s\",\"boot\":%lu,\"interval_s\":1,\"model\":\"%s\"%s}",
               online ? "online" : "offline", static_cast<unsigned long>(boot), model, more);
  return length > 0 && static_cast<size_t>(length) < size ? static_cast<size_t>(length) : 0;
}

// Reads the JSON of a receipt. Keys that are unknown are skipped.
class ReceiptParser {
 public:
  ReceiptParser(const char* text, size_t length) : at_(text), end_(text + length) {}

  // Call `visit(first, last)` for each range, stored or rejected; false if it is no receipt. `boot` is set.
  template <typename Visit>
  bool parse(uint64_t* boot, Visit visit) {
    bool has_boot = false;
    if (!take('{')) return false;
    if (!take('}')) {
      do {
        char key[16];
        if (!string(key, sizeof key) || !take(':')) return false;
        if (strcmp(key, "boot") == 0) {
          if (!number(boot)) return false;
          has_boot = true;
        } else if (strcmp(key, "stored") == 0 || strcmp(key, "rejected") == 0) {
          if (!ranges(visit)) return false;
        } else if (!skip(8)) {
          return false;
        }
      } while (take(','));
      if (!take('}')) return false;
    }
    space();
    return has_boot && at_ == end_;
  }

 private:
  void space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\n')) ++at_;
  }

  bool take(char expected) {
    space();
    if (at_ >= end_ || *at_ != expected) return false;
    ++at_;
    return true;
  }

  bool number(uint64_t* value) {
    space();
    const char* begin = at_;
    *value = 0;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9') {
      if (*value > (UINT64_MAX - 9) / 10) return false;
      *value = *value * 10 + static_cast<uint64_t>(*at_++ - '0');
    }
    return at_ > begin && (at_ == end_ || (*at_ != '.' && *at_ != 'e' && *at_ != 'E'));
  }

  // Read a string; a longer one than fits is cut, so that it equals no known key.
  bool string(char* out, size_t size) {
    if (!take('"')) return false;
    size_t length = 0;
    while (at_ < end_ && *at_ != '"') {
      if (*at_ == '\\' && ++at_ == end_) return false;
      if (length + 1 < size) out[length++] = *at_;
      ++at_;
    }
    out[length] = 0;
    return take('"');
  }

  template <typename Visit>
  bool ranges(Visit visit) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      uint64_t first, last;
      if (!take('[') || !number(&first) || !take(',') || !number(&last) || !take(']') || first > last) return false;
      visit(first, last);
    } while (take(','));
    return take(']');
  }

  bool skip(int depth) {
    space();
    if (depth == 0 || at_ >= end_) return false;
    char ignored[2];
    if (*at_ == '"') return string(ignored, sizeof ignored);
    if (*at_ == '[' || *at_ == '{') {
      const char close = *at_ == '[' ? ']' : '}';
      ++at_;
      if (take(close)) return true;
      do {
        if (close == '}' && (!string(ignored, sizeof ignored) || !take(':'))) return false;
        if (!skip(depth - 1)) return false;
      } while (take(','));
      return take(close);
    }
    const char* begin = at_;
    while (at_ < end_ && (isalnum(static_cast<unsigned char>(*at_)) || strchr("+-.", *at_) != nullptr)) ++at_;
    return at_ > begin;
  }

  const char* at_;
  const char* end_;
};

// Keeps readings until a receipt names them. Times are milliseconds since the start (uptime).
//
// CAPACITY   readings; 600 are ten minutes without broker or database, and 24 KB
// BATCH      readings of one message
template <size_t CAPACITY, size_t BATCH>
class Outbox {
 public:
  explicit Outbox(uint32_t boot) : boot_(boot) {}

  uint32_t boot() const { return boot_; }
  uint32_t dropped() const { return dropped_; }          // readings that were never sent: report them in the status
  uint32_t evicted() const { return evicted_; }          // readings that were sent, and whose receipt never came
  uint32_t bad_receipts() const { return bad_receipts_; }
  size_t size() const { return count_; }

  // Keep a reading; it gets the next seq. False if it says nothing.
  bool put(Reading reading) {
    if (!reading.finger_off && !has_heart_rate(reading) && !has_spo2(reading)) return false;
    if (count_ == CAPACITY) make_room();
    reading.seq = ++last_seq_;
    Entry entry = {};
    entry.reading = reading;
    entries_[count_++] = entry;
    return true;
  }

  // Write the message that is due, a reading or an array; return its length, 0 if none is due.
  // Publish it with QoS 1 and call `acknowledged` after its PUBACK, or `interrupted` if the connection breaks.
  size_t next(char* out, size_t size, uint64_t now) {
    for (size_t i = 0; i < count_; ++i) entries_[i].in_flight = false;
    size_t chosen[BATCH];
    size_t found = 0;
    for (size_t i = 0; i < count_ && found < BATCH; ++i) {
      if (!entries_[i].acknowledged) chosen[found++] = i;
    }
    const bool resends = found == 0;
    if (resends) found = choose_lost(chosen, now);
    const size_t length = found > 0 ? write(out, size, chosen, &found) : 0;
    if (length == 0) return 0;
    for (size_t i = 0; i < found; ++i) {
      entries_[chosen[i]].in_flight = true;
      entries_[chosen[i]].sent = true;
    }
    if (resends) resent_at_ = now;
    if (resends && probes_) timeout_ = timeout_ * 2 < kMaxTimeout ? timeout_ * 2 : kMaxTimeout;
    return length;
  }

  // The PUBACK of the message has come.
  void acknowledged(uint64_t now) {
    for (size_t i = 0; i < count_; ++i) {
      Entry& entry = entries_[i];
      if (!entry.in_flight) continue;
      entry.in_flight = false;
      entry.once = !entry.acknowledged;
      entry.acknowledged = true;
      entry.at = now;
    }
    last_sent_ = now;
  }

  // The connection broke before the PUBACK; the message is due again.
  void interrupted() {
    for (size_t i = 0; i < count_; ++i) entries_[i].in_flight = false;
  }

  // Take a message of the topic of receipts; false if it is ignored.
  bool receipt(const char* text, size_t length) {
    uint64_t boot = 0;
    uint64_t largest = 0;
    const bool valid = ReceiptParser(text, length).parse(&boot, [&largest](uint64_t, uint64_t last) {
      if (last > largest) largest = last;
    });
    if (!valid || boot != boot_ || largest > last_seq_) {
      ++bad_receipts_;
      return false;
    }
    ReceiptParser(text, length).parse(&boot, [this](uint64_t first, uint64_t last) { confirm(first, last); });
    size_t kept = 0;
    for (size_t i = 0; i < count_; ++i) {
      if (!entries_[i].confirmed) entries_[kept++] = entries_[i];
    }
    if (kept < count_) {
      receipts_seen_ = true;
      timeout_ = kTimeout;
    }
    count_ = kept;
    return true;
  }

 private:
  struct Entry {
    Reading reading;
    uint64_t at;        // of the PUBACK
    bool sent;          // was handed to the network
    bool in_flight;
    bool acknowledged;  // has its PUBACK, and no receipt
    bool once;          // was sent once: only then its receipt proves that earlier ones are lost
    bool confirmed;
  };

  static const uint64_t kTimeout = 15000, kMaxTimeout = 300000, kResendInterval = 5000;

  void make_room() {
    size_t oldest = CAPACITY;
    for (size_t i = 0; i < count_; ++i) {
      if (!entries_[i].acknowledged || entries_[i].in_flight) continue;
      if (oldest == CAPACITY || entries_[i].at < entries_[oldest].at) oldest = i;
    }
    if (oldest < CAPACITY) {
      if (receipts_seen_) ++evicted_;
    } else {
      for (oldest = 0; oldest + 1 < count_ && entries_[oldest].in_flight;) ++oldest;
      ++dropped_;
    }
    for (size_t i = oldest + 1; i < count_; ++i) entries_[i - 1] = entries_[i];
    --count_;
  }

  size_t choose_lost(size_t* chosen, uint64_t now) {
    probes_ = false;
    if (!receipts_seen_ || (resent_at_ > 0 && now - resent_at_ < kResendInterval)) return 0;
    bool proven = false;
    for (size_t i = 0; i < count_; ++i) proven = proven || entries_[i].at < proof_;
    if (!proven && now - last_sent_ < timeout_) return 0;
    probes_ = !proven;
    size_t found = 0;
    for (size_t i = 0; i < count_ && found < BATCH; ++i) {
      const Entry& entry = entries_[i];
      if ((!proven || entry.at < proof_) && entry.at + kTimeout <= now) chosen[found++] = i;
    }
    return found;
  }

  size_t write(char* out, size_t size, const size_t* chosen, size_t* found) {
    if (*found == 1) return write_reading(out, size, boot_, entries_[chosen[0]].reading);
    size_t at = 0;
    size_t written = 0;
    for (; written < *found && at + 2 < size; ++written) {
      const size_t length = write_reading(out + at + 1, size - at - 2, boot_, entries_[chosen[written]].reading);
      if (length == 0) break;
      out[at] = written == 0 ? '[' : ',';
      at += length + 1;
    }
    *found = written;
    if (written == 0) return 0;
    out[at++] = ']';
    out[at] = 0;
    return at;
  }

  void confirm(uint64_t first, uint64_t last) {
    for (size_t i = 0; i < count_; ++i) {
      Entry& entry = entries_[i];
      if (entry.reading.seq < first || entry.reading.seq > last || !entry.sent) continue;
      entry.confirmed = true;
      if (entry.acknowledged && entry.once && entry.at > proof_) proof_ = entry.at;
    }
  }

  uint32_t boot_;
  uint32_t last_seq_ = 0;
  uint32_t dropped_ = 0, evicted_ = 0, bad_receipts_ = 0;
  size_t count_ = 0;
  uint64_t proof_ = 0, last_sent_ = 0, resent_at_ = 0, timeout_ = kTimeout;
  bool receipts_seen_ = false, probes_ = false;
  Entry entries_[CAPACITY];
};

template <size_t CAPACITY, size_t BATCH>
const uint64_t Outbox<CAPACITY, BATCH>::kTimeout;
template <size_t CAPACITY, size_t BATCH>
const uint64_t Outbox<CAPACITY, BATCH>::kMaxTimeout;
template <size_t CAPACITY, size_t BATCH>
const uint64_t Outbox<CAPACITY, BATCH>::kResendInterval;

}  // namespace vitalflow

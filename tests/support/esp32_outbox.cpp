// Drives the outbox of the ESP32 example from standard input, one command a line, for tests/unit/test_esp32_outbox.py.
#include <iostream>
#include <sstream>
#include <string>

#include "vitalflow_outbox.h"

int main() {
  vitalflow::Outbox<40, 8> outbox(1795341000);
  char buffer[1024];
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "put") {
      vitalflow::Reading reading = {};
      words >> reading.time_ms >> reading.heart_rate >> reading.spo2 >> reading.finger_off;
      std::cout << outbox.put(reading);
    } else if (command == "next") {
      unsigned long long now;
      words >> now;
      const size_t length = outbox.next(buffer, sizeof buffer, now);
      std::cout << std::string(buffer, length);
    } else if (command == "acknowledged") {
      unsigned long long now;
      words >> now;
      outbox.acknowledged(now);
    } else if (command == "interrupted") {
      outbox.interrupted();
    } else if (command == "receipt") {
      const std::string text = line.substr(8);
      std::cout << outbox.receipt(text.data(), text.size());
    } else if (command == "status") {
      const size_t length = vitalflow::write_status(buffer, sizeof buffer, true, outbox.boot(), "M", outbox.dropped());
      std::cout << std::string(buffer, length);
    } else if (command == "counts") {
      std::cout << outbox.size() << " " << outbox.dropped() << " " << outbox.evicted() << " " << outbox.bad_receipts();
    }
    std::cout << std::endl;
  }
}

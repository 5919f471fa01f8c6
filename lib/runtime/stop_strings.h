// Finds stop strings in text that arrives in pieces, and holds back what might begin one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mica {

class StopStrings {
 public:
  // Throws Error(kUsage) for an empty stop string.
  explicit StopStrings(std::vector<std::string> strings);

  // Text that is certain to come before any stop string.
  std::string push(std::string_view piece);
  // True once a stop string was complete; it and all after it are dropped.
  bool found() const { return found_; }
  // What is still held back; nothing more will come.
  std::string flush();

 private:
  std::vector<std::string> strings_;
  std::string held_;
  bool found_ = false;
};

}  // namespace mica

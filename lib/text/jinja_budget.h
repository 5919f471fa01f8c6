// What a template may cost, and how its failures travel.
//
// A template is untrusted code, so every loop and every byte copied is paid for from one Budget;
// when it is used up the rendering fails. Failure carries no line number: ChatTemplate adds it
// where it turns a Failure into an Error. One Budget belongs to one rendering; not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/base/error.h"

namespace mica::jinja {

struct Failure {
  ErrorCode code;
  std::string message;
};

[[noreturn]] void fail(std::string message);    // the template or what it was given is wrong
[[noreturn]] void refuse(std::string message);  // valid Jinja that is not supported here

class Budget {
 public:
  static constexpr size_t kMaxTextBytes = size_t{64} << 20;  // of any one string, the output too
  static constexpr uint64_t kMaxSteps = uint64_t{32} << 20;
  static constexpr int kMaxDepth = 400;    // of evaluation: expressions, statements, macro calls
  static constexpr int kMaxNesting = 200;  // of values in values
  static constexpr uint64_t kBytesPerStep = 16;

  void charge(uint64_t steps);
  // Pays for copying `bytes` or searching in them, and refuses strings that are too long.
  void charge_text(uint64_t bytes);
  // Pays for looking at every character of `bytes`.
  void charge_characters(uint64_t bytes) { charge(bytes / 2 + 1); }

  // One level of recursion, left when it goes out of scope.
  class Level {
   public:
    explicit Level(Budget& budget);
    ~Level() { --budget_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Budget& budget_;
  };

 private:
  uint64_t steps_left_ = kMaxSteps;
  int depth_ = 0;
};

}  // namespace mica::jinja

// What a person sees: progress on long work, numbers for people, and Ctrl-C.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "lib/base/stopwatch.h"

namespace mica::cli {

bool is_terminal(int descriptor);
// Whether escape sequences may be written to stderr or stdout: a terminal, no NO_COLOR, not "dumb".
bool use_color(int descriptor);

// Text as it comes on standard output, where its line stays open; false when it cannot be written.
bool print_text(std::string_view text);
// A line of its own on stderr. On a terminal it ends an open line of print_text.
void print_message(std::string_view line);
// Ends the line of print_text, unless a message has done so.
void end_text();

// "93.8 MiB", "4.2 GiB".
std::string human_bytes(uint64_t bytes);
// "850 ms", "12.3 s", "3 min 20 s".
std::string human_seconds(double seconds);

// A line on stderr with share, rate and time left; appears after one second, only on a terminal,
// and is erased at the end.
class ProgressBar {
 public:
  enum class Unit { kBytes, kItems, kShare };  // the last has no rate
  ProgressBar(std::string label, Unit unit, bool quiet);
  ~ProgressBar();
  void update(uint64_t done, uint64_t total);

 private:
  std::string label_;
  Unit unit_;
  bool enabled_;
  Stopwatch stopwatch_;
  double shown_seconds_ = 0;  // when it was last drawn; 0: not yet
};

// While it lives, Ctrl-C calls `action` (from the signal handler: it may only set flags) instead of
// ending the program. One at a time.
class InterruptHandler {
 public:
  explicit InterruptHandler(std::function<void()> action);
  ~InterruptHandler();
  static int count();  // interrupts since the handler was made
  // Waits until standard input can be read; false if an interrupt comes first or came before.
  static bool wait_for_input();
};

}  // namespace mica::cli

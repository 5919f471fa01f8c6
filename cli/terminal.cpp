#include "cli/terminal.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

namespace mica::cli {
namespace {

volatile std::sig_atomic_t interrupts = 0;
std::function<void()> interrupt_action;

void on_interrupt(int) {
  interrupts = interrupts + 1;
  if (interrupt_action) interrupt_action();
}

// Whether the terminal's line is an unfinished one of print_text.
bool line_is_open = false;

// With the space behind it.
std::string rate_text(double per_second, ProgressBar::Unit unit) {
  if (unit == ProgressBar::Unit::kShare) return "";
  if (unit == ProgressBar::Unit::kItems) return fmt::format("{:.1f}/s  ", per_second);
  return human_bytes(static_cast<uint64_t>(per_second)) + "/s  ";
}

}  // namespace

bool is_terminal(int descriptor) {
  return isatty(descriptor) == 1;
}

bool use_color(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  if (no_color && *no_color) return false;
  if (terminal && std::string_view(terminal) == "dumb") return false;
  return is_terminal(descriptor);
}

bool print_text(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (!text.empty()) line_is_open = true;
  return std::fflush(stdout) == 0;
}

void print_message(std::string_view line) {
  const bool shares_line = line_is_open && is_terminal(STDOUT_FILENO) && is_terminal(STDERR_FILENO);
  fmt::print(stderr, "{}{}\n", shares_line ? "\n" : "", line);
  if (shares_line) line_is_open = false;
}

void end_text() {
  if (line_is_open || !is_terminal(STDOUT_FILENO)) fmt::print("\n");
  line_is_open = false;
}

std::string human_bytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string human_seconds(double seconds) {
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const int64_t whole = static_cast<int64_t>(seconds);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

ProgressBar::ProgressBar(std::string label, Unit unit, bool quiet)
    : label_(std::move(label)), unit_(unit), enabled_(!quiet && use_color(STDERR_FILENO)) {}

ProgressBar::~ProgressBar() {
  if (shown_seconds_ > 0) fmt::print(stderr, "\r\x1b[K");
}

void ProgressBar::update(uint64_t done, uint64_t total) {
  const double elapsed = stopwatch_.seconds();
  if (!enabled_ || elapsed < 1 || elapsed - shown_seconds_ < 0.1) return;
  shown_seconds_ = elapsed;
  const double share =
      total ? std::min(1.0, static_cast<double>(done) / static_cast<double>(total)) : 0;
  const double rate = static_cast<double>(done) / elapsed;
  const double left = rate > 0 ? static_cast<double>(total - std::min(done, total)) / rate : 0;
  constexpr int kWidth = 24;
  const int filled = static_cast<int>(share * kWidth);
  fmt::print(stderr, "\r{} [{}{}] {:3.0f} %  {}{} left\x1b[K", label_, std::string(filled, '#'),
             std::string(kWidth - filled, '.'), share * 100, rate_text(rate, unit_),
             human_seconds(left));
  std::fflush(stderr);
}

InterruptHandler::InterruptHandler(std::function<void()> action) {
  interrupts = 0;
  interrupt_action = std::move(action);
  struct sigaction handler {};
  handler.sa_handler = &on_interrupt;  // without SA_RESTART: a waiting read returns
  sigaction(SIGINT, &handler, nullptr);
}

InterruptHandler::~InterruptHandler() {
  std::signal(SIGINT, SIG_DFL);
  interrupt_action = nullptr;
}

int InterruptHandler::count() {
  return interrupts;
}

bool InterruptHandler::wait_for_input() {
  // Blocked but while ppoll waits, so that none comes between the look at `interrupts` and the
  // wait.
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  while (interrupts == 0 && ppoll(&input, 1, nullptr, &before) < 0 && errno == EINTR) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return interrupts == 0;
}

}  // namespace mica::cli

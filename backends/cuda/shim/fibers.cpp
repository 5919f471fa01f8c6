#include "backends/cuda/shim/fibers.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#define MICA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MICA_ASAN 1
#endif
#endif
#ifdef MICA_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves what the ABI demands on the stack, which is then left at *from for another.
extern "C" void mica_switch_stack(void** from, void* to);
asm(R"(
.text
.type mica_switch_stack, @function
mica_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mica_switch_stack, .-mica_switch_stack
)");
#endif

namespace mica::cuda {
namespace {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 128 << 10;  // ASan makes frames large

#if defined(__x86_64__)
struct Context {
  void* stack_pointer = nullptr;
};
void make_context(Context& context, std::byte* stack, void (*entry)()) {
  auto* top = reinterpret_cast<uint64_t*>(stack + kStackBytes);
  *--top = 0;  // aligns: at entry the stack is 8 beyond a multiple of 16
  *--top = reinterpret_cast<uint64_t>(entry);
  for (int i = 0; i < 6; ++i) *--top = 0;
  context.stack_pointer = top;
}
void switch_context(Context& from, Context& to) {
  mica_switch_stack(&from.stack_pointer, to.stack_pointer);
}
#else
struct Context {
  ucontext_t value;
};
void make_context(Context& context, std::byte* stack, void (*entry)()) {
  getcontext(&context.value);
  context.value.uc_stack.ss_sp = stack;
  context.value.uc_stack.ss_size = kStackBytes;
  context.value.uc_link = nullptr;
  makecontext(&context.value, entry, 0);
}
void switch_context(Context& from, Context& to) {
  swapcontext(&from.value, &to.value);
}
#endif

struct Warp {
  uint64_t words[2][kWarp];
  int arrived = 0;
  unsigned round = 0;
};

struct Fiber {
  Context context;
  std::unique_ptr<std::byte[]> stack;
  void* asan_stack = nullptr;
  Place place;
  bool finished = false;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::unique_ptr<std::byte[]> shared;
  const std::function<void()>* body = nullptr;
  int threads = 0, current = 0, finished = 0;
  int arrived = 0;
  unsigned round = 0;
  int idle_switches = 0;
  Context host;
  void* asan_host = nullptr;
  const void* host_bottom = nullptr;
  size_t host_size = 0;
};
thread_local Block* block = nullptr;
thread_local const Place* current_place = nullptr;

void enter(Context& from, void** asan_from, bool ends, Context& to, const void* bottom,
           size_t size) {
#ifdef MICA_ASAN
  __sanitizer_start_switch_fiber(ends ? nullptr : asan_from, bottom, size);
#else
  (void)ends, (void)bottom, (void)size;
#endif
  switch_context(from, to);
#ifdef MICA_ASAN
  __sanitizer_finish_switch_fiber(*asan_from, nullptr, nullptr);
#else
  (void)asan_from;
#endif
}

// To the next fiber that has not finished, or to the host when all have.
void leave(bool ends) {
  Fiber& self = block->fibers[block->current];
  if (block->finished == block->threads) {
    enter(self.context, &self.asan_stack, ends, block->host, block->host_bottom, block->host_size);
    return;
  }
  int next = block->current;
  do {
    next = next + 1 == block->threads ? 0 : next + 1;
  } while (block->fibers[next].finished);
  if (next == block->current) return;
  block->current = next;
  Fiber& other = block->fibers[next];
  current_place = &other.place;
  enter(self.context, &self.asan_stack, ends, other.context, other.stack.get(), kStackBytes);
}

void wait_while(const unsigned& round, unsigned value) {
  while (round == value) {
    if (++block->idle_switches > 4 * block->threads) {
      std::fprintf(
          stderr,
          "fibers: threads of block (%d, %d, %d) wait for others that never come: %d of %d "
          "have ended, %d stand at a barrier\n",
          place().block_x, place().block_y, place().block_z, block->finished, block->threads,
          block->arrived);
      std::abort();
    }
    leave(false);
  }
}

void fiber_main() {
#ifdef MICA_ASAN
  const void* bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (block->host_bottom == nullptr) block->host_bottom = bottom, block->host_size = size;
#endif
  (*block->body)();
  block->idle_switches = 0;
  block->fibers[block->current].finished = true;
  ++block->finished;
  leave(true);
  std::abort();  // nobody comes back to a finished fiber
}

void run_block(Block& of, const Place& where) {
  of.current = of.finished = of.arrived = of.idle_switches = 0;
  of.host_bottom = nullptr;
  for (Warp& warp : of.warps) warp.arrived = 0;
  for (int i = 0; i < of.threads; ++i) {
    Fiber& fiber = of.fibers[i];
    fiber.place = where;
    fiber.place.thread = i;
    fiber.finished = false;
#ifdef MICA_ASAN  // what the fiber before left there, which never returned
    ASAN_UNPOISON_MEMORY_REGION(fiber.stack.get(), kStackBytes);
#endif
    make_context(fiber.context, fiber.stack.get(), fiber_main);
  }
  Fiber& first = of.fibers[0];
  current_place = &first.place;
  enter(of.host, &of.asan_host, false, first.context, first.stack.get(), kStackBytes);
}

}  // namespace

const Place& place() {
  return *current_place;
}

std::byte* fiber_shared_memory() {
  return block->shared.get();
}

void fiber_sync_block() {
  const unsigned round = block->round;
  block->idle_switches = 0;
  if (++block->arrived == block->threads) {
    block->arrived = 0;
    ++block->round;
    return;
  }
  wait_while(block->round, round);
  block->idle_switches = 0;
}

const uint64_t* fiber_exchange(uint64_t word) {
  Warp& warp = block->warps[place().thread / kWarp];
  const unsigned round = warp.round;
  // Two sets in turn: a lane may reach the next exchange before the others have read this one, but
  // not the one after it.
  uint64_t* words = warp.words[round % 2];
  words[place().thread % kWarp] = word;
  block->idle_switches = 0;
  if (++warp.arrived == kWarp) {
    warp.arrived = 0;
    ++warp.round;
  } else {
    wait_while(warp.round, round);
    block->idle_switches = 0;
  }
  return words;
}

void run_grid(const LaunchShape& shape, int threads, const std::function<void()>& body) {
  thread_local Block own;
  block = &own;
  own.threads = threads;
  own.body = &body;
  if (std::ssize(own.fibers) < threads) own.fibers.resize(threads);
  for (int i = 0; i < threads; ++i) {
    if (!own.fibers[i].stack) own.fibers[i].stack = std::make_unique<std::byte[]>(kStackBytes);
  }
  own.warps.assign(threads / kWarp, {});
  // A heap block of the exact size, so that ASan sees what leaves it.
  own.shared = std::make_unique<std::byte[]>(shape.shared_bytes);
  for (unsigned z = 0; z < shape.z; ++z) {
    for (unsigned y = 0; y < shape.y; ++y) {
      for (unsigned x = 0; x < shape.x; ++x) {
        if (shape.shared_bytes > 0) std::memset(own.shared.get(), 0xff, shape.shared_bytes);
        run_block(own, {.threads = threads,
                        .block_x = static_cast<int>(x),
                        .block_y = static_cast<int>(y),
                        .block_z = static_cast<int>(z),
                        .grid_x = static_cast<int>(shape.x),
                        .grid_z = static_cast<int>(shape.z)});
      }
    }
  }
}

}  // namespace mica::cuda

// Random programs of operations and copies, on a mock device whose threads come late, against the
// same in plain order on the CPU backend: 1,000 programs, the same bits. Fences stand only where a
// program needs one.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <algorithm>
#include <array>
#include <doctest/doctest.h>

#include "backends/cpu/cpu_backend.h"
#include "tests/lib/backend/conformance_data.h"
#include "tests/support/mock_device.h"

namespace mica {
namespace {

using conformance::Random;

constexpr int64_t kRows = 2, kCols = 32;
constexpr uint64_t kBytes = kRows * kCols * sizeof(float);
constexpr int kBuffers = 6, kSteps = 40, kPrograms = 1000;
using Content = std::vector<std::byte>;

enum class StepKind {
  kEmbed,       // target = rows of source
  kNormLinear,  // target = source times a matrix
  kNormAdd,     // target += source, which becomes its norm
  kUpload,      // host -> target, in the order of the operations
  kDownload,    // source -> host
  kQueueUpload,
  kQueueDownload,
};

struct Step {
  StepKind kind;
  int queue = 0;  // 0 or 1
  int source = 0, target = 0;
  std::array<int32_t, kRows> ids{};
  Content content;  // of uploads
};

struct Program {
  conformance::TestWeight matrix;
  std::vector<Step> steps;
};

Content random_content(Random& random) {
  const std::vector<float> values = random.normals(kRows * kCols);
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

Program random_program(unsigned seed) {
  Random random(seed);
  Program program{conformance::random_weight(random, parse_dtype("q8g32"), kCols, kCols,
                                             conformance::Values::kUsual),
                  {}};
  for (int i = 0; i < kSteps; ++i) {
    Step step{static_cast<StepKind>(random.below(7)), random.below(2), random.below(kBuffers)};
    step.target = (step.source + 1 + random.below(kBuffers - 1)) % kBuffers;
    for (int32_t& id : step.ids) id = random.below(kRows);
    if (step.kind == StepKind::kUpload || step.kind == StepKind::kQueueUpload) {
      step.content = random_content(random);
    }
    program.steps.push_back(std::move(step));
  }
  return program;
}

// Puts in the fences that a program needs: knows for each stream (the operations and two queues) up
// to which step of each other it is ordered behind.
class Fences {
 public:
  Fences(CopyQueue& first, CopyQueue& second) : queues_{nullptr, &first, &second} {}

  // Before the next step, on a stream: it reads `read` and writes `written` (-1: none).
  void order(int stream, int read, int written) {
    for (int other = 0; other < kStreams; ++other) {
      const int needed =
          std::max(last_conflict(other, read, false), last_conflict(other, written, true));
      if (other != stream && needed > seen_[stream][other]) fence(other, stream);
    }
    ++step_;
    if (read >= 0) reads_[stream][read] = step_;
    if (written >= 0) writes_[stream][written] = step_;
    seen_[stream][stream] = step_;
  }

 private:
  static constexpr int kStreams = 3;

  int last_conflict(int stream, int buffer, bool writes) const {
    if (buffer < 0) return 0;
    return std::max(writes_[stream][buffer], writes ? reads_[stream][buffer] : 0);
  }

  // A fence between queues goes by way of the operations.
  void fence(int from, int to) {
    if (from != 0) queues_[from]->hold_operations();
    if (to != 0) queues_[to]->wait_for_operations();
    if (from != 0) merge(from, 0);
    if (to != 0) merge(0, to);
  }
  void merge(int from, int to) {
    for (int i = 0; i < kStreams; ++i) seen_[to][i] = std::max(seen_[to][i], seen_[from][i]);
  }

  std::array<CopyQueue*, kStreams> queues_;
  int step_ = 0;
  int seen_[kStreams][kStreams] = {};
  int reads_[kStreams][kBuffers] = {};  // the last step of a stream that read a buffer
  int writes_[kStreams][kBuffers] = {};
};

class Run {
 public:
  explicit Run(Backend& backend)
      : backend_(backend), ones_(backend.allocate(kCols * sizeof(float))) {
    backend.reserve({.tokens = kRows, .input_cols = kCols, .output_rows = kCols});
    for (auto& buffer : buffers_) buffer = backend.allocate(kBytes);
    for (auto& queue : queues_) queue = backend.make_copy_queue();
    const std::vector<float> ones(kCols, 1.0f);
    backend.upload(std::as_bytes(std::span(ones)), ones_->data());
  }

  // What the program brought to the host, and at last the whole memory.
  std::vector<Content> run(const Program& program) {
    const auto matrix = backend_.allocate(program.matrix.bytes.size());
    backend_.upload(program.matrix.bytes, matrix->data());
    weight_ = program.matrix.at(matrix->data());
    Fences fences(*queues_[0], *queues_[1]);
    for (int b = 0; b < kBuffers; ++b) {
      fences.order(0, -1, b);
      backend_.upload(Content(kBytes), buffers_[b]->data());
    }
    results_.assign(program.steps.size() + kBuffers, Content(kBytes));
    for (size_t i = 0; i < program.steps.size(); ++i) run(program.steps[i], fences, results_[i]);
    for (const auto& queue : queues_) queue->hold_operations();
    for (int b = 0; b < kBuffers; ++b) {
      backend_.download(buffers_[b]->data(), results_[program.steps.size() + b]);
    }
    for (const auto& queue : queues_) queue->synchronize();
    return results_;
  }

 private:
  void run(const Step& step, Fences& fences, Content& result) {
    std::byte *source = buffers_[step.source]->data(), *target = buffers_[step.target]->data();
    const View<float> from(reinterpret_cast<float*>(source), kRows, kCols);
    const View<float> to(reinterpret_cast<float*>(target), kRows, kCols);
    const int queue_stream = 1 + step.queue;
    CopyQueue& queue = *queues_[step.queue];
    switch (step.kind) {
      case StepKind::kEmbed: {
        fences.order(0, step.source, step.target);
        const Weight table{kF32, kRows, kCols, source, kCols * sizeof(float)};
        const auto ids = step.ids;
        return backend_.embed({.ids = ids, .table = &table, .out = to});
      }
      case StepKind::kNormLinear: {
        fences.order(0, step.source, step.target);
        const Projection projection{&weight_, {}, to};
        return backend_.norm_linear({.x = from, .projections = {&projection, 1}});
      }
      case StepKind::kNormAdd:
        fences.order(0, step.target, step.source);  // written both
        fences.order(0, -1, step.target);
        return backend_.norm_add(
            {.x = from,
             .norm = {.weight = {reinterpret_cast<const float*>(ones_->data()), kCols},
                      .epsilon = 1},
             .residual = to});
      case StepKind::kUpload:
        fences.order(0, -1, step.target);
        return backend_.upload(step.content, target);
      case StepKind::kDownload:
        fences.order(0, step.source, -1);
        return backend_.download(source, result);
      case StepKind::kQueueUpload:
        fences.order(queue_stream, -1, step.target);
        return queue.upload(step.content, target);
      case StepKind::kQueueDownload:
        fences.order(queue_stream, step.source, -1);
        return queue.download(source, result);
    }
  }

  Backend& backend_;
  std::unique_ptr<DeviceBuffer> ones_;
  std::unique_ptr<DeviceBuffer> buffers_[kBuffers];
  std::unique_ptr<CopyQueue> queues_[2];
  std::vector<Content> results_;
  Weight weight_;
};

TEST_CASE("random programs with late copies and operations give the bits of the plain order") {
  ThreadPool pool(1);
  const auto cpu = make_cpu_backend(pool, {});
  Run plain(*cpu);
  constexpr int kProgramsOfDevice = 20;
  for (int first = 0; first < kPrograms; first += kProgramsOfDevice) {
    testing::MockBackend device(
        {.memory_bytes = 1 << 24, .delays = {static_cast<unsigned>(first), 60}});
    Run late(device);
    for (int i = first; i < first + kProgramsOfDevice; ++i) {
      CAPTURE(i);
      const Program program = random_program(static_cast<unsigned>(i));
      CHECK(late.run(program) == plain.run(program));
    }
  }
}

}  // namespace
}  // namespace mica

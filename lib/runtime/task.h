// Tasks that are scored by the log-likelihood of given continuations, as lm-evaluation-harness
// (arXiv:2405.14782) scores them. A task is a text of JSON lines:
//
//   last word ("lambada", arXiv:1606.06031)      {"text": "... to the last word"}
//   multiple choice ("choices": MMLU, HellaSwag) {"context": "...", "choices": ["...", ...],
//                                                 "answer": index of the right one}
//
// Context and continuation are joined by one space and tokenized together; the tokens behind those
// of the context alone are scored. Other members of a line are ignored.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "lib/base/log.h"
#include "lib/runtime/loaded_model.h"
#include "lib/runtime/statistics.h"

namespace mica {

enum class TaskKind { kLambada, kChoices };

struct TaskOptions {
  int64_t items = 0;  // the first so many lines; 0: all
  KvType kv = KvType::kF16;
  Progress progress;  // lines done
};

struct TaskResult {
  int64_t items = 0;
  // Last word: greedy decoding gives it. Choices: the right one has the greatest log-likelihood.
  Estimate accuracy;
  std::optional<Estimate> accuracy_norm;  // choices: the greatest per byte of the choice
  std::optional<Estimate> perplexity;     // last word: exp(-mean log-likelihood of a word)
};

// Throws Error(kUsage) naming the line for what is not a task, or longer than the model's context;
// Error(kInterrupted) when progress returns false.
TaskResult run_task(const LoadedModel& model, TaskKind kind, std::string_view json_lines,
                    const TaskOptions& options);

}  // namespace mica

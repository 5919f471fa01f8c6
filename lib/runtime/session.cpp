#include "lib/runtime/session.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "lib/base/error.h"

namespace mica {
namespace {

constexpr int64_t kMaxChunk = 1 << 16;

int64_t checked_option(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return value;
  throw Error(ErrorCode::kUsage,
              fmt::format("session {}: expected {} .. {}, found {}", name, low, high, value));
}

int64_t choose_context(const LoadedModel& model, int64_t requested) {
  const int64_t limit = short_context(model.config());
  if (requested == 0) return default_context(model.config());
  checked_option("context", requested, 1, model.config().context_length);
  if (requested > limit) {
    model.engine().log(LogLevel::kWarning,
                       fmt::format("with a context of {} tokens the model reads short texts as "
                                   "parts of long ones, unlike up to {}",
                                   requested, limit));
  }
  return requested;
}

}  // namespace

SessionOptions default_session(const LoadedModel& model) {
  if (!model.placement()) return {};
  const Placement& placement = *model.placement();
  return {.context = placement.context, .kv = placement.kv, .chunk = placement.chunk};
}

Session::Session(std::shared_ptr<const LoadedModel> model, const SessionOptions& options)
    : model_(std::move(model)),
      context_(choose_context(*model_, options.context)),
      chunk_(std::min(checked_option("chunk", options.chunk, 1, kMaxChunk), context_)) {
  const auto lock = model_->engine().lock();
  room_ = make_room(*model_, {.use = fmt::format("a context of {} tokens", context_),
                              .kv = options.kv,
                              .blocks = KvPool::blocks_for(context_),
                              .limits = {.tokens = chunk_, .logit_rows = 1, .context = context_},
                              .streams = true});
  sequence_ = std::make_unique<KvSequence>(*room_.pool);
}

void Session::check_request(int64_t kept, std::span<const TokenId> added) const {
  if (std::ssize(added) > context_ - kept) {
    throw Error(ErrorCode::kDoesNotFit,
                fmt::format("context: expected at most {} tokens, found {} ({} held and {} new)",
                            context_, kept + std::ssize(added), kept, added.size()));
  }
  const int64_t vocabulary = model_->config().vocabulary_size;
  for (const TokenId id : added) {
    if (id >= 0 && id < vocabulary) continue;
    throw Error(ErrorCode::kUsage,
                fmt::format("token id: expected one below {}, found {}", vocabulary, id));
  }
}

bool Session::feed(std::span<const TokenId> ids, const CancelFlag* cancel) {
  check_request(std::ssize(ids_), ids);
  while (!ids.empty()) {
    const auto count = static_cast<size_t>(room_.pipeline->step_tokens(std::ssize(ids)));
    if (!step(ids.first(count), count == ids.size(), cancel)) return false;
    ids = ids.subspan(count);
  }
  return true;
}

bool Session::replace(std::span<const TokenId> ids, const CancelFlag* cancel) {
  if (ids.empty())
    throw Error(ErrorCode::kUsage, "prompt: expected at least one token, found none");
  const int64_t kept = reusable(ids);
  const auto added = ids.subspan(static_cast<size_t>(kept));
  check_request(kept, added);
  truncate(kept);
  return feed(added, cancel);
}

int64_t Session::reusable(std::span<const TokenId> ids) const {
  const auto common =
      std::mismatch(ids.begin(), ids.end(), ids_.begin(), ids_.end()).first - ids.begin();
  const bool has_logits = common == std::ssize(ids_) && !logits_.empty();
  return common > 0 && common == std::ssize(ids) && !has_logits ? common - 1 : common;
}

void Session::truncate(int64_t tokens) {
  if (tokens >= std::ssize(ids_)) return;
  ids_.resize(static_cast<size_t>(std::max<int64_t>(tokens, 0)));
  sequence_->resize(std::ssize(ids_));
  logits_ = {};
}

std::span<const float> Session::logits() const {
  if (logits_.empty()) throw Error(ErrorCode::kUsage, "logits: expected tokens to be fed first");
  return logits_;
}

// On any way out but the last the sequence may hold blocks beyond ids_, which the next step writes.
bool Session::step(std::span<const TokenId> ids, bool wants_logits, const CancelFlag* cancel) {
  const auto past = std::ssize(ids_);
  logits_ = {};
  ids_.reserve(ids_.size() + ids.size());
  sequence_->resize(past + std::ssize(ids));
  const BatchSegment segment{.first_row = 0,
                             .tokens = std::ssize(ids),
                             .first_position = past,
                             .blocks = sequence_->blocks()};
  View<const float> logits;
  {
    const auto lock = model_->engine().lock();
    const auto last = static_cast<int32_t>(ids.size() - 1);
    const RowRange logit_rows{.first = last, .count = wants_logits ? 1 : 0};
    if (!room_.pipeline->forward(ids, {&segment, 1}, *room_.pool, logit_rows, cancel)) return false;
    if (wants_logits) logits = room_.pipeline->logits({&last, 1});
  }
  model_->file().check();
  const std::span<const float> row(logits.data(), static_cast<size_t>(logits.size()));
  if (!std::all_of(row.begin(), row.end(), [](float x) { return std::isfinite(x); })) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: logits after position {}: expected finite numbers, found others: "
                            "the file may be damaged (verify it)",
                            model_->file().path(), past + std::ssize(ids) - 1));
  }
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  logits_ = row;
  return true;
}

}  // namespace mica

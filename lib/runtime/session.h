// One sequence being continued: the ids fed so far, their keys and values, and the logits after
// them.
//
// Logits do not depend on how ids were split into calls or chunks. A failed call leaves the session
// as it was, or shortened to a prefix. One thread at a time; steps of all sessions of an engine are
// serialised. Shares its model.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "lib/runtime/default_context.h"
#include "lib/runtime/loaded_model.h"
#include "lib/runtime/room.h"

namespace mica {

struct SessionOptions {
  // Positions; 0: the least of the model's, kDefaultContext, and the one behind which its rotary
  // embedding is another (longrope, dynamic): more than that is warned of.
  int64_t context = 0;
  KvType kv = KvType::kF16;
  int64_t chunk = 512;  // tokens of a prefill step at most
};

// What sessions of a model are made with when nobody says: what its memory was planned for.
SessionOptions default_session(const LoadedModel& model);

class Session {
 public:
  // Throws Error(kUsage) for options out of range, Error(kDoesNotFit) when the memory available now
  // cannot hold the whole context, Error(kUnsupported) for int8 with a head size that it cannot
  // have.
  Session(std::shared_ptr<const LoadedModel> model, const SessionOptions& options = {});

  Session(Session&&) noexcept = default;
  // Not member by member: the old sequence gives its blocks back to the old pool, so it goes first.
  Session& operator=(Session&& other) noexcept {
    if (this != &other) {
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }

  const LoadedModel& model() const { return *model_; }
  int64_t context() const { return context_; }
  std::span<const TokenId> ids() const { return ids_; }

  // Appends `ids`. Throws Error(kDoesNotFit) before anything is run when they exceed the context,
  // Error(kUsage) for ids outside of the vocabulary, Error(kRuntime) when the file changed
  // underneath or logits are not finite. Returns false when `cancel` was set meanwhile: ids() are
  // those done.
  bool feed(std::span<const TokenId> ids, const CancelFlag* cancel = nullptr);

  // Makes `ids` (at least one) the whole content, computing all but the first reusable(ids). As
  // feed() otherwise.
  bool replace(std::span<const TokenId> ids, const CancelFlag* cancel = nullptr);

  // How many of `ids` are held already: the common prefix, less the last token where the logits
  // after it are needed and not held.
  int64_t reusable(std::span<const TokenId> ids) const;

  // Forgets all but the first `tokens`.
  void truncate(int64_t tokens);

  // Logits after the last of ids(), [V]; valid until the next call that changes the session. Throws
  // Error(kUsage) when nothing was fed since truncate().
  std::span<const float> logits() const;

 private:
  void check_request(int64_t kept, std::span<const TokenId> added) const;
  bool step(std::span<const TokenId> ids, bool wants_logits, const CancelFlag* cancel);

  std::shared_ptr<const LoadedModel> model_;
  int64_t context_;
  int64_t chunk_;
  Room room_;
  std::unique_ptr<KvSequence> sequence_;
  std::vector<TokenId> ids_;
  std::span<const float> logits_;  // empty: not those of ids_
};

}  // namespace mica

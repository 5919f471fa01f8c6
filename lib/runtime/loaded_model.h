// A model file ready to run: mapped, its config and weights checked against each other, its
// tokenizer opened in place. Opening touches neither weights nor vocabulary; the chat template is
// parsed when first used.
//
// Immutable to its users: any number of threads and sessions share one.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "formats/reader.h"
#include "lib/model/config.h"
#include "lib/model/weights.h"
#include "lib/runtime/engine.h"
#include "lib/runtime/placed_weights.h"
#include "lib/runtime/placement.h"
#include "lib/runtime/plan.h"
#include "lib/runtime/sampler.h"
#include "lib/text/chat_template.h"
#include "lib/text/tokenizer.h"

namespace mica {

struct LoadOptions {
  LoadMode mode = LoadMode::kMap;
  bool verify = false;  // check every checksum first
  // What is asked of a placement, which is planned where the engine has devices; otherwise all is
  // on the host.
  PlanRequest plan;
  std::optional<Placement> placement;  // this one, unplanned
  Progress progress;                   // of what is copied to devices, in bytes
};

// Ids of the "special_tokens" object of the metadata, all of the tokenizer; -1: the model has none.
struct SpecialTokens {
  TokenId bos = -1;
  TokenId pad = -1;
  TokenId unk = -1;
  std::vector<TokenId> eos;
};

class LoadedModel {
 public:
  // Throws Error(kInvalidFile), Error(kUnsupported), Error(kRuntime), Error(kDoesNotFit) with the
  // deficit where the memory of devices and host cannot hold what is planned; with verify
  // Error(kVerification) naming what is damaged.
  static std::shared_ptr<const LoadedModel> load(std::shared_ptr<const Engine> engine,
                                                 const std::string& path,
                                                 const LoadOptions& options = {});

  const Engine& engine() const { return *engine_; }
  const MicaFile& file() const { return file_; }
  const ModelConfig& config() const { return config_; }
  // In the file's map.
  const ModelWeights& weights() const { return weights_; }
  // Where steps run.
  std::span<const PipelinePart> parts() const { return placed_->parts(); }
  const PipelineStreaming& streaming() const { return placed_->streaming(); }
  // Nothing where all is on the host.
  const std::optional<Placement>& placement() const { return placement_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const SpecialTokens& special_tokens() const { return special_tokens_; }
  // What the model's makers recommend ("generation" of the metadata), over Mica's own defaults.
  const SamplerOptions& default_sampling() const { return default_sampling_; }
  // Throws Error(kUnsupported) when the file has none or one that cannot be parsed.
  const ChatTemplate& chat_template() const;
  double load_seconds() const { return load_seconds_; }

 private:
  LoadedModel(std::shared_ptr<const Engine> engine, MicaFile file);
  void place(const LoadOptions& options);

  std::shared_ptr<const Engine> engine_;
  MicaFile file_;
  ModelConfig config_;
  ModelWeights weights_;
  std::optional<Placement> placement_;
  std::optional<PlacedWeights> placed_;
  Tokenizer tokenizer_;
  SpecialTokens special_tokens_;
  SamplerOptions default_sampling_;
  double load_seconds_ = 0;
  mutable std::mutex template_mutex_;
  mutable std::optional<ChatTemplate> chat_template_;
};

}  // namespace mica

#include "lib/runtime/loaded_model.h"

#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/base/stopwatch.h"
#include "lib/model/architecture.h"
#include "lib/runtime/plan_machine.h"

namespace mica {
namespace {

void verify(const MicaFile& file) {
  std::string list;
  for (const std::string& name : file.find_damage({})) {
    list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
  }
  if (list.empty()) return;
  throw Error(
      ErrorCode::kVerification,
      fmt::format("{}: expected checksums to agree, found damage in {}", file.path(), list));
}

TokenId parse_id(const Json& value, const std::string& what, int64_t vocabulary_size) {
  const int64_t id = value.as_integer(what);
  if (id >= 0 && id < vocabulary_size) return static_cast<TokenId>(id);
  throw Error(ErrorCode::kInvalidFile,
              fmt::format("{}: expected an id below {}, found {}", what, vocabulary_size, id));
}

SpecialTokens parse_special_tokens(const Json& json, const std::string& file, int64_t vocabulary) {
  const std::string what = file + ": special_tokens.";
  const auto one = [&](const char* key) {
    return json[key].is_null() ? -1 : parse_id(json[key], what + key, vocabulary);
  };
  SpecialTokens tokens{.bos = one("bos"), .pad = one("pad"), .unk = one("unk")};
  if (json["eos"].is_null()) return tokens;
  for (const Json& id : json["eos"].as_array(what + "eos")) {
    tokens.eos.push_back(parse_id(id, what + "eos", vocabulary));
  }
  return tokens;
}

// As transformers reads generation_config.json: do_sample decides; without it a given temperature
// does.
SamplerOptions parse_generation(const Json& json, const std::string& file) {
  const std::string what = file + ": generation.";
  const auto number = [&](const char* key, double fallback) {
    return static_cast<float>(json[key].is_null() ? fallback : json[key].as_number(what + key));
  };
  const Json& do_sample = json["do_sample"];
  const bool samples =
      do_sample.is_null() ? !json["temperature"].is_null() : do_sample.as_bool(what + "do_sample");
  SamplerOptions options;
  options.temperature = samples ? number("temperature", 1) : 0;
  if (!json["top_k"].is_null()) options.top_k = json["top_k"].as_integer(what + "top_k");
  options.top_p = number("top_p", 1);
  options.min_p = number("min_p", 0);
  options.repetition_penalty = number("repetition_penalty", 1);
  check_sampler_options(options, ErrorCode::kInvalidFile, file + ": generation");
  return options;
}

}  // namespace

LoadedModel::LoadedModel(std::shared_ptr<const Engine> engine, MicaFile file)
    : engine_(std::move(engine)),
      file_(std::move(file)),
      config_(parse_model_config(file_.metadata()["model"], file_.path())),
      weights_(bind_weights(file_, config_, find_architecture(config_.architecture, file_.path()))),
      tokenizer_(Tokenizer::open(file_.tokenizer_image(), file_.path())),
      special_tokens_(parse_special_tokens(file_.metadata()["special_tokens"], file_.path(),
                                           tokenizer_.vocabulary_size())),
      default_sampling_(parse_generation(file_.metadata()["generation"], file_.path())) {
  if (tokenizer_.vocabulary_size() > config_.vocabulary_size) {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: tokenizer: expected at most the model's {} tokens, found {}",
                            file_.path(), config_.vocabulary_size, tokenizer_.vocabulary_size()));
  }
  for (const TensorRecord& tensor : file_.tensors()) engine_->backend().require(tensor.dtype);
}

void LoadedModel::place(const LoadOptions& options) {
  placement_ = options.placement
                   ? options.placement
                   : plan_placement(*engine_, file_.path(), config_, weights_, options.plan);
  if (!placement_) {
    placed_.emplace(*engine_, weights_);
    return;
  }
  for (const PlacedPart& part : placement_->parts) {
    if (part.device < 0 || part.device >= std::ssize(engine_->devices())) continue;
    for (const TensorRecord& tensor : file_.tensors())
      engine_->device(part.device).require(tensor.dtype);
  }
  const auto lock = engine_->lock();
  placed_.emplace(*engine_, file_, weights_, *placement_, options.progress);
  file_.check();
}

std::shared_ptr<const LoadedModel> LoadedModel::load(std::shared_ptr<const Engine> engine,
                                                     const std::string& path,
                                                     const LoadOptions& options) {
  const Stopwatch stopwatch;
  MicaFile file = MicaFile::open(path, options.mode);
  if (options.verify) verify(file);
  std::shared_ptr<LoadedModel> model(new LoadedModel(std::move(engine), std::move(file)));
  model->place(options);
  model->load_seconds_ = stopwatch.seconds();
  return model;
}

const ChatTemplate& LoadedModel::chat_template() const {
  const std::lock_guard lock(template_mutex_);
  if (!chat_template_) {
    const Json& source = file_.metadata()["chat_template"];
    if (source.is_null()) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{}: expected a chat template, file has none: give one or use "
                              "generation without a template",
                              file_.path()));
    }
    chat_template_ = ChatTemplate::parse(source.as_string(file_.path() + ": chat_template"));
  }
  return *chat_template_;
}

}  // namespace mica

// Sessions and generation: mica.h over lib/runtime.
#include <cmath>
#include <fmt/core.h>
#include <limits>

#include "lib/api/handles.h"
#include "lib/runtime/chat.h"

namespace mica {
namespace {

// What the caller gave, over the model's recommendation.
SamplerOptions sampler_options(const mica_generate_options& given, const LoadedModel& model) {
  SamplerOptions options = model.default_sampling();
  const auto take = [](float value, float& target) {
    if (!std::isnan(value)) target = value;
  };
  take(given.temperature, options.temperature);
  take(given.top_p, options.top_p);
  take(given.min_p, options.min_p);
  take(given.repetition_penalty, options.repetition_penalty);
  take(given.frequency_penalty, options.frequency_penalty);
  take(given.presence_penalty, options.presence_penalty);
  if (given.top_k >= 0) options.top_k = given.top_k;
  if (given.seed >= 0) options.seed = static_cast<uint64_t>(given.seed);
  for (size_t i = 0; i < given.bias_count; ++i) {
    options.bias.push_back({(&required(given.bias_ids, "bias_ids"))[i],
                            (&required(given.bias_values, "bias_values"))[i]});
  }
  return options;
}

GenerateOptions generate_options(const mica_generate_options& given, mica_session& session,
                                 mica_token_callback callback, void* user) {
  GenerateOptions options{.max_tokens = given.max_tokens,
                          .sampling = sampler_options(given, session.session.model()),
                          .ignore_eos = given.ignore_eos != 0,
                          .cancel = &session.cancel};
  for (size_t i = 0; i < given.stop_count; ++i) {
    options.stop.emplace_back(&required((&required(given.stop, "stop"))[i], "stop"));
  }
  if (callback) {
    options.callback = [callback, user](std::string_view text, TokenId id) {
      return callback(user, text.data(), text.size(), id) != 0;
    };
  }
  return options;
}

Json describe(const GenerateResult& result, const LoadedModel& model) {
  Json timings = Json::object({{"load_seconds", model.load_seconds()},
                               {"prefill_seconds", result.prefill_seconds},
                               {"prefill_tokens_per_second", result.prefill_tokens_per_second()},
                               {"decode_seconds", result.decode_seconds},
                               {"decode_tokens_per_second", result.decode_tokens_per_second()}});
  return Json::object({{"text", result.text},
                       {"tokens", Json::array(result.tokens)},
                       {"prompt_tokens", result.prompt_tokens},
                       {"reused_tokens", result.reused_tokens},
                       {"finish_reason", finish_reason_name(result.finish_reason)},
                       {"seed", Json(result.seed)},
                       {"timings", std::move(timings)}});
}

// Runs one generation over `prompt` until the session's cancel flag is set.
void run(mica_session& session, const std::vector<TokenId>& prompt,
         const mica_generate_options* given, mica_token_callback callback, void* user,
         mica_text* json) {
  const auto options =
      options_or_default(given, &mica_generate_options_init, "mica_generate_options");
  const GenerateResult result =
      generate(session.session, prompt, generate_options(options, session, callback, user));
  if (json) hand_out(describe(result, session.session.model()).dump(), json);
}

}  // namespace
}  // namespace mica

using namespace mica;

void mica_session_options_init(mica_session_options* options) {
  if (options) *options = {.struct_size = sizeof *options};
}

mica_status mica_session_create(mica_model* model, const mica_session_options* options,
                                mica_session** session, mica_error* error) {
  return guarded(error, [&] {
    cleared(session, "session");
    const auto given =
        options_or_default(options, &mica_session_options_init, "mica_session_options");
    const auto& loaded = required(model, "model").model;
    SessionOptions request = default_session(*loaded);
    if (given.context != 0) request.context = given.context;
    if (text_or(given.kv, "auto") != "auto") request.kv = parse_kv_type(given.kv);
    if (given.prefill_chunk != 0) request.chunk = given.prefill_chunk;
    std::optional<ChatTemplate> chat_template;
    if (given.chat_template) chat_template = ChatTemplate::parse(given.chat_template);
    *session = new mica_session{Session(loaded, request), std::move(chat_template)};
  });
}

void mica_session_free(mica_session* session) {
  delete session;
}

void mica_session_cancel(mica_session* session) {
  if (session) session->cancel = true;
}

void mica_generate_options_init(mica_generate_options* options) {
  if (!options) return;
  constexpr float kNotGiven = std::numeric_limits<float>::quiet_NaN();
  *options = {.struct_size = sizeof *options,
              .max_tokens = -1,
              .temperature = kNotGiven,
              .top_k = -1,
              .top_p = kNotGiven,
              .min_p = kNotGiven,
              .repetition_penalty = kNotGiven,
              .frequency_penalty = kNotGiven,
              .presence_penalty = kNotGiven,
              .seed = -1};
}

mica_status mica_generate(mica_session* session, const char* prompt, size_t size, uint32_t flags,
                          const mica_generate_options* options, mica_token_callback callback,
                          void* user, mica_text* json, mica_error* error) {
  return guarded(error, [&] {
    if (json) *json = {};
    mica_session& target = required(session, "session");
    target.cancel = false;
    const std::vector<TokenId> ids = encode_prompt(
        target.session.model(), text_of(prompt, size, "prompt"), (flags & MICA_PLAIN) != 0);
    run(target, ids, options, callback, user, json);
  });
}

mica_status mica_chat(mica_session* session, const char* messages, size_t size,
                      const mica_generate_options* options, mica_token_callback callback,
                      void* user, mica_text* json, mica_error* error) {
  return guarded(error, [&] {
    if (json) *json = {};
    mica_session& target = required(session, "session");
    target.cancel = false;
    const LoadedModel& model = target.session.model();
    const Json parsed = parse_messages(messages, size);
    const ChatTemplate& chat_template =
        target.chat_template ? *target.chat_template : model.chat_template();
    const std::vector<TokenId> ids = encode_chat(model, render_chat(model, chat_template, parsed));
    run(target, ids, options, callback, user, json);
  });
}

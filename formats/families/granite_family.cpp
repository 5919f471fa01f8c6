// Granite 3: Llama with factors for embeddings, scores, sums and logits.
#include <cmath>

#include "formats/family.h"

namespace mica {

extern const Family kFamily_granite = {
    .config = {.architecture = "granite",
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional,
               .feed_forward_bias = Biases::kOptional},
    .hf_classes = {"GraniteForCausalLM"},
    .read_hf =
        [](const HfSettings& settings, SourceConfig& config) {
          config.embedding_scale = settings.number("embedding_multiplier", 1);
          config.residual_scale = settings.number("residual_multiplier", 1);
          config.attention_scale = settings.number("attention_multiplier", 1);
          config.logits_scale = 1 / settings.number("logits_scaling", 1);
        },
    .write_hf =
        [](const Json& model, Json& config) {
          config["embedding_multiplier"] = number_or(model, "embedding_scale", 1);
          config["residual_multiplier"] = number_or(model, "residual_scale", 1);
          config["attention_multiplier"] =
              number_or(model, "attention_scale", 1 / std::sqrt(model["head_size"].as_number()));
          const double scale = number_or(model, "logits_scale", 1);
          config["logits_scaling"] = solve(1 / scale, scale, [](double x) { return 1 / x; });
        },
    .gguf_architecture = "granite",
    .gguf_interleaves = true,
    .read_gguf =
        [](const GgufKeys& keys, SourceConfig& config) {
          config.embedding_scale = keys.factor("embedding_scale", 1);
          config.residual_scale = keys.factor("residual_scale", 1);
          config.attention_scale = keys.factor("attention.scale", 0);
          config.logits_scale = 1 / keys.factor("logit_scale", 1);
          if (!keys.boolean("rope.scaling.finetuned").value_or(true)) {
            keys.refuse("rope.scaling.finetuned",
                        "a model without a rotary embedding is not supported: expected true, "
                        "found false");
          }
        },
};

}  // namespace mica

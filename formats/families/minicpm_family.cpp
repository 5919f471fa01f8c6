// MiniCPM (arXiv:2404.06395): Llama with factors for embeddings, sums and logits.
#include <cmath>

#include "formats/family.h"

namespace mica {

extern const Family kFamily_minicpm = {
    .config = {.architecture = "minicpm"},
    .hf_classes = {"MiniCPMForCausalLM"},
    .hf_defaults = R"({"tie_word_embeddings": true, "scale_emb": 1, "scale_depth": 1,
        "dim_model_base": 1})",
    .read_hf =
        [](const HfSettings& settings, SourceConfig& config) {
          config.embedding_scale = settings.number("scale_emb", 1);
          config.residual_scale =
              settings.number("scale_depth", 1) / std::sqrt(static_cast<double>(config.layers));
          config.logits_scale =
              settings.number("dim_model_base", 1) / static_cast<double>(config.hidden_size);
        },
    .write_hf =
        [](const Json& model, Json& config) {
          config["scale_emb"] = number_or(model, "embedding_scale", 1);
          const double layers = std::sqrt(model["layers"].as_number());
          const double residual = number_or(model, "residual_scale", 1);
          config["scale_depth"] =
              solve(residual * layers, residual, [&](double x) { return x / layers; });
          const double width = model["hidden_size"].as_number();
          const double logits = number_or(model, "logits_scale", 1);
          config["dim_model_base"] =
              solve(logits * width, logits, [&](double x) { return x / width; });
        },
    .gguf_architecture = "minicpm",
    .gguf_interleaves = true,
    .read_gguf =
        [](const GgufKeys& keys, SourceConfig& config) {
          // Old files say none of it and are all of the first model.
          config.embedding_scale = keys.factor("embedding_scale", 12);
          config.residual_scale =
              keys.factor("residual_scale", 1.4 / std::sqrt(static_cast<double>(config.layers)));
          config.logits_scale =
              1 / keys.factor("logit_scale", static_cast<double>(config.hidden_size) / 256);
        },
};

}  // namespace mica

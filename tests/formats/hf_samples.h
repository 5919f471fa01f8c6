// Model folders in the Hugging Face layout for tests, built field by field so that any can be made
// wrong.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/importer.h"

namespace mica::testing {

struct SafetensorsSample {
  struct Tensor {
    std::string name;
    std::string type;
    std::vector<int64_t> dims;
    std::string data;
  };
  std::vector<Tensor> tensors;

  Tensor& tensor(const std::string& name);
  std::string header() const;  // the JSON, without its length
  std::string bytes() const;
};

// A length and the header and data behind it.
std::string safetensors_bytes(const std::string& header, const std::string& data);

struct TinyFolder {
  std::string type = "F32";
  int layers = 1;
  bool tied = false;
  bool biases = false;  // of query, key and value
};

// The weights count 0, 1, 2, ... in the order of the file; D 4, H 2, K 1, E 2, F 4, V 4.
SafetensorsSample tiny_safetensors(const TinyFolder& shape = {});
// "config.json", "tokenizer.json", "tokenizer_config.json" and "generation_config.json" for it.
std::map<std::string, std::string> tiny_texts(const TinyFolder& shape = {});

// An importer of a folder "tiny" with these texts and model.safetensors of `bytes`, which must
// outlive it.
std::unique_ptr<Importer> import_tiny(std::map<std::string, std::string> texts,
                                      const std::string& bytes);

}  // namespace mica::testing

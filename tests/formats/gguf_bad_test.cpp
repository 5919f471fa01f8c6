// GGUF files that must be refused, each named by its reason, with the sentence it is refused with.
#include <cmath>
#include <doctest/doctest.h>
#include <functional>

#include "tests/formats/gguf_samples.h"
#include "tests/formats/import_exercise.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

struct BadFile {
  const char* reason;
  std::function<void(GgufSample&)> damage;
  const char* sentence;  // after "tiny.gguf: "
};

const char* const kQ = "blk.0.attn_q.weight";

const BadFile kInvalid[] = {
    {"wrong magic", [](GgufSample& s) { s.magic = "GGML"; },
     "expected a GGUF file, found no 'GGUF' at its start"},
    {"more keys than the file has bytes", [](GgufSample& s) { s.key_count = uint64_t{1} << 61; },
     "number of keys: expected 0 to 142, found 2305843009213693952"},
    {"more tensors than the file has bytes", [](GgufSample& s) { s.tensor_count = 100000; },
     "number of tensors: expected 0 to 36, found 100000"},
    {"a key without a name", [](GgufSample& s) { s.set("", 1u); },
     "name of a key: expected 1 to 1024 bytes, found 0"},
    {"a key of more than 1024 bytes", [](GgufSample& s) { s.set(std::string(2000, 'k'), 1u); },
     "name of a key: expected 1 to 1024 bytes, found 2000"},
    {"a key that is not UTF-8", [](GgufSample& s) { s.set("\xff", 1u); },
     "name of a key: expected UTF-8, found other bytes"},
    {"a key twice", [](GgufSample& s) { s.keys.push_back(s.keys[2]); },
     "expected distinct keys, found key 'llama.block_count' twice"},
    {"a value type of 13", [](GgufSample& s) { s.set("k", 13, ""); },
     "key 'k': expected a value type of 0 to 12, found 13"},
    {"a bool of 2", [](GgufSample& s) { s.set("k", kGgufBool, "\2"); },
     "key 'k': expected 0 to 1, found 2"},
    {"an array of arrays",
     [](GgufSample& s) { s.set("k", kGgufArray, raw(kGgufArray) + raw(uint64_t{1})); },
     "key 'k': expected an array of numbers or strings, found one of arrays"},
    {"an array longer than the file",
     [](GgufSample& s) { s.set("k", kGgufArray, raw(kGgufUint64) + raw(uint64_t{1} << 61)); },
     "key 'k': number of elements: expected 0 to 147, found 2305843009213693952"},
    {"a string longer than the file",
     [](GgufSample& s) { s.set("k", kGgufString, raw(~uint64_t{0})); },
     "expected 18446744073709551615 bytes at offset 830, found only 2016 bytes in all"},
    {"a text that is not UTF-8", [](GgufSample& s) { s.set("general.name", "\xc3"); },
     "key 'general.name': expected UTF-8, found other bytes"},
    {"a number where a string belongs", [](GgufSample& s) { s.set("general.architecture", 1u); },
     "key 'general.architecture': expected a string, found uint32"},
    {"a string where a number belongs", [](GgufSample& s) { s.set("llama.block_count", "1"); },
     "key 'llama.block_count': expected an integer, found string"},
    {"a list where a number belongs",
     [](GgufSample& s) { s.set("llama.attention.head_count_kv", kGgufArray, gguf_int32s({1})); },
     "key 'llama.attention.head_count_kv': expected an integer, found an array of int32"},
    {"a negative number where a size belongs",
     [](GgufSample& s) { s.set("llama.block_count", kGgufInt32, raw(int32_t{-1})); },
     "key 'llama.block_count': expected a number that is not negative, found -1"},
    {"an integer where a float belongs",
     [](GgufSample& s) { s.set("llama.rope.freq_base", 10000u); },
     "key 'llama.rope.freq_base': expected a float, found uint32"},
    {"a float that is not finite",
     [](GgufSample& s) { s.set("llama.rope.freq_base", __builtin_inff()); },
     "key 'llama.rope.freq_base': expected a finite number, found inf"},

    {"a tensor without dimensions", [](GgufSample& s) { s.tensor(kQ).dims = {}; },
     "tensor 'blk.0.attn_q.weight': dimensions: expected 1 to 4, found 0"},
    {"a tensor of five dimensions",
     [](GgufSample& s) {
       s.tensor(kQ).dims = {4, 4, 1, 1, 1};
     },
     "tensor 'blk.0.attn_q.weight': dimensions: expected 1 to 4, found 5"},
    {"a dimension of zero",
     [](GgufSample& s) {
       s.tensor(kQ).dims = {4, 0};
     },
     "tensor 'blk.0.attn_q.weight': dimension 1: expected 1 to 9223372036854775807, found 0"},
    {"dimensions whose product overflows",
     [](GgufSample& s) {
       s.tensor(kQ).dims = {1u << 31, 1u << 31, 1u << 31};
     },
     "tensor 'blk.0.attn_q.weight': expected a number in range, found one that overflows"},
    {"rows that are no multiple of a block", [](GgufSample& s) { s.tensor(kQ).type = kTensorQ8_0; },
     "tensor 'blk.0.attn_q.weight': expected rows of a multiple of 32 weights for Q8_0, found 4"},
    {"a tensor behind the end", [](GgufSample& s) { s.tensor(kQ).offset = 1 << 20; },
     "tensor 'blk.0.attn_q.weight': expected 64 bytes at offset 1050048, found only 2016 bytes in "
     "all"},
    {"an offset that overflows", [](GgufSample& s) { s.tensor(kQ).offset = ~uint64_t{31}; },
     "tensor 'blk.0.attn_q.weight': expected a number in range, found one that overflows"},
    {"an offset that is not aligned", [](GgufSample& s) { s.tensor(kQ).offset = 100; },
     "tensor 'blk.0.attn_q.weight': expected an offset that is a multiple of 32, found 100"},
    {"tensors that overlap", [](GgufSample& s) { s.tensor(kQ).offset = 0; },
     "expected tensors apart from each other, found 'blk.0.attn_q.weight' and 'token_embd.weight' "
     "overlapping"},
    {"a tensor twice", [](GgufSample& s) { s.tensors.push_back(s.tensor(kQ)); },
     "expected distinct tensors, found tensor 'blk.0.attn_q.weight' twice"},
    {"an alignment that is no power of two", [](GgufSample& s) { s.set("general.alignment", 48u); },
     "key 'general.alignment': expected a power of two up to 1048576, found 48"},
    {"an alignment of zero", [](GgufSample& s) { s.set("general.alignment", 0u); },
     "key 'general.alignment': expected a power of two up to 1048576, found 0"},
    {"an alignment without bound", [](GgufSample& s) { s.set("general.alignment", 1u << 30); },
     "key 'general.alignment': expected a power of two up to 1048576, found 1073741824"},

    {"no architecture", [](GgufSample& s) { s.remove("general.architecture"); },
     "key 'general.architecture': expected a string, found no such key"},
    {"no number of layers", [](GgufSample& s) { s.remove("llama.block_count"); },
     "key 'llama.block_count': expected an integer, found no such key"},
    {"no epsilon", [](GgufSample& s) { s.remove("llama.attention.layer_norm_rms_epsilon"); },
     "key 'llama.attention.layer_norm_rms_epsilon': expected a float, found no such key"},
    {"no layers", [](GgufSample& s) { s.set("llama.block_count", 0u); },
     "key 'llama.block_count': number of layers: expected 1 to 4096, found 0"},
    {"more layers than tensors", [](GgufSample& s) { s.set("llama.block_count", 2u); },
     "expected a tensor for layers.1.attn.norm, found none"},
    {"fewer layers than tensors",
     [](GgufSample& s) {
       s.tensors.push_back({"blk.7.attn_q.weight", {4, 4}, kTensorF32, std::string(64, 0), {}, {}});
     },
     "tensor 'blk.7.attn_q.weight': expected 1 layers by the configuration, found layer 7"},
    {"no heads", [](GgufSample& s) { s.set("llama.attention.head_count", 0u); },
     "key 'llama.attention.head_count': expected a divisor of the embedding length 4, found 0"},
    {"no key and value heads", [](GgufSample& s) { s.set("llama.attention.head_count_kv", 0u); },
     "number of key and value heads: expected 1 to 2, found 0"},
    {"key and value heads that do not divide the heads",
     [](GgufSample& s) {
       s.set("llama.attention.head_count", 4u);
       s.set("llama.attention.key_length", 2u);
       s.set("llama.attention.head_count_kv", 3u);
     },
     "number of key and value heads: expected a divisor of 4, found 3"},
    {"heads of an odd size", [](GgufSample& s) { s.set("llama.attention.head_count", 4u); },
     "head size: expected an even number, found 1"},
    {"sizes that only fit together by overflow",
     [](GgufSample& s) {
       s.set("llama.attention.key_length", kGgufUint64, raw(uint64_t{1} << 62));
     },
     "head size: expected 1 to 4096, found 4611686018427387904"},
    {"a context of zero", [](GgufSample& s) { s.set("llama.context_length", 0u); },
     "context length: expected 1 to 16777216, found 0"},
    {"an epsilon of zero",
     [](GgufSample& s) { s.set("llama.attention.layer_norm_rms_epsilon", 0.0f); },
     "epsilon of the norms: expected a positive number, found 0"},
    {"a negative rope base", [](GgufSample& s) { s.set("llama.rope.freq_base", -1.0f); },
     "base of the rotary embedding: expected 1 to 1000000000000, found -1"},
    {"another width than the tensors",
     [](GgufSample& s) { s.set("llama.feed_forward_length", 8u); },
     "tensor 'blk.0.ffn_gate.weight': expected [8, 4] by the configuration, file has [4, 4]"},
    {"a matrix of three dimensions",
     [](GgufSample& s) {
       s.tensor(kQ).dims = {4, 2, 2};
     },
     "tensor 'blk.0.attn_q.weight': expected one or two dimensions, found [1, 2, 2, 4]"},
    {"no embedding", [](GgufSample& s) { s.remove_tensor("token_embd.weight"); },
     "expected a tensor 'token_embd.weight', found none"},
    {"no output norm", [](GgufSample& s) { s.remove_tensor("output_norm.weight"); },
     "expected a tensor for output_norm, found none"},
    {"another number of tokens than rows of the embedding",
     [](GgufSample& s) { s.set("llama.vocab_size", 5u); },
     "key 'llama.vocab_size': expected 4, found 5"},
    {"factors of another number",
     [](GgufSample& s) {
       s.tensors.push_back({"rope_freqs.weight", {2}, kTensorF32, std::string(8, 0), {}, {}});
     },
     "tensor 'rope_freqs.weight': expected 1 numbers of type F32, found 8 bytes of type F32"},
    {"long factors without short ones",
     [](GgufSample& s) {
       s.tensors.push_back({"rope_factors_long.weight", {1}, kTensorF32, raw(8.0f), {}, {}});
     },
     "expected the tensors 'rope_factors_short.weight' and 'rope_factors_long.weight' of the "
     "rotary "
     "scaling 'longrope', found only one of them"},
    {"a rotary embedding of an odd number of channels",
     [](GgufSample& s) {
       s = tiny_gguf({.architecture = "qwen2"});
       s.set("qwen2.rope.dimension_count", 1u);
     },
     "channels of the rotary embedding: expected an even number, found 1"},
    {"fused rows of another number",
     [](GgufSample& s) {
       s.tensors.push_back(
           {"blk.0.attn_qkv.weight", {4, 9}, kTensorF32, std::string(144, 0), {}, {}});
     },
     "tensor 'blk.0.attn_qkv.weight': expected 8 rows by the configuration, found 9"},
    {"fused rows beside the same rows apart",
     [](GgufSample& s) {
       s.tensors.push_back(
           {"blk.0.attn_qkv.weight", {4, 8}, kTensorF32, std::string(128, 0), {}, {}});
     },
     "tensor 'blk.0.attn_qkv.weight': expected one tensor for layers.0.attn.q, found two"},
    {"a factor of zero",
     [](GgufSample& s) {
       s.tensors.push_back({"rope_freqs.weight", {1}, kTensorF32, std::string(4, 0), {}, {}});
     },
     "factors of the rotary scaling: expected 1e-06 to 1000000, found 0"},

    {"a tokenizer without tokens", [](GgufSample& s) { s.remove("tokenizer.ggml.tokens"); },
     "key 'tokenizer.ggml.tokens': expected tokens, found none"},
    {"tokens that are numbers",
     [](GgufSample& s) { s.set("tokenizer.ggml.tokens", kGgufArray, gguf_int32s({1})); },
     "key 'tokenizer.ggml.tokens': expected an array of strings, found an array of int32"},
    {"more tokens than rows of the embedding",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.tokens", kGgufArray, gguf_strings({"a", "b", "ab", "<s>", "c"}));
       s.remove("tokenizer.ggml.token_type");
     },
     "key 'tokenizer.ggml.tokens': number of tokens: expected 0 to 4, found 5"},
    {"a token twice",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.tokens", kGgufArray, gguf_strings({"a", "b", "a", "<s>"}));
     },
     "key 'tokenizer.ggml.tokens': expected distinct tokens, found 'a' twice"},
    {"a token that is not UTF-8",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.tokens", kGgufArray, gguf_strings({"a", "b", "\xff", "<s>"}));
     },
     "key 'tokenizer.ggml.tokens': expected UTF-8, found other bytes in element 2"},
    {"token types of another number",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.token_type", kGgufArray, gguf_int32s({1, 1, 1}));
     },
     "key 'tokenizer.ggml.token_type': expected 4 elements, one for each token, found 3"},
    {"a token type of 7",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.token_type", kGgufArray, gguf_int32s({1, 1, 1, 7}));
     },
     "key 'tokenizer.ggml.token_type': expected types of 0 to 6, found 7 for token 3"},
    {"no scores", [](GgufSample& s) { s.set("tokenizer.ggml.model", "llama"); },
     "key 'tokenizer.ggml.scores': expected 4 elements, one for each token, found 0"},
    {"fewer scores than tokens",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.model", "t5");
       s.set("tokenizer.ggml.scores", kGgufArray, gguf_float32s({1, 2, 3}));
     },
     "key 'tokenizer.ggml.scores': expected 4 elements, one for each token, found 3"},
    {"scores of another type",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.model", "llama");
       s.set("tokenizer.ggml.scores", kGgufArray, gguf_int32s({1, 2, 3, 4}));
     },
     "key 'tokenizer.ggml.scores': expected an array of float32, found an array of int32"},
    {"a score that is no number",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.model", "llama");
       s.set("tokenizer.ggml.scores", kGgufArray, gguf_float32s({1, 2, 3, HUGE_VALF}));
     },
     "key 'tokenizer.ggml.scores': expected a number for token 3, found inf"},
    {"a charsmap of numbers",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.model", "t5");
       s.set("tokenizer.ggml.scores", kGgufArray, gguf_float32s({1, 2, 3, 4}));
       s.set("tokenizer.ggml.precompiled_charsmap", kGgufArray, gguf_int32s({1}));
     },
     "key 'tokenizer.ggml.precompiled_charsmap': expected an array of uint8 or int8, found an "
     "array "
     "of int32"},
    {"no merges", [](GgufSample& s) { s.remove("tokenizer.ggml.merges"); },
     "key 'tokenizer.ggml.merges': expected merges, found none"},
    {"a merge of one token",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.merges", kGgufArray, gguf_strings({"a b", "ab"}));
     },
     "key 'tokenizer.ggml.merges': expected two tokens with a space between, found 'ab' in element "
     "1"},
    {"a special token beyond the vocabulary",
     [](GgufSample& s) { s.set("tokenizer.ggml.eos_token_id", 4u); },
     "key 'tokenizer.ggml.eos_token_id': expected a token below 4, found 4"},
    {"a token to add that is not named",
     [](GgufSample& s) {
       s.set("tokenizer.ggml.add_bos_token", true);
       s.remove("tokenizer.ggml.bos_token_id");
     },
     "key 'tokenizer.ggml.add_bos_token': expected a token to add in "
     "'tokenizer.ggml.bos_token_id', found none"},
    {"a part of a set whose parts disagree", [](GgufSample& s) { s.set("split.no", 1u); },
     "key 'split.no': expected 0, found 1"},
    {"a set with too few tensors", [](GgufSample& s) { s.set("split.tensors.count", 12u); },
     "key 'split.tensors.count': tensors in all parts: expected 12, found 11"},
};

const BadFile kUnsupportedFiles[] = {
    {"a big-endian file", [](GgufSample& s) { s.version = 0x03000000; },
     "expected a little-endian GGUF file, found a big-endian one"},
    {"a version that is no more", [](GgufSample& s) { s.version = 1; },
     "expected GGUF version 2 or 3, found 1"},
    {"a version that is not yet", [](GgufSample& s) { s.version = 4; },
     "expected GGUF version 2 or 3, found 4"},
    {"a type that cannot be read", [](GgufSample& s) { s.tensor(kQ).type = 23; },
     "tensor 'blk.0.attn_q.weight': type IQ4_XS is not supported; expected F32, F16, BF16, Q4_0, "
     "Q4_1, Q5_0, "
     "Q5_1, Q8_0, Q4_K, Q5_K or Q6_K"},
    {"a type that does not exist", [](GgufSample& s) { s.tensor(kQ).type = 1000; },
     "tensor 'blk.0.attn_q.weight': type 1000 is not supported; expected F32, F16, BF16, Q4_0, "
     "Q4_1, Q5_0, "
     "Q5_1, Q8_0, Q4_K, Q5_K or Q6_K"},
    {"an adapter", [](GgufSample& s) { s.set("general.type", "adapter"); },
     "key 'general.type': expected 'model', found 'adapter'"},
    {"the number of experts in use", [](GgufSample& s) { s.set("llama.expert_used_count", 2u); },
     "key 'llama.expert_used_count': expected no such key in a model of this architecture, found "
     "one"},
    {"a model of embeddings", [](GgufSample& s) { s.set("llama.pooling_type", 3u); },
     "key 'llama.pooling_type': expected no such key in a model of this architecture, found one"},
    {"a scale of attention's output",
     [](GgufSample& s) { s.set("llama.attention.output_scale", 0.5f); },
     "key 'llama.attention.output_scale': expected no such key in a model of this architecture, "
     "found one"},
    {"a mixture of experts", [](GgufSample& s) { s.set("llama.expert_count", 8u); },
     "key 'llama.expert_count': a mixture of experts is not supported: expected 0, found 8"},
    {"values of another size than keys",
     [](GgufSample& s) { s.set("llama.attention.value_length", 8u); },
     "key 'llama.attention.value_length': expected 2, the size of keys, found 8"},
    {"a rotary scaling that is not known",
     [](GgufSample& s) { s.set("llama.rope.scaling.type", "ntk"); },
     "key 'llama.rope.scaling.type': rotary scaling 'ntk' is not supported; expected 'none', "
     "'linear', 'yarn' or 'longrope'"},
    {"a scale that Llama does not have",
     [](GgufSample& s) { s.set("llama.embedding_scale", 12.0f); },
     "key 'llama.embedding_scale': expected no such key in a model of this architecture, found "
     "one"},
    {"windows in some layers of Llama",
     [](GgufSample& s) { s.set("llama.attention.sliding_window_pattern", 2u); },
     "key 'llama.attention.sliding_window_pattern': expected no such key in a model of this "
     "architecture, found one"},
    {"attention to what comes later", [](GgufSample& s) { s.set("llama.attention.causal", false); },
     "key 'llama.attention.causal': expected true, found false"},
    {"yarn that extrapolates in part",
     [](GgufSample& s) {
       s.set("llama.rope.scaling.type", "yarn");
       s.set("llama.rope.scaling.yarn_ext_factor", 0.5f);
     },
     "key 'llama.rope.scaling.yarn_ext_factor': expected 1, found 0.5"},
    {"yarn of a logarithm",
     [](GgufSample& s) {
       s.set("llama.rope.scaling.type", "yarn");
       s.set("llama.rope.scaling.yarn_log_multiplier", 0.1f);
     },
     "key 'llama.rope.scaling.yarn_log_multiplier': expected 0, found 0.1"},
    {"two kinds of rotary scaling",
     [](GgufSample& s) {
       s.set("llama.rope.scaling.factor", 2.0f);
       s.tensors.push_back({"rope_freqs.weight", {1}, kTensorF32, raw(8.0f), {}, {}});
     },
     "key 'llama.rope.scaling.factor': linear rotary scaling together with a tensor "
     "'rope_freqs.weight' is not "
     "supported"},
    {"short and long factors beside others",
     [](GgufSample& s) {
       for (const char* name :
            {"rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"}) {
         s.tensors.push_back({name, {1}, kTensorF32, raw(8.0f), {}, {}});
       }
     },
     "key 'llama.rope.scaling.factor': another rotary scaling together with a tensor "
     "'rope_freqs.weight' is not supported"},
    {"a tensor that has no place",
     [](GgufSample& s) {
       s.tensors.push_back(
           {"blk.0.attn_sinks.weight", {4}, kTensorF32, std::string(16, 0), {}, {}});
     },
     "tensor 'blk.0.attn_sinks.weight' has no place in the models that are supported"},
    {"a norm that the architecture does not have",
     [](GgufSample& s) {
       s.tensors.push_back(
           {"blk.0.attn_q_norm.weight", {2}, kTensorF32, std::string(8, 0), {}, {}});
     },
     "tensor 'blk.0.attn_q_norm.weight': layers.0.attn.q_norm is not part of a model of "
     "architecture 'llama'"},
    {"a WordPiece tokenizer", [](GgufSample& s) { s.set("tokenizer.ggml.model", "bert"); },
     "key 'tokenizer.ggml.model': tokenizer 'bert' is not supported; expected 'gpt2' (byte-level "
     "BPE), 'llama' (SentencePiece BPE) or 't5' (unigram)"},
    {"a pre-tokenizer that is not known",
     [](GgufSample& s) { s.set("tokenizer.ggml.pre", "poro-chat"); },
     "key 'tokenizer.ggml.pre': pre-tokenizer 'poro-chat' is not supported; expected one of "
     "default, gpt-2, phi-2, olmo, mpt, starcoder, refact, smollm, codeshell, command-r, "
     "llama-bpe, llama-v3, llama3, falcon3, pixtral, smaug-bpe, dbrx, tekken, gpt-4o, llama4, "
     "qwen2, deepseek-r1-qwen, stablelm2, qwen35"},
};

void check_refused(const BadFile& bad, ErrorCode code) {
  const std::string reason = bad.reason;
  CAPTURE(reason);
  GgufSample sample = tiny_gguf();
  bad.damage(sample);
  const std::string bytes = sample.bytes();
  const Error error = error_of([&] { import_gguf_bytes(bytes); });
  CHECK(error.message() == std::string("tiny.gguf: ") + bad.sentence);
  CHECK(error.code() == code);
}

}  // namespace

TEST_CASE("GGUF files that break the format are refused with a sentence") {
  for (const BadFile& bad : kInvalid) check_refused(bad, ErrorCode::kInvalidFile);
}

TEST_CASE("GGUF files of kinds that are not supported are refused by name") {
  for (const BadFile& bad : kUnsupportedFiles) check_refused(bad, ErrorCode::kUnsupported);
}

TEST_CASE("an architecture that is not known is refused with those that are") {
  GgufSample sample = tiny_gguf();
  sample.set("general.architecture", "gemma4");
  const std::string bytes = sample.bytes();
  const Error error = error_of([&] { import_gguf_bytes(bytes); });
  CHECK(
      error.message().starts_with("tiny.gguf: key 'general.architecture': architecture 'gemma4' "
                                  "is not supported; expected one of llama, qwen2, "));
  CHECK(error.code() == ErrorCode::kUnsupported);
}

TEST_CASE("biases are in all layers or in none") {
  GgufSample sample = tiny_gguf({.layers = 2});
  sample.tensors.push_back({"blk.0.attn_output.bias", {4}, kTensorF32, std::string(16, 0), {}, {}});
  std::string bytes = sample.bytes();
  CHECK(error_of([&] { import_gguf_bytes(bytes); }).message() ==
        "tiny.gguf: expected a tensor for layers.1.attn.out_bias, found none");
  sample.tensors.back().name = "blk.1.attn_output.bias";
  bytes = sample.bytes();
  CHECK(error_of([&] { import_gguf_bytes(bytes); }).message() ==
        "tiny.gguf: tensor 'blk.1.attn_output.bias': layers.1.attn.out_bias is not part of a model "
        "of "
        "architecture 'llama'");
  sample.tensors.back().name = "blk.0.attn_q.bias";
  bytes = sample.bytes();
  CHECK(error_of([&] { import_gguf_bytes(bytes); }).message() ==
        "tiny.gguf: expected a tensor for layers.1.attn.q_bias, found none");
  sample = tiny_gguf();
  sample.tensors.push_back({"blk.0.attn_q.bias", {4}, kTensorF32, std::string(16, 0), {}, {}});
  bytes = sample.bytes();
  CHECK(error_of([&] { import_gguf_bytes(bytes); }).message() ==
        "tiny.gguf: expected a tensor for layers.0.attn.k_bias, found none");
}

TEST_CASE("an empty file and one that ends in its header are refused") {
  for (const std::string bytes : {"", "GG", "GGUF", "GGUF\3\0\0"}) {
    CHECK(error_of([&] { import_gguf_bytes(bytes); }).code() == ErrorCode::kInvalidFile);
  }
}

// Drives the tokenizer from a script, for comparison with others:
//   tokenizer_tool encode TOKENIZER.json [plain] [no-special]   text on stdin, ids on stdout
//   tokenizer_tool decode TOKENIZER.json [skip-special]         ids on stdin, text on stdout
//   tokenizer_tool batch  TOKENIZER.json [plain] [no-special]   texts, each before its length in
//   bytes
//                                                               on a line; a line of ids for each
//   tokenizer_tool time   TOKENIZER.json                        text on stdin, seconds on stdout
//   tokenizer_tool image  TOKENIZER.json                        the image on stdout
// In place of TOKENIZER.json a SentencePiece model (tokenizer.model) or a GGUF file may stand.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "formats/gguf_tokenizer.h"
#include "formats/sentencepiece.h"
#include "lib/base/error.h"
#include "lib/base/json.h"
#include "lib/base/mapped_file.h"
#include "lib/text/tokenizer.h"
#include "lib/text/tokenizer_image.h"

namespace {

using mica::EncodeOptions;
using mica::TokenId;
using mica::Tokenizer;

std::string read_stdin() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

mica::Json read_tokenizer(const std::string& path) {
  const std::string bytes = mica::read_text_file(path, uint64_t{1} << 30);
  if (path.ends_with(".model")) {
    return mica::read_sentencepiece_model(mica::as_bytes(bytes), path).tokenizer_json;
  }
  if (path.ends_with(".gguf")) {
    const auto file = mica::GgufFile::parse(mica::as_bytes(bytes), path);
    return mica::read_gguf_tokenizer(file).tokenizer_json;
  }
  return mica::Json::parse(bytes, path);
}

void print_ids(const std::vector<TokenId>& ids) {
  std::string line;
  for (const TokenId id : ids) line.append(line.empty() ? "" : " ").append(std::to_string(id));
  std::puts(line.c_str());
}

void run_batch(const Tokenizer& tokenizer, const EncodeOptions& options) {
  size_t bytes = 0;
  while (std::cin >> bytes) {
    std::cin.get();  // the end of the line
    std::string text(bytes, '\0');
    std::cin.read(text.data(), static_cast<std::streamsize>(bytes));
    print_ids(tokenizer.encode(text, options));
  }
}

void run_decode(const Tokenizer& tokenizer, bool skip_special) {
  std::vector<TokenId> ids;
  for (TokenId id; std::cin >> id;) ids.push_back(id);
  const std::string text = tokenizer.decode(ids, skip_special);
  mica::DecodeStream stream(tokenizer, skip_special);
  std::string streamed;
  for (const TokenId id : ids) streamed += stream.push(id);
  streamed += stream.flush();
  if (streamed != text) throw mica::Error(mica::ErrorCode::kRuntime, "streamed text differs");
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void run_time(const Tokenizer& tokenizer) {
  const std::string text = read_stdin();
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const size_t count = tokenizer.encode(text).size();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (count == 0) return;
    best = std::min(best, taken.count());
  }
  std::printf("%.6f\n", best);
}

void run(const std::vector<std::string>& arguments) {
  const auto has = [&](const char* word) { return std::ranges::count(arguments, word) > 0; };
  const std::string& path = arguments.at(1);
  const auto image = mica::build_tokenizer_image(read_tokenizer(path), path);
  const Tokenizer tokenizer = Tokenizer::open(image, path);
  const EncodeOptions options{.match_added_tokens = !has("plain"),
                              .add_special_tokens = !has("no-special")};
  if (arguments[0] == "encode")
    print_ids(tokenizer.encode(read_stdin(), options));
  else if (arguments[0] == "batch")
    run_batch(tokenizer, options);
  else if (arguments[0] == "decode")
    run_decode(tokenizer, has("skip-special"));
  else if (arguments[0] == "time")
    run_time(tokenizer);
  else if (arguments[0] == "image")
    std::fwrite(image.data(), 1, image.size(), stdout);
}

}  // namespace

int main(int count, char** arguments) {
  try {
    run({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

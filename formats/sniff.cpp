#include "formats/sniff.h"

#include <algorithm>

namespace mica {
namespace {

struct Signature {
  std::string_view prefix;
  std::string_view description;
};

constexpr std::string_view kHtml =
    "what looks like an HTML page: a download that was answered with a web page";
constexpr Signature kSignatures[] = {
    {"GGUF", "a GGUF file: `mica convert` makes a .mica file of it"},
    {"\x89MIC\r\n\x1a\n", "a .mica file"},
    {"\x89MIC", "a .mica file whose line ends were rewritten: copy it again in binary mode"},
    {"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"},
    {"PK\x03\x04",
     "a ZIP archive or PyTorch checkpoint: `mica convert` takes safetensors and GGUF"},
    {"\x1f\x8b", "a gzip archive: unpack it first"},
    {"%PDF-", "a PDF document"},
    {"<!doctype html", kHtml},
    {"<html", kHtml},
    {"<?xml", "an XML page: a download that was answered with an error"},
    {"{", "JSON text: `mica convert` takes the model folder that it lies in"},
};

bool starts_with_any_case(std::string_view text, std::string_view prefix) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(),
                    [&](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace

std::string_view describe_foreign_bytes(Bytes file) {
  const std::string_view text = as_text(file.first(std::min<size_t>(file.size(), 4096)));
  if (text.empty()) return "an empty file";
  if (text.find_first_not_of('\0') == text.npos) {
    return "zeros: a copy or download that did not finish";
  }
  const size_t start = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  for (const Signature& signature : kSignatures) {
    if (starts_with_any_case(text.substr(start), signature.prefix)) return signature.description;
  }
  // 8 bytes of header length, then JSON.
  if (text.size() > 8 && text[8] == '{' && text[6] == 0 && text[7] == 0) {
    return "a safetensors file: `mica convert` takes the model folder that it lies in";
  }
  return "other bytes";
}

}  // namespace mica

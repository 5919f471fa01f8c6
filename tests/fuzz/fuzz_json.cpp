// Fuzzes the JSON parser and writer: what is accepted, written and read again, is the same value.
#include <cstdint>
#include <cstdlib>

#include "lib/base/error.h"
#include "lib/base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using mica::Json;
  Json json;
  try {
    json = Json::parse({reinterpret_cast<const char*>(data), size}, "fuzz.json");
  } catch (const mica::Error&) {
    return 0;
  }
  for (const int indent : {0, 2}) {
    if (!(Json::parse(json.dump(indent), "written") == json)) std::abort();
  }
  return 0;
}

// An architecture is two files, what the engine does (lib/model/arch) and how others' files
// describe it (formats/families): what they both say must be the same.
#include "lib/model/architecture.h"

#include <doctest/doctest.h>
#include <set>
#include <string>

#include "formats/family.h"

namespace mica::testing {
namespace {

bool same(Biases family, Presence architecture) {
  switch (family) {
    case Biases::kNever:
      return architecture == Presence::kNever;
    case Biases::kOptional:
      return architecture == Presence::kOptional;
    case Biases::kAlways:
      return architecture == Presence::kAlways;
  }
  return false;
}

bool same(QueryKeyNorm family, QkNorm architecture) {
  switch (family) {
    case QueryKeyNorm::kNone:
      return architecture == QkNorm::kNone;
    case QueryKeyNorm::kEachHead:
      return architecture == QkNorm::kEachHead;
    case QueryKeyNorm::kAllHeads:
      return architecture == QkNorm::kAllHeads;
  }
  return false;
}

TEST_CASE("every family has an architecture, every architecture a family, and they agree") {
  std::set<std::string> described;
  for (const Family* family : families()) {
    const SourceConfig& config = family->config;
    CAPTURE(config.architecture);
    described.insert(config.architecture);
    const Architecture& architecture = find_architecture(config.architecture, "families");
    CHECK(config.norms_before == architecture.norms_before);
    CHECK(config.norms_after == architecture.norms_after);
    CHECK(config.norm_biases == architecture.norm_biases);
    CHECK(config.norm_biases == (architecture.norm == NormKind::kLayer));
    CHECK(config.gated == architecture.gated);
    CHECK(same(config.query_key_norm, architecture.qk_norm));
    CHECK(same(config.qkv_bias, architecture.qkv_bias));
    CHECK(same(config.attention_out_bias, architecture.attention_out_bias));
    CHECK(same(config.feed_forward_bias, architecture.feed_forward_bias));
  }
  for (const Architecture* architecture : architectures()) {
    CHECK_MESSAGE(described.contains(architecture->name), architecture->name);
  }
}

}  // namespace
}  // namespace mica::testing

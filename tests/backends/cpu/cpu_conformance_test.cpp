// The op conformance suite on every instruction set that this machine can run.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "backends/cpu/cpu_backend.h"
#include "tests/lib/backend/conformance.h"

namespace mica {
namespace {

using Check = void (*)(const conformance::BackendFactory&);

void check_all_isas(Check check) {
  for (const IsaInfo& isa : cpu_isas()) {
    if (!isa.available) continue;
    INFO(isa.name);
    check([&](int threads, Activations activations) {
      auto pool = std::make_unique<ThreadPool>(threads);
      auto backend = make_cpu_backend(*pool, {.isa = isa.name, .activations = activations});
      return conformance::TestedBackend{std::move(pool), std::move(backend)};
    });
  }
}

TEST_CASE("memory is allocated and types are required as the interface says") {
  check_all_isas(conformance::check_memory);
}
TEST_CASE("copies bring what was written, in order") {
  check_all_isas(conformance::check_copies);
}
TEST_CASE("embedding rows are gathered exactly") {
  check_all_isas(conformance::check_embed);
}
TEST_CASE("integer products have the reference's bits") {
  check_all_isas(conformance::check_integer_products);
}
TEST_CASE("products behind a norm are within rounding") {
  check_all_isas(conformance::check_normed_products);
}
TEST_CASE("products with float weights or activations are within rounding") {
  check_all_isas(conformance::check_float_products);
}
TEST_CASE("gated products are within rounding") {
  check_all_isas(conformance::check_gated_products);
}
TEST_CASE("norms added to the residual stream are within rounding") {
  check_all_isas(conformance::check_norm_add);
}
TEST_CASE("NaN and infinity are passed on") {
  check_all_isas(conformance::check_bad_numbers);
}
TEST_CASE("rotation and the stored cache are right") {
  check_all_isas(conformance::check_rope_store);
}
TEST_CASE("attention is right for every division of its work") {
  check_all_isas(conformance::check_attention);
}

}  // namespace
}  // namespace mica

// The planner: laws over random models, devices and wishes, and the sizes of real memory.
#include "lib/runtime/plan.h"

#include <algorithm>
#include <random>

#include "lib/runtime/placed_weights.h"
#include "tests/lib/runtime/test_devices.h"
#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"

namespace mica::testing {
namespace {

constexpr uint64_t kMiB = 1 << 20;

using Random = std::mt19937_64;

int64_t draw(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

// Grows with tokens and context, as every backend's does.
uint64_t workspace_of(const StepLimits& limits) {
  return 1000 + limits.tokens * limits.input_cols * 2 + limits.context * limits.heads * 4 +
         limits.logit_rows * 777;
}

PlanModel random_model(Random& random) {
  PlanModel model;
  ModelConfig& config = model.config;
  config.layers = draw(random, 1, 40);
  config.head_size = 16 * draw(random, 1, 8);
  config.kv_heads = draw(random, 1, 8);
  config.heads = config.kv_heads * draw(random, 1, 4);
  config.hidden_size = 64 * draw(random, 1, 64);
  config.feed_forward_size = 64 * draw(random, 1, 128);
  config.vocabulary_size = draw(random, 256, 100000);
  config.context_length = draw(random, 64, 32768);
  config.tied_embeddings = draw(random, 0, 1) != 0;
  config.rope.size = config.head_size;
  model.traits = {.post_norms = draw(random, 0, 1) != 0, .float_products = draw(random, 0, 3) == 0};
  const auto table = static_cast<uint64_t>(config.vocabulary_size * config.hidden_size);
  model.embedding = {table, static_cast<double>(table)};
  model.output_norm = {static_cast<uint64_t>(config.hidden_size) * 4, 0};
  model.head = model.embedding;
  const int64_t usual = draw(random, 1000, 100 * kMiB);
  const bool is_even = draw(random, 0, 2) != 0;
  for (int64_t i = 0; i < config.layers; ++i) {
    const auto bytes = static_cast<uint64_t>(is_even ? usual : draw(random, 1000, 2 * usual));
    model.layers.push_back({bytes, static_cast<double>(bytes) * 2});
  }
  return model;
}

PlanRates random_rates(Random& random, double scale) {
  const double unit = scale * static_cast<double>(draw(random, 1, 10));
  return {.read = unit * 1e9, .int8 = unit * 1e11, .floats = unit * 2e10, .upload = unit * 1e9};
}

struct Case {
  PlanModel model;
  std::vector<PlanDevice> devices;
  PlanHost host;
  PlanRequest request;
  Plan plan() const { return make_plan(model, devices, host, request); }
};

Case random_case(Random& random) {
  Case c{.model = random_model(random)};
  const int64_t count = draw(random, 0, 3);
  const uint64_t all = c.model.weight_bytes();
  for (int64_t i = 0; i < count; ++i) {
    const auto budget =
        static_cast<uint64_t>(draw(random, 0, static_cast<int64_t>(2 * all + 500 * kMiB)));
    c.devices.push_back({.name = "gpu:" + std::to_string(i),
                         .budget_bytes = draw(random, 0, 1) ? budget : budget / 8,
                         .rates = random_rates(random, 20),
                         .workspace = workspace_of});
  }
  c.host = {.rates = random_rates(random, 2), .workspace = workspace_of};
  if (draw(random, 0, 1))
    c.host.budget_bytes =
        static_cast<uint64_t>(draw(random, 0, static_cast<int64_t>(3 * all + 900 * kMiB)));
  PlanRequest& request = c.request;
  if (draw(random, 0, 3) == 0)
    request.gpu_memory = static_cast<uint64_t>(draw(random, 1, 900 * kMiB));
  if (draw(random, 0, 3) == 0)
    request.gpu_layers = count == 0 ? 0 : draw(random, 0, c.model.config.layers);
  request.needs_device = count > 0 && request.gpu_layers != 0 && draw(random, 0, 3) == 0;
  if (draw(random, 0, 2) == 0) request.context = draw(random, 1, c.model.config.context_length);
  request.may_shorten = draw(random, 0, 1) != 0;
  if (draw(random, 0, 1)) request.kv = {KvType::kF16, KvType::kInt8};
  if (draw(random, 0, 3) == 0) request.chunk = draw(random, 1, 1024);
  request.copies_weights = draw(random, 0, 4) == 0;
  return c;
}

int64_t device_layers(const Placement& placement) {
  int64_t layers = 0;
  for (const PlacedPart& part : placement.parts)
    layers += part.device == kHostDevice ? 0 : part.layers;
  return layers;
}

void check_parts(const Case& c, const Plan& plan) {
  int64_t next = 0;
  int before = -2;
  for (const PlacedPart& part : plan.placement.parts) {
    REQUIRE(part.first_layer == next);
    REQUIRE(part.layers >= 0);
    REQUIRE(part.device > before);  // the host first, then devices in their order
    before = part.device;
    next += part.layers;
  }
  REQUIRE(next == c.model.config.layers);
  REQUIRE(before < std::ssize(c.devices));
  if (plan.placement.streaming.possible()) {
    REQUIRE(plan.placement.parts.size() >= 2);
    REQUIRE(plan.placement.parts[0].device == kHostDevice);
    REQUIRE(plan.placement.parts[0].layers > 0);
  }
}

void check_pins(const Case& c, const Plan& plan) {
  const PlanRequest& request = c.request;
  if (request.gpu_layers >= 0)
    REQUIRE(device_layers(plan.placement) == std::min(request.gpu_layers, c.model.config.layers));
  if (request.needs_device) REQUIRE(device_layers(plan.placement) > 0);
  if (request.context > 0 && !request.may_shorten)
    REQUIRE(plan.placement.context == request.context);
  if (request.chunk > 0)
    REQUIRE(plan.placement.chunk == std::min(request.chunk, plan.placement.context));
  REQUIRE(std::find(request.kv.begin(), request.kv.end(), plan.placement.kv) != request.kv.end());
}

// What is used, added up anew from the parts.
void check_bytes(const Case& c, const Plan& plan) {
  uint64_t deficit = 0;
  for (const PlanPlace& place : plan.places) {
    const uint64_t used = place.bytes.total();
    if (plan.fits) REQUIRE(used <= place.budget_bytes);
    if (place.device != kHostDevice && c.request.gpu_memory > 0)
      REQUIRE(place.budget_bytes <= c.request.gpu_memory);
    REQUIRE(place.deficit_bytes == (used > place.budget_bytes ? used - place.budget_bytes : 0));
    deficit += place.deficit_bytes;
  }
  REQUIRE(plan.deficit_bytes == deficit);
  REQUIRE(plan.fits == (deficit == 0));
}

bool fits_with(const Case& c, const Plan& plan, size_t place, uint64_t less) {
  Case more = c;
  more.request.gpu_memory = 0;
  for (size_t i = 0; i < plan.places.size(); ++i) {
    const uint64_t budget =
        plan.places[i].budget_bytes + plan.places[i].deficit_bytes - (i == place ? less : 0);
    (i == 0 ? more.host.budget_bytes : more.devices[i - 1].budget_bytes) = budget;
  }
  return more.plan().fits;
}

void check_deficit(const Case& c, const Plan& plan) {
  REQUIRE(fits_with(c, plan, 0, 0));
  for (size_t i = 0; i < plan.places.size(); ++i) {
    CAPTURE(i);
    CAPTURE(deficit_sentence(plan));
    CAPTURE(c.request.gpu_layers);
    CAPTURE(c.request.needs_device);
    CAPTURE(c.model.config.layers);
    CAPTURE(device_layers(plan.placement));
    if (plan.places[i].deficit_bytes > 0) REQUIRE_FALSE(fits_with(c, plan, i, 1));
  }
}

bool same(const Plan& a, const Plan& b) {
  for (size_t i = 0; i < a.places.size(); ++i) {
    if (!(a.places[i].bytes == b.places[i].bytes)) return false;
  }
  return a.fits == b.fits && a.placement == b.placement && a.concessions == b.concessions &&
         a.decode_tokens_per_second == b.decode_tokens_per_second;
}

TEST_CASE("100,000 random plans keep to budgets and pins, and their deficits are exact") {
  Random random(7);
  int fitting = 0, streaming = 0, split = 0;
  for (int i = 0; i < 100000; ++i) {
    CAPTURE(i);
    const Case c = random_case(random);
    const Plan plan = c.plan();
    check_parts(c, plan);
    check_pins(c, plan);
    check_bytes(c, plan);
    if (!plan.fits) check_deficit(c, plan);
    if (i % 16 == 0) REQUIRE(same(plan, c.plan()));
    fitting += plan.fits;
    streaming += plan.placement.streaming.possible();
    split += plan.placement.parts.size() > 1;
  }
  CHECK(fitting > 30000);
  CHECK(fitting < 95000);
  CHECK(streaming > 1000);
  CHECK(split > 10000);
}

TEST_CASE("more memory of devices never gives fewer layers to them, nor makes a plan fail") {
  Random random(8);
  for (int i = 0; i < 20000; ++i) {
    CAPTURE(i);
    Case c = random_case(random);
    if (c.devices.empty()) continue;
    c.request.gpu_memory = 0;
    Plan before = c.plan();
    for (int step = 0; step < 6; ++step) {
      CAPTURE(step);
      const auto device = static_cast<size_t>(draw(random, 0, std::ssize(c.devices) - 1));
      c.devices[device].budget_bytes += static_cast<uint64_t>(draw(random, 0, 200 * kMiB));
      const Plan after = c.plan();
      REQUIRE(device_layers(after.placement) >= device_layers(before.placement));
      if (before.fits) REQUIRE(after.fits);
      before = after;
    }
  }
}

TEST_CASE("more memory of the host never makes a plan fail") {
  Random random(9);
  for (int i = 0; i < 10000; ++i) {
    CAPTURE(i);
    Case c = random_case(random);
    c.request.host_memory = 0;
    c.host.budget_bytes = static_cast<uint64_t>(draw(random, 0, 500 * kMiB));
    const bool fitted = c.plan().fits;
    c.host.budget_bytes += static_cast<uint64_t>(draw(random, 0, 900 * kMiB));
    if (fitted) REQUIRE(c.plan().fits);
  }
}

// ---- sentences ------------------------------------------------------------------------------

Case one_device(uint64_t budget) {
  Random random(3);
  Case c{.model = random_model(random)};
  c.model.config.layers = 8;
  c.model.config.context_length = 4096;
  c.model.layers.assign(8, {10 * kMiB, 2e7});
  c.devices = {{.name = "gpu:0",
                .budget_bytes = budget,
                .rates = {.read = 1e12, .int8 = 1e14, .floats = 1e13, .upload = 1e10},
                .workspace = workspace_of}};
  c.host = {.rates = {.read = 1e10, .int8 = 1e11, .floats = 1e10}, .workspace = workspace_of};
  return c;
}

TEST_CASE("a device too small for the head leaves all on the host, and the plan says why") {
  const Plan plan = one_device(kMiB).plan();
  CHECK(plan.fits);
  CHECK(plan.placement.parts == std::vector<PlacedPart>{{kHostDevice, 0, 8}});
  REQUIRE(plan.concessions.size() == 1);
  CHECK(plan.concessions[0].find("one layer and the head need") != std::string::npos);
  CHECK(plan.concessions[0].find("1.0 MiB on gpu:0") != std::string::npos);
}

TEST_CASE("a device that is asked for and too small is a deficit with what would fit") {
  Case c = one_device(kMiB);
  c.request.gpu_layers = 4;
  const Plan plan = c.plan();
  CHECK_FALSE(plan.fits);
  CHECK(plan.places[1].deficit_bytes == plan.deficit_bytes);
  CHECK(plan.would_fit == std::vector<std::string>{"--gpu-layers 0"});
  CHECK(deficit_sentence(plan).find("gpu:0: expected ") == 0);
  CHECK(deficit_sentence(plan).find("it fits with --gpu-layers 0") != std::string::npos);
}

TEST_CASE("pins that contradict are refused with the numbers") {
  Case c = one_device(kMiB);
  c.request.context = 4097;
  CHECK(error_of([&] { c.plan(); }).message() ==
        "context: expected 1 .. 4096 tokens, as the model has them, found 4097");
  c.request.context = 0;
  c.request.gpu_layers = 0;
  c.request.needs_device = true;
  CHECK(error_of([&] { c.plan(); }).message() ==
        "gpu layers: expected 1 or more on the device asked for, found 0");
  c.devices.clear();
  c.request = {.gpu_layers = 3};
  CHECK(error_of([&] { c.plan(); }).message() ==
        "gpu layers: expected 0 without a device, found 3");
}

TEST_CASE("mapped weights that exceed the host's memory are no deficit, but said") {
  Case c = one_device(0);
  c.devices.clear();
  c.host.budget_bytes = c.plan().places[0].bytes.total() + kMiB;
  const Plan plan = c.plan();
  CHECK(plan.fits);
  REQUIRE_FALSE(plan.concessions.empty());
  CHECK(plan.concessions.back().find("read from disk with every token") != std::string::npos);
}

// ---- real memory ------------------------------------------------------------------------------

TEST_CASE("what is foretold is what a tiny model's memory takes, whole and in parts") {
  const TempFolder folder;
  for (const std::string architecture : {"llama", "gemma2", "gpt_neox"}) {
    for (const bool tied : {false, true}) {
      CAPTURE(architecture);
      CAPTURE(tied);
      const auto model = load_tiny(
          folder, {.architecture = architecture, .layers = 5, .tied = tied, .biases = true});
      const PlanModel sizes = plan_model_of(model->config(), model->weights());
      Placement placement{
          .parts = {{kHostDevice, 0, 2}, {0, 2, 2}, {1, 4, 1}}, .context = 700, .chunk = 100};
      for (const bool streams : {false, true}) {
        if (streams) placement.streaming = {.from_tokens = 200, .tokens = 500};
        for (size_t i = 0; i < placement.parts.size(); ++i) {
          const auto devices = make_test_devices(1);
          Backend& backend = *devices[0].backend;
          const auto workspace = [&](const StepLimits& limits) { return backend.measure(limits); };
          const PlanBytes bytes = part_bytes(sizes, placement, i, workspace);
          CHECK(bytes.weights == PlacedWeights::part_bytes(model->weights(), placement, i));
          const DecoderLimits limits = Pipeline::decoder_limits(pipeline_limits(placement), i, 3);
          const Decoder decoder(backend, model->config(), model->weights(), limits);
          CHECK(bytes.activations + bytes.logits + bytes.workspace == decoder.reserved_bytes());
          CHECK(bytes.kv == KvPool::bytes_of(placement.parts[i].layers,
                                             kv_layout(model->config(), placement.kv), 44));
        }
      }
    }
  }
}

TEST_CASE("sizes from a file's tensors are those of its weights") {
  const TempFolder folder;
  for (const std::string architecture : {"llama", "gemma2", "gpt_neox", "phi3", "starcoder2"}) {
    CAPTURE(architecture);
    const auto model = load_tiny(folder, {.architecture = architecture, .biases = true});
    std::vector<TensorSpec> specs;
    for (const TensorRecord& tensor : model->file().tensors()) {
      specs.push_back({.role = tensor.role,
                       .layer = tensor.layer,
                       .dtype = tensor.dtype,
                       .rows = tensor.rows,
                       .cols = tensor.cols});
    }
    const PlanModel a = plan_model_of(model->config(), model->weights());
    const PlanModel b = plan_model_of(model->config(), specs);
    CHECK(a.embedding.bytes == b.embedding.bytes);
    CHECK(a.output_norm.bytes == b.output_norm.bytes);
    CHECK(a.head.bytes == b.head.bytes);
    CHECK(a.parameters == b.parameters);
    CHECK(a.weight_type == b.weight_type);
    CHECK(a.traits.post_norms == b.traits.post_norms);
    CHECK(a.traits.float_products == b.traits.float_products);
    REQUIRE(a.layers.size() == b.layers.size());
    for (size_t i = 0; i < a.layers.size(); ++i) {
      CHECK(a.layers[i].bytes == b.layers[i].bytes);
      CHECK(a.layers[i].weights == b.layers[i].weights);
    }
  }
}

}  // namespace
}  // namespace mica::testing

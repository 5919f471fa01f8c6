#include "lib/runtime/plan.h"

#include <algorithm>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/runtime/default_context.h"
#include "lib/runtime/plan_search.h"
#include "lib/runtime/plan_words.h"

namespace mica {
namespace {

[[noreturn]] void fail_pin(std::string_view what, const std::string& expected,
                           const std::string& found) {
  throw Error(ErrorCode::kUsage, fmt::format("{}: expected {}, found {}", what, expected, found));
}

void check_request(const PlanModel& model, bool has_devices, const PlanRequest& request) {
  const int64_t most = model.config.context_length;
  if (request.context < 0 || request.context > most) {
    fail_pin("context", fmt::format("1 .. {} tokens, as the model has them", most),
             fmt::format("{}", request.context));
  }
  if (request.chunk < 0 || request.chunk > (1 << 16))
    fail_pin("prefill chunk", fmt::format("1 .. {} tokens", 1 << 16),
             fmt::format("{}", request.chunk));
  if (request.gpu_layers < -1)
    fail_pin("gpu layers", "0 or more", fmt::format("{}", request.gpu_layers));
  if (request.gpu_layers > 0 && !has_devices)
    fail_pin("gpu layers", "0 without a device", fmt::format("{}", request.gpu_layers));
  if (request.needs_device && request.gpu_layers == 0)
    fail_pin("gpu layers", "1 or more on the device asked for", "0");
}

// Kinds of keys and values that are allowed and possible.
std::vector<KvType> possible_kv(const PlanModel& model, const PlanRequest& request) {
  std::vector<KvType> possible;
  for (const KvType type : request.kv) {
    if (kv_layout(model.config, type).possible()) possible.push_back(type);
  }
  if (!possible.empty()) return possible;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("KV cache of int8: expected a head size that is a multiple of 16 up to "
                          "{}, found {}",
                          KvLayout::kMostInt8Channels, model.config.head_size));
}

std::vector<PlanDevice> capped(std::vector<PlanDevice> devices, uint64_t cap) {
  for (PlanDevice& device : devices) {
    if (cap > 0) device.budget_bytes = std::min(device.budget_bytes, cap);
  }
  return devices;
}

PlanHost capped(PlanHost host, uint64_t cap) {
  if (cap > 0) host.budget_bytes = std::min(host.budget_bytes, cap);
  return host;
}

class Planner {
 public:
  Planner(const PlanModel& model, const std::vector<PlanDevice>& devices, const PlanHost& host,
          const PlanRequest& request)
      : model_(model),
        devices_(capped(devices, request.gpu_memory)),
        host_(capped(host, request.host_memory)),
        request_(request),
        search_(model_, devices_, host_, request.copies_weights),
        rates_{.host = host.rates} {
    check_request(model, !devices.empty(), request);
    for (const PlanDevice& device : devices_) rates_.devices.push_back(device.rates);
    list_wishes();
  }

  Plan run();

 private:
  void list_wishes();
  Placement smallest() const;
  Placement largest() const;
  bool streaming_pays(Placement& shape);
  int64_t most_layers_for_streaming(const Placement& plain, const Placement& streaming);
  void choose_layers();
  void choose_streaming(int64_t wanted);
  template <class Change>
  bool enlarge(const Change& change);
  void enlarge_all();
  double decode_rate(const Placement& placement) const {
    return 1 / decode_seconds(model_, placement, rates_);
  }
  Plan describe();
  void fill_place(PlanPlace& place, const Plan& plan) const;
  void predict(Plan& plan) const;
  void say_concessions(Plan& plan);

  const PlanModel& model_;
  const std::vector<PlanDevice> devices_;
  const PlanHost host_;
  const PlanRequest& request_;
  PlanSearch search_;
  PlaceRates rates_;
  // From what is wished for most to what takes least.
  std::vector<int64_t> contexts_, chunks_, streams_;
  std::vector<KvType> kv_;

  Placement shape_;           // chosen so far
  int64_t layers_ = 0;        // on devices
  int64_t plain_layers_ = 0;  // without streaming
  bool fits_ = true;
};

void Planner::list_wishes() {
  contexts_.push_back(request_.context > 0 ? request_.context : default_context(model_.config));
  if (request_.may_shorten) {
    for (int64_t tokens = int64_t{1} << 20; tokens >= kLeastContext; tokens /= 2) {
      if (tokens < contexts_.front()) contexts_.push_back(tokens);
    }
  }
  kv_ = possible_kv(model_, request_);
  if (request_.chunk > 0) {
    chunks_.push_back(request_.chunk);
  } else {
    for (int64_t chunk = kMostChunk; chunk >= kLeastChunk; chunk /= 2) chunks_.push_back(chunk);
  }
  for (int64_t tokens = kMostStreamed; tokens >= kLeastStreamed; tokens /= 2)
    streams_.push_back(tokens);
}

Placement Planner::smallest() const {
  const KvType kv = *std::min_element(kv_.begin(), kv_.end(), [&](KvType a, KvType b) {
    return kv_layout(model_.config, a).block_bytes() < kv_layout(model_.config, b).block_bytes();
  });
  const int64_t context = contexts_.back();
  return {.context = context, .kv = kv, .chunk = std::min(chunks_.back(), context)};
}

Placement Planner::largest() const {
  const int64_t context = contexts_.front();
  return {.context = context, .kv = kv_.front(), .chunk = std::min(chunks_.front(), context)};
}

// Makes `shape` one with the shortest steps, if these gain and the host can hold all of its layers
// where a device reaches them.
bool Planner::streaming_pays(Placement& shape) {
  if (devices_.empty() || search_.layers() < 2) return false;
  const auto slowest = std::min_element(
      devices_.begin(), devices_.end(),
      [](const auto& a, const auto& b) { return a.rates.upload < b.rates.upload; });
  shape.streaming = {.from_tokens = streaming_break_even(model_, host_.rates, slowest->rates),
                     .tokens = std::min(streams_.back(), shape.context)};
  return shape.streaming.from_tokens <= shape.streaming.tokens &&
         search_.host_bytes(shape, 1) <= host_.budget_bytes;
}

// With more than these the layers that the slots take the room of are missed in decode.
int64_t Planner::most_layers_for_streaming(const Placement& plain, const Placement& streaming) {
  const int64_t all = search_.layers();
  uint64_t least = UINT64_MAX;
  for (const PlanPiece& layer : model_.layers) least = std::min(least, aligned_run(layer.bytes));
  const uint64_t slots = search_.streaming_bytes(streaming, all);
  const auto lost = static_cast<int64_t>(slots / (least + kv_bytes(model_, plain, 1)) + 1);
  const auto seconds = [&](int64_t on_device) {
    Placement placement{
        .parts = {{kHostDevice, 0, all - on_device},
                  {static_cast<int>(devices_.size()) - 1, all - on_device, on_device}}};
    return decode_seconds(model_, placement, rates_);
  };
  int64_t most = 0;
  while (most + 1 < all &&
         seconds(most + 1) <= (1 + kStreamingLoss) * seconds(std::min(all, most + 1 + lost)))
    ++most;
  return most;
}

// `wanted`: layers that have room without it.
void Planner::choose_streaming(int64_t wanted) {
  Placement streaming = shape_;
  if (wanted == 0 || wanted == search_.layers() || !streaming_pays(streaming)) return;
  if (request_.gpu_layers >= 0) {
    if (search_.fits(streaming, wanted)) shape_ = streaming;
    return;
  }
  const int64_t most = most_layers_for_streaming(shape_, streaming);
  const int64_t beside = search_.cut(streaming, search_.layers() - 1).layers;
  if (most == 0 || beside > most) return;
  layers_ = std::max<int64_t>(1, beside);
  if (beside > 0) shape_ = streaming;
}

void Planner::choose_layers() {
  shape_ = smallest();
  const bool is_pinned = request_.gpu_layers >= 0;
  const int64_t most =
      is_pinned ? std::min(request_.gpu_layers, search_.layers()) : search_.layers();
  layers_ = plain_layers_ = search_.cut(shape_, most).layers;
  if (is_pinned || (request_.needs_device && layers_ == 0)) {
    const int64_t wanted = is_pinned ? most : 1;
    fits_ = layers_ == wanted && search_.fits(shape_, wanted);
    layers_ = wanted;
  } else if (!search_.fits(shape_, layers_)) {
    // Memory on the way to devices may be what is too much.
    const bool fits_on_host = !request_.needs_device && search_.fits(shape_, 0);
    const bool host_is_nearer = !request_.needs_device &&
                                search_.host_bytes(shape_, 0) < search_.host_bytes(shape_, layers_);
    fits_ = fits_on_host;
    if (fits_on_host || host_is_nearer) layers_ = 0;
  }
  if (fits_) choose_streaming(layers_);
}

// Takes the change if it fits.
template <class Change>
bool Planner::enlarge(const Change& change) {
  Placement larger = shape_;
  change(larger);
  if (!search_.fits(larger, layers_)) return false;
  shape_ = larger;
  return true;
}

void Planner::enlarge_all() {
  for (const int64_t context : contexts_) {
    if (enlarge([&](Placement& shape) { shape.context = context; })) break;
  }
  for (const KvType type : kv_) {
    if (enlarge([&](Placement& shape) { shape.kv = type; })) break;
  }
  for (const int64_t chunk : chunks_) {
    if (enlarge([&](Placement& shape) { shape.chunk = std::min(chunk, shape.context); })) break;
  }
  if (!shape_.streaming.possible()) return;
  for (const int64_t tokens : streams_) {
    const auto change = [&](Placement& shape) {
      shape.streaming.tokens = std::min(tokens, shape.context);
    };
    if (enlarge(change)) break;
  }
}

Plan Planner::run() {
  choose_layers();
  if (fits_) enlarge_all();
  return describe();
}

void Planner::fill_place(PlanPlace& place, const Plan& plan) const {
  const WorkspaceBytes& workspace =
      place.device == kHostDevice ? host_.workspace : devices_[place.device].workspace;
  for (size_t i = 0; i < plan.placement.parts.size(); ++i) {
    if (plan.placement.parts[i].device != place.device) continue;
    const PlanBytes bytes = part_bytes(model_, plan.placement, i, workspace);
    place.bytes += bytes;
    if (place.device == kHostDevice && bytes.weights == 0)
      place.mapped_bytes = part_weight_bytes(model_, plan.placement, i);
  }
  if (place.device == kHostDevice) {
    if (layers_ > 0) {
      place.bytes.staging = staging_bytes(model_, pipeline_limits(plan.placement), devices_.size());
    }
    if (request_.copies_weights) {
      place.bytes.weights += model_.weight_bytes();
      place.mapped_bytes = 0;
    }
  }
  const uint64_t used = place.bytes.total();
  place.deficit_bytes = used > place.budget_bytes ? used - place.budget_bytes : 0;
}

void Planner::predict(Plan& plan) const {
  plan.prompt_tokens = std::min<int64_t>(4096, plan.placement.context);
  plan.decode_tokens_per_second = decode_rate(plan.placement);
  plan.prefill_tokens_per_second =
      static_cast<double>(plan.prompt_tokens) /
      prefill_seconds(model_, plan.placement, rates_, plan.prompt_tokens);
}

Plan Planner::describe() {
  Plan plan{.fits = fits_, .placement = search_.place(shape_, layers_)};
  plan.places.push_back({.name = "host", .budget_bytes = host_.budget_bytes});
  for (size_t i = 0; i < devices_.size(); ++i) {
    plan.places.push_back({.name = devices_[i].name,
                           .device = static_cast<int>(i),
                           .budget_bytes = devices_[i].budget_bytes});
  }
  for (PlanPlace& place : plan.places) {
    fill_place(place, plan);
    plan.deficit_bytes += place.deficit_bytes;
  }
  predict(plan);
  say_concessions(plan);
  return plan;
}

void Planner::say_concessions(Plan& plan) {
  const Placement wished = largest();
  const PlanWords words{model_, plan};
  if (layers_ < search_.layers() && !devices_.empty() && request_.gpu_layers < 0)
    plan.concessions.push_back(words.layers_on_host(devices_, search_.place(smallest(), 0)));
  if (fits_) {
    if (plan.placement.chunk < wished.chunk)
      plan.concessions.push_back(words.smaller_chunk(wished.chunk));
    if (plan.placement.kv != wished.kv) plan.concessions.push_back(words.other_kv(wished.kv));
    if (plan.placement.context < wished.context)
      plan.concessions.push_back(words.shorter_context(wished.context));
  }
  if (plan.placement.streaming.possible() && plain_layers_ > layers_) {
    Placement plain = search_.place(smallest(), plain_layers_);
    plan.concessions.push_back(words.layers_for_streaming(
        plain_layers_ - layers_, decode_rate(plain), plan.decode_tokens_per_second));
  } else if (plain_layers_ > layers_ && layers_ == 1 && request_.gpu_layers < 0) {
    plan.concessions.push_back(words.no_room_for_slots(plain_layers_));
  }
  if (layers_ == search_.layers() && plan.placement.parts.front().device == kHostDevice)
    plan.concessions.push_back(words.embedding_on_host());
  words.say_if_mapped_too_much(plan.concessions);
}

// What the request would have to be.
void suggest(const PlanModel& model, const std::vector<PlanDevice>& devices, const PlanHost& host,
             const PlanRequest& request, Plan& plan) {
  const auto fits = [&](const auto& change) {
    PlanRequest changed = request;
    change(changed);
    return Planner(model, devices, host, changed).run().fits;
  };
  const auto has_int8 = std::find(request.kv.begin(), request.kv.end(), KvType::kInt8);
  if (has_int8 == request.kv.end() && kv_layout(model.config, KvType::kInt8).possible() &&
      fits([](PlanRequest& changed) { changed.kv = {KvType::kInt8}; }))
    plan.would_fit.emplace_back("--kv int8");
  for (int64_t tokens = int64_t{1} << 20; tokens >= 256; tokens /= 2) {
    if (tokens >= plan.placement.context) continue;
    if (!fits([&](PlanRequest& changed) { changed.context = tokens; })) continue;
    plan.would_fit.push_back(fmt::format("--ctx {}", tokens));
    break;
  }
  if (request.chunk > kLeastChunk &&
      fits([](PlanRequest& changed) { changed.chunk = kLeastChunk; }))
    plan.would_fit.push_back(fmt::format("--prefill-chunk {}", kLeastChunk));
  if (request.gpu_layers <= 0) return;
  int64_t layers = std::min(request.gpu_layers, model.config.layers) - 1;
  while (layers >= 0 && !fits([&](PlanRequest& changed) {
           changed.gpu_layers = layers;
           changed.needs_device = changed.needs_device && layers > 0;
         }))
    --layers;
  if (layers >= 0) plan.would_fit.push_back(fmt::format("--gpu-layers {}", layers));
}

}  // namespace

Plan make_plan(const PlanModel& model, const std::vector<PlanDevice>& devices, const PlanHost& host,
               const PlanRequest& request) {
  Plan plan = Planner(model, devices, host, request).run();
  if (!plan.fits) suggest(model, devices, host, request, plan);
  return plan;
}

}  // namespace mica

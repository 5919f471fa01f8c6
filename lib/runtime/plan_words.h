// What a plan concedes, and what it lacks, in sentences.
#pragma once

#include <string>
#include <vector>

#include "lib/runtime/plan.h"

namespace mica {

std::string plan_size(uint64_t bytes);  // "3.2 GiB"

class PlanWords {
 public:
  PlanWords(const PlanModel& model, const Plan& plan) : model_(model), plan_(plan) {}

  // `alone`: all on the host, in the smallest shape.
  std::string layers_on_host(const std::vector<PlanDevice>& devices, const Placement& alone) const;
  std::string smaller_chunk(int64_t wished) const;
  std::string other_kv(KvType wished) const;
  std::string shorter_context(int64_t wished) const;
  std::string layers_for_streaming(int64_t layers, double plain_rate, double rate) const;
  std::string no_room_for_slots(int64_t layers) const;
  std::string embedding_on_host() const;
  void say_if_mapped_too_much(std::vector<std::string>& sentences) const;

 private:
  std::string purpose() const;

  const PlanModel& model_;
  const Plan& plan_;
};

}  // namespace mica

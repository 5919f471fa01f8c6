// Which weight type each part of a model gets when the bits a weight are given.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/tensor/dtype.h"

namespace mica {

// What one choice would cost: matrices with the same input, which share a type.
struct TypeOption {
  DType dtype;
  double bits = 0;    // of all the unit's weights
  double damage = 0;  // to the model, in any unit that adds up
};

struct ChoiceUnit {
  double weights = 0;
  std::vector<TypeOption> options;  // at least one
};

// The option of each unit, by index, such that the bits of all are at most `bits_per_weight` of all
// weights and no exchange of the steepest steps lowers the damage: from the fewest bits on, the
// step that lowers the damage most for its bits comes first. Where even the fewest bits are too
// many, those.
std::vector<size_t> choose_types(const std::vector<ChoiceUnit>& units, double bits_per_weight);

}  // namespace mica

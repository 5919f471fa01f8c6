// The four inputs of a layer's matrices: those with the same one share its statistics, its scaling
// and its group.
#pragma once

#include <array>
#include <span>

#include "formats/roles.h"

namespace mica {

constexpr std::array kAttnMatrices = {Role::kAttnQ, Role::kAttnK, Role::kAttnV};
constexpr std::array kOutMatrices = {Role::kAttnOut};
constexpr std::array kFfnMatrices = {Role::kFfnUp, Role::kFfnGate};
constexpr std::array kDownMatrices = {Role::kFfnDown};
constexpr std::array<std::span<const Role>, 4> kLayerInputs = {kAttnMatrices, kOutMatrices,
                                                               kFfnMatrices, kDownMatrices};

}  // namespace mica

// GPTQ with static groups (arXiv:2210.17323): columns are rounded in the order of their Hessian's
// diagonal, and each one's error is made good by those that follow. The groups' constants are fixed
// before, so that a file needs no permutation.
//
// A function of its arguments alone; rows do not depend on each other, so that they may be shared
// out as long as the pieces are always the same ones.
#pragma once

#include "quant/coded_rows.h"
#include "quant/hessian.h"

namespace mica {

// Rows that are worked on at a time: results depend on it through the order of float sums.
constexpr int64_t kGptqRows = 64;

// Chooses the codes of at most kGptqRows rows for the constants that they have.
void gptq(const RowsInWork& work, const Feedback& feedback, const MatrixMath& math);

}  // namespace mica

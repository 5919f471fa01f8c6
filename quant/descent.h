// Coordinate descent on the whole error tr(E H E^T): group by group the constants are solved anew
// for the codes they have, then each code takes the value that is best with all others as they are.
// Only what lowers the error is kept.
//
// A function of its arguments alone; rows do not depend on each other (see gptq.h).
#pragma once

#include "quant/coded_rows.h"
#include "quant/matrix_math.h"

namespace mica {

struct DescentErrors {
  double before = 0;  // sums over the rows of e H e^T
  double after = 0;
};

// At most kGptqRows rows; hessian: [K, K], symmetric with a positive diagonal.
DescentErrors descend(const RowsInWork& work, View<const float> hessian, int sweeps,
                      const MatrixMath& math);

// Sum over the rows of e H e^T.
double hessian_error(const RowsInWork& work, View<const float> hessian, const MatrixMath& math);

}  // namespace mica

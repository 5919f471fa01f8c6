// The mica::Error that a call throws; the test fails when it throws none.
#pragma once

#include <doctest/doctest.h>

#include "lib/base/error.h"

namespace mica::testing {

template <class Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  FAIL("expected an Error, found none");
  return Error(ErrorCode::kRuntime, "");
}

}  // namespace mica::testing

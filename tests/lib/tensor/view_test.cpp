#include "lib/tensor/view.h"

#include <doctest/doctest.h>
#include <numeric>
#include <vector>

using mica::View;

TEST_CASE("a view walks its rows in row-major order") {
  std::vector<int> numbers(2 * 3 * 4 * 5);
  std::iota(numbers.begin(), numbers.end(), 0);
  const View<int> view(numbers.data(), 2, 3, 4, 5);
  CHECK(view.rows() == 2);
  CHECK(view.row_size() == 60);
  CHECK(view.size() == 120);
  CHECK(view.dim(0) == 2);
  CHECK(view.dim(3) == 5);
  CHECK(view.row(0) == numbers.data());
  CHECK(*view.row(1) == 60);
}

TEST_CASE("dimensions left out are one") {
  float number = 0;
  const View<float> view(&number, 1);
  CHECK(view.row_size() == 1);
  CHECK(view.size() == 1);
  CHECK(!view.empty());
}

TEST_CASE("a default view is empty and has no rows") {
  const View<float> view;
  CHECK(view.empty());
  CHECK(view.rows() == 0);
  CHECK(view.size() == 0);
}

TEST_CASE("a slice of rows keeps the row shape") {
  std::vector<int> numbers(24);
  const View<int> slice = View<int>(numbers.data(), 4, 2, 3).slice(1, 2);
  CHECK(slice.data() == numbers.data() + 6);
  CHECK(slice.rows() == 2);
  CHECK(slice.row_size() == 6);
}

TEST_CASE("a view of const elements is made from one of mutable elements") {
  int numbers[6] = {};
  const View<int> view(numbers, 2, 3);
  const View<const int> constant = view;
  CHECK(constant.data() == numbers);
  CHECK(constant.rows() == 2);
  CHECK(constant.row_size() == 3);
}

TEST_CASE("sizes beyond 2^31 are exact") {
  char byte = 0;
  const View<char> view(&byte, 1 << 20, 1 << 20);
  CHECK(view.size() == int64_t{1} << 40);
}

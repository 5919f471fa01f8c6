#include "lib/runtime/type_choice.h"

#include <doctest/doctest.h>
#include <random>

namespace mica::testing {
namespace {

ChoiceUnit unit(double weights, std::vector<TypeOption> options) {
  for (TypeOption& option : options) option.bits *= weights;
  return {.weights = weights, .options = std::move(options)};
}

double bits_of(const std::vector<ChoiceUnit>& units, const std::vector<size_t>& chosen) {
  double bits = 0;
  for (size_t i = 0; i < units.size(); ++i) bits += units[i].options[chosen[i]].bits;
  return bits;
}

TEST_CASE("the sensitive part gets the bits") {
  const std::vector<TypeOption> dull = {{.bits = 4, .damage = 0.1}, {.bits = 8, .damage = 0.01}};
  const std::vector<TypeOption> keen = {{.bits = 4, .damage = 9}, {.bits = 8, .damage = 1}};
  const std::vector<ChoiceUnit> units = {unit(100, dull), unit(100, keen), unit(100, dull)};
  CHECK(choose_types(units, 5.5) == std::vector<size_t>{0, 1, 0});
  CHECK(choose_types(units, 4) == std::vector<size_t>{0, 0, 0});
  CHECK(choose_types(units, 8) == std::vector<size_t>{1, 1, 1});
  CHECK(choose_types(units, 2) == std::vector<size_t>{0, 0, 0});
}

TEST_CASE("options that another beats in bits and damage are not taken") {
  const std::vector<ChoiceUnit> units = {unit(10, {{.bits = 6, .damage = 3},
                                                   {.bits = 5, .damage = 2},
                                                   {.bits = 4, .damage = 4},
                                                   {.bits = 8, .damage = 1.9}})};
  CHECK(choose_types(units, 6.5) == std::vector<size_t>{1});
  CHECK(choose_types(units, 8) == std::vector<size_t>{3});
  CHECK(choose_types(units, 4.5) == std::vector<size_t>{2});
}

TEST_CASE("choices stay within the bits and come close to the best of all") {
  // With up to 3^6 combinations the best is found by trying them.
  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform(0.1, 1);
  for (int round = 0; round < 50; ++round) {
    std::vector<ChoiceUnit> units;
    for (int i = 0; i < 6; ++i) {
      const double damage = uniform(random);
      units.push_back(unit(10 + 5 * i, {{.bits = 4.25, .damage = damage},
                                        {.bits = 4.75, .damage = damage * 0.6},
                                        {.bits = 8.5, .damage = damage * 0.01}}));
    }
    double weights = 0, best = 1e9, found = 0, fewest = 0;
    for (const ChoiceUnit& u : units) weights += u.weights;
    for (int code = 0; code < 729; ++code) {
      std::vector<size_t> chosen;
      double damage = 0;
      for (int i = 0, rest = code; i < 6; ++i, rest /= 3) {
        chosen.push_back(static_cast<size_t>(rest % 3));
        damage += units[i].options[chosen.back()].damage;
      }
      if (bits_of(units, chosen) <= 5.5 * weights) best = std::min(best, damage);
    }
    const std::vector<size_t> chosen = choose_types(units, 5.5);
    for (int i = 0; i < 6; ++i) {
      found += units[i].options[chosen[i]].damage;
      fewest += units[i].options[0].damage;
    }
    CHECK(bits_of(units, chosen) <= 5.5 * weights);
    // Steps are whole: at most the last one that did not fit is lost.
    CHECK(found - best <= 0.35 * (fewest - best));
  }
}

}  // namespace
}  // namespace mica::testing

#include "lib/runtime/type_choice.h"

#include <algorithm>

namespace mica {
namespace {

// Options on the lower hull of damage over bits, fewest bits first: others are never the best step.
std::vector<size_t> hull_of(const ChoiceUnit& unit) {
  std::vector<size_t> order(unit.options.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return unit.options[a].bits < unit.options[b].bits; });
  const auto slope = [&](size_t from, size_t to) {
    const TypeOption &a = unit.options[from], &b = unit.options[to];
    return (a.damage - b.damage) / (b.bits - a.bits);
  };
  std::vector<size_t> hull;
  for (const size_t next : order) {
    if (!hull.empty() && unit.options[next].damage >= unit.options[hull.back()].damage) continue;
    if (!hull.empty() && unit.options[next].bits <= unit.options[hull.back()].bits) hull.pop_back();
    while (hull.size() >= 2 &&
           slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), next)) {
      hull.pop_back();
    }
    hull.push_back(next);
  }
  return hull;
}

struct Step {
  double gain;  // damage a bit
  double bits;
  size_t unit;
  size_t place;  // on the unit's hull, that it leads to
};

}  // namespace

std::vector<size_t> choose_types(const std::vector<ChoiceUnit>& units, double bits_per_weight) {
  std::vector<size_t> chosen;
  std::vector<Step> steps;
  std::vector<std::vector<size_t>> hulls;
  double left = 0;
  for (size_t u = 0; u < units.size(); ++u) {
    const std::vector<TypeOption>& options = units[u].options;
    const std::vector<size_t>& hull = hulls.emplace_back(hull_of(units[u]));
    chosen.push_back(hull.front());
    left += bits_per_weight * units[u].weights - options[hull.front()].bits;
    for (size_t place = 1; place < hull.size(); ++place) {
      const TypeOption &before = options[hull[place - 1]], &after = options[hull[place]];
      const double bits = after.bits - before.bits;
      steps.push_back({(before.damage - after.damage) / bits, bits, u, place});
    }
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.gain > b.gain; });
  std::vector<size_t> places(units.size(), 0);
  for (const Step& step : steps) {
    // A unit whose step did not fit stays where it is.
    if (step.bits > left || places[step.unit] + 1 != step.place) continue;
    left -= step.bits;
    places[step.unit] = step.place;
    chosen[step.unit] = hulls[step.unit][step.place];
  }
  return chosen;
}

}  // namespace mica

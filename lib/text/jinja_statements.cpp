// How statements execute.
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"

namespace mica::jinja {

Flow Evaluator::execute(const Block& block, Scope& scope, TextBuilder& out) {
  const Budget::Level level(budget);
  for (const auto& statement : block.statements) {
    budget.charge(1);
    line = statement->line;
    const Flow flow = statement->execute(*this, scope, out);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Flow DataStatement::execute(Evaluator&, Scope&, TextBuilder& out) const {
  out.append(data);
  return Flow::kNext;
}

Flow PrintStatement::execute(Evaluator& evaluator, Scope& scope, TextBuilder& out) const {
  out.append(*evaluator.text_of(evaluator.evaluate(*value, scope)));
  return Flow::kNext;
}

Flow IfStatement::execute(Evaluator& evaluator, Scope& scope, TextBuilder& out) const {
  for (const auto& [condition, block] : branches) {
    if (truth(evaluator.evaluate(*condition, scope))) return evaluator.execute(block, scope, out);
  }
  return evaluator.execute(otherwise, scope, out);
}

Loop::Loop(const Value& over, std::shared_ptr<Iterator> from, int64_t known_length)
    : Object(Type::kLoop), iterator(std::move(from)), count(known_length) {
  nesting = nested(std::max(over.nesting(), iterator->nesting));
}

bool Loop::peek() {
  if (!has_after && iterator) has_after = iterator->next(after);
  return has_after;
}

bool Loop::advance() {
  if (!peek()) return false;
  has_after = false;
  ++index0;
  before = std::exchange(current, std::move(after));
  return true;
}

int64_t Loop::length(Budget& budget) {
  if (count >= 0) return count;
  // Nothing tells how many there are: read them all now and hand them out later.
  auto rest = std::make_shared<Values>();
  if (has_after) rest->push_back(after);
  for (Value value; iterator && iterator->next(value);) {
    budget.charge(1);
    rest->push_back(value);
  }
  has_after = false;
  count = index0 + 1 + static_cast<int64_t>(rest->size());
  const auto hand_out = [rest, next = size_t{0}](Value& value) mutable {
    if (next == rest->size()) return false;
    value = (*rest)[next++];
    return true;
  };
  if (iterator) iterator = std::make_shared<Iterator>(hand_out, iterator->nesting - 1);
  return count;
}

namespace {

// Lets go of what a loop holds, which may be the loop itself.
struct LoopEnd {
  Loop& loop;
  ~LoopEnd() {
    loop.iterator.reset();
    loop.before = loop.current = loop.after = Value();
    loop.has_after = false;
    loop.changed_key.clear();
  }
};

}  // namespace

Flow ForStatement::execute(Evaluator& evaluator, Scope& scope, TextBuilder& out) const {
  const Value over = evaluator.evaluate(*iterable, scope);
  std::shared_ptr<Iterator> iterator = iterate(evaluator.budget, over);
  if (condition) {
    // Lazily, as jinja2 has it: the condition sees what the body has changed so far.
    const auto filtered = [this, &evaluator, &scope, from = iterator](Value& value) {
      while (from->next(value)) {
        const auto inner = std::make_shared<Scope>(scope.shared_from_this());
        evaluator.assign(target, value, *inner);
        if (truth(evaluator.evaluate(*condition, *inner))) return true;
      }
      return false;
    };
    iterator = std::make_shared<Iterator>(filtered, iterator->nesting);
  }
  const bool has_length = !condition && !over.is(Type::kIterator);
  const auto loop =
      std::make_shared<Loop>(over, std::move(iterator), has_length ? length_of(over) : -1);
  const LoopEnd end{*loop};
  bool has_completed = false;  // as jinja2 has it: a body left by break or continue does not count
  while (loop->advance()) {
    evaluator.budget.charge(1);
    const std::shared_ptr<Scope> inner = evaluator.enter(body, scope);
    inner->set(loop_name, Value(loop));
    evaluator.assign(target, loop->current, *inner);
    const Flow flow = evaluator.execute(body, *inner, out);
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNext) has_completed = true;
  }
  if (has_completed) return Flow::kNext;
  return evaluator.execute(otherwise, *evaluator.enter(otherwise, scope), out);
}

Flow SetStatement::execute(Evaluator& evaluator, Scope& scope, TextBuilder&) const {
  evaluator.assign(target, evaluator.evaluate(*value, scope), scope);
  return Flow::kNext;
}

Flow SetBlockStatement::execute(Evaluator& evaluator, Scope& scope, TextBuilder&) const {
  TextBuilder inner_out(evaluator.budget);
  const std::shared_ptr<Scope> inner = evaluator.enter(body, scope);
  const Flow flow = evaluator.execute(body, *inner, inner_out);
  if (flow != Flow::kNext) return flow;
  evaluator.block_text = Value(inner_out.take());
  evaluator.assign(target, evaluator.evaluate(*filter, *inner), scope);
  return Flow::kNext;
}

Flow WithStatement::execute(Evaluator& evaluator, Scope& scope, TextBuilder& out) const {
  const std::shared_ptr<Scope> inner = evaluator.enter(body, scope);
  for (const auto& [target, value] : assignments) {
    evaluator.assign(target, evaluator.evaluate(*value, scope), *inner);
  }
  return evaluator.execute(body, *inner, out);
}

Flow FilterBlockStatement::execute(Evaluator& evaluator, Scope& scope, TextBuilder& out) const {
  TextBuilder inner_out(evaluator.budget);
  const std::shared_ptr<Scope> inner = evaluator.enter(body, scope);
  const Flow flow = evaluator.execute(body, *inner, inner_out);
  if (flow != Flow::kNext) return flow;
  evaluator.block_text = Value(inner_out.take());
  out.append(*evaluator.text_of(evaluator.evaluate(*filter, *inner)));
  return Flow::kNext;
}

Flow MacroStatement::execute(Evaluator& evaluator, Scope& scope, TextBuilder&) const {
  scope.set(name, evaluator.make_macro(macro, scope));
  return Flow::kNext;
}

Flow CallBlockStatement::execute(Evaluator& evaluator, Scope& scope, TextBuilder& out) const {
  const Value macro = evaluator.make_macro(caller, scope);
  if (!call) {
    out.append(*evaluator.text_of(evaluator.call(macro, {})));
    return Flow::kNext;
  }
  const Value callee = evaluator.evaluate(*call->callee, scope);
  Arguments arguments = evaluator.arguments(call->arguments, scope);
  arguments.named.emplace_back("caller", macro);
  out.append(*evaluator.text_of(evaluator.call(callee, std::move(arguments))));
  return Flow::kNext;
}

}  // namespace mica::jinja

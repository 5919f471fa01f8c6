// How expressions evaluate.
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_filters.h"

namespace mica::jinja {

Value NameExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  return evaluator.look_up(name, scope);
}

Value SequenceExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  Values values;
  for (const ExpressionPtr& item : items) values.push_back(evaluator.evaluate(*item, scope));
  return Value(std::make_shared<Sequence>(type, std::move(values)));
}

Value DictExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  Entries out;
  for (const auto& [key, value] : entries) {
    Value evaluated_key = evaluator.evaluate(*key, scope);
    set_entry(evaluator.budget, out, std::move(evaluated_key), evaluator.evaluate(*value, scope));
  }
  return Value(std::make_shared<Dict>(std::move(out)));
}

Value ConditionalExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  if (truth(evaluator.evaluate(*condition, scope))) return evaluator.evaluate(*then, scope);
  if (otherwise) return evaluator.evaluate(*otherwise, scope);
  return Value::undefined("the inline 'if' has no 'else' and its condition is false");
}

Value LogicalExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  Value value = evaluator.evaluate(*left, scope);
  return truth(value) == is_and ? evaluator.evaluate(*right, scope) : value;
}

Value UnaryExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  const Value value = evaluator.evaluate(*operand, scope);
  if (op == Operator::kNot) return Value(!truth(value));
  return negate(value, op == Operator::kMinus);
}

Value BinaryExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  const Value first = evaluator.evaluate(*left, scope);
  return binary(evaluator, op, first, evaluator.evaluate(*right, scope));
}

Value ConcatExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  Values values;
  for (const ExpressionPtr& part : parts) values.push_back(evaluator.evaluate(*part, scope));
  TextBuilder out(evaluator.budget);
  for (const Value& value : values) out.append(*evaluator.text_of(value));
  return Value(out.take());
}

Value CompareExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  Value left = evaluator.evaluate(*first, scope);
  for (const auto& [comparison, expression] : rest) {
    Value right = evaluator.evaluate(*expression, scope);
    if (!compare(evaluator.budget, comparison, left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value AttributeExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  return evaluator.attribute(evaluator.evaluate(*object, scope), name);
}

Value ItemExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  const Value owner = evaluator.evaluate(*object, scope);
  return evaluator.item(owner, evaluator.evaluate(*key, scope));
}

Value SliceExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  const auto part = [&](const ExpressionPtr& expression) {
    return expression ? evaluator.evaluate(*expression, scope) : Value();
  };
  const Value owner = evaluator.evaluate(*object, scope);
  const Value first = part(start);
  const Value last = part(stop);
  return evaluator.slice(owner, first, last, part(step));
}

Value CallExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  const Value function = evaluator.evaluate(*callee, scope);
  Arguments bound = evaluator.arguments(arguments, scope);
  evaluator.line = line;
  return evaluator.call(function, std::move(bound));
}

Value FilterExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  Value value = evaluator.evaluate(*input, scope);
  Arguments bound = evaluator.arguments(arguments, scope);
  evaluator.line = line;
  if (!filter) fail(fmt::format("there is no filter '{}'", name));
  return call_filter(evaluator, *filter, std::move(value), std::move(bound));
}

Value BlockTextExpression::evaluate(Evaluator& evaluator, Scope&) const {
  return std::exchange(evaluator.block_text, Value());
}

Value TestExpression::evaluate(Evaluator& evaluator, Scope& scope) const {
  Value value = evaluator.evaluate(*subject, scope);
  Arguments bound = evaluator.arguments(arguments, scope);
  evaluator.line = line;
  if (!test) fail(fmt::format("there is no test '{}'", name));
  return Value(call_test(evaluator, *test, std::move(value), std::move(bound)));
}

}  // namespace mica::jinja

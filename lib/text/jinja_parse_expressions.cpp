// The expressions of the grammar, from the loosest binding to the tightest.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_parser.h"

namespace mica::jinja {

// Keeps the height of the tree bounded also where it grows by repetition, as in a + b + c + ...
void Parser::adopt(Expression& parent, const ExpressionPtr& part) {
  if (!part) return;
  parent.height = std::max(parent.height, part->height + 1);
  if (parent.height > kMaxHeight) {
    fail(fmt::format("an expression is nested deeper than {} levels", kMaxHeight));
  }
}

ExpressionPtr Parser::parse_expression(bool with_conditional) {
  const Level level(*this);
  return with_conditional ? parse_conditional() : parse_logical(false);
}

ExpressionPtr Parser::parse_conditional() {
  const size_t unknown_before = unknown_.size();
  ExpressionPtr node = parse_logical(false);
  while (at_name("if")) {
    auto conditional = std::make_unique<ConditionalExpression>(take().line);
    conditional->then = std::move(node);
    conditional->condition = parse_logical(false);
    if (skip_name("else")) {
      const Level level(*this);
      conditional->otherwise = parse_conditional();
    }
    adopt(*conditional, conditional->then);
    adopt(*conditional, conditional->condition);
    adopt(*conditional, conditional->otherwise);
    node = std::move(conditional);
    unknown_.resize(unknown_before);
  }
  return node;
}

ExpressionPtr Parser::parse_logical(bool is_and) {
  ExpressionPtr left = is_and ? parse_not() : parse_logical(true);
  while (at_name(is_and ? "and" : "or")) {
    auto node = std::make_unique<LogicalExpression>(take().line);
    node->is_and = is_and;
    node->left = std::move(left);
    node->right = is_and ? parse_not() : parse_logical(true);
    adopt(*node, node->left);
    adopt(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExpressionPtr Parser::parse_not() {
  if (!at_name("not")) return parse_compare();
  const Level level(*this);
  auto node = std::make_unique<UnaryExpression>(take().line);
  node->operand = parse_not();
  adopt(*node, node->operand);
  return node;
}

ExpressionPtr Parser::parse_compare() {
  static constexpr std::pair<std::string_view, Comparison> kOperators[] = {
      {"==", Comparison::kEqual},  {"!=", Comparison::kNotEqual},
      {"<", Comparison::kLess},    {"<=", Comparison::kLessEqual},
      {">", Comparison::kGreater}, {">=", Comparison::kGreaterEqual}};
  const auto take_operator = [&](Comparison& found) {
    for (const auto& [spelling, comparison] : kOperators) {
      if (!skip_operator(spelling)) continue;
      found = comparison;
      return true;
    }
    const bool is_not_in =
        at_name("not") && ahead().kind == TokenKind::kName && ahead().text == "in";
    if (is_not_in) take();
    found = is_not_in ? Comparison::kNotIn : Comparison::kIn;
    return skip_name("in");
  };
  const int line = current().line;
  ExpressionPtr first = parse_sum();
  std::unique_ptr<CompareExpression> node;
  for (Comparison comparison; take_operator(comparison);) {
    if (!node) node = std::make_unique<CompareExpression>(line);
    node->rest.emplace_back(comparison, parse_sum());
    adopt(*node, node->rest.back().second);
  }
  if (!node) return first;
  node->first = std::move(first);
  adopt(*node, node->first);
  return node;
}

ExpressionPtr Parser::binary(BinaryOperator op, int line, ExpressionPtr left, ExpressionPtr right) {
  auto node = std::make_unique<BinaryExpression>(line);
  node->op = op;
  node->left = std::move(left);
  node->right = std::move(right);
  adopt(*node, node->left);
  adopt(*node, node->right);
  return node;
}

ExpressionPtr Parser::parse_sum() {
  ExpressionPtr left = parse_concat();
  while (at_operator("+") || at_operator("-")) {
    const Token op = take();
    left = binary(op.text == "+" ? BinaryOperator::kAdd : BinaryOperator::kSubtract, op.line,
                  std::move(left), parse_concat());
  }
  return left;
}

ExpressionPtr Parser::parse_concat() {
  ExpressionPtr first = parse_product();
  if (!at_operator("~")) return first;
  auto node = std::make_unique<ConcatExpression>(first->line);
  node->parts.push_back(std::move(first));
  while (skip_operator("~")) node->parts.push_back(parse_product());
  for (const ExpressionPtr& part : node->parts) adopt(*node, part);
  return node;
}

ExpressionPtr Parser::parse_product() {
  static constexpr std::pair<std::string_view, BinaryOperator> kOperators[] = {
      {"*", BinaryOperator::kMultiply},
      {"/", BinaryOperator::kDivide},
      {"//", BinaryOperator::kFloorDivide},
      {"%", BinaryOperator::kModulo}};
  ExpressionPtr left = parse_power();
  while (true) {
    const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                     [&](const auto& op) { return at_operator(op.first); });
    if (found == std::end(kOperators)) return left;
    const int line = take().line;
    left = binary(found->second, line, std::move(left), parse_power());
  }
}

ExpressionPtr Parser::parse_power() {
  ExpressionPtr left = parse_unary();
  while (at_operator("**")) {
    const int line = take().line;
    left = binary(BinaryOperator::kPower, line, std::move(left), parse_unary());
  }
  return left;
}

ExpressionPtr Parser::parse_unary(bool with_filter) {
  const Level level(*this);
  ExpressionPtr node;
  if (at_operator("-") || at_operator("+")) {
    const Token sign = take();
    auto unary = std::make_unique<UnaryExpression>(sign.line);
    unary->op =
        sign.text == "-" ? UnaryExpression::Operator::kMinus : UnaryExpression::Operator::kPlus;
    unary->operand = parse_unary(false);
    adopt(*unary, unary->operand);
    node = std::move(unary);
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filter ? parse_filters_and_tests(std::move(node)) : std::move(node);
}

ExpressionPtr Parser::parse_name() {
  const Token token = take();
  const std::string_view name = token.text;
  const bool is_true = name == "true" || name == "True";
  if (is_true || name == "false" || name == "False" || name == "none" || name == "None") {
    auto constant = std::make_unique<ConstantExpression>(token.line);
    if (is_true || name == "false" || name == "False") constant->value = Value(is_true);
    return constant;
  }
  auto node = std::make_unique<NameExpression>(token.line);
  node->name = symbol(token.text);
  note_read(node->name);
  return node;
}

ExpressionPtr Parser::parse_primary() {
  const Token& token = current();
  auto constant = std::make_unique<ConstantExpression>(token.line);
  switch (token.kind) {
    case TokenKind::kName:
      return parse_name();
    case TokenKind::kString: {
      std::string text;
      while (current().kind == TokenKind::kString) text += take().text;
      constant->value = Value(std::move(text));
      return constant;
    }
    case TokenKind::kInteger:
      constant->value = Value(take().integer);
      return constant;
    case TokenKind::kFloat:
      constant->value = Value(take().number);
      return constant;
    default:
      break;
  }
  if (skip_operator("(")) {
    ExpressionPtr node = parse_tuple(true, true);
    expect_operator(")");
    return node;
  }
  if (at_operator("[")) return parse_list();
  if (at_operator("{")) return parse_dict();
  fail_expected("an expression");
}

ExpressionPtr Parser::parse_tuple(bool with_conditional, bool in_parentheses) {
  const auto at_end = [&] {
    return current().kind == TokenKind::kPrintEnd || current().kind == TokenKind::kBlockEnd ||
           at_operator(")");
  };
  auto tuple = std::make_unique<SequenceExpression>(current().line);
  tuple->type = Type::kTuple;
  bool has_comma = false;
  while (!at_end()) {
    tuple->items.push_back(parse_expression(with_conditional));
    adopt(*tuple, tuple->items.back());
    if (!skip_operator(",")) break;
    has_comma = true;
  }
  if (has_comma) return tuple;
  if (!tuple->items.empty()) return std::move(tuple->items.front());
  if (!in_parentheses) fail_expected("an expression");
  return tuple;
}

ExpressionPtr Parser::parse_list() {
  auto node = std::make_unique<SequenceExpression>(take().line);
  while (!at_operator("]")) {
    node->items.push_back(parse_expression());
    adopt(*node, node->items.back());
    if (!at_operator("]")) expect_operator(",");
  }
  take();
  return node;
}

ExpressionPtr Parser::parse_dict() {
  auto node = std::make_unique<DictExpression>(take().line);
  while (!at_operator("}")) {
    ExpressionPtr key = parse_expression();
    expect_operator(":");
    node->entries.emplace_back(std::move(key), parse_expression());
    adopt(*node, node->entries.back().first);
    adopt(*node, node->entries.back().second);
    if (!at_operator("}")) expect_operator(",");
  }
  take();
  return node;
}

}  // namespace mica::jinja

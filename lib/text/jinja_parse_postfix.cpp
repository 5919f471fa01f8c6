// What may follow an operand: attributes, subscripts, calls, filters and tests.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_filters.h"
#include "lib/text/jinja_parser.h"

namespace mica::jinja {

ExpressionPtr Parser::parse_postfix(ExpressionPtr node) {
  while (true) {
    if (at_operator(".") || at_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr Parser::parse_filters_and_tests(ExpressionPtr node) {
  while (true) {
    if (at_operator("|")) {
      node = parse_filter_chain(std::move(node));
    } else if (at_name("is")) {
      node = parse_test(std::move(node));
    } else if (at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

std::string Parser::parse_dotted_name() {
  std::string name = take_name();
  while (skip_operator(".")) name.append(1, '.').append(take_name());
  return name;
}

ExpressionPtr Parser::parse_filter_chain(ExpressionPtr input, bool first_without_pipe) {
  while (first_without_pipe || skip_operator("|")) {
    first_without_pipe = false;
    auto node = std::make_unique<FilterExpression>(current().line);
    node->name = parse_dotted_name();
    node->filter = find_filter(node->name);
    if (!node->filter) {
      unknown_.emplace_back(node->line, fmt::format("there is no filter '{}'", node->name));
    }
    if (at_operator("(")) node->arguments = parse_arguments(*node);
    node->input = std::move(input);
    adopt(*node, node->input);
    input = std::move(node);
  }
  return input;
}

ExpressionPtr Parser::parse_test(ExpressionPtr subject) {
  take();
  const int line = current().line;
  const bool is_negated = skip_name("not");
  auto node = std::make_unique<TestExpression>(line);
  node->name = parse_dotted_name();
  node->test = find_test(node->name);
  if (!node->test) unknown_.emplace_back(line, fmt::format("there is no test '{}'", node->name));
  const TokenKind kind = current().kind;
  const bool begins_argument =
      kind == TokenKind::kString || kind == TokenKind::kInteger || kind == TokenKind::kFloat ||
      at_operator("[") || at_operator("{") ||
      (kind == TokenKind::kName && !at_name("else") && !at_name("or") && !at_name("and"));
  if (at_operator("(")) {
    node->arguments = parse_arguments(*node);
  } else if (begins_argument) {
    if (at_name("is")) fail("tests with 'is' cannot follow one another");
    Argument argument;
    argument.value = parse_postfix(parse_primary());
    adopt(*node, argument.value);
    node->arguments.push_back(std::move(argument));
  }
  node->subject = std::move(subject);
  adopt(*node, node->subject);
  if (!is_negated) return node;
  auto negation = std::make_unique<UnaryExpression>(line);
  negation->operand = std::move(node);
  adopt(*negation, negation->operand);
  return negation;
}

ExpressionPtr Parser::parse_subscript(ExpressionPtr object) {
  const Token open = take();
  if (open.text == "." && current().kind == TokenKind::kName) {
    auto node = std::make_unique<AttributeExpression>(open.line);
    node->name = take().text;
    node->object = std::move(object);
    adopt(*node, node->object);
    return node;
  }
  auto item = std::make_unique<ItemExpression>(open.line);
  if (open.text == ".") {
    if (current().kind != TokenKind::kInteger) fail_expected("a name or a number");
    auto index = std::make_unique<ConstantExpression>(open.line);
    index->value = Value(take().integer);
    item->key = std::move(index);
  } else {
    ExpressionPtr first = at_operator(":") ? nullptr : parse_expression();
    if (at_operator(":")) {
      auto slice = std::make_unique<SliceExpression>(open.line);
      slice->start = std::move(first);
      take();
      const auto at_end = [&] { return at_operator("]") || at_operator(","); };
      if (!at_operator(":") && !at_end()) slice->stop = parse_expression();
      if (skip_operator(":") && !at_end()) slice->step = parse_expression();
      if (at_operator(",")) refuse("a slice inside a tuple of subscripts is not supported");
      expect_operator("]");
      slice->object = std::move(object);
      for (const auto* part : {&slice->object, &slice->start, &slice->stop, &slice->step}) {
        adopt(*slice, *part);
      }
      return slice;
    }
    if (at_operator(",")) refuse("several subscripts in one pair of brackets are not supported");
    expect_operator("]");
    item->key = std::move(first);
  }
  item->object = std::move(object);
  adopt(*item, item->object);
  adopt(*item, item->key);
  return item;
}

ExpressionPtr Parser::parse_call(ExpressionPtr callee) {
  auto node = std::make_unique<CallExpression>(current().line);
  node->arguments = parse_arguments(*node);
  node->callee = std::move(callee);
  adopt(*node, node->callee);
  return node;
}

ArgumentList Parser::parse_arguments(Expression& node) {
  using Kind = Argument::Kind;
  ArgumentList arguments;
  const auto has = [&](std::initializer_list<Kind> kinds) {
    return std::any_of(arguments.begin(), arguments.end(), [&](const Argument& argument) {
      return std::find(kinds.begin(), kinds.end(), argument.kind) != kinds.end();
    });
  };
  expect_operator("(");
  while (!at_operator(")")) {
    if (!arguments.empty()) {
      expect_operator(",");
      if (at_operator(")")) break;
    }
    Argument argument;
    bool is_misplaced = false;
    if (skip_operator("*")) {
      argument.kind = Kind::kSpread;
      is_misplaced = has({Kind::kSpread, Kind::kSpreadNamed});
    } else if (skip_operator("**")) {
      argument.kind = Kind::kSpreadNamed;
      is_misplaced = has({Kind::kSpreadNamed});
    } else if (current().kind == TokenKind::kName && ahead().kind == TokenKind::kOperator &&
               ahead().text == "=") {
      argument.kind = Kind::kNamed;
      argument.name = take().text;
      take();
      is_misplaced = has({Kind::kSpreadNamed}) ||
                     std::any_of(arguments.begin(), arguments.end(), [&](const Argument& other) {
                       return other.kind == Kind::kNamed && other.name == argument.name;
                     });
    } else {
      is_misplaced = has({Kind::kNamed, Kind::kSpread, Kind::kSpreadNamed});
    }
    if (is_misplaced) fail("an argument is repeated, or stands behind named ones");
    argument.value = parse_expression();
    adopt(node, argument.value);
    arguments.push_back(std::move(argument));
  }
  take();
  return arguments;
}

}  // namespace mica::jinja

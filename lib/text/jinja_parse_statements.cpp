// Statements, and the scopes and branches they open.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_parser.h"

namespace mica::jinja {
namespace {

void add_names(const Target& target, std::vector<Symbol>& names) {
  if (target.name) names.push_back(target.name);
  for (const Target& item : target.items) add_names(item, names);
}

}  // namespace

void Parser::parse_root(Block& root) {
  open_frame(&root);
  parse_until(root, {});
  require_known_names(0);
}

// Statements up to the end of the template or one of `end_tags`, which is left as the current
// token.
void Parser::parse_until(Block& block, std::initializer_list<std::string_view> end_tags) {
  while (current().kind != TokenKind::kEnd) {
    const Token token = take();
    if (token.kind == TokenKind::kData) {
      auto data = std::make_unique<DataStatement>(token.line);
      data->data = token.text;
      block.statements.push_back(std::move(data));
    } else if (token.kind == TokenKind::kPrintBegin) {
      auto print = std::make_unique<PrintStatement>(token.line);
      print->value = parse_tuple();
      expect(TokenKind::kPrintEnd, "'}}'");
      block.statements.push_back(std::move(print));
    } else {
      const bool is_end =
          current().kind == TokenKind::kName &&
          std::find(end_tags.begin(), end_tags.end(), current().text) != end_tags.end();
      if (is_end) return;
      if (auto statement = parse_statement(block)) block.statements.push_back(std::move(statement));
      expect(TokenKind::kBlockEnd, "'%}'");
    }
  }
  if (end_tags.size() > 0) fail_expected(fmt::format("'{{% {} %}}'", *(end_tags.end() - 1)));
}

void Parser::parse_body(Block& block, std::initializer_list<std::string_view> end_tags) {
  skip_operator(":");
  expect(TokenKind::kBlockEnd, "'%}'");
  parse_until(block, end_tags);
}

// A body with variables of its own, of which `declared` are set when it begins.
void Parser::parse_scope(Block& block, std::initializer_list<std::string_view> end_tags,
                         const std::vector<Symbol>& declared) {
  const size_t unknown_before = unknown_.size();
  open_frame(&block).known.insert(declared.begin(), declared.end());
  parse_body(block, end_tags);
  close_frame();
  require_known_names(unknown_before);
}

std::unique_ptr<Statement> Parser::parse_statement(Block& block) {
  using Parse = std::unique_ptr<Statement> (Parser::*)();
  static constexpr std::pair<std::string_view, Parse> kStatements[] = {
      {"for", &Parser::parse_for},
      {"if", &Parser::parse_if},
      {"set", &Parser::parse_set},
      {"with", &Parser::parse_with},
      {"macro", &Parser::parse_macro},
      {"call", &Parser::parse_call_block},
      {"filter", &Parser::parse_filter_block},
      {"generation", &Parser::parse_generation},
      {"break", &Parser::parse_loop_control},
      {"continue", &Parser::parse_loop_control}};
  const Level level(*this);
  if (current().kind != TokenKind::kName) fail_expected("the name of a tag");
  const std::string name = current().text;
  if (name == "print") {
    parse_print(block);
    return nullptr;
  }
  for (const auto& [spelling, parse] : kStatements) {
    if (name == spelling) return (this->*parse)();
  }
  if (name.starts_with("end") || name == "else" || name == "elif") {
    fail(fmt::format("'{{% {} %}}' closes nothing that is open here", name));
  }
  refuse(fmt::format("the tag '{}' is not supported", name));
}

void Parser::parse_print(Block& block) {
  take();
  while (current().kind != TokenKind::kBlockEnd) {
    auto print = std::make_unique<PrintStatement>(current().line);
    print->value = parse_expression();
    block.statements.push_back(std::move(print));
    if (current().kind != TokenKind::kBlockEnd) expect_operator(",");
  }
}

std::unique_ptr<Statement> Parser::parse_loop_control() {
  auto node = std::make_unique<LoopControlStatement>(current().line);
  const std::string name = take().text;
  if (loop_depth_ == 0) fail(fmt::format("'{}' stands outside a loop", name));
  node->flow = name == "break" ? Flow::kBreak : Flow::kContinue;
  return node;
}

std::unique_ptr<Statement> Parser::parse_for() {
  auto node = std::make_unique<ForStatement>(take().line);
  ++for_depth_;
  node->loop_name = symbol("loop");
  node->target = parse_target(false);
  std::vector<Symbol> declared;
  add_names(node->target, declared);
  if (std::find(declared.begin(), declared.end(), node->loop_name) != declared.end()) {
    fail("'loop' cannot be the target of a for loop");
  }
  expect_name("in");
  node->iterable = parse_tuple(false);
  if (skip_name("if")) {
    const size_t unknown_before = unknown_.size();
    open_frame(nullptr).known.insert(declared.begin(), declared.end());
    node->condition = parse_expression();
    close_frame();
    require_known_names(unknown_before);
  }
  if (at_name("recursive")) refuse("recursive for loops are not supported");
  declared.push_back(node->loop_name);
  ++loop_depth_;
  parse_scope(node->body, {"else", "endfor"}, declared);
  --loop_depth_;
  if (take().text == "else") {
    parse_scope(node->otherwise, {"endfor"});
    take();
  }
  --for_depth_;
  return node;
}

std::unique_ptr<Statement> Parser::parse_if() {
  auto node = std::make_unique<IfStatement>(current().line);
  const size_t unknown_before = unknown_.size();
  std::string tag = take().text;
  while (tag != "endif") {
    if (tag == "else") {
      ++frame_->branch_depth;
      parse_body(node->otherwise, {"endif"});
      --frame_->branch_depth;
    } else {
      node->branches.emplace_back(parse_tuple(false), Block{});
      ++frame_->branch_depth;
      parse_body(node->branches.back().second, {"elif", "else", "endif"});
      --frame_->branch_depth;
    }
    tag = take().text;
  }
  unknown_.resize(unknown_before);
  return node;
}

Target Parser::parse_single_target(bool with_attributes) {
  if (skip_operator("(")) {
    Target target = parse_target(with_attributes);
    expect_operator(")");
    return target;
  }
  static constexpr std::string_view kConstants[] = {"true",  "True", "false",
                                                    "False", "none", "None"};
  const std::string name = take_name();
  if (std::find(std::begin(kConstants), std::end(kConstants), name) != std::end(kConstants)) {
    fail(fmt::format("'{}' cannot be assigned to", name));
  }
  Target target;
  target.name = symbol(name);
  if (with_attributes && skip_operator(".")) target.attribute = take_name();
  return target;
}

Target Parser::parse_target(bool with_attributes) {
  const Level level(*this);
  Target first = parse_single_target(with_attributes);
  if (!at_operator(",")) return first;
  Target tuple;
  tuple.is_tuple = true;
  tuple.items.push_back(std::move(first));
  while (skip_operator(",")) {
    const bool at_end = current().kind != TokenKind::kName && !at_operator("(");
    if (at_end) break;
    tuple.items.push_back(parse_single_target(with_attributes));
  }
  return tuple;
}

void Parser::note_target(const Target& target) {
  if (target.name && target.attribute.empty()) note_set(target.name);
  if (target.name && !target.attribute.empty()) note_read(target.name);
  for (const Target& item : target.items) note_target(item);
}

std::unique_ptr<Statement> Parser::parse_set() {
  const int line = take().line;
  Target target = parse_target(true);
  if (skip_operator("=")) {
    auto node = std::make_unique<SetStatement>(line);
    node->value = parse_tuple();
    note_target(target);
    node->target = std::move(target);
    return node;
  }
  auto node = std::make_unique<SetBlockStatement>(line);
  note_target(target);
  node->target = std::move(target);
  const size_t unknown_before = unknown_.size();
  node->filter = parse_filter_chain(std::make_unique<BlockTextExpression>(line));
  require_known_names(unknown_before);
  parse_scope(node->body, {"endset"});
  take();
  return node;
}

std::unique_ptr<Statement> Parser::parse_with() {
  auto node = std::make_unique<WithStatement>(take().line);
  std::vector<Symbol> declared;
  while (current().kind != TokenKind::kBlockEnd) {
    if (!node->assignments.empty()) expect_operator(",");
    Target target = parse_single_target(false);
    expect_operator("=");
    add_names(target, declared);
    node->assignments.emplace_back(std::move(target), parse_expression());
  }
  parse_scope(node->body, {"endwith"}, declared);
  take();
  return node;
}

std::unique_ptr<Statement> Parser::parse_filter_block() {
  auto node = std::make_unique<FilterBlockStatement>(take().line);
  const size_t unknown_before = unknown_.size();
  node->filter = parse_filter_chain(std::make_unique<BlockTextExpression>(node->line), true);
  require_known_names(unknown_before);
  parse_scope(node->body, {"endfilter"});
  take();
  return node;
}

void Parser::parse_parameters(MacroDefinition& macro) {
  expect_operator("(");
  while (!at_operator(")")) {
    if (!macro.parameters.empty()) expect_operator(",");
    MacroParameter parameter;
    parameter.name = symbol(take_name());
    for (const MacroParameter& other : macro.parameters) {
      if (other.name == parameter.name)
        fail(fmt::format("two parameters are named '{}'", *other.name));
    }
    if (skip_operator("=")) {
      parameter.preset = parse_expression();
    } else if (!macro.parameters.empty() && macro.parameters.back().preset) {
      fail(fmt::format("parameter '{}' without a default follows one with a default",
                       *parameter.name));
    }
    macro.parameters.push_back(std::move(parameter));
  }
  take();
}

void Parser::parse_macro_body(MacroDefinition& macro, std::string_view end_tag) {
  std::vector<Symbol> declared;
  for (const MacroParameter& parameter : macro.parameters) declared.push_back(parameter.name);
  const int outer_loop_depth = std::exchange(loop_depth_, 0);
  macros_.push_back({&macro, {}});
  parse_scope(macro.body, {end_tag}, declared);
  macros_.pop_back();
  loop_depth_ = outer_loop_depth;
  take();
  for (const MacroParameter& parameter : macro.parameters) {
    if (parameter.name == macro.caller && !parameter.preset) {
      fail("the parameter 'caller' of a macro needs a default");
    }
    for (Symbol* special : {&macro.caller, &macro.varargs, &macro.kwargs}) {
      if (*special == parameter.name) *special = nullptr;  // an ordinary parameter then
    }
  }
}

std::unique_ptr<Statement> Parser::parse_macro() {
  auto node = std::make_unique<MacroStatement>(take().line);
  node->macro.name = take_name();
  node->name = symbol(node->macro.name);
  note_set(node->name);
  const size_t unknown_before = unknown_.size();
  open_frame(nullptr);
  parse_parameters(node->macro);
  close_frame();
  require_known_names(unknown_before);
  parse_macro_body(node->macro, "endmacro");
  return node;
}

std::unique_ptr<Statement> Parser::parse_call_block() {
  auto node = std::make_unique<CallBlockStatement>(take().line);
  node->caller.name = "caller";
  if (at_operator("(")) parse_parameters(node->caller);
  ExpressionPtr call = parse_expression();
  if (!dynamic_cast<CallExpression*>(call.get())) fail("'{% call %}' needs the call of a macro");
  node->call.reset(static_cast<CallExpression*>(call.release()));
  parse_macro_body(node->caller, "endcall");
  return node;
}

std::unique_ptr<Statement> Parser::parse_generation() {
  auto node = std::make_unique<CallBlockStatement>(take().line);
  node->caller.name = "generation";
  parse_macro_body(node->caller, "endgeneration");
  return node;
}

}  // namespace mica::jinja

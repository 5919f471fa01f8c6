// Reads a template into its syntax tree: the grammar of jinja2 3.1 with the loop control extension
// and
// {% generation %}; what needs other templates (extends, include, import, block) is refused by
// name.
//
// The parser also finds what jinja2's compiler finds before anything is rendered: filters and tests
// that do not exist, break outside a loop, names that hide the caller's. Recursion is bounded.
#pragma once

#include <deque>
#include <set>
#include <string_view>

#include "lib/text/jinja_ast.h"
#include "lib/text/jinja_lexer.h"

namespace mica::jinja {

class Parser {
 public:
  static constexpr int kMaxDepth = 100;   // of brackets and blocks
  static constexpr int kMaxHeight = 200;  // of an expression's tree

  // Throws Failure; the line it happened on is in *line.
  static SyntaxTree parse(std::string_view source, int* line);

 private:
  // What is known about the names of one scope.
  struct Frame {
    Frame* outer = nullptr;
    Block* block = nullptr;
    std::set<Symbol> known;          // read or set so far
    std::vector<Symbol> set_unread;  // set before they were read
    int branch_depth = 0;            // inside that many "if"
  };
  struct MacroContext {
    MacroDefinition* definition;
    std::set<Symbol> assigned;
  };
  class Level;

  Parser(std::vector<Token> tokens, int& line) : tokens_(std::move(tokens)), line_(line) {}

  // jinja_parser.cpp: tokens and names.
  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token take();
  bool at_name(std::string_view name) const;
  bool at_operator(std::string_view op) const;
  bool skip_name(std::string_view name);
  bool skip_operator(std::string_view op);
  void expect_name(std::string_view name);
  void expect_operator(std::string_view op);
  void expect(TokenKind kind, const char* what);
  std::string take_name();
  [[noreturn]] void fail_expected(std::string_view what) const;
  Symbol symbol(const std::string& name);
  void note_read(Symbol name);
  void note_set(Symbol name);
  Frame& open_frame(Block* block);
  void close_frame() { frame_ = frame_->outer; }
  static bool frame_knows(const Frame* frame, Symbol name);  // or one around it
  void hide_names();
  void require_known_names(size_t from);

  // jinja_parse_expressions.cpp
  ExpressionPtr parse_expression(bool with_conditional = true);
  ExpressionPtr parse_conditional();
  ExpressionPtr parse_logical(bool is_and);
  ExpressionPtr parse_not();
  ExpressionPtr parse_compare();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concat();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filter = true);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_name();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_tuple(bool with_conditional = true, bool in_parentheses = false);
  ExpressionPtr binary(BinaryOperator op, int line, ExpressionPtr left, ExpressionPtr right);
  void adopt(Expression& parent, const ExpressionPtr& part);

  // jinja_parse_postfix.cpp
  ExpressionPtr parse_postfix(ExpressionPtr node);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr node);
  ExpressionPtr parse_filter_chain(ExpressionPtr input, bool first_without_pipe = false);
  ExpressionPtr parse_test(ExpressionPtr subject);
  ExpressionPtr parse_subscript(ExpressionPtr object);
  ExpressionPtr parse_call(ExpressionPtr callee);
  ArgumentList parse_arguments(Expression& node);
  std::string parse_dotted_name();

  // jinja_parse_statements.cpp
  void parse_root(Block& root);
  void parse_until(Block& block, std::initializer_list<std::string_view> end_tags);
  void parse_body(Block& block, std::initializer_list<std::string_view> end_tags);
  void parse_scope(Block& block, std::initializer_list<std::string_view> end_tags,
                   const std::vector<Symbol>& declared = {});
  std::unique_ptr<Statement> parse_statement(Block& block);
  std::unique_ptr<Statement> parse_for();
  std::unique_ptr<Statement> parse_if();
  std::unique_ptr<Statement> parse_set();
  std::unique_ptr<Statement> parse_with();
  std::unique_ptr<Statement> parse_macro();
  std::unique_ptr<Statement> parse_call_block();
  std::unique_ptr<Statement> parse_generation();
  std::unique_ptr<Statement> parse_filter_block();
  std::unique_ptr<Statement> parse_loop_control();
  void parse_print(Block& block);
  void parse_parameters(MacroDefinition& macro);
  void parse_macro_body(MacroDefinition& macro, std::string_view end_tag);
  Target parse_target(bool with_attributes);
  Target parse_single_target(bool with_attributes);
  void note_target(const Target& target);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int& line_;
  int depth_ = 0;
  SyntaxTree tree_;
  std::deque<Frame> frames_;  // all there ever were
  Frame* frame_ = nullptr;    // the innermost open one
  std::vector<MacroContext> macros_;
  int for_depth_ = 0;   // inside that many "for", macros looked through
  int loop_depth_ = 0;  // the same, but a macro starts anew: where break may stand
  // Filters and tests that do not exist: an error unless they turn out to stand in a branch.
  std::vector<std::pair<int, std::string>> unknown_;
};

// One level of recursion.
class Parser::Level {
 public:
  explicit Level(Parser& parser) : parser_(parser) {
    if (parser.depth_ >= kMaxDepth) fail("brackets and blocks are nested deeper than 100 levels");
    ++parser.depth_;
  }
  ~Level() { --parser_.depth_; }
  Level(const Level&) = delete;

 private:
  Parser& parser_;
};

}  // namespace mica::jinja

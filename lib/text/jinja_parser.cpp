#include "lib/text/jinja_parser.h"

#include <algorithm>
#include <fmt/format.h>

namespace mica::jinja {
namespace {

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "text";
    case TokenKind::kPrintBegin:
      return "'{{'";
    case TokenKind::kPrintEnd:
      return "'}}'";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kName:
    case TokenKind::kOperator:
      return "'" + token.text + "'";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return "a number";
    case TokenKind::kEnd:
      return "the end of the template";
  }
  return "";
}

}  // namespace

SyntaxTree Parser::parse(std::string_view source, int* line) {
  Parser parser(tokenize(source, line), *line);
  *line = 1;
  parser.parse_root(parser.tree_.root);
  parser.hide_names();
  return std::move(parser.tree_);
}

Token Parser::take() {
  Token token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  line_ = current().line;
  return token;
}

bool Parser::at_name(std::string_view name) const {
  return current().kind == TokenKind::kName && current().text == name;
}
bool Parser::at_operator(std::string_view op) const {
  return current().kind == TokenKind::kOperator && current().text == op;
}
bool Parser::skip_name(std::string_view name) {
  const bool found = at_name(name);
  if (found) take();
  return found;
}
bool Parser::skip_operator(std::string_view op) {
  const bool found = at_operator(op);
  if (found) take();
  return found;
}
void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail_expected(fmt::format("'{}'", name));
}
void Parser::expect_operator(std::string_view op) {
  if (!skip_operator(op)) fail_expected(fmt::format("'{}'", op));
}
void Parser::expect(TokenKind kind, const char* what) {
  if (current().kind != kind) fail_expected(what);
  take();
}
std::string Parser::take_name() {
  if (current().kind != TokenKind::kName) fail_expected("a name");
  return take().text;
}

void Parser::fail_expected(std::string_view what) const {
  fail(fmt::format("expected {}, found {}", what, describe(current())));
}

Symbol Parser::symbol(const std::string& name) {
  return &*tree_.names.insert(name).first;
}

bool Parser::frame_knows(const Frame* frame, Symbol name) {
  while (frame && frame->known.count(name) == 0) frame = frame->outer;
  return frame != nullptr;
}

void Parser::note_read(Symbol name) {
  for (MacroContext& macro : macros_) {
    if (macro.assigned.count(name)) continue;
    if (*name == "caller") macro.definition->caller = name;
    if (*name == "varargs") macro.definition->varargs = name;
    if (*name == "kwargs") macro.definition->kwargs = name;
  }
  if (!frame_knows(frame_, name)) frame_->known.insert(name);
}

void Parser::note_set(Symbol name) {
  if (for_depth_ > 0 && *name == "loop") fail("'loop' cannot be assigned to inside a for loop");
  for (MacroContext& macro : macros_) macro.assigned.insert(name);
  const bool is_new = frame_->known.insert(name).second;
  if (is_new && frame_->branch_depth == 0) frame_->set_unread.push_back(name);
}

Parser::Frame& Parser::open_frame(Block* block) {
  frames_.emplace_back();
  frames_.back().outer = frame_;
  frames_.back().block = block;
  frame_ = &frames_.back();
  return *frame_;
}

// A name that a scope sets before it reads it is looked for nowhere else, unless a scope around
// knows the name; what those know is certain only at the end of the template.
void Parser::hide_names() {
  for (const Frame& frame : frames_) {
    for (Symbol name : frame.set_unread) {
      if (!frame_knows(frame.outer, name)) frame.block->hidden.push_back(name);
    }
  }
}

void Parser::require_known_names(size_t from) {
  if (unknown_.size() <= from) return;
  line_ = unknown_[from].first;
  fail(unknown_[from].second);
}

}  // namespace mica::jinja

// The syntax tree of a template.
//
// Nodes are made once by the parser and never change; expressions evaluate and statements execute
// themselves on an Evaluator. The depth of the tree is bounded by the parser.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "lib/text/jinja_value.h"

namespace mica::jinja {

// A name of the template; equal names have equal pointers, kept by the SyntaxTree.
using Symbol = const std::string*;
struct Scope;
struct FilterEntry;
struct TestEntry;

struct Expression {
  explicit Expression(int source_line) : line(source_line) {}
  virtual ~Expression() = default;
  virtual Value evaluate(Evaluator& evaluator, Scope& scope) const = 0;

  const int line;
  int height = 1;  // 1 + greatest height of its parts
};
using ExpressionPtr = std::unique_ptr<Expression>;

struct Argument {
  enum class Kind { kPositional, kNamed, kSpread, kSpreadNamed };
  Kind kind = Kind::kPositional;
  std::string name;
  ExpressionPtr value;
};
using ArgumentList = std::vector<Argument>;

struct ConstantExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override { return value; }
  Value value;
};

struct NameExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  Symbol name = nullptr;
};

struct SequenceExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  Type type = Type::kList;
  std::vector<ExpressionPtr> items;
};

struct DictExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};

struct ConditionalExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  ExpressionPtr condition, then, otherwise;  // otherwise may be null
};

struct LogicalExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  bool is_and = false;
  ExpressionPtr left, right;
};

struct UnaryExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  enum class Operator { kNot, kMinus, kPlus } op = Operator::kNot;
  ExpressionPtr operand;
};

enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };

struct BinaryExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  BinaryOperator op = BinaryOperator::kAdd;
  ExpressionPtr left, right;
};

struct ConcatExpression : Expression {  // a ~ b ~ c
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  std::vector<ExpressionPtr> parts;
};

enum class Comparison {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

struct CompareExpression : Expression {  // a < b < c
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  ExpressionPtr first;
  std::vector<std::pair<Comparison, ExpressionPtr>> rest;
};

struct AttributeExpression : Expression {  // a.b
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  ExpressionPtr object;
  std::string name;
};

struct ItemExpression : Expression {  // a[b]
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  ExpressionPtr object, key;
};

struct SliceExpression : Expression {  // a[b:c:d], parts may be null
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  ExpressionPtr object, start, stop, step;
};

struct CallExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  ExpressionPtr callee;
  ArgumentList arguments;
};

struct FilterExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  ExpressionPtr input;
  std::string name;
  const FilterEntry* filter = nullptr;  // null: not known, fails when it is reached
  ArgumentList arguments;
};

struct BlockTextExpression : Expression {  // what a filter block's chain starts from
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
};

struct TestExpression : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator&, Scope&) const override;
  ExpressionPtr subject;
  std::string name;
  const TestEntry* test = nullptr;  // null: not known, fails when it is reached
  ArgumentList arguments;
};

// Where a statement went: to the next one, or out of the loop's body.
enum class Flow { kNext, kBreak, kContinue };

struct Statement {
  explicit Statement(int source_line) : line(source_line) {}
  virtual ~Statement() = default;
  virtual Flow execute(Evaluator& evaluator, Scope& scope, TextBuilder& out) const = 0;
  const int line;
};

// Statements one after another. As the root of a scope, it knows which names it sets before it
// reads them: until then those hide the caller's variables of the same name from the blocks inside.
struct Block {
  std::vector<std::unique_ptr<Statement>> statements;
  std::vector<Symbol> hidden;
};

// What "set" and "for" assign to: a name, name.attribute, or a tuple of targets.
struct Target {
  Symbol name = nullptr;
  std::string attribute;
  std::vector<Target> items;
  bool is_tuple = false;
};

struct DataStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  std::string data;
};

struct PrintStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  ExpressionPtr value;
};

struct IfStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  std::vector<std::pair<ExpressionPtr, Block>> branches;
  Block otherwise;
};

struct ForStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  Symbol loop_name = nullptr;  // "loop"
  Target target;
  ExpressionPtr iterable, condition;  // condition may be null
  Block body, otherwise;
};

struct LoopControlStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override { return flow; }
  Flow flow = Flow::kBreak;
};

struct SetStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  Target target;
  ExpressionPtr value;
};

struct SetBlockStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  Target target;
  ExpressionPtr filter;  // may be null
  Block body;
};

struct WithStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  Block body;
};

struct FilterBlockStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  ExpressionPtr filter;
  Block body;
};

struct MacroParameter {
  Symbol name = nullptr;
  ExpressionPtr preset;  // may be null
};

struct MacroDefinition {
  std::string name;
  std::vector<MacroParameter> parameters;
  Block body;
  // The special names that the body reads; null: it does not.
  Symbol caller = nullptr, varargs = nullptr, kwargs = nullptr;
};

struct MacroStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  Symbol name = nullptr;
  MacroDefinition macro;
};

struct CallBlockStatement : Statement {
  using Statement::Statement;
  Flow execute(Evaluator&, Scope&, TextBuilder&) const override;
  MacroDefinition caller;
  std::unique_ptr<CallExpression> call;  // null: {% generation %}, which calls its body at once
};

struct SyntaxTree {
  std::unordered_set<std::string> names;  // what the Symbols point to
  Block root;
};

}  // namespace mica::jinja

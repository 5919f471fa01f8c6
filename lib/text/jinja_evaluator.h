// One rendering of a template: its budget, its variables, and the operations of the language that
// need them.
//
// An Evaluator lives for one rendering on one thread. The tree and the context outlive it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/text/jinja_ast.h"
#include "lib/text/jinja_value.h"

namespace mica::jinja {

// Variables of one block; what is not here is looked for in the block around it.
struct Scope : std::enable_shared_from_this<Scope> {
  explicit Scope(std::shared_ptr<Scope> outer) : parent(std::move(outer)) {}
  void set(Symbol name, Value value);

  const std::shared_ptr<Scope> parent;
  std::vector<std::pair<Symbol, Value>> names;
};

struct Macro : Object {
  Macro(const MacroDefinition& of, std::shared_ptr<Scope> where)
      : Object(Type::kMacro), definition(of), scope(std::move(where)) {}
  const MacroDefinition& definition;
  const std::shared_ptr<Scope> scope;
};

struct Loop : Object {
  Loop(const Value& over, std::shared_ptr<Iterator> from, int64_t known_length);
  bool advance();  // to the next item, false at the end
  bool peek();     // whether there is a next item; fills `after`
  int64_t length(Budget& budget);

  std::shared_ptr<Iterator> iterator;
  Value current, before, after;
  bool has_after = false;
  int64_t index0 = -1;
  int64_t count;  // -1: not known yet
  Values changed_key;
  bool has_changed_key = false;
};

class Evaluator {
 public:
  using Context = std::unordered_map<std::string, Value>;

  explicit Evaluator(const Context& context) : context_(context) {}
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;

  Text render(const Block& root);

  Value evaluate(const Expression& expression, Scope& scope);
  TextPtr text_of(const Value& value) { return to_text(budget, value); }

  Flow execute(const Block& block, Scope& scope, TextBuilder& out);
  std::shared_ptr<Scope> enter(const Block& block, Scope& scope);
  void assign(const Target& target, Value value, Scope& scope);

  Value look_up(Symbol name, const Scope& scope);
  Value attribute(const Value& object, std::string_view name);      // a.b
  Value item(const Value& object, const Value& key);                // a[b]
  Value own_attribute(const Value& object, std::string_view name);  // getattr(), or missing
  Value slice(const Value& object, const Value& start, const Value& stop, const Value& step);

  Arguments arguments(const ArgumentList& list, Scope& scope);
  Value call(const Value& callee, Arguments arguments);
  Value call_macro(const Macro& macro, Arguments arguments);
  Value make_macro(const MacroDefinition& definition, Scope& scope);
  std::shared_ptr<Namespace> make_namespace();

  Budget budget;
  int line = 1;      // being evaluated, for messages
  Value block_text;  // what the current filter block holds

 private:
  const Context& context_;
  // What can hold itself, directly or through others; emptied at the end.
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::shared_ptr<Scope>> captured_;
};

// jinja_operators.cpp
Value binary(Evaluator& evaluator, BinaryOperator op, const Value& left, const Value& right);
Value negate(const Value& value, bool minus);
bool compare(Budget& budget, Comparison comparison, const Value& left, const Value& right);

// jinja_globals.cpp: range, dict, namespace, ...; missing when there is none of that name.
Value find_global(std::string_view name);

// The method of that name bound to `self`, or missing. Fails by name for methods of Python that are
// not supported.
Value string_method(const Value& self, std::string_view name);
Value container_method(const Value& self, std::string_view name);

}  // namespace mica::jinja

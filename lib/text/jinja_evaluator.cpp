#include "lib/text/jinja_evaluator.h"

#include <algorithm>
#include <fmt/format.h>

namespace mica::jinja {
namespace {

// Takes the argument of that name out, or gives missing.
Value take_named(Arguments& arguments, const std::string& name) {
  const auto found = std::find_if(arguments.named.begin(), arguments.named.end(),
                                  [&](const auto& argument) { return argument.first == name; });
  if (found == arguments.named.end()) return Value::missing();
  const Value value = found->second;
  arguments.named.erase(found);
  return value;
}

// Sets the parameters of a macro in their order (missing where nothing was given), then the special
// names that its body reads.
void bind_arguments(Budget& budget, const MacroDefinition& definition, Arguments arguments,
                    Scope& scope) {
  const std::vector<MacroParameter>& parameters = definition.parameters;
  const size_t given = std::min(arguments.positional.size(), parameters.size());
  budget.charge(parameters.size() * (1 + arguments.named.size()));
  for (size_t i = 0; i < parameters.size(); ++i) {
    scope.names.emplace_back(parameters[i].name, i < given
                                                     ? arguments.positional[i]
                                                     : take_named(arguments, *parameters[i].name));
  }
  if (definition.caller) {
    const Value caller = take_named(arguments, "caller");
    const bool has_none = caller.is_missing() || caller.is(Type::kNone);
    scope.set(definition.caller, has_none ? Value::undefined("No caller defined") : caller);
  }
  if (definition.kwargs) {
    Entries entries;
    for (auto& [name, value] : arguments.named) entries.emplace_back(Value(name), std::move(value));
    scope.set(definition.kwargs, Value(std::make_shared<Dict>(std::move(entries))));
  } else if (!arguments.named.empty()) {
    fail(fmt::format("macro '{}' takes no argument '{}'", definition.name,
                     arguments.named.front().first));
  }
  if (definition.varargs) {
    const auto rest = arguments.positional.begin() + static_cast<std::ptrdiff_t>(given);
    scope.set(definition.varargs, make_tuple(Values(rest, arguments.positional.end())));
  } else if (arguments.positional.size() > given) {
    fail(fmt::format("macro '{}' takes {} arguments, {} are given", definition.name,
                     parameters.size(), arguments.positional.size()));
  }
}

}  // namespace

void Scope::set(Symbol name, Value value) {
  for (auto& [known, old] : names) {
    if (known != name) continue;
    old = std::move(value);
    return;
  }
  names.emplace_back(name, std::move(value));
}

Evaluator::~Evaluator() {
  // Namespaces and the scopes that macros remember may form circles: take out what they hold while
  // these lists still keep every one of them alive.
  for (const auto& space : namespaces_) space->entries.clear();
  for (const auto& scope : captured_) scope->names.clear();
}

std::shared_ptr<Namespace> Evaluator::make_namespace() {
  namespaces_.push_back(std::make_shared<Namespace>());
  return namespaces_.back();
}

Value Evaluator::make_macro(const MacroDefinition& definition, Scope& scope) {
  captured_.push_back(scope.shared_from_this());
  return Value(std::make_shared<Macro>(definition, captured_.back()));
}

Text Evaluator::render(const Block& root) {
  const auto scope = std::make_shared<Scope>(nullptr);
  captured_.push_back(scope);
  for (Symbol name : root.hidden) scope->set(name, Value::missing());
  TextBuilder out(budget);
  execute(root, *scope, out);
  return out.take();
}

std::shared_ptr<Scope> Evaluator::enter(const Block& block, Scope& scope) {
  auto inner = std::make_shared<Scope>(scope.shared_from_this());
  for (Symbol name : block.hidden) inner->set(name, Value::missing());
  return inner;
}

Value Evaluator::evaluate(const Expression& expression, Scope& scope) {
  const Budget::Level level(budget);
  budget.charge(1);
  Value value = expression.evaluate(*this, scope);
  line = expression.line;
  return value;
}

Value Evaluator::look_up(Symbol name, const Scope& scope) {
  for (const Scope* at = &scope; at; at = at->parent.get()) {
    budget.charge(1);
    for (const auto& [known, value] : at->names) {
      if (known == name) {
        return value.is_missing() ? Value::undefined(fmt::format("'{}' is undefined", *name))
                                  : value;
      }
    }
  }
  const auto found = context_.find(*name);
  if (found != context_.end()) return found->second;
  Value global = find_global(*name);
  return global.is_missing() ? Value::undefined(fmt::format("'{}' is undefined", *name)) : global;
}

Arguments Evaluator::arguments(const ArgumentList& list, Scope& scope) {
  Arguments out;
  for (const Argument& argument : list) {
    Value value = evaluate(*argument.value, scope);
    switch (argument.kind) {
      case Argument::Kind::kPositional:
        out.positional.push_back(std::move(value));
        break;
      case Argument::Kind::kNamed:
        out.named.emplace_back(argument.name, std::move(value));
        break;
      case Argument::Kind::kSpread:
        for (Value& item : to_values(budget, value)) out.positional.push_back(std::move(item));
        break;
      case Argument::Kind::kSpreadNamed:
        if (!value.is(Type::kDict))
          fail(fmt::format("'**' needs a dict, not {}", type_name(value)));
        for (const auto& [key, item] : value.as<Dict>().entries) {
          budget.charge(1 + out.named.size());
          if (!key.is(Type::kString)) fail("'**' needs a dict whose keys are strings");
          const std::string& name = key.text().bytes;
          for (const auto& [other, unused] : out.named) {
            if (other == name) fail(fmt::format("the argument '{}' is given twice", name));
          }
          out.named.emplace_back(name, item);
        }
    }
  }
  return out;
}

Value Evaluator::call(const Value& callee, Arguments arguments) {
  const Budget::Level level(budget);
  budget.charge(1);
  switch (callee.type()) {
    case Type::kFunction:
      return callee.as<Function>().call(*this, arguments);
    case Type::kMacro:
      return call_macro(callee.as<Macro>(), std::move(arguments));
    case Type::kUndefined:
      fail(callee.undefined_message());
    case Type::kLoop:
      refuse("calling 'loop' (a recursive for loop) is not supported");
    default:
      fail(fmt::format("a {} cannot be called", type_name(callee)));
  }
}

Value Evaluator::call_macro(const Macro& macro, Arguments arguments) {
  const MacroDefinition& definition = macro.definition;
  const auto scope = std::make_shared<Scope>(macro.scope);
  bind_arguments(budget, definition, std::move(arguments), *scope);
  for (size_t i = 0; i < definition.parameters.size(); ++i) {
    const MacroParameter& parameter = definition.parameters[i];
    if (!scope->names[i].second.is_missing()) continue;
    scope->names[i].second =
        parameter.preset
            ? evaluate(*parameter.preset, *scope)
            : Value::undefined(fmt::format("parameter '{}' was not provided", *parameter.name));
  }
  for (Symbol name : definition.body.hidden) scope->set(name, Value::missing());
  TextBuilder out(budget);
  execute(definition.body, *scope, out);
  return Value(out.take());
}

void Evaluator::assign(const Target& target, Value value, Scope& scope) {
  if (target.is_tuple) {
    if (!value.is_sequence() && length_of(value) < 0 && !value.is(Type::kIterator)) {
      fail(fmt::format("a {} cannot be unpacked", type_name(value)));
    }
    Values items = to_values(budget, value);
    if (items.size() != target.items.size()) {
      fail(fmt::format("{} values cannot be unpacked into {} names", items.size(),
                       target.items.size()));
    }
    for (size_t i = 0; i < items.size(); ++i) assign(target.items[i], std::move(items[i]), scope);
    return;
  }
  if (target.attribute.empty()) return scope.set(target.name, std::move(value));
  const Value owner = look_up(target.name, scope);
  if (!owner.is(Type::kNamespace)) {
    fail(fmt::format("'{}' is no namespace, its attributes cannot be set", *target.name));
  }
  if (target.attribute.starts_with('_')) {
    fail(fmt::format("a namespace cannot have the attribute '{}'", target.attribute));
  }
  auto& space = owner.as<Namespace>();
  space.nesting = std::max(space.nesting, nested(value.nesting()));
  set_entry(budget, space.entries, Value(target.attribute), std::move(value));
}

}  // namespace mica::jinja

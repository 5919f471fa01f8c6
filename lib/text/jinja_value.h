// Values of the template language, which are Python's: what jinja2 would hold in their place.
//
// A Value is cheap to copy. Lists, tuples, dicts and strings never change once they are made (the
// sandbox refuses append() and the like); only namespaces and loops do, and the Evaluator that made
// them breaks their cycles when it ends. How deep values are nested is bounded
// (Budget::kMaxNesting), so that every recursion over them is.
#pragma once

#include <bit>
#include <compare>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/text/jinja_text.h"

namespace mica::jinja {

class Evaluator;

enum class Type {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kNamespace,
  kRange,
  kDictView,
  kIterator,
  kFunction,
  kMacro,
  kLoop,
  kCycler
};

// What a Value of any type from kList on points to.
struct Object {
  explicit Object(Type object_type) : type(object_type) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;

  const Type type;
  int nesting = 1;  // 1 + greatest nesting of the values inside
};

class Value {
 public:
  Value() = default;  // None
  Value(std::same_as<bool> auto value) : type_(Type::kBool), bits_(value) {}
  Value(std::same_as<int64_t> auto value) : type_(Type::kInt), bits_(value) {}
  Value(std::same_as<double> auto value)
      : type_(Type::kFloat), bits_(std::bit_cast<int64_t>(value)) {}
  Value(TextPtr text)
      : type_(Type::kString), pointer_(std::const_pointer_cast<Text>(std::move(text))) {}
  Value(Text text) : type_(Type::kString), pointer_(std::make_shared<Text>(std::move(text))) {}
  Value(std::string bytes) : Value(make_text(std::move(bytes))) {}
  template <std::derived_from<Object> T>
  Value(std::shared_ptr<T> object)
      : type_(object->type), pointer_(std::shared_ptr<Object>(std::move(object))) {}

  // Any use of it but printing, iterating and testing fails with `message`.
  static Value undefined(std::string message);
  // A name that is declared but not set; never seen by the language itself.
  static Value missing();

  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }
  bool is_missing() const { return type_ == Type::kUndefined && !pointer_; }
  bool is_integral() const { return type_ == Type::kInt || type_ == Type::kBool; }
  bool is_number() const { return is_integral() || type_ == Type::kFloat; }
  bool is_sequence() const { return type_ == Type::kList || type_ == Type::kTuple; }

  // Only for values of that type.
  const std::string& undefined_message() const {
    return *static_cast<const std::string*>(pointer_.get());
  }
  int64_t as_int() const { return bits_; }  // int or bool
  double as_float() const;                  // any number
  const Text& text() const { return *static_cast<const Text*>(pointer_.get()); }
  TextPtr text_ptr() const { return std::static_pointer_cast<const Text>(pointer_); }
  std::shared_ptr<Object> object() const { return std::static_pointer_cast<Object>(pointer_); }
  template <class T>
  T& as() const {
    return static_cast<T&>(*static_cast<Object*>(pointer_.get()));
  }
  int nesting() const { return type_ >= Type::kList ? as<Object>().nesting : 0; }

 private:
  Type type_ = Type::kNone;
  int64_t bits_ = 0;               // of a bool, int or float
  std::shared_ptr<void> pointer_;  // to a Text, an Object, or an undefined value's message
};

using Values = std::vector<Value>;
using Entries = std::vector<std::pair<Value, Value>>;

struct Sequence : Object {  // list or tuple
  Sequence(Type sequence_type, Values values);
  const Values items;
  const bool is_group = false;  // of groupby: has .grouper and .list
  Sequence(Value grouper, Value list);
};

struct Dict : Object {
  explicit Dict(Entries all);
  const Entries entries;  // keys differ, in order of insertion
};

struct Namespace : Object {
  Namespace() : Object(Type::kNamespace) {}
  Entries entries;  // keys are strings
};

struct Range : Object {
  Range(int64_t first, int64_t end, int64_t by);
  int64_t at(size_t index) const {  // unsigned: the product alone may leave the range of int64_t
    return static_cast<int64_t>(static_cast<uint64_t>(start) + static_cast<uint64_t>(step) * index);
  }
  const int64_t start, stop, step;
  const int64_t count;
};

struct DictView : Object {  // keys(), values(), items()
  enum class Part { kKeys, kValues, kItems };
  DictView(std::shared_ptr<Object> of, Part which);
  const Dict& dict() const { return static_cast<const Dict&>(*dict_object); }
  Value at(size_t index) const;
  const std::shared_ptr<Object> dict_object;
  const Part part;
};

// Gives values one after another, once. What it reads from is nested one level deeper.
struct Iterator : Object {
  using Next = std::function<bool(Value&)>;  // false: no more
  Iterator(Next next_value, int source_nesting);
  const Next next;
};

struct Arguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Function : Object {
  using Call = std::function<Value(Evaluator&, Arguments&)>;
  Function(std::string function_name, Call function_call, int self_nesting = 0);
  const std::string name;
  const Call call;
};

struct Cycler : Object {
  explicit Cycler(Values values);
  const Values items;
  size_t position = 0;
};

Value make_list(Values items);
Value make_tuple(Values items);
// 1 + `inner`; fails when that is nested too deep.
int nested(int inner);

// Python's type name: "str", "NoneType", ...
std::string type_name(const Value& value);
bool truth(const Value& value);

bool equal(Budget& budget, const Value& a, const Value& b);
bool identical(const Value& a, const Value& b);
// Fails for types that have no order in Python; `op` is for the sentence. NaN is unordered.
std::partial_ordering order(Budget& budget, const Value& a, const Value& b, const char* op = "<");
bool contains(Budget& budget, const Value& container, const Value& item);

const Value* find_entry(Budget& budget, const Entries& entries, const Value& key);
const Value* find_named(Budget& budget, const Entries& entries, std::string_view key);
// Sets or replaces; fails when the key cannot be hashed.
void set_entry(Budget& budget, Entries& entries, Value key, Value value);

// len(): -1 for types that have none.
int64_t length_of(const Value& value);
std::shared_ptr<Iterator> iterate(Budget& budget, const Value& value);
Values to_values(Budget& budget, const Value& value);

// str() and repr().
TextPtr to_text(Budget& budget, const Value& value);
Text to_repr(Budget& budget, const Value& value);
std::string float_repr(double value);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool multi_line = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// json.dumps().
Text to_json(Budget& budget, const Value& value, const JsonStyle& style);

}  // namespace mica::jinja

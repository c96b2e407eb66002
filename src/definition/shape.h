// Shape<T>: how a T is written in a definition. One value both reads it from a node and describes it in JSON
// Schema, so that the parser and the schema cannot disagree about a key, a type or a limit.
//
// Shapes of single values are in scalars.h; the tables of version 1 are built from all of these in
// shapes_*.cc.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/json.h"
#include "definition/node.h"
#include "definition/reader.h"
#include "definition/yaml.h"

namespace ingot::definition {

// Collects the schemas of named objects (`$defs`), each written once however often it is used.
class SchemaWriter {
 public:
  // A reference to the named schema, which `make` writes when it is asked for the first time.
  Json Ref(const std::string& name, const std::function<JsonObject()>& make);
  JsonObject Take() && { return std::move(defs_); }

 private:
  JsonObject defs_;
};

// One bit per Node::Kind: which kinds of node can be a T.
constexpr unsigned Bit(Node::Kind kind) {
  return 1u << static_cast<unsigned>(kind);
}

// A function that is copied by sharing it: a shape stands in many tables and nests deeply, and never changes.
template <typename Signature>
class Shared;
template <typename R, typename... Args>
class Shared<R(Args...)> {
 public:
  Shared() = default;
  template <typename F>
  requires(!std::is_same_v<std::decay_t<F>, Shared> && std::is_invocable_r_v<R, F&, Args...>)
      Shared(F function)  // NOLINT(google-explicit-constructor): stands for the function
      : function_(std::make_shared<const std::function<R(Args...)>>(std::move(function))) {}
  R operator()(Args... args) const { return (*function_)(std::forward<Args>(args)...); }
  explicit operator bool() const { return function_ != nullptr; }

 private:
  std::shared_ptr<const std::function<R(Args...)>> function_;
};

template <typename T>
struct Shape {
  std::string what;  // for "expected …": "a list of names"
  unsigned kinds = Bit(Node::Kind::kScalar);
  // False when it reported a problem; then `out` is whatever could be read.
  Shared<bool(Reader&, const Node&, T& out)> read;
  Shared<Json(SchemaWriter&)> schema;
};

// A list of what `item` shapes. `minimum` items at least.
template <typename T>
Shape<std::vector<T>> ListOf(Shape<T> item, size_t minimum = 0) {
  Shape<std::vector<T>> shape;
  shape.what = "a list (of " + item.what + ")";
  shape.kinds = Bit(Node::Kind::kSequence);
  shape.read = [item, minimum, what = shape.what](Reader& reader, const Node& node, std::vector<T>& out) {
    if (node.kind != Node::Kind::kSequence) return reader.Expected(node, what);
    if (node.items.size() < minimum) return reader.Fail(node, "an empty list; expected at least one item");
    bool good = true;
    for (size_t i = 0; i < node.items.size(); ++i) {
      Reader::Inside inside(reader, i, node.items[i]->at);
      T value{};
      good &= item.read(reader, *node.items[i], value);
      out.push_back(std::move(value));
    }
    return good;
  };
  shape.schema = [item, minimum](SchemaWriter& writer) -> Json {
    JsonObject object{{"type", "array"}, {"items", item.schema(writer)}};
    if (minimum > 0) object["minItems"] = minimum;
    return object;
  };
  return shape;
}

// How the keys of a mapping from the user's own names are checked.
struct KeyRule {
  std::string what;     // "a name of lower-case letters, digits and dashes"
  std::string pattern;  // the same as a regular expression, for the schema
  bool (*good)(std::string_view);
};

// Names → T. A value that cannot be read still claims its name, so that references to it are not reported as
// well.
template <typename T>
Shape<std::map<std::string, T>> MapOf(KeyRule key, Shape<T> value, size_t most = kMaxDefinitionNodes) {
  Shape<std::map<std::string, T>> shape;
  shape.what = "a mapping";
  shape.kinds = Bit(Node::Kind::kMapping) | Bit(Node::Kind::kNull);
  shape.read = [key, value, most](Reader& reader, const Node& node, std::map<std::string, T>& out) {
    if (node.kind == Node::Kind::kNull) return true;
    if (node.kind != Node::Kind::kMapping) return reader.Expected(node, "a mapping");
    if (node.entries.size() > most)
      return reader.Fail("more than the " + std::to_string(most) + " that there may be");
    bool good = true;
    for (const Entry& entry : node.entries) {
      if (entry.key.starts_with("x-")) continue;
      if (!key.good(entry.key)) {
        good = reader.Fail(entry.at, Quoted(entry.key) + " cannot be a name here; expected " + key.what);
        continue;
      }
      Reader::Inside inside(reader, entry.key, entry.at);
      T item{};
      good &= value.read(reader, *entry.value, item);
      out.emplace(entry.key, std::move(item));
    }
    return good;
  };
  shape.schema = [key, value](SchemaWriter& writer) -> Json {
    return JsonObject{{"type", JsonArray{"object", "null"}},
                      {"patternProperties", JsonObject{{"^x-", JsonObject{}}}},
                      {"propertyNames", JsonObject{{"pattern", "(" + key.pattern + ")|^x-"}}},
                      {"additionalProperties", value.schema(writer)}};
  };
  return shape;
}

// A T made from another way to write it: the short form of a block.
template <typename T, typename U>
Shape<T> As(Shape<U> from, std::function<void(U, T&)> assign) {
  Shape<T> shape;
  shape.what = from.what;
  shape.kinds = from.kinds;
  shape.read = [from, assign](Reader& reader, const Node& node, T& out) {
    U value{};
    const bool good = from.read(reader, node, value);
    assign(std::move(value), out);
    return good;
  };
  shape.schema = from.schema;
  return shape;
}

// Either of two ways to write a T, told apart by the kind of node.
template <typename T>
Shape<T> Either(Shape<T> first, Shape<T> second) {
  Shape<T> shape;
  shape.what = first.what + " or " + second.what;
  shape.kinds = first.kinds | second.kinds;
  shape.read = [first, second, what = shape.what](Reader& reader, const Node& node, T& out) {
    if ((first.kinds & Bit(node.kind)) != 0) return first.read(reader, node, out);
    if ((second.kinds & Bit(node.kind)) != 0) return second.read(reader, node, out);
    return reader.Expected(node, what);
  };
  shape.schema = [first, second](SchemaWriter& writer) -> Json {
    return JsonObject{{"anyOf", JsonArray{first.schema(writer), second.schema(writer)}}};
  };
  return shape;
}

// The table of a block's keys. Keys that begin with x- are the user's own. Names and texts are literals: they
// are not copied.
template <typename T>
class Fields {
 public:
  // `name` is its name in the schema's $defs.
  Fields(std::string_view name, std::string_view doc) : name_(name), doc_(doc) {}

  template <typename M>
  Fields& Required(std::string_view key, M T::*member, Shape<M> shape, std::string_view doc) {
    Optional(key, member, std::move(shape), doc);
    fields_.back().required = true;
    return *this;
  }
  // `otherwise` is the default as JSON, for the schema; "" when there is none to state.
  template <typename M>
  Fields& Optional(std::string_view key, M T::*member, Shape<M> shape, std::string_view doc,
                   std::string_view otherwise = "") {
    return Add(key, doc, otherwise, shape.schema, [member, shape](Reader& reader, const Node& node, T& out) {
      return shape.read(reader, node, out.*member);
    });
  }
  template <typename M>
  Fields& Optional(std::string_view key, std::optional<M> T::*member, Shape<M> shape, std::string_view doc,
                   std::string_view otherwise = "") {
    return Add(key, doc, otherwise, shape.schema, [member, shape](Reader& reader, const Node& node, T& out) {
      return shape.read(reader, node, (out.*member).emplace());
    });
  }
  // A key whose value is part of T itself: a block without a struct of its own.
  Fields& Part(std::string_view key, Shape<T> shape, std::string_view doc, std::string_view otherwise = "") {
    return Add(key, doc, otherwise, shape.schema, shape.read);
  }

  // The key just added has to be there.
  Fields& Needed() {
    fields_.back().required = true;
    return *this;
  }
  Fields& ExactlyOneOf(std::vector<std::string> keys) {
    groups_.push_back({std::move(keys), true});
    return *this;
  }
  Fields& AtMostOneOf(std::vector<std::string> keys) {
    groups_.push_back({std::move(keys), false});
    return *this;
  }
  // `check` runs when every key was read without a problem; it reports its own.
  Fields& Check(std::function<bool(Reader&, const Node&, T&)> check) {
    check_ = std::move(check);
    return *this;
  }

  Shape<T> ToShape() const {
    Shape<T> shape;
    shape.what = "a mapping";
    shape.kinds = Bit(Node::Kind::kMapping) | Bit(Node::Kind::kNull);
    const auto self = std::make_shared<const Fields>(*this);  // of both functions
    shape.read = [self](Reader& reader, const Node& node, T& out) { return self->Read(reader, node, out); };
    shape.schema = [self](SchemaWriter& writer) -> Json {
      return writer.Ref(std::string(self->name_), [&] { return self->Schema(writer); });
    };
    return shape;
  }

 private:
  struct Field {
    std::string_view key;
    std::string_view doc;
    std::string_view otherwise;
    Shared<Json(SchemaWriter&)> schema;
    Shared<bool(Reader&, const Node&, T&)> read;
    bool required = false;
  };
  struct Group {
    std::vector<std::string> keys;
    bool one_needed;
  };

  Fields& Add(std::string_view key, std::string_view doc, std::string_view otherwise,
              Shared<Json(SchemaWriter&)> schema, Shared<bool(Reader&, const Node&, T&)> read) {
    fields_.push_back({key, doc, otherwise, std::move(schema), std::move(read)});
    return *this;
  }

  bool Read(Reader& reader, const Node& node, T& out) const {
    if (node.kind != Node::Kind::kMapping && node.kind != Node::Kind::kNull)
      return reader.Expected(node, "a mapping");
    bool good = true;
    std::vector<std::string> written;
    for (const Entry& entry : node.entries) {
      if (entry.key.starts_with("x-")) continue;
      const Field* field = Find(entry.key);
      if (field == nullptr) {
        good = reader.Fail(entry.at, UnknownKey(entry.key));
        continue;
      }
      written.push_back(entry.key);
      Reader::Inside inside(reader, entry.key, entry.at);
      good &= field->read(reader, *entry.value, out);
    }
    good &= Complete(reader, written);
    return good && (!check_ || check_(reader, node, out));
  }

  bool Complete(Reader& reader, const std::vector<std::string>& written) const;
  std::string UnknownKey(const std::string& key) const;
  JsonObject Schema(SchemaWriter& writer) const;

  const Field* Find(std::string_view key) const {
    for (const Field& field : fields_)
      if (field.key == key) return &field;
    return nullptr;
  }

  std::string_view name_;
  std::string_view doc_;
  std::vector<Field> fields_;
  std::vector<Group> groups_;
  std::function<bool(Reader&, const Node&, T&)> check_;
};

// "a, b and c" / "a, b or c".
std::string Enumerate(const std::vector<std::string>& names, std::string_view last);

template <typename T>
bool Fields<T>::Complete(Reader& reader, const std::vector<std::string>& written) const {
  const auto has = [&](std::string_view key) {
    return std::find(written.begin(), written.end(), key) != written.end();
  };
  bool good = true;
  for (const Field& field : fields_)
    if (field.required && !has(field.key))
      good = reader.Fail("missing key " + Quoted(field.key) + ": " + std::string(field.doc));
  for (const Group& group : groups_) {
    const auto count = std::count_if(group.keys.begin(), group.keys.end(), has);
    if (count > 1) good = reader.Fail("expected only one of " + Enumerate(group.keys, "and"));
    if (count == 0 && group.one_needed) good = reader.Fail("expected one of " + Enumerate(group.keys, "or"));
  }
  return good;
}

template <typename T>
std::string Fields<T>::UnknownKey(const std::string& key) const {
  std::vector<std::string> keys;
  for (const Field& field : fields_) keys.emplace_back(field.key);
  const std::string near = DidYouMean(key, keys);
  return "unknown key " + Quoted(key) + (near.empty() ? "; expected " + Enumerate(keys, "or") : near);
}

template <typename T>
JsonObject Fields<T>::Schema(SchemaWriter& writer) const {
  JsonObject properties;
  JsonArray required;
  for (const Field& field : fields_) {
    Json schema = field.schema(writer);
    JsonObject& object = schema.as_object();
    object["description"] = field.doc;
    if (!field.otherwise.empty()) object["default"] = ParseJson(field.otherwise).value_or(nullptr);
    properties[field.key] = std::move(schema);
    if (field.required) required.emplace_back(field.key);
  }
  // Nothing needed: the key alone ("local:") is the empty block.
  bool optional = required.empty();
  for (const Group& group : groups_) optional = optional && !group.one_needed;
  JsonObject object{{"description", doc_},
                    {"type", optional ? Json(JsonArray{"object", "null"}) : Json("object")},
                    {"properties", std::move(properties)},
                    {"patternProperties", JsonObject{{"^x-", JsonObject{}}}},
                    {"additionalProperties", false}};
  if (!required.empty()) object["required"] = std::move(required);
  JsonArray rules;
  for (const Group& group : groups_) {
    JsonArray choices;
    for (const std::string& key : group.keys) choices.push_back(JsonObject{{"required", JsonArray{key}}});
    if (!group.one_needed) choices.push_back(JsonObject{{"not", JsonObject{{"anyOf", choices}}}});
    rules.push_back(JsonObject{{"oneOf", std::move(choices)}});
  }
  if (!rules.empty()) object["allOf"] = std::move(rules);
  return object;
}

}  // namespace ingot::definition

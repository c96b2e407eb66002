#include "base/json.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>
#include <vector>

namespace ingot {

namespace json = boost::json;

Result<Json> ParseJson(std::string_view text) {
  json::stream_parser parser({}, [] {
    json::parse_options options;
    options.max_depth = 64;
    return options;
  }());
  json::error_code ec;
  const size_t used = parser.write_some(text.data(), text.size(), ec);
  if (!ec && used < text.size() && text.find_first_not_of(" \t\r\n", used) != std::string_view::npos)
    return Error(Code::kInvalid, "not JSON: extra text at byte " + std::to_string(used));
  if (!ec) parser.finish(ec);
  if (ec) return Error(Code::kInvalid, "not JSON at byte " + std::to_string(used) + ": " + ec.message());
  return parser.release();
}

namespace {

void Canonical(const Json& value, std::string& out) {
  switch (value.kind()) {
    case json::kind::object: {
      const JsonObject& object = value.get_object();
      std::vector<const JsonObject::value_type*> members;
      members.reserve(object.size());
      for (const auto& member : object) members.push_back(&member);
      std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) {
        return std::string_view(a->key()) < std::string_view(b->key());
      });
      out += '{';
      for (size_t i = 0; i < members.size(); ++i) {
        if (i > 0) out += ',';
        out += json::serialize(json::string_view(members[i]->key()));
        out += ':';
        Canonical(members[i]->value(), out);
      }
      out += '}';
      return;
    }
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const Json& item : value.get_array()) {
        if (!first) out += ',';
        first = false;
        Canonical(item, out);
      }
      out += ']';
      return;
    }
    default:
      out += json::serialize(value);
  }
}

void Pretty(const Json& value, std::string& out, size_t depth) {
  const std::string indent(2 * (depth + 1), ' ');
  const std::string closing(2 * depth, ' ');
  if (const JsonObject* object = value.if_object(); object != nullptr && !object->empty()) {
    out += "{\n";
    bool first = true;
    for (const auto& member : *object) {
      if (!first) out += ",\n";
      first = false;
      out += indent + json::serialize(json::string_view(member.key())) + ": ";
      Pretty(member.value(), out, depth + 1);
    }
    out += "\n" + closing + "}";
  } else if (const JsonArray* array = value.if_array(); array != nullptr && !array->empty()) {
    out += "[\n";
    bool first = true;
    for (const Json& item : *array) {
      if (!first) out += ",\n";
      first = false;
      out += indent;
      Pretty(item, out, depth + 1);
    }
    out += "\n" + closing + "]";
  } else {
    out += json::serialize(value);
  }
}

Error WrongType(std::string_view key, std::string_view expected) {
  return Error(Code::kInvalid, std::string(key) + ": expected " + std::string(expected));
}

}  // namespace

std::string RenderCanonical(const Json& value) {
  std::string out;
  Canonical(value, out);
  return out;
}

std::string RenderJson(const Json& value) {
  return json::serialize(value);
}

std::string RenderPretty(const Json& value) {
  std::string out;
  Pretty(value, out, 0);
  return out;
}

Result<std::string> GetString(const JsonObject& object, std::string_view key) {
  const Json* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return WrongType(key, "a string");
  return std::string(value->get_string());
}

Result<int64_t> GetInt(const JsonObject& object, std::string_view key) {
  const Json* value = object.if_contains(key);
  if (value != nullptr && value->is_int64()) return value->get_int64();
  if (value != nullptr && value->is_uint64() && value->get_uint64() <= INT64_MAX)
    return static_cast<int64_t>(value->get_uint64());
  return WrongType(key, "an integer");
}

Result<bool> GetBool(const JsonObject& object, std::string_view key) {
  const Json* value = object.if_contains(key);
  if (value == nullptr || !value->is_bool()) return WrongType(key, "true or false");
  return value->get_bool();
}

Result<const JsonObject*> GetObject(const JsonObject& object, std::string_view key) {
  const Json* value = object.if_contains(key);
  if (value == nullptr || !value->is_object()) return WrongType(key, "an object");
  return &value->get_object();
}

Result<const JsonArray*> GetArray(const JsonObject& object, std::string_view key) {
  const Json* value = object.if_contains(key);
  if (value == nullptr || !value->is_array()) return WrongType(key, "an array");
  return &value->get_array();
}

std::string StringOr(const JsonObject& object, std::string_view key, std::string_view otherwise) {
  const Json* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return std::string(otherwise);
  return std::string(value->get_string());
}

int64_t IntOr(const JsonObject& object, std::string_view key, int64_t otherwise) {
  return GetInt(object, key).value_or(otherwise);
}

bool BoolOr(const JsonObject& object, std::string_view key, bool otherwise) {
  return GetBool(object, key).value_or(otherwise);
}

}  // namespace ingot

// Reading: a member of a JSON document that comes from outside, checked on the way in. For resolved_json.cc
// and rules_json.cc.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"
#include "definition/problem.h"

namespace ingot::definition {

inline constexpr int64_t kMostMs = 100LL * 366 * 24 * 3600 * 1000;
inline constexpr int64_t kMostBytes = int64_t{1} << 60;

inline bool IsAnything(std::string_view text) {
  return text.find('\0') == std::string_view::npos;
}
template <bool (*kGood)(std::string_view)>
bool OrEmpty(std::string_view text) {
  return text.empty() || kGood(text);
}

// One JSON object being read; errors name the member by its whole path.
class Reading {
 public:
  static Result<Reading> Of(const Json& json, std::string path) {
    if (!json.is_object()) return Error(Code::kInvalid, path + ": expected an object");
    return Reading(json.get_object(), std::move(path));
  }

  Error Bad(std::string_view key, std::string_view expected) const {
    return Error(Code::kInvalid, path_ + (path_.empty() ? "" : ".") + std::string(key) + ": expected " +
                                     std::string(expected));
  }

  Result<std::string> Text(std::string_view key, bool (*good)(std::string_view) = IsAnything) const {
    const Result<std::string> text = GetString(object_, key);
    if (!text) return Bad(key, "a string");
    if (!IsAnything(*text) || !good(*text)) return Bad(key, "another value than " + Quoted(*text));
    return text;
  }

  Result<int64_t> Int(std::string_view key, int64_t least, int64_t most) const {
    const Result<int64_t> value = GetInt(object_, key);
    if (!value || *value < least || *value > most)
      return Bad(key, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
    return value;
  }

  Result<Milliseconds> Ms(std::string_view key) const { return Milliseconds(TRY(Int(key, 0, kMostMs))); }
  Result<uint16_t> Port(std::string_view key) const { return static_cast<uint16_t>(TRY(Int(key, 1, 65535))); }

  Result<bool> Bool(std::string_view key) const {
    const Result<bool> value = GetBool(object_, key);
    if (!value) return Bad(key, "true or false");
    return value;
  }

  template <typename E>
  Result<E> OneOf(std::string_view key, std::initializer_list<std::pair<std::string_view, E>> words) const {
    const std::string text = TRY(Text(key));
    for (const auto& [name, value] : words)
      if (name == text) return value;
    return Bad(key, "another value than " + Quoted(text));
  }

  Result<Reading> Object(std::string_view key) const {
    const Json* value = object_.if_contains(key);
    if (value == nullptr) return Bad(key, "an object");
    return Of(*value, path_ + (path_.empty() ? "" : ".") + std::string(key));
  }

  // Each object of an array.
  template <typename T>
  Result<std::vector<T>> List(std::string_view key, Result<T> (*one)(const Reading&)) const {
    const Result<const JsonArray*> array = GetArray(object_, key);
    if (!array || (*array)->size() > 10'000) return Bad(key, "a list");
    std::vector<T> out;
    for (size_t i = 0; i < (*array)->size(); ++i) {
      const std::string path =
          path_ + (path_.empty() ? "" : ".") + std::string(key) + "[" + std::to_string(i) + "]";
      out.push_back(TRY(one(TRY(Of((**array)[i], path)))));
    }
    return out;
  }

  Result<std::vector<std::string>> Texts(std::string_view key,
                                         bool (*good)(std::string_view) = IsAnything) const {
    const Result<const JsonArray*> array = GetArray(object_, key);
    if (!array) return Bad(key, "a list");
    std::vector<std::string> out;
    for (const Json& item : **array) {
      if (!item.is_string() || !IsAnything(item.get_string()) || !good(item.get_string()))
        return Bad(key, "a list of fitting strings");
      out.emplace_back(item.get_string());
    }
    return out;
  }

  Result<std::map<std::string, std::string>> Map(std::string_view key,
                                                 bool (*good_key)(std::string_view)) const {
    const Result<const JsonObject*> object = GetObject(object_, key);
    if (!object) return Bad(key, "an object");
    std::map<std::string, std::string> out;
    for (const auto& member : **object) {
      if (!good_key(member.key()) || !member.value().is_string() || !IsAnything(member.value().get_string()))
        return Bad(key, "names with string values");
      out.emplace(member.key(), member.value().get_string());
    }
    return out;
  }

  // Names → durations.
  Result<std::map<std::string, Milliseconds>> MsMap(std::string_view key,
                                                    bool (*good_key)(std::string_view)) const {
    const Reading inside = TRY(Object(key));
    std::map<std::string, Milliseconds> out;
    for (const auto& member : inside.object_) {
      if (!good_key(member.key())) return Bad(key, "other names than " + Quoted(member.key()));
      out.emplace(member.key(), TRY(inside.Ms(member.key())));
    }
    return out;
  }

  // Names → objects.
  template <typename T>
  Result<std::map<std::string, T>> MapOf(std::string_view key, bool (*good_key)(std::string_view),
                                         Result<T> (*one)(const Reading&)) const {
    const Result<const JsonObject*> object = GetObject(object_, key);
    if (!object) return Bad(key, "an object");
    std::map<std::string, T> out;
    for (const auto& member : **object) {
      if (!good_key(member.key())) return Bad(key, "other names than " + Quoted(member.key()));
      const std::string path = path_ + "." + std::string(key) + "." + std::string(member.key());
      out.emplace(member.key(), TRY(one(TRY(Of(member.value(), path)))));
    }
    return out;
  }

  bool Has(std::string_view key) const { return object_.contains(key); }
  bool IsObject(std::string_view key) const {
    const Json* value = object_.if_contains(key);
    return value != nullptr && value->is_object();
  }

 private:
  Reading(const JsonObject& object, std::string path) : object_(object), path_(std::move(path)) {}
  const JsonObject& object_;
  std::string path_;
};

}  // namespace ingot::definition

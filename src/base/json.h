// JSON values: Boost.JSON behind Result and one canonical form.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot {

using Json = boost::json::value;
using JsonObject = boost::json::object;
using JsonArray = boost::json::array;

// One JSON document (RFC 8259), at most 64 levels deep. kInvalid with the byte position.
Result<Json> ParseJson(std::string_view text);

// Canonical form: keys sorted by bytes, no white space, no duplicate keys; integers as integers. Equal values
// give equal bytes, so its SHA-256 is an identity (RFC 8785 for the values Ingot uses: objects, arrays,
// strings, integers, booleans, null).
std::string RenderCanonical(const Json& value);
// As written (key order kept), on one line.
std::string RenderJson(const Json& value);
// Indented by two spaces, for people.
std::string RenderPretty(const Json& value);

// Typed access to a member of an object. kInvalid names the key: "image.size: expected an integer".
Result<std::string> GetString(const JsonObject& object, std::string_view key);
Result<int64_t> GetInt(const JsonObject& object, std::string_view key);
Result<bool> GetBool(const JsonObject& object, std::string_view key);
Result<const JsonObject*> GetObject(const JsonObject& object, std::string_view key);
Result<const JsonArray*> GetArray(const JsonObject& object, std::string_view key);
// The value, or `otherwise` when the key is missing, null or of another type.
std::string StringOr(const JsonObject& object, std::string_view key, std::string_view otherwise);
int64_t IntOr(const JsonObject& object, std::string_view key, int64_t otherwise);
bool BoolOr(const JsonObject& object, std::string_view key, bool otherwise);

}  // namespace ingot

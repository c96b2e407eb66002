// Members of OCI documents with the messages and limits that all of them share. Internal to oci/.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "oci/digest.h"

namespace ingot::oci {

// The object's members by name; an absent member and null are the same, as Docker writes null freely.
// `where` ("config.Labels") begins the messages, all kInvalid.
class Fields {
 public:
  // kInvalid when `json` is not an object.
  static Result<Fields> Of(const Json& json, std::string where);

  // nullptr when absent.
  const Json* Find(std::string_view key) const;
  std::string Where(std::string_view key) const;

  Result<std::string> Text(std::string_view key) const;  // "" when absent
  Result<std::string> RequiredText(std::string_view key) const;
  Result<bool> Flag(std::string_view key) const;        // false when absent
  Result<int64_t> Integer(std::string_view key) const;  // 0 when absent
  Result<uint64_t> RequiredSize(std::string_view key) const;
  Result<Digest> RequiredDigest(std::string_view key) const;
  // At most 65,536 items.
  Result<std::vector<std::string>> TextList(std::string_view key) const;
  Result<std::map<std::string, std::string>> TextMap(std::string_view key) const;
  // The keys of an object whose values are objects (a set, as Go programs write it).
  Result<std::set<std::string>> KeySet(std::string_view key) const;
  Result<const JsonArray*> List(std::string_view key) const;  // nullptr when absent
  // "" or an RFC 3339 time, as written.
  Result<std::string> Time(std::string_view key) const;

 private:
  Fields(const JsonObject* object, std::string where) : object_(object), where_(std::move(where)) {}
  Error Wrong(std::string_view key, std::string_view expected) const;
  const JsonObject* object_;
  std::string where_;
};

// Adds the member unless the value is empty.
void AddText(JsonObject& object, std::string_view key, const std::string& value);
void AddList(JsonObject& object, std::string_view key, const std::vector<std::string>& values);
JsonArray RenderList(const std::vector<std::string>& values);

// The document must be a JSON object of at most `limit_bytes`.
Result<Json> ParseDocument(std::string_view bytes, size_t limit_bytes, std::string_view what);

}  // namespace ingot::oci

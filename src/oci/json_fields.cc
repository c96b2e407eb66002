#include "oci/json_fields.h"

#include <limits>

namespace ingot::oci {
namespace {

constexpr size_t kMaxItems = 65'536;

bool Digits(std::string_view text, size_t from, size_t count) {
  if (text.size() < from + count) return false;
  for (size_t i = from; i < from + count; ++i)
    if (text[i] < '0' || text[i] > '9') return false;
  return true;
}

// RFC 3339 section 5.6, by shape.
bool IsTime(std::string_view text) {
  if (!Digits(text, 0, 4) || !Digits(text, 5, 2) || !Digits(text, 8, 2) || !Digits(text, 11, 2) ||
      !Digits(text, 14, 2) || !Digits(text, 17, 2)) {
    return false;
  }
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') || text[13] != ':' ||
      text[16] != ':') {
    return false;
  }
  text.remove_prefix(19);
  if (text.starts_with('.')) {
    const size_t end = text.find_first_not_of("0123456789", 1);
    if (end == 1 || end == std::string_view::npos) return false;
    text.remove_prefix(end);
  }
  if (text == "Z" || text == "z") return true;
  return text.size() == 6 && (text[0] == '+' || text[0] == '-') && Digits(text, 1, 2) && text[3] == ':' &&
         Digits(text, 4, 2);
}

}  // namespace

Result<Fields> Fields::Of(const Json& json, std::string where) {
  const JsonObject* object = json.if_object();
  if (object == nullptr)
    return Error(Code::kInvalid, (where.empty() ? "the document" : where) + ": expected a JSON object");
  return Fields(object, std::move(where));
}

const Json* Fields::Find(std::string_view key) const {
  const Json* member = object_->if_contains(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

std::string Fields::Where(std::string_view key) const {
  return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
}

Error Fields::Wrong(std::string_view key, std::string_view expected) const {
  return Error(Code::kInvalid, Where(key) + ": " +
                                   (Find(key) == nullptr ? "missing; expected " : "expected ") +
                                   std::string(expected));
}

Result<std::string> Fields::Text(std::string_view key) const {
  const Json* member = Find(key);
  if (member == nullptr) return std::string();
  if (!member->is_string()) return Wrong(key, "a string");
  return std::string(member->get_string());
}

Result<std::string> Fields::RequiredText(std::string_view key) const {
  std::string text = TRY(Text(key));
  if (text.empty()) return Wrong(key, "a string that is not empty");
  return text;
}

Result<bool> Fields::Flag(std::string_view key) const {
  const Json* member = Find(key);
  if (member == nullptr) return false;
  if (!member->is_bool()) return Wrong(key, "true or false");
  return member->get_bool();
}

Result<int64_t> Fields::Integer(std::string_view key) const {
  const Json* member = Find(key);
  if (member == nullptr) return int64_t{0};
  if (!member->is_int64()) return Wrong(key, "an integer of 64 bits");
  return member->get_int64();
}

Result<uint64_t> Fields::RequiredSize(std::string_view key) const {
  const Json* member = Find(key);
  if (member == nullptr || !member->is_int64() || member->get_int64() < 0)
    return Wrong(key, "a size in bytes, 0 to 2^63 - 1");
  return static_cast<uint64_t>(member->get_int64());
}

Result<Digest> Fields::RequiredDigest(std::string_view key) const {
  auto digest = Digest::Parse(TRY(RequiredText(key)));
  if (!digest) return Error(Code::kInvalid, Where(key) + ": " + digest.error().message());
  return digest;
}

Result<const JsonArray*> Fields::List(std::string_view key) const {
  const Json* member = Find(key);
  if (member == nullptr) return static_cast<const JsonArray*>(nullptr);
  if (!member->is_array()) return Wrong(key, "a list");
  if (member->get_array().size() > kMaxItems) return Wrong(key, "at most 65536 items");
  return &member->get_array();
}

Result<std::vector<std::string>> Fields::TextList(std::string_view key) const {
  std::vector<std::string> list;
  const JsonArray* items = TRY(List(key));
  if (items == nullptr) return list;
  for (const Json& item : *items) {
    if (!item.is_string()) return Wrong(key, "a list of strings");
    list.emplace_back(item.get_string());
  }
  return list;
}

Result<std::map<std::string, std::string>> Fields::TextMap(std::string_view key) const {
  std::map<std::string, std::string> map;
  const Json* member = Find(key);
  if (member == nullptr) return map;
  if (!member->is_object()) return Wrong(key, "an object of strings");
  if (member->get_object().size() > kMaxItems) return Wrong(key, "at most 65536 members");
  for (const auto& item : member->get_object()) {
    if (!item.value().is_string()) return Wrong(key, "an object of strings");
    map.emplace(item.key(), item.value().get_string());
  }
  return map;
}

Result<std::set<std::string>> Fields::KeySet(std::string_view key) const {
  std::set<std::string> set;
  const Json* member = Find(key);
  if (member == nullptr) return set;
  if (!member->is_object()) return Wrong(key, "an object of empty objects");
  if (member->get_object().size() > kMaxItems) return Wrong(key, "at most 65536 members");
  for (const auto& item : member->get_object()) {
    if (!item.value().is_object() && !item.value().is_null()) return Wrong(key, "an object of empty objects");
    set.emplace(item.key());
  }
  return set;
}

Result<std::string> Fields::Time(std::string_view key) const {
  std::string text = TRY(Text(key));
  if (!text.empty() && !IsTime(text)) return Wrong(key, "an RFC 3339 time such as 2024-05-01T12:00:00Z");
  return text;
}

void AddText(JsonObject& object, std::string_view key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}

JsonArray RenderList(const std::vector<std::string>& values) {
  JsonArray list;
  list.reserve(values.size());
  for (const std::string& value : values) list.emplace_back(value);
  return list;
}

void AddList(JsonObject& object, std::string_view key, const std::vector<std::string>& values) {
  if (!values.empty()) object[key] = RenderList(values);
}

Result<Json> ParseDocument(std::string_view bytes, size_t limit_bytes, std::string_view what) {
  if (bytes.size() > limit_bytes) {
    return Error(Code::kInvalid, std::string(what) + " of " + std::to_string(bytes.size()) +
                                     " bytes; at most " + std::to_string(limit_bytes) + " are accepted");
  }
  auto json = ParseJson(bytes);
  if (!json) return std::move(json).error().While("reading " + std::string(what));
  return json;
}

}  // namespace ingot::oci

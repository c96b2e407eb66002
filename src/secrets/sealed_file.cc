#include "secrets/sealed_file.h"

#include <algorithm>

#include "base/json.h"

namespace ingot::secrets {

namespace {

constexpr int64_t kFormat = 1;
constexpr size_t kMostAboutBytes = 4096;
constexpr size_t kMostByBytes = 1000;

std::string BoundOf(std::string_view about, std::string_view name) {
  return "ingot secret\n" + std::string(about) + "\n" + std::string(name);
}

Error Damaged(std::string_view what) {
  return Error(Code::kCorrupt, "it is no sealed secret: " + std::string(what));
}

// Without its end of line.
Result<std::string_view> AboutLine(std::string_view file) {
  const size_t end = file.substr(0, kMostAboutBytes).find('\n');
  if (end == std::string_view::npos) return Damaged("its first line is missing");
  return file.substr(0, end);
}

}  // namespace

Result<std::string> RenderSealed(const Key& key, std::string_view name, SealedAbout about,
                                 std::string_view bytes) {
  if (about.by.size() > kMostByBytes) return Error(Code::kInvalid, "the name of who sets it is too long");
  const std::string line = RenderCanonical(JsonObject{{"ingot_secret", kFormat},
                                                      {"key", key.id},
                                                      {"order", about.order},
                                                      {"set", RenderTime(about.set)},
                                                      {"by", about.by}});
  return line + "\n" + TRY(SealBytes(key.bytes.text(), BoundOf(line, name), bytes));
}

Result<SealedAbout> ReadSealedAbout(std::string_view file) {
  auto json = ParseJson(TRY(AboutLine(file)));
  if (!json || !json->is_object()) return Damaged("its first line is no JSON object");
  const JsonObject& object = json->get_object();
  const int64_t format = IntOr(object, "ingot_secret", 0);
  if (format > kFormat)
    return Error(Code::kUnsupported,
                 "it was written by a newer version (format " + std::to_string(format) + ")");
  SealedAbout about;
  about.key = StringOr(object, "key", "");
  const int64_t order = IntOr(object, "order", -1);
  auto set = ParseTime(StringOr(object, "set", ""));
  if (format < 1 || about.key.empty() || order < 0 || !set) return Damaged("its first line lacks members");
  about.order = static_cast<uint64_t>(order);
  about.set = *set;
  about.by = StringOr(object, "by", "");
  return about;
}

Result<SecretText> OpenSealedFile(const KeyRing& ring, std::string_view name, std::string_view file) {
  const SealedAbout about = TRY(ReadSealedAbout(file));
  const Key* key = ring.Find(about.key);
  if (key == nullptr)
    return Error(Code::kNotFound, "it is sealed by the key " + about.key.substr(0, 64) +
                                      ", and the keys here are " + ring.Ids());
  const std::string_view line = TRY(AboutLine(file));
  return SecretText(TRY(OpenSealed(key->bytes.text(), BoundOf(line, name), file.substr(line.size() + 1))));
}

}  // namespace ingot::secrets

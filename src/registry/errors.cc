#include "registry/errors.h"

#include "base/json.h"

namespace ingot::registry {
namespace {

struct CodeRow {
  std::string_view name;
  int status;
};

// In the order of ErrorCode.
constexpr CodeRow kCodeRows[] = {
    {"BLOB_UNKNOWN", 404},     {"BLOB_UPLOAD_INVALID", 400},   {"BLOB_UPLOAD_UNKNOWN", 404},
    {"DIGEST_INVALID", 400},   {"MANIFEST_BLOB_UNKNOWN", 404}, {"MANIFEST_INVALID", 400},
    {"MANIFEST_UNKNOWN", 404}, {"NAME_INVALID", 400},          {"NAME_UNKNOWN", 404},
    {"SIZE_INVALID", 400},     {"UNAUTHORIZED", 401},          {"DENIED", 403},
    {"UNSUPPORTED", 405},      {"TOOMANYREQUESTS", 429},
};

constexpr size_t kMostMessageBytes = 1000;

// A message may quote what a client has sent, and that need not be text.
std::string Printable(std::string_view message) {
  std::string text(message.substr(0, kMostMessageBytes));
  for (char& c : text)
    if (c < ' ' || c > '~') c = c == '\n' ? ' ' : '?';
  return text;
}

Response ErrorDocument(int status, std::string_view code, std::string_view message) {
  Response response;
  response.status = status;
  response.With("Content-Type", "application/json");
  response.text = RenderJson(
      JsonObject{{"errors", JsonArray{JsonObject{{"code", code}, {"message", Printable(message)}}}}});
  return response;
}

}  // namespace

std::string_view ErrorCodeName(ErrorCode code) {
  return kCodeRows[static_cast<size_t>(code)].name;
}

Response ErrorAnswer(ErrorCode code, std::string_view message) {
  return ErrorAnswer(kCodeRows[static_cast<size_t>(code)].status, code, message);
}

Response ErrorAnswer(int status, ErrorCode code, std::string_view message) {
  return ErrorDocument(status, ErrorCodeName(code), message);
}

Response ErrorAnswer(const Error& error) {
  int status = 500;
  if (error.code() == Code::kNoSpace) status = 507;
  if (error.code() == Code::kConflict) status = 503;
  return ErrorDocument(status, "UNKNOWN", error.Render());
}

}  // namespace ingot::registry

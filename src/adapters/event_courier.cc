#include "adapters/event_courier.h"

#include <algorithm>

#include "base/password.h"
#include "base/subprocess.h"
#include "oci/base64.h"

namespace ingot::adapters {
namespace {

constexpr auto kCommandTime = std::chrono::seconds(30);
constexpr std::string_view kEncodedSecret = "whsec_";

}  // namespace

std::string SignWebhook(std::string_view secret, std::string_view id, std::string_view seconds,
                        std::string_view body) {
  while (secret.ends_with('\n')) secret.remove_suffix(1);
  std::string key(secret);
  if (secret.starts_with(kEncodedSecret))
    if (auto bytes = oci::ParseBase64(secret.substr(kEncodedSecret.size()))) key = *bytes;
  std::string signed_text;
  signed_text.append(id).append(".").append(seconds).append(".").append(body);
  return "v1," + oci::RenderBase64(HmacSha256(key, signed_text));
}

Result<void> EventCourier::Deliver(const observe::Subscriber& to, const audit::Event& event,
                                   const std::string& payload) {
  return to.to.webhook.empty() ? RunCommand(to, payload) : Post(to, event, payload);
}

Result<void> EventCourier::RunCommand(const observe::Subscriber& to, const std::string& payload) {
  Command command;
  command.argv = to.to.command;
  command.cwd = "/";
  command.new_session = true;
  TRY(RunChecked(std::move(command), kCommandTime, payload + "\n"));
  return {};
}

Result<void> EventCourier::Post(const observe::Subscriber& to, const audit::Event& event,
                                const std::string& payload) {
  registry::ClientRequest request;
  request.url = TRY(registry::ClientUrl::Parse(to.to.webhook));
  request.method = "POST";
  request.cancelled = &stopping_;
  // The same at each attempt, so that who was told twice can know.
  const std::string id = "evt_" + event.hash.substr(0, 32);
  const std::string seconds = std::to_string(
      std::chrono::duration_cast<std::chrono::seconds>(clock_.Now().time_since_epoch()).count());
  request.headers = {
      {"Content-Type", "application/json"}, {"webhook-id", id}, {"webhook-timestamp", seconds}};
  if (!to.to.secret.empty())
    request.headers.emplace_back("webhook-signature", SignWebhook(TRY(secret_(to)), id, seconds, payload));
  registry::ClientUpload upload;
  upload.size_bytes = payload.size();
  upload.read = [rest = std::string_view(payload)](char* buffer, size_t size) mutable -> Result<size_t> {
    const size_t n = rest.copy(buffer, size);
    rest.remove_prefix(n);
    return n;
  };
  request.upload = std::move(upload);
  const registry::ClientResponse response = TRY(
      http_.Send(request, [](const registry::ClientResponse&, std::string_view) { return Result<void>(); }));
  if (response.status >= 200 && response.status < 300) return {};
  return Error(Code::kUnavailable, to.to.webhook + " answered " + std::to_string(response.status));
}

}  // namespace ingot::adapters

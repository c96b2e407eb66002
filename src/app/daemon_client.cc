#include "app/daemon_client.h"

#include <array>
#include <optional>

#include "app/project.h"
#include "app/remote_host.h"

namespace ingot::app {

std::string EnvironmentPath(const std::string& project, const std::string& environment,
                            const std::string& rest) {
  return "/v1/projects/" + adapters::PercentEncode(project) + "/environments/" +
         adapters::PercentEncode(environment) + rest;
}

Json ErrorToJson(const Error& error) {
  return JsonObject{{"error", JsonObject{{"code", CodeName(error.code())}, {"message", error.Render()}}}};
}

Error ErrorFromJson(const Json& json) {
  static constexpr std::array kCodes = {
      Code::kInvalid,     Code::kNotFound,    Code::kExists,  Code::kConflict,   Code::kRefused,
      Code::kUnsupported, Code::kTimeout,     Code::kNoSpace, Code::kPermission, Code::kCorrupt,
      Code::kFailed,      Code::kUnavailable, Code::kIo,      Code::kInternal,   Code::kCancelled};
  const JsonObject* object = json.if_object();
  const Json* member = object == nullptr ? nullptr : object->if_contains("error");
  const JsonObject* error = member == nullptr ? nullptr : member->if_object();
  if (error == nullptr)
    return Error(Code::kInternal, "the daemon answered without a reason: " + RenderJson(json));
  const std::string name = StringOr(*error, "code", "internal");
  Code code = Code::kInternal;
  for (const Code candidate : kCodes)
    if (CodeName(candidate) == name) code = candidate;
  return Error(code, StringOr(*error, "message", "the daemon gave no message"));
}

DaemonClient::DaemonClient(const Layout& layout) : http_(layout.socket()) {}
DaemonClient::DaemonClient(const Invocation& invocation) : http_(invocation.layout().socket()) {
  if (invocation.environment != "local") undecided_ = std::make_unique<Invocation>(invocation);
}
DaemonClient::DaemonClient(DaemonClient&&) noexcept = default;
DaemonClient::~DaemonClient() = default;

Result<RemoteHost*> DaemonClient::Remote() {
  if (undecided_) {
    // As ProjectName: a rollback must not wait until a definition that is being edited is valid again.
    const definition::Parsed parsed = TRY(ParseProject(*undecided_));
    const auto found = parsed.hosts.find(undecided_->environment);
    if (found != parsed.hosts.end()) remote_ = TRY(RemoteHost::Open(found->second));
    undecided_.reset();
  }
  return remote_.get();
}

Result<adapters::HttpAnswer> DaemonClient::Checked(std::string_view method, const std::string& target,
                                                   std::string_view body,
                                                   const std::function<bool(std::string_view)>& on_line) {
  RemoteHost* const remote = TRY(Remote());
  return Understood(TRY(remote != nullptr ? remote->Call(method, target, body, on_line)
                                          : http_.Call(method, target, body, on_line)));
}

Result<adapters::HttpAnswer> DaemonClient::Understood(adapters::HttpAnswer answer) {
  if (answer.status >= 200 && answer.status < 300) return answer;
  auto json = ParseJson(answer.body);
  if (!json)
    return Error(Code::kInternal,
                 "the daemon answered " + std::to_string(answer.status) + ": " + answer.body.substr(0, 300));
  return ErrorFromJson(*json);
}

Result<std::string> DaemonClient::CallRaw(std::string_view method, const std::string& target,
                                          std::string_view body) {
  return TRY(Checked(method, target, body, {})).body;
}

Result<Json> DaemonClient::Call(std::string_view method, const std::string& target, const Json* body) {
  const std::string answer =
      TRY(CallRaw(method, target, body == nullptr ? std::string() : RenderJson(*body)));
  return ParseJson(answer.empty() ? "null" : answer);
}

namespace {

// What has begun can only say in its last line that it failed.
std::function<bool(std::string_view)> NoteFailure(const std::function<bool(std::string_view)>& on_line,
                                                  std::optional<Error>& broke) {
  return [&on_line, &broke](std::string_view line) {
    if (line.starts_with("{\"error\":"))
      if (auto json = ParseJson(line)) broke = ErrorFromJson(*json);
    return broke || on_line(line);
  };
}

}  // namespace

Result<void> DaemonClient::Stream(std::string_view method, const std::string& target, std::string_view body,
                                  const std::function<bool(std::string_view)>& on_line) {
  std::optional<Error> broke;
  TRY(Checked(method, target, body, NoteFailure(on_line, broke)));
  if (broke) return std::move(*broke);
  return {};
}

Result<void> DaemonClient::Send(const std::string& target, uint64_t size_bytes, ByteSource body,
                                const std::function<bool(std::string_view)>& on_line) {
  RemoteHost* const remote = TRY(Remote());
  if (remote == nullptr) return Error(Code::kInternal, "files are sent to another host only");
  std::optional<Error> broke;
  TRY(Understood(TRY(remote->Send("POST", target, {size_bytes, std::move(body)},
                                  on_line ? NoteFailure(on_line, broke) : on_line))));
  if (broke) return std::move(*broke);
  return {};
}

}  // namespace ingot::app

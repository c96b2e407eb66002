#include "oci/image_config.h"

#include "oci/json_fields.h"

namespace ingot::oci {
namespace {

constexpr size_t kMaxConfigBytes = 8 << 20;

// A list that may be absent, which is not the same as empty.
Result<std::optional<std::vector<std::string>>> OptionalList(const Fields& fields, std::string_view key) {
  if (fields.Find(key) == nullptr) return std::optional<std::vector<std::string>>();
  return std::make_optional(TRY(fields.TextList(key)));
}

Result<Healthcheck> ParseHealthcheck(const Json& json, std::string where) {
  const Fields fields = TRY(Fields::Of(json, std::move(where)));
  Healthcheck check;
  check.test = TRY(fields.TextList("Test"));
  check.interval_ns = TRY(fields.Integer("Interval"));
  check.timeout_ns = TRY(fields.Integer("Timeout"));
  check.start_period_ns = TRY(fields.Integer("StartPeriod"));
  check.retries = TRY(fields.Integer("Retries"));
  for (const int64_t number : {check.interval_ns, check.timeout_ns, check.start_period_ns, check.retries}) {
    if (number < 0) return Error(Code::kInvalid, fields.Where("Interval") + ": expected no negative number");
  }
  return check;
}

Result<RunConfig> ParseRunConfig(const Json& json) {
  const Fields fields = TRY(Fields::Of(json, "config"));
  RunConfig config;
  config.user = TRY(fields.Text("User"));
  config.exposed_ports = TRY(fields.KeySet("ExposedPorts"));
  config.env = TRY(fields.TextList("Env"));
  for (const std::string& entry : config.env) {
    // "NAME" alone is a name with an empty value to some runtimes and nothing to others.
    if (entry.find('=') == std::string::npos || entry[0] == '=' || entry.find('\0') != std::string::npos)
      return Error(Code::kInvalid, "config.Env: expected NAME=value, not \"" + entry.substr(0, 100) + "\"");
  }
  config.entrypoint = TRY(OptionalList(fields, "Entrypoint"));
  config.cmd = TRY(OptionalList(fields, "Cmd"));
  config.volumes = TRY(fields.KeySet("Volumes"));
  config.working_dir = TRY(fields.Text("WorkingDir"));
  config.labels = TRY(fields.TextMap("Labels"));
  config.stop_signal = TRY(fields.Text("StopSignal"));
  if (const Json* check = fields.Find("Healthcheck"))
    config.healthcheck = TRY(ParseHealthcheck(*check, "config.Healthcheck"));
  config.shell = TRY(fields.TextList("Shell"));
  config.on_build = TRY(fields.TextList("OnBuild"));
  return config;
}

Result<HistoryEntry> ParseHistory(const Json& json, std::string where) {
  const Fields fields = TRY(Fields::Of(json, std::move(where)));
  HistoryEntry entry;
  entry.created = TRY(fields.Time("created"));
  entry.author = TRY(fields.Text("author"));
  entry.created_by = TRY(fields.Text("created_by"));
  entry.comment = TRY(fields.Text("comment"));
  entry.empty_layer = TRY(fields.Flag("empty_layer"));
  return entry;
}

Result<std::vector<Digest>> ParseDiffIds(const Fields& document) {
  const Json* json = document.Find("rootfs");
  if (json == nullptr) return Error(Code::kInvalid, "rootfs: missing; expected an object");
  const Fields rootfs = TRY(Fields::Of(*json, "rootfs"));
  if (TRY(rootfs.RequiredText("type")) != "layers")
    return Error(Code::kInvalid, "rootfs.type: expected \"layers\"");
  // A configuration without layers has "diff_ids": null when Go wrote it.
  std::vector<Digest> diff_ids;
  const std::vector<std::string> texts = TRY(rootfs.TextList("diff_ids"));
  for (size_t i = 0; i < texts.size(); ++i) {
    auto digest = Digest::Parse(texts[i]);
    if (!digest) {
      return Error(Code::kInvalid, "rootfs.diff_ids[" + std::to_string(i) + "]: " + digest.error().message());
    }
    diff_ids.push_back(*std::move(digest));
  }
  return diff_ids;
}

JsonObject KeysAsObject(const std::set<std::string>& keys) {
  JsonObject object;
  for (const std::string& key : keys) object[key] = JsonObject();
  return object;
}

JsonObject RenderRunConfig(const RunConfig& config) {
  JsonObject object;
  AddText(object, "User", config.user);
  if (!config.exposed_ports.empty()) object["ExposedPorts"] = KeysAsObject(config.exposed_ports);
  AddList(object, "Env", config.env);
  if (config.entrypoint) object["Entrypoint"] = RenderList(*config.entrypoint);
  if (config.cmd) object["Cmd"] = RenderList(*config.cmd);
  if (!config.volumes.empty()) object["Volumes"] = KeysAsObject(config.volumes);
  AddText(object, "WorkingDir", config.working_dir);
  if (!config.labels.empty()) object["Labels"] = RenderAnnotations(config.labels);
  AddText(object, "StopSignal", config.stop_signal);
  if (config.healthcheck) {
    JsonObject& check = object["Healthcheck"].emplace_object();
    AddList(check, "Test", config.healthcheck->test);
    const auto add = [&](std::string_view key, int64_t value) {
      if (value != 0) check[key] = value;
    };
    add("Interval", config.healthcheck->interval_ns);
    add("Timeout", config.healthcheck->timeout_ns);
    add("StartPeriod", config.healthcheck->start_period_ns);
    add("Retries", config.healthcheck->retries);
  }
  AddList(object, "Shell", config.shell);
  AddList(object, "OnBuild", config.on_build);
  return object;
}

JsonObject RenderHistory(const HistoryEntry& entry) {
  JsonObject object;
  AddText(object, "created", entry.created);
  AddText(object, "author", entry.author);
  AddText(object, "created_by", entry.created_by);
  AddText(object, "comment", entry.comment);
  if (entry.empty_layer) object["empty_layer"] = true;
  return object;
}

}  // namespace

Result<ImageConfig> ImageConfig::Parse(std::string_view bytes) {
  const Json json = TRY(ParseDocument(bytes, kMaxConfigBytes, "an image configuration"));
  const Fields fields = TRY(Fields::Of(json, ""));
  ImageConfig image;
  image.created = TRY(fields.Time("created"));
  image.author = TRY(fields.Text("author"));
  image.architecture = TRY(fields.RequiredText("architecture"));
  image.os = TRY(fields.RequiredText("os"));
  image.os_version = TRY(fields.Text("os.version"));
  image.os_features = TRY(fields.TextList("os.features"));
  image.variant = TRY(fields.Text("variant"));
  if (const Json* config = fields.Find("config")) image.config = TRY(ParseRunConfig(*config));
  image.diff_ids = TRY(ParseDiffIds(fields));
  if (const JsonArray* history = TRY(fields.List("history"))) {
    for (size_t i = 0; i < history->size(); ++i)
      image.history.push_back(TRY(ParseHistory((*history)[i], "history[" + std::to_string(i) + "]")));
  }
  return image;
}

std::string ImageConfig::Render() const {
  JsonObject object;
  AddText(object, "created", created);
  AddText(object, "author", author);
  object["architecture"] = architecture;
  AddText(object, "variant", variant);
  object["os"] = os;
  AddText(object, "os.version", os_version);
  AddList(object, "os.features", os_features);
  if (config != RunConfig()) object["config"] = RenderRunConfig(config);
  JsonObject& rootfs = object["rootfs"].emplace_object();
  rootfs["type"] = "layers";
  JsonArray& ids = rootfs["diff_ids"].emplace_array();
  for (const Digest& diff_id : diff_ids) ids.emplace_back(diff_id.Render());
  if (!history.empty()) {
    JsonArray& list = object["history"].emplace_array();
    for (const HistoryEntry& entry : history) list.push_back(RenderHistory(entry));
  }
  return RenderJson(object);
}

}  // namespace ingot::oci

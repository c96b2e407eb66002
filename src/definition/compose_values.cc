#include "definition/compose_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "definition/scalars.h"

namespace ingot::definition {

namespace {

bool PartOfName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string Dollars(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '$' ? "$$" : std::string(1, c);
  return out;
}

std::optional<uint32_t> PortText(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > 65535) return std::nullopt;
  return number;
}

// "80", "80-90".
std::optional<std::pair<uint32_t, uint32_t>> PortRange(std::string_view text) {
  const size_t dash = text.find('-');
  const auto first = PortText(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : PortText(text.substr(dash + 1));
  if (!first || !last || *first == 0 || *last < *first || *last - *first > 200) return std::nullopt;
  return std::pair(*first, *last);
}

constexpr std::pair<std::string_view, uint16_t> kKnownPorts[] = {
    {"postgres", 5432},   {"postgis", 5432},  {"mysql", 3306},         {"mariadb", 3306},
    {"redis", 6379},      {"valkey", 6379},   {"mongo", 27017},        {"memcached", 11211},
    {"rabbitmq", 5672},   {"nats", 4222},     {"nginx", 80},           {"httpd", 80},
    {"caddy", 80},        {"traefik", 80},    {"elasticsearch", 9200}, {"minio", 9000},
    {"opensearch", 9200}, {"influxdb", 8086}, {"grafana", 3000},       {"prometheus", 9090},
    {"adminer", 8080},    {"mailhog", 1025},
};

constexpr std::string_view kNetwork = "every service has a network of its own, and reaches what it `uses`";
constexpr std::string_view kIsolation = "instances share nothing of the host";
constexpr std::string_view kHostSetting = "a matter of the host, and not of a service";
constexpr std::string_view kMeta = "means nothing here";

constexpr std::pair<std::string_view, std::string_view> kWhyNot[] = {
    {"annotations", kMeta},
    {"attach", kMeta},
    {"blkio_config", "limits of disks are not set"},
    {"cgroup", kIsolation},
    {"cgroup_parent", kIsolation},
    {"configs", "files of configuration belong into the image: COPY them, a change is then a release"},
    {"container_name", "instances are numbered; `ingot logs SERVICE` finds them"},
    {"cpu_count", "`cpus` limits them"},
    {"cpu_percent", "`cpus` limits them"},
    {"cpu_period", "`cpus` limits them"},
    {"cpu_quota", "`cpus` limits them"},
    {"cpu_rt_period", kHostSetting},
    {"cpu_rt_runtime", kHostSetting},
    {"cpu_shares", "`cpus` limits them"},
    {"cpuset", kHostSetting},
    {"credential_spec", "Windows only"},
    {"develop", "`ingot apply` builds and releases a change in moments"},
    {"device_cgroup_rules", kIsolation},
    {"devices", kIsolation},
    {"dns", "there is no DNS: names are those of `uses`"},
    {"dns_opt", "there is no DNS: names are those of `uses`"},
    {"dns_search", "there is no DNS: names are those of `uses`"},
    {"domainname", kNetwork},
    {"extends", "write the service out: `docker compose config` prints it so"},
    {"external_links", kNetwork},
    {"extra_hosts", "what lives elsewhere is an endpoint: name it in `endpoints` and `uses`"},
    {"gpus", kIsolation},
    {"group_add", "write the group into `user`"},
    {"hostname", "an instance's name is its own"},
    {"init", "the runtime reaps nothing: let the program be its own init, or start one in `command`"},
    {"ipc", kIsolation},
    {"isolation", "Windows only"},
    {"label_file", kMeta},
    {"labels", kMeta},
    {"logging", "logs are files of the host, rotated; `ingot logs` reads them"},
    {"mac_address", kNetwork},
    {"mem_reservation", "memory is limited, not reserved"},
    {"mem_swappiness", kHostSetting},
    {"memswap_limit", kHostSetting},
    {"network_mode", kNetwork},
    {"networks", kNetwork},
    {"oom_kill_disable", kIsolation},
    {"oom_score_adj", kIsolation},
    {"pid", kIsolation},
    {"platform", "images are built and run for this machine"},
    {"post_start", "nothing that runs is modified; do it in the image or in the program"},
    {"pre_stop", "the program gets `stop_signal` and `stop_grace_period`"},
    {"privileged", "no instance is privileged; grant single `capabilities`"},
    {"profiles", "every service of a definition runs; environments say what is different where"},
    {"provider", "what lives elsewhere is an endpoint"},
    {"pull_policy", "images are pinned in ingot.lock; `ingot lock --upgrade` moves them"},
    {"runtime", "the runtime is crun"},
    {"security_opt", "the strictest of these hold for every instance"},
    {"shm_size", "the default holds"},
    {"stdin_open", "an instance has no terminal"},
    {"storage_opt", "an instance writes into `scratch` only, which has a size"},
    {"sysctls", kHostSetting},
    {"tty", "an instance has no terminal"},
    {"ulimits", "`resources` limits memory, CPU and processes"},
    {"use_api_socket", kIsolation},
    {"userns_mode", "each service has a range of user ids of its own"},
    {"uts", kIsolation},
    {"volumes_from", "name the volume in each service"},
    {"models", "what lives elsewhere is an endpoint"},
};

}  // namespace

std::string ComposeVariables::Walk(std::string_view text, bool literal, bool empty) const {
  std::string out;
  while (!text.empty()) {
    const size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) return out;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      out += literal ? "$" : "$$";
      text.remove_prefix(1);
      continue;
    }
    const bool braces = text.starts_with('{');
    std::string_view rest = text.substr(braces ? 1 : 0);
    size_t size = 0;
    while (size < rest.size() && PartOfName(rest[size])) ++size;
    const std::string name(rest.substr(0, size));
    rest.remove_prefix(size);
    if (!IsVariableName(name)) {
      out += literal ? "$" : "$$";
      continue;
    }
    // The operator and its word, up to the brace that belongs to this one.
    std::string_view word;
    if (braces) {
      size_t end = 0;
      for (int depth = 1; end < rest.size(); ++end) {
        if (rest[end] == '{') ++depth;
        if (rest[end] == '}' && --depth == 0) break;
      }
      if (end >= rest.size()) {
        out += literal ? "$" : "$$";
        continue;
      }
      word = rest.substr(0, end);
      rest.remove_prefix(end + 1);
    }
    text = rest;
    const bool colon = word.starts_with(':');
    const char how = word.empty() ? ' ' : word[colon && word.size() > 1 ? 1 : 0];
    const std::string_view otherwise = word.substr(std::min<size_t>(word.size(), colon ? 2 : 1));
    const auto known = dot_env_.find(name);
    const std::string value = known != dot_env_.end() ? known->second : "";
    if (how == '+') {
      const std::string put = value.empty() ? "" : Walk(otherwise, true, true);
      out += literal ? put : Dollars(put);
      continue;
    }
    const std::string standing = !value.empty() || how != '-' ? value : Walk(otherwise, true, true);
    if (literal)
      out += standing;
    else if (standing.find_first_of("${}") != std::string::npos)
      out += Dollars(standing);
    else if (!standing.empty() || how == '-' || (empty && how != '?'))
      out += "${" + name + ":-" + standing + "}";
    else
      out += "${" + name + "}";
  }
  return out;
}

std::string ComposeVariables::ToOurs(std::string_view text, bool empty) const {
  return Walk(text, false, empty);
}

std::string ComposeVariables::Literal(std::string_view text) const {
  return Walk(text, true, true);
}

std::optional<std::vector<std::string>> SplitCommand(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool any = false;
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0 && c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      word += line[++i];
      any = true;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
      any = true;
    } else if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      if (any) words.push_back(std::exchange(word, ""));
      any = false;
    } else {
      word += c;
      any = true;
    }
  }
  if (quote != 0) return std::nullopt;
  if (any) words.push_back(std::move(word));
  return words;
}

std::vector<ComposePort> ParseComposePorts(std::string_view text) {
  ComposePort port;
  if (const size_t slash = text.rfind('/'); slash != std::string_view::npos) {
    const std::string_view protocol = text.substr(slash + 1);
    if (protocol != "tcp" && protocol != "udp") return {};
    port.udp = protocol == "udp";
    text = text.substr(0, slash);
  }
  const size_t last = text.rfind(':');
  const auto target = PortRange(last == std::string_view::npos ? text : text.substr(last + 1));
  if (!target) return {};
  std::optional<std::pair<uint32_t, uint32_t>> published;
  if (last != std::string_view::npos) {
    std::string_view left = text.substr(0, last);
    const size_t before = left.rfind(':');
    const std::string_view number = before == std::string_view::npos ? left : left.substr(before + 1);
    if (before != std::string_view::npos) port.host_ip = left.substr(0, before);
    if (!number.empty()) {
      published = PortRange(number);
      // One of several that is free: Docker's choice.
      if (!published || published->second - published->first != target->second - target->first) return {};
    }
  }
  std::vector<ComposePort> out;
  for (uint32_t i = 0; i <= target->second - target->first; ++i) {
    port.target = static_cast<uint16_t>(target->first + i);
    port.published = published ? static_cast<uint16_t>(published->first + i) : 0;
    out.push_back(port);
  }
  return out;
}

std::optional<std::string> ComposeDuration(std::string_view text) {
  double ms = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    static constexpr std::array<std::pair<std::string_view, double>, 6> kUnits = {
        {{"ms", 1}, {"us", 0.001}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"d", 86400000}}};
    const auto unit =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& u) { return text.starts_with(u.first); });
    if (unit == kUnits.end()) return std::nullopt;
    text.remove_prefix(unit->first.size());
    ms += number * unit->second;
  }
  if (ms < 1 || ms > 1e12) return std::nullopt;
  const auto whole = static_cast<int64_t>(ms);
  return whole % 1000 == 0 ? std::to_string(whole / 1000) + "s" : std::to_string(whole) + "ms";
}

std::optional<std::string> ComposeSize(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc()) return std::nullopt;
  std::string unit(text.substr(static_cast<size_t>(end - text.data())));
  for (char& c : unit) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (unit.size() == 2 && unit[1] == 'b') unit.pop_back();
  const std::string_view units = "bkmgt";
  const size_t at = unit.empty() ? 0 : units.find(unit);
  if (at == std::string_view::npos || unit.size() > 1) return std::nullopt;
  for (size_t i = 0; i < at; ++i) number *= 1024;
  if (number < 1 || number > 1e15) return std::nullopt;
  return std::to_string(static_cast<uint64_t>(number));
}

void AddTmpfsOption(ComposeTmpfs& tmpfs, const std::string& name, const std::string& value) {
  // What holds of every scratch.
  static constexpr std::array<std::string_view, 7> kAlways = {"rw",    "nosuid",  "nodev",   "noexec",
                                                              "async", "noatime", "defaults"};
  const std::string shown = value.empty() ? name : name + "=" + value;
  if (name.empty()) return;
  if (name == "exec" || name == "noexec") {
    tmpfs.exec = name == "exec";
  } else if (name == "size") {
    const auto bytes = ComposeSize(value);
    if (!bytes) {
      tmpfs.left_out.push_back(shown +
                               ": no number of bytes (64m, 1g); it has the default of 64 MiB: write `size`");
      return;
    }
    tmpfs.size_bytes = *bytes;
  } else if (name == "mode" && (value == "1777" || value == "01777")) {
    // As every scratch has it.
  } else if (name == "mode" || name == "uid" || name == "gid") {
    tmpfs.left_out.push_back(
        shown +
        ": a scratch is of the mode 1777: its instance alone has it, and everybody in it may write there");
  } else if (std::find(kAlways.begin(), kAlways.end(), name) == kAlways.end()) {
    tmpfs.left_out.push_back(shown + ": a scratch has a size, and may have exec; no other option");
  }
}

ComposeTmpfs ParseComposeTmpfs(std::string_view text) {
  ComposeTmpfs out;
  const size_t colon = text.find(':');
  out.path = text.substr(0, colon);
  std::string_view options = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  while (!options.empty()) {
    const std::string_view option = options.substr(0, options.find(','));
    options.remove_prefix(std::min(options.size(), option.size() + 1));
    const size_t equal = option.find('=');
    AddTmpfsOption(out, std::string(option.substr(0, equal)),
                   equal == std::string_view::npos ? "" : std::string(option.substr(equal + 1)));
  }
  return out;
}

uint16_t KnownPort(std::string_view image) {
  std::string_view name = image.substr(image.rfind('/') == std::string_view::npos ? 0 : image.rfind('/') + 1);
  name = name.substr(0, name.find_first_of(":@"));
  for (const auto& [known, port] : kKnownPorts)
    if (name == known) return port;
  return 0;
}

bool UsuallyHttp(uint16_t port) {
  static constexpr std::array<uint16_t, 14> kHttp = {80,   3000, 4000, 4200, 5000, 5173, 8000,
                                                     8080, 8081, 8086, 8888, 9000, 9090, 9200};
  return std::find(kHttp.begin(), kHttp.end(), port) != kHttp.end();
}

std::string_view WhyNotInService(std::string_view key) {
  for (const auto& [known, why] : kWhyNot)
    if (known == key) return why;
  return "";
}

}  // namespace ingot::definition

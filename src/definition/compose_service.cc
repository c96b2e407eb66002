#include "definition/compose_service.h"

#include <algorithm>

#include "base/json.h"
#include "definition/scalars.h"

namespace ingot::definition {

namespace {

constexpr std::string_view kBindWhy =
    "files of the host are not mounted into instances: COPY them into the image, or use a named volume";

class ServiceReader {
 public:
  ServiceReader(ComposeReading& reading, ComposeService& out) : reading_(reading), out_(out) {}

  void Read(const Node& node) {
    const std::vector<Entry> entries = MergedEntries(node);
    if (node.kind != Node::Kind::kMapping) return Skip("", node, "expected a mapping");
    for (const Entry& entry : entries) ReadKey(entry.key, *entry.value);
    Command();
    Limits();
  }

 private:
  using Handler = void (ServiceReader::*)(const Node&);

  void ReadKey(const std::string& key, const Node& node) {
    static const std::map<std::string_view, Handler> handlers = {
        {"image", &ServiceReader::Image},
        {"build", &ServiceReader::Build},
        {"command", &ServiceReader::KeepCommand},
        {"entrypoint", &ServiceReader::KeepEntrypoint},
        {"environment", &ServiceReader::Environment},
        {"env_file", &ServiceReader::EnvFile},
        {"ports", &ServiceReader::Ports},
        {"expose", &ServiceReader::Expose},
        {"depends_on", &ServiceReader::DependsOn},
        {"links", &ServiceReader::Links},
        {"deploy", &ServiceReader::Deploy},
        {"scale", &ServiceReader::Replicas},
        {"mem_limit", &ServiceReader::Memory},
        {"cpus", &ServiceReader::CpuLimit},
        {"pids_limit", &ServiceReader::Pids},
        {"healthcheck", &ServiceReader::Healthcheck},
        {"restart", &ServiceReader::Restart},
        {"user", &ServiceReader::User},
        {"working_dir", &ServiceReader::WorkingDir},
        {"stop_signal", &ServiceReader::StopSignal},
        {"stop_grace_period", &ServiceReader::Grace},
        {"cap_add", &ServiceReader::CapAdd},
        {"read_only", &ServiceReader::ReadOnly},
        {"tmpfs", &ServiceReader::Tmpfs},
        {"volumes", &ServiceReader::Volumes},
        {"secrets", &ServiceReader::Secrets},
    };
    // No capability is given that is not named.
    if (key.starts_with("x-") || key == "cap_drop") return;
    key_ = key;
    if (const auto found = handlers.find(key); found != handlers.end()) {
      (this->*found->second)(node);
      return;
    }
    const std::string_view why = WhyNotInService(key);
    Skip("", node, why.empty() ? "no key of Compose that is known here" : std::string(why));
  }

  std::string Path(const std::string& more) const {
    return out_.path + (key_.empty() ? "" : "." + key_) + more;
  }
  void Skip(const std::string& more, const Node& node, std::string why) {
    reading_.Note(Path(more), node, std::move(why));
  }
  void Put(const Node& node, std::string text) {
    out_.block.items.push_back({std::move(text), Path(""), node.at.line});
  }
  std::string Ours(const Node& node) const { return reading_.variables.ToOurs(node.text, true); }
  std::string Literal(const Node& node) const { return reading_.variables.Literal(node.text); }
  // A scalar, or the scalars of a list.
  std::vector<const Node*> Scalars(const Node& node) {
    std::vector<const Node*> out;
    if (node.kind == Node::Kind::kScalar) out.push_back(&node);
    for (size_t i = 0; i < node.items.size(); ++i) {
      if (node.items[i]->kind == Node::Kind::kScalar)
        out.push_back(node.items[i]);
      else
        Skip("[" + std::to_string(i) + "]", *node.items[i], "expected text");
    }
    if (node.kind == Node::Kind::kMapping) Skip("", node, "expected text or a list");
    return out;
  }
  const Node* Member(const Node& node, std::string_view key) const {
    for (const Entry& entry : node.entries)
      if (entry.key == key) return entry.value;
    return nullptr;
  }
  std::string MemberText(const Node& node, std::string_view key) const {
    const Node* member = Member(node, key);
    return member != nullptr ? Literal(*member) : "";
  }
  void Rest(const Node& node, std::initializer_list<std::string_view> known, std::string_view why,
            const std::string& under = "") {
    for (const Entry& entry : node.entries)
      if (std::find(known.begin(), known.end(), entry.key) == known.end() && !entry.key.starts_with("x-"))
        Skip(under + "." + entry.key, *entry.value, std::string(why));
  }

  void Image(const Node& node) {
    out_.reference = Literal(node);
    if (out_.image.empty())
      out_.image = "{ image: " + YamlText(reading_.variables.ToOurs(node.text, false)) + " }";
  }
  void Build(const Node& node) {
    if (node.kind == Node::Kind::kScalar) {
      out_.image = "{ build: " + YamlText(Ours(node)) + " }";
      return;
    }
    const Node* context = Member(node, "context");
    std::string text = "{ build: { context: " + YamlText(context != nullptr ? Ours(*context) : ".");
    for (const auto key : {"dockerfile", "target"})
      if (const Node* member = Member(node, key); member != nullptr && member->kind == Node::Kind::kScalar)
        text += std::string(", ") + key + ": " + YamlText(Ours(*member));
    if (const Node* args = Member(node, "args"); args != nullptr) {
      std::string pairs;
      for (const auto& [name, value] : Pairs(*args, ".args"))
        if (IsVariableName(name)) pairs += (pairs.empty() ? "" : ", ") + name + ": " + YamlText(value);
      if (!pairs.empty()) text += ", args: { " + pairs + " }";
    }
    out_.image = text + " } }";
    Rest(node, {"context", "dockerfile", "target", "args"},
         "a build has context, dockerfile, target and args");
  }

  // KEY=VALUE of a list, or a mapping.
  std::vector<std::pair<std::string, std::string>> Pairs(const Node& node, const std::string& more) {
    std::vector<std::pair<std::string, std::string>> out;
    if (node.kind == Node::Kind::kMapping) {
      for (const Entry& entry : MergedEntries(node)) {
        if (entry.value->kind == Node::Kind::kNull)
          out.emplace_back(entry.key, "${" + entry.key + ":-}");
        else if (entry.value->kind == Node::Kind::kScalar)
          out.emplace_back(entry.key, Ours(*entry.value));
        else
          Skip(more + "." + entry.key, *entry.value, "expected text");
      }
      return out;
    }
    for (const Node* item : Scalars(node)) {
      const size_t equal = item->text.find('=');
      if (equal == std::string::npos)
        out.emplace_back(item->text, "${" + item->text + ":-}");
      else
        out.emplace_back(item->text.substr(0, equal),
                         reading_.variables.ToOurs(std::string_view(item->text).substr(equal + 1), true));
    }
    return out;
  }
  void PutEnvironment(const Node& node, const std::vector<std::pair<std::string, std::string>>& pairs,
                      bool over) {
    for (const auto& [name, value] : pairs) {
      if (!IsEnvironmentKey(name)) {
        Skip("." + name, node, "no name of a variable");
        continue;
      }
      if (over || !environment_.contains(name)) environment_[name] = {value, node.at.line};
      out_.mentions.push_back(value);
    }
  }
  void Environment(const Node& node) { PutEnvironment(node, Pairs(node, ""), true); }
  void EnvFile(const Node& node) {
    std::vector<std::pair<const Node*, bool>> files;
    for (const Node* item :
         node.kind == Node::Kind::kSequence ? node.items : std::vector<const Node*>{&node}) {
      const Node* path = item->kind == Node::Kind::kMapping ? Member(*item, "path") : item;
      if (path == nullptr || path->kind != Node::Kind::kScalar) {
        Skip("", *item, "expected the path of a file");
        continue;
      }
      const std::string name = Literal(*path);
      const auto bytes = reading_.input.read ? reading_.input.read(name) : std::nullopt;
      if (!bytes) {
        Skip("", *path, "there is no file " + Quoted(name) + " to take variables from");
        continue;
      }
      std::vector<std::pair<std::string, std::string>> pairs;
      for (const auto& [key, value] : ParseEnvFile(*bytes)) {
        std::string ours;
        for (const char c : value) ours += c == '$' ? "$$" : std::string(1, c);
        pairs.emplace_back(key, ours);
      }
      PutEnvironment(*path, pairs, false);
      Skip("", *path,
           "its " + std::to_string(pairs.size()) +
               " variables stand in `environment` now; what is secret among them belongs into `secrets`");
    }
  }

  void Ports(const Node& node) {
    for (size_t i = 0; i < node.items.size(); ++i) {
      const Node& item = *node.items[i];
      const std::string at = "[" + std::to_string(i) + "]";
      std::vector<ComposePort> ports;
      bool http = false;
      if (item.kind == Node::Kind::kScalar) {
        ports = ParseComposePorts(Literal(item));
      } else {
        const std::string ip = MemberText(item, "host_ip");
        const std::string published = MemberText(item, "published");
        const std::string protocol = MemberText(item, "protocol");
        ports = ParseComposePorts((ip.empty() ? "" : ip + ":") + published +
                                  (published.empty() && ip.empty() ? "" : ":") + MemberText(item, "target") +
                                  (protocol.empty() ? "" : "/" + protocol));
        http = MemberText(item, "app_protocol").starts_with("http");
      }
      if (ports.empty()) Skip(at, item, "no port, or none that can be told in advance");
      for (const ComposePort& port : ports) {
        if (port.udp) {
          Skip(at, item, "UDP is not carried");
          break;
        }
        out_.AddPort(port.target, http || UsuallyHttp(port.target));
        if (port.published == 0)
          Skip(at, item, "published on any free port: a route names its own");
        else
          out_.published.push_back(port);
      }
    }
    if (node.kind != Node::Kind::kSequence) Skip("", node, "expected a list");
  }
  void Expose(const Node& node) {
    for (const Node* item : Scalars(node))
      for (const ComposePort& port : ParseComposePorts(Literal(*item)))
        if (!port.udp) out_.AddPort(port.target, UsuallyHttp(port.target));
  }
  void DependsOn(const Node& node) {
    for (const Node* item : node.kind == Node::Kind::kMapping ? std::vector<const Node*>() : Scalars(node))
      out_.wants.push_back(item->text);
    for (const Entry& entry : node.entries) {
      if (MemberText(*entry.value, "condition") == "service_completed_successfully")
        Skip("." + entry.key, *entry.value,
             "work with an end before the others start is a job, not a service");
      else
        out_.wants.push_back(entry.key);
    }
  }
  void Links(const Node& node) {
    for (const Node* item : Scalars(node)) {
      const size_t colon = item->text.find(':');
      out_.wants.push_back(item->text.substr(0, colon));
      if (colon != std::string::npos && item->text.substr(colon + 1) != item->text.substr(0, colon))
        Skip("", *item, "a service is reached by its own name only");
    }
  }

  void Deploy(const Node& node) {
    if (const Node* replicas = Member(node, "replicas"); replicas != nullptr) Replicas(*replicas);
    if (const Node* resources = Member(node, "resources"); resources != nullptr) {
      if (const Node* limits = Member(*resources, "limits"); limits != nullptr) {
        if (const Node* cpus = Member(*limits, "cpus"); cpus != nullptr) CpuLimit(*cpus);
        if (const Node* memory = Member(*limits, "memory"); memory != nullptr) Memory(*memory);
        if (const Node* pids = Member(*limits, "pids"); pids != nullptr) Pids(*pids);
        Rest(*limits, {"cpus", "memory", "pids"}, "limits are of cpus, memory and pids", ".resources.limits");
      }
      Rest(*resources, {"limits"}, "resources are limited, not reserved", ".resources");
    }
    Rest(node, {"replicas", "resources"},
         "how a release goes is `rollout`: all at once by default, and back by itself when it fails");
  }
  void Replicas(const Node& node) {
    out_.replicas = Literal(node);
    Put(node, "replicas: " + out_.replicas);
  }
  void Memory(const Node& node) {
    const auto size = ComposeSize(Literal(node));
    if (!size) return Skip("", node, "no size");
    limits_.push_back({"memory: " + *size, node.at.line});
  }
  void CpuLimit(const Node& node) { limits_.push_back({"cpus: " + Literal(node), node.at.line}); }
  void Pids(const Node& node) {
    if (!Literal(node).starts_with("-")) limits_.push_back({"pids: " + Literal(node), node.at.line});
  }
  void Limits() {
    std::string text;
    int line = 0;
    for (const auto& [limit, at] : limits_) {
      const std::string name = limit.substr(0, limit.find(':') + 1);
      if (text.find(name) != std::string::npos) continue;
      text += (text.empty() ? "" : ", ") + limit;
      line = at;
    }
    if (!text.empty())
      out_.block.items.push_back({"resources: { " + text + " }", out_.path + ".deploy", line});
    if (environment_.empty()) return;
    out_.block.items.push_back({"environment:", out_.path + ".environment", line});
    for (const auto& [name, value] : environment_)
      out_.block.items.push_back({"  " + YamlText(name) + ": " + YamlText(value.first),
                                  out_.path + ".environment." + name, value.second});
  }

  void Healthcheck(const Node& node) {
    const Node* test = Member(node, "test");
    if (MemberText(node, "disable") == "true") return;
    if (test == nullptr) return Skip("", node, "without a test; the first port that accepts is healthy");
    std::string run;
    if (test->kind == Node::Kind::kScalar) {
      run = YamlText(Ours(*test));
    } else {
      std::vector<std::string> words;
      for (const Node* item : Scalars(*test)) words.push_back(Ours(*item));
      if (words.empty() || words[0] == "NONE") return;
      const std::string how = words[0];
      words.erase(words.begin());
      if (words.empty()) return Skip(".test", *test, "no command");
      run = how == "CMD-SHELL" ? YamlText(words[0]) : YamlList(words);
    }
    const auto duration = [&](std::string_view key) { return ComposeDuration(MemberText(node, key)); };
    const std::string timeout = duration("timeout").value_or("30s");
    std::string ready = "ready: { run: " + run + ", interval: 100ms, timeout: " + timeout;
    if (const auto start = duration("start_period")) {
      // It may need that long, and then as long as its probes.
      const auto ms = [](const std::string& text) {
        return std::stoll(text) * (text.ends_with("ms") ? 1 : 1000);
      };
      ready +=
          ", deadline: " + std::to_string(std::max<long long>(ms(*start) + 2 * ms(timeout), 30'000)) + "ms";
    } else {
      ready += ", deadline: 2m";
    }
    std::string live = "live: { run: " + run + ", interval: " + duration("interval").value_or("30s") +
                       ", timeout: " + timeout;
    const std::string retries = MemberText(node, "retries");
    live += ", fails: " + (retries.empty() ? "3" : retries);
    Put(node, "health: { " + ready + " }, " + live + " } }");
    Rest(node, {"test", "timeout", "interval", "retries", "start_period", "disable"},
         "before it is ready an instance is probed every 100 ms");
  }
  void Restart(const Node& node) {
    const std::string how = Literal(node);
    if (how == "no" || how == "false" || how.starts_with("on-failure"))
      Skip("", node, "an instance that ends is replaced; work with an end is a job, not a service");
  }
  void User(const Node& node) { Put(node, "user: " + YamlText(Literal(node))); }
  void WorkingDir(const Node& node) { Put(node, "workdir: " + YamlText(Literal(node))); }
  void StopSignal(const Node& node) { Put(node, "stop_signal: " + YamlText(Literal(node))); }
  void Grace(const Node& node) {
    const auto duration = ComposeDuration(Literal(node));
    if (!duration) return Skip("", node, "no duration");
    Put(node, "stop_grace_period: " + *duration);
  }
  void CapAdd(const Node& node) {
    std::vector<std::string> names;
    for (const Node* item : Scalars(node)) {
      const std::string name = Literal(*item);
      if (name == "ALL" || name == "all")
        Skip("", *item, "name the capabilities that it needs");
      else
        names.push_back(name);
    }
    if (!names.empty()) Put(node, "capabilities: " + YamlList(names));
  }
  void ReadOnly(const Node& node) {
    if (Literal(node) == "false")
      Skip("", node, "an instance's root is read-only; name what it writes in `scratch`");
  }
  void Scratch(const Node& node, const ComposeTmpfs& tmpfs) {
    scratch_ += (scratch_.empty() ? "" : ", ") + std::string("{ path: ") + YamlText(tmpfs.path) +
                (tmpfs.size_bytes.empty() ? "" : ", size: " + tmpfs.size_bytes) +
                (tmpfs.exec ? ", exec: true" : "") + " }";
    for (const std::string& why : tmpfs.left_out) Skip("", node, tmpfs.path + ": " + why);
    std::erase_if(out_.block.items, [](const auto& item) { return item.text.starts_with("scratch: "); });
    Put(node, "scratch: [" + scratch_ + "]");
  }
  void Tmpfs(const Node& node) {
    for (const Node* item : Scalars(node)) Scratch(*item, ParseComposeTmpfs(Literal(*item)));
  }
  // The long form of a mount.
  ComposeTmpfs TmpfsOf(const Node& mount) {
    ComposeTmpfs out;
    out.path = MemberText(mount, "target");
    if (const Node* options = Member(mount, "tmpfs"); options != nullptr)
      for (const Entry& entry : options->entries)
        if (!entry.key.starts_with("x-")) AddTmpfsOption(out, entry.key, Literal(*entry.value));
    if (MemberText(mount, "read_only") == "true") AddTmpfsOption(out, "read_only", "");
    return out;
  }
  void Volumes(const Node& node) {
    std::string mounts;
    for (const Node* item : node.items) {
      std::string source;
      std::string target;
      bool read_only = false;
      ComposeTmpfs tmpfs;
      if (item->kind == Node::Kind::kScalar) {
        const std::string text = Literal(*item);
        const size_t first = text.find(':');
        const size_t second = first == std::string::npos ? first : text.find(':', first + 1);
        source = first == std::string::npos ? "" : text.substr(0, first);
        target = first == std::string::npos
                     ? text
                     : text.substr(first + 1, second == std::string::npos ? second : second - first - 1);
        const std::string mode = second == std::string::npos ? "" : "," + text.substr(second + 1) + ",";
        read_only = mode.find(",ro,") != std::string::npos;
      } else {
        const std::string type = MemberText(*item, "type");
        source = MemberText(*item, "source");
        target = MemberText(*item, "target");
        read_only = MemberText(*item, "read_only") == "true";
        if (type == "tmpfs") {
          source.clear();
          tmpfs = TmpfsOf(*item);
        }
        if (type == "bind" || (type != "volume" && type != "tmpfs")) {
          Skip("", *item, std::string(kBindWhy));
          continue;
        }
      }
      if (source.empty()) {
        tmpfs.path = target;
        Scratch(*item, tmpfs);
      } else if (source.find_first_of("./~\\") != std::string::npos) {
        Skip("", *item, std::string(kBindWhy));
      } else {
        out_.volumes.insert(source);
        const auto ours = reading_.names.find("volume " + source);
        mounts += (mounts.empty() ? "" : ", ") + std::string("{ name: ") +
                  (ours != reading_.names.end() ? ours->second : YamlText(source)) +
                  ", path: " + YamlText(target) + (read_only ? ", read_only: true }" : " }");
      }
    }
    if (!mounts.empty()) Put(node, "volumes: [" + mounts + "]");
    if (node.kind == Node::Kind::kScalar) Skip("", node, "expected a list");
  }
  void Secrets(const Node& node) {
    std::vector<std::string> names;
    for (const Node* item : node.items) {
      const std::string source =
          item->kind == Node::Kind::kMapping ? MemberText(*item, "source") : item->text;
      const std::string target = item->kind == Node::Kind::kMapping ? MemberText(*item, "target") : "";
      names.push_back(source);
      out_.secrets.insert(source);
      if (!target.empty() && target != source && target != "/run/secrets/" + source)
        Skip("", *item, "a secret is the file /run/secrets/" + source + "; its reader has to look there");
    }
    if (!names.empty()) Put(node, "secrets: " + YamlList(names));
  }

  void KeepCommand(const Node& node) { command_ = &node; }
  void KeepEntrypoint(const Node& node) { entrypoint_ = &node; }
  std::vector<std::string> Words(const Node& node) {
    std::vector<std::string> out;
    if (node.kind == Node::Kind::kScalar) {
      auto words = SplitCommand(node.text);
      if (!words) {
        Skip("", node, "a quote that does not end");
        return {};
      }
      for (const std::string& word : *words) out.push_back(reading_.variables.ToOurs(word, true));
    }
    for (const Node* item : node.kind == Node::Kind::kSequence ? Scalars(node) : std::vector<const Node*>())
      out.push_back(Ours(*item));
    return out;
  }
  void Command() {
    std::vector<std::string> words;
    if (entrypoint_ != nullptr) {
      key_ = "entrypoint";
      words = Words(*entrypoint_);
    }
    if (command_ != nullptr) {
      key_ = "command";
      for (std::string& word : Words(*command_)) words.push_back(std::move(word));
    }
    const Node* node = entrypoint_ != nullptr ? entrypoint_ : command_;
    if (node == nullptr || words.empty()) return;
    key_ = entrypoint_ != nullptr ? "entrypoint" : "command";
    for (const std::string& word : words) out_.mentions.push_back(word);
    if (entrypoint_ == nullptr)
      Skip("", *node,
           "stands in place of the image's ENTRYPOINT and CMD here: if the image has an ENTRYPOINT, put it "
           "in front");
    Put(*node, "command: " + YamlList(words));
  }

  ComposeReading& reading_;
  ComposeService& out_;
  std::string key_;
  const Node* command_ = nullptr;
  const Node* entrypoint_ = nullptr;
  std::vector<std::pair<std::string, int>> limits_;
  std::map<std::string, std::pair<std::string, int>> environment_;
  std::string scratch_;
};

}  // namespace

ComposeService ReadComposeService(ComposeReading& reading, const std::string& name, const Node& node) {
  ComposeService out;
  out.name = reading.names.at(name);
  out.path = "services." + name;
  out.line = node.at.line;
  out.block.head = {out.name + ":", out.path, node.at.line};
  ServiceReader(reading, out).Read(node);
  return out;
}

}  // namespace ingot::definition

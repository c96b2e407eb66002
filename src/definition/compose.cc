#include "definition/compose.h"

#include <algorithm>
#include <set>

#include "definition/compose_service.h"
#include "definition/example.h"
#include "definition/parse.h"
#include "definition/scalars.h"
#include "definition/yaml.h"

namespace ingot::definition {

namespace {

constexpr size_t kMostRepairs = 500;

struct Section {
  std::string name;  // "services"
  std::vector<ComposeBlock> blocks;
};

// Where a line of the definition came from.
struct Origin {
  Section* section = nullptr;
  size_t block = 0;
  std::optional<size_t> item;
};

class ComposeImporter {
 public:
  ComposeImporter(const ComposeInput& input) : reading_{input, ComposeVariables(input.dot_env), {}, {}} {}

  Result<ComposeImport> Import(std::string_view bytes) {
    Problems problems(reading_.input.file_name);
    const std::optional<Document> document = ReadYaml(bytes, problems);
    if (!document || !problems.empty()) return Refused(std::move(problems).Take());
    if (document->root->kind != Node::Kind::kMapping)
      return Error(Code::kInvalid, reading_.input.file_name + " is no Compose file: expected a mapping");
    project_ = reading_.input.project;
    for (const Entry& entry : document->root->entries) Name(entry);
    for (const Entry& entry : document->root->entries) Top(entry);
    Services(document->root->entries);
    Secrets();
    if (auto repaired = Repair(); !repaired) return std::move(repaired).error();
    ComposeImport out;
    std::stable_sort(reading_.notes.begin(), reading_.notes.end(),
                     [](const ComposeNote& a, const ComposeNote& b) { return a.line < b.line; });
    reading_.notes.erase(std::unique(reading_.notes.begin(), reading_.notes.end()), reading_.notes.end());
    out.services = services_.blocks.size();
    std::vector<Origin> origins;
    out.definition = Render(origins);
    out.notes = std::move(reading_.notes);
    return out;
  }

 private:
  Error Refused(const std::vector<Problem>& problems) const {
    std::string message;
    for (const Problem& problem : problems) message += (message.empty() ? "" : "\n") + problem.Render();
    return Error(Code::kInvalid, message);
  }

  // Compose's name → one of ours that nobody has.
  void TakeName(const std::string& kind, const std::string& path, const Node& node, const std::string& name,
                std::set<std::string>& taken) {
    std::string ours = IsName(name) ? name : NameFrom(name);
    for (int i = 2; taken.contains(ours); ++i) ours = NameFrom(name).substr(0, 36) + "-" + std::to_string(i);
    taken.insert(ours);
    if (ours != name)
      reading_.Note(
          path, node,
          "is named " + ours + " here" + (kind.empty() ? ": who asks for it has to use that name" : ""));
    reading_.names[kind + name] = ours;
  }

  void Name(const Entry& entry) {
    if (entry.key == "name" && entry.value->kind == Node::Kind::kScalar)
      project_ = NameFrom(reading_.variables.Literal(entry.value->text));
    if (entry.key == "services")
      for (const Entry& service : MergedEntries(*entry.value))
        if (!service.key.starts_with("x-"))
          TakeName("", "services." + service.key, *service.value, service.key, service_names_);
    if (entry.key == "volumes")
      for (const Entry& volume : MergedEntries(*entry.value))
        TakeName("volume ", "volumes." + volume.key, *volume.value, volume.key, volume_names_);
  }

  void Top(const Entry& entry) {
    const Node& node = *entry.value;
    if (entry.key == "name" || entry.key == "version" || entry.key == "services" ||
        entry.key.starts_with("x-"))
      return;
    if (entry.key == "volumes") {
      for (const Entry& volume : MergedEntries(node)) {
        const std::string path = "volumes." + volume.key;
        volumes_.blocks.push_back(
            {{reading_.names.at("volume " + volume.key) + ": {}", path, volume.at.line}, {}});
        for (const Entry& key : volume.value->entries)
          if (!key.key.starts_with("x-"))
            reading_.Note(path + "." + key.key, *key.value,
                          "volumes are Ingot's own; bring the data over by hand");
      }
    } else if (entry.key == "secrets") {
      for (const Entry& secret : MergedEntries(node)) secret_nodes_[secret.key] = secret.value;
    } else if (entry.key == "networks") {
      reading_.Note("networks", node, "every service has a network of its own, and reaches what it `uses`");
    } else if (entry.key == "configs") {
      reading_.Note("configs", node, "files of configuration belong into the image");
    } else if (entry.key == "include") {
      reading_.Note("include", node, "import `docker compose config` instead, which writes everything out");
    } else {
      reading_.Note(entry.key, node, "no key of Compose that is known here");
    }
  }

  void Services(const std::vector<Entry>& root) {
    std::map<std::string, ComposeService> services;
    for (const Entry& entry : root) {
      if (entry.key != "services") continue;
      for (const Entry& service : MergedEntries(*entry.value))
        if (!service.key.starts_with("x-"))
          services.emplace(service.key, ReadComposeService(reading_, service.key, *service.value));
    }
    for (auto& [name, service] : services) FindMentions(services, name, service);
    std::map<std::string, std::set<std::string>> uses;
    for (auto& [name, service] : services) Use(services, name, service, uses);
    std::set<std::string> used;
    for (const auto& [name, others] : uses) used.insert(others.begin(), others.end());
    for (auto& [name, service] : services) Finish(name, service, uses[name], used.contains(name));
  }

  // Services that its texts name as a host: "db:5432", "http://api", "@db/", or alone.
  static void FindMentions(std::map<std::string, ComposeService>& services, const std::string& self,
                           ComposeService& service) {
    const auto of_name = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
             c == '_' || c == '.';
    };
    for (const std::string& text : service.mentions) {
      for (auto& [other, target] : services) {
        if (other == self || other.empty()) continue;
        for (size_t at = text.find(other); at != std::string::npos; at = text.find(other, at + 1)) {
          const size_t end = at + other.size();
          if ((at > 0 && of_name(text[at - 1])) || (end < text.size() && of_name(text[end]))) continue;
          size_t digits = end + 1;
          while (end < text.size() && text[end] == ':' && digits < text.size() && digits < end + 6 &&
                 text[digits] >= '0' && text[digits] <= '9')
            ++digits;
          const bool port = digits > end + 1 && end < text.size();
          const bool host = at > 0 && (text[at - 1] == '/' || text[at - 1] == '@');
          if (!port && !host && text != other) continue;
          service.wants.push_back(other);
          const auto ports =
              port ? ParseComposePorts(text.substr(end + 1, digits - end - 1)) : std::vector<ComposePort>();
          if (!ports.empty()) target.AddPort(ports[0].target, text.substr(0, at).ends_with("http://"));
        }
      }
    }
  }

  static bool Reaches(const std::map<std::string, std::set<std::string>>& uses, const std::string& from,
                      const std::string& to) {
    std::vector<std::string> open{from};
    std::set<std::string> seen;
    while (!open.empty()) {
      const std::string name = open.back();
      open.pop_back();
      if (name == to) return true;
      const auto next = uses.find(name);
      if (!seen.insert(name).second || next == uses.end()) continue;
      open.insert(open.end(), next->second.begin(), next->second.end());
    }
    return false;
  }

  void Use(std::map<std::string, ComposeService>& services, const std::string& name, ComposeService& service,
           std::map<std::string, std::set<std::string>>& uses) {
    std::set<std::string> done;
    for (const std::string& other : service.wants) {
      if (!done.insert(other).second) continue;
      const auto skip = [&](std::string why) {
        reading_.notes.push_back({service.path + ".depends_on", service.line, std::move(why)});
      };
      const auto found = services.find(other);
      if (found == services.end()) {
        skip("there is no service " + Quoted(other));
        continue;
      }
      ComposeService& target = found->second;
      if (target.ports.empty())
        if (const uint16_t known = KnownPort(target.reference); known != 0)
          target.AddPort(known, UsuallyHttp(known));
      if (target.ports.empty())
        skip(service.name + " does not use " + target.name + ": nothing says which port that listens on");
      else if (Reaches(uses, other, name))
        skip(service.name + " does not use " + target.name + ": that would be a circle");
      else
        uses[name].insert(other);
    }
  }

  // Two things that Compose does otherwise, of which nothing in the definition speaks.
  void NoteStateful(const ComposeService& service) {
    const std::string path = service.path + ".volumes";
    reading_.notes.push_back(
        {path, service.line,
         "makes it a stateful service: a release replaces it member by member, each new one takes over the "
         "volume of the old one, and no rollout.strategy is for it"});
    if (service.replicas.empty() || service.replicas == "1" || service.replicas == "0") return;
    std::string volumes;
    for (const std::string& volume : service.volumes) volumes += (volumes.empty() ? "" : ", ") + volume;
    reading_.notes.push_back(
        {path, service.line,
         "each of its " + service.replicas + " members has a " + volumes +
             " of its own, where Compose gives all of them the same: one that is shared cannot be had. Run "
             "one "
             "(replicas: 1), or keep what they share in a service or an endpoint that they use"});
  }

  void Finish(const std::string& name, ComposeService& service, const std::set<std::string>& uses,
              bool used) {
    ComposeBlock& block = service.block;
    if (service.image.empty()) {
      reading_.notes.push_back({service.path, service.line, "neither image nor build: it is left out"});
      return;
    }
    images_.blocks.push_back(
        {{service.name + ": " + service.image, service.path + ".image", service.line}, {}});
    std::vector<ComposeBlock::Item> first{{"image: " + service.name, service.path + ".image", service.line}};
    const std::string path = service.path + ".ports";
    if (!service.volumes.empty()) {
      first.push_back({"kind: stateful", service.path + ".volumes", service.line});
      NoteStateful(service);
    }
    if (service.ports.empty()) {
      if (!used && service.volumes.empty()) first.push_back({"kind: worker", path, service.line});
      reading_.notes.push_back(
          {path, service.line, "no port is named: it is a worker, which takes work and not requests"});
    } else if (service.ports.size() == 1 && service.ports[0].http) {
      first.push_back({"port: " + std::to_string(service.ports[0].number), path, service.line});
    } else {
      std::string text;
      for (const auto& port : service.ports)
        text += (text.empty() ? "" : ", ") + port.Name(service.ports) +
                ": { port: " + std::to_string(port.number) + ", protocol: " + (port.http ? "http" : "tcp") +
                " }";
      first.push_back({"ports: { " + text + " }", path, service.line});
    }
    for (const auto& port : service.ports)
      reading_.notes.push_back({path, service.line,
                                std::string("port ") + std::to_string(port.number) + " is taken to speak " +
                                    (port.http ? "HTTP; write protocol: tcp if it does not"
                                               : "TCP; write protocol: http if it is HTTP")});
    if (!uses.empty()) {
      std::vector<std::string> names;
      for (const std::string& other : uses) names.push_back(reading_.names.at(other));
      first.push_back({"uses: " + YamlList(names), service.path + ".depends_on", service.line});
    }
    // As soon as one port does not tell which, a probe would have to.
    const bool probed = std::any_of(block.items.begin(), block.items.end(),
                                    [](const auto& item) { return item.text.starts_with("health:"); });
    if (!probed && service.ports.size() > 1)
      first.push_back({"health: { ready: { tcp: true, port: " + service.ports[0].Name(service.ports) + " } }",
                       path, service.line});
    block.items.insert(block.items.begin(), first.begin(), first.end());
    for (const ComposePort& port : service.published) {
      const auto target = std::find_if(service.ports.begin(), service.ports.end(),
                                       [&](const auto& p) { return p.number == port.target; });
      std::string ip = port.host_ip == "0.0.0.0" ? "" : port.host_ip;
      if (ip.find(':') != std::string::npos && !ip.starts_with('[')) ip = "[" + ip + "]";
      routes_.blocks.push_back(
          {{"- { listen: " + YamlText(ip + ":" + std::to_string(port.published)) + ", to: " + service.name +
                (service.ports.size() > 1 ? ", port: " + target->Name(service.ports) : "") + " }",
            path, service.line},
           {}});
    }
    wanted_secrets_.insert(service.secrets.begin(), service.secrets.end());
    for (const std::string& volume : service.volumes)
      if (!reading_.names.contains("volume " + volume)) {
        volumes_.blocks.push_back({{YamlText(volume) + ": {}", path, service.line}, {}});
        reading_.names["volume " + volume] = volume;
      }
    services_.blocks.push_back(std::move(block));
    static_cast<void>(name);
  }

  void Secrets() {
    for (const std::string& name : wanted_secrets_) {
      const auto found = secret_nodes_.find(name);
      const Node* node = found == secret_nodes_.end() ? nullptr : found->second;
      std::string text = "{ from: store }";
      int line = 0;
      if (node != nullptr) {
        line = node->at.line;
        for (const Entry& entry : node->entries) {
          if (entry.value->kind != Node::Kind::kScalar) continue;
          if (entry.key == "file")
            text = "{ file: " + YamlText(reading_.variables.ToOurs(entry.value->text, true)) + " }";
          if (entry.key == "environment") text = "{ env: " + YamlText(entry.value->text) + " }";
        }
      }
      if (text == "{ from: store }")
        reading_.notes.push_back({"secrets." + name, line,
                                  "its value is not in the file: `ingot secret set` or file: gives it one"});
      secrets_.blocks.push_back({{YamlText(name) + ": " + text, "secrets." + name, line}, {}});
    }
  }

  // `origins`: of each line of the text, from the first.
  std::string Render(std::vector<Origin>& origins) {
    std::string out;
    const auto line = [&](const std::string& text, Origin origin) {
      out += text + "\n";
      origins.push_back(origin);
    };
    line("# From " + reading_.input.file_name + ", by `ingot init`. `ingot schema` describes every key.", {});
    line("version: 1", {});
    line("project: " + project_, {});
    for (Section* section : {&images_, &services_, &routes_, &volumes_, &secrets_}) {
      if (section->blocks.empty()) continue;
      line("", {});
      line(section->name + ":", {});
      for (size_t i = 0; i < section->blocks.size(); ++i) {
        line("  " + section->blocks[i].head.text, {section, i, std::nullopt});
        for (size_t k = 0; k < section->blocks[i].items.size(); ++k)
          line("    " + section->blocks[i].items[k].text, {section, i, k});
      }
    }
    return out;
  }

  // Variables that have no default: whoever validates has to have them.
  static Variables Wanted(const std::string& text) {
    Variables variables;
    for (size_t at = text.find("${"); at != std::string::npos; at = text.find("${", at + 2)) {
      const size_t end = text.find_first_of("}:", at);
      if (end != std::string::npos && text[end] == '}')
        variables.environment[text.substr(at + 2, end - at - 2)] = "value";
    }
    return variables;
  }

  // What the definition's own rules refuse goes, and is named with their words.
  Result<void> Repair() {
    for (size_t i = 0; i < kMostRepairs; ++i) {
      std::vector<Origin> origins;
      const std::string text = Render(origins);
      if (services_.blocks.empty())
        return Error(Code::kInvalid, reading_.input.file_name + " has no service that could be taken over" +
                                         (reading_.notes.empty() ? "" : ": " + reading_.notes.back().why));
      const Parsed parsed = ParseAll(text, "ingot.yaml", Wanted(text));
      if (parsed.problems.empty()) {
        for (const auto& [name, value] : Wanted(text).environment)
          reading_.notes.push_back({"${" + name + "}", 0, "has to be set whenever the definition is read"});
        return {};
      }
      const Problem& problem = parsed.problems.front();
      const size_t at = problem.line < 1 ? 0 : static_cast<size_t>(problem.line) - 1;
      if (at >= origins.size() || origins[at].section == nullptr)
        return Error(Code::kInvalid, "the definition that " + reading_.input.file_name +
                                         " becomes cannot be used: " + problem.Render());
      const Origin& origin = origins[at];
      auto& blocks = origin.section->blocks;
      ComposeBlock& block = blocks[origin.block];
      const bool whole = !origin.item || block.items[*origin.item].text.starts_with("image: ");
      const ComposeBlock::Item item = whole ? block.head : block.items[*origin.item];
      reading_.notes.push_back({item.path, item.line, problem.message});
      if (whole)
        blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(origin.block));
      else
        block.items.erase(block.items.begin() + static_cast<std::ptrdiff_t>(*origin.item));
    }
    return Error(Code::kInvalid, "too much of " + reading_.input.file_name +
                                     " cannot be taken over; the first: " + reading_.notes.front().why);
  }

  ComposeReading reading_;
  std::string project_;
  std::set<std::string> service_names_;
  std::set<std::string> volume_names_;
  std::map<std::string, const Node*> secret_nodes_;
  std::set<std::string> wanted_secrets_;
  Section images_{"images", {}};
  Section services_{"services", {}};
  Section routes_{"routes", {}};
  Section volumes_{"volumes", {}};
  Section secrets_{"secrets", {}};
};

}  // namespace

Result<ComposeImport> ImportCompose(std::string_view bytes, const ComposeInput& input) {
  return ComposeImporter(input).Import(bytes);
}

std::map<std::string, std::string> ParseEnvFile(std::string_view bytes) {
  std::map<std::string, std::string> out;
  while (!bytes.empty()) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
    const auto trim = [](std::string_view text) {
      const size_t first = text.find_first_not_of(" \t\r");
      if (first == std::string_view::npos) return std::string_view();
      return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
    };
    line = trim(line);
    if (line.starts_with("export ")) line = trim(line.substr(7));
    const size_t equal = line.find('=');
    if (line.empty() || line.front() == '#' || equal == std::string_view::npos) continue;
    std::string_view value = trim(line.substr(equal + 1));
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
        value.find(value.front(), 1) != std::string_view::npos) {
      value = value.substr(1, value.find(value.front(), 1) - 1);
    } else if (const size_t comment = value.find(" #"); comment != std::string_view::npos) {
      value = trim(value.substr(0, comment));
    }
    out[std::string(trim(line.substr(0, equal)))] = value;
  }
  return out;
}

}  // namespace ingot::definition

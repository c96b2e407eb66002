// One service of a Compose file, on the way into a definition.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "definition/compose.h"
#include "definition/compose_values.h"
#include "definition/node.h"

namespace ingot::definition {

// Lines of the definition that stay or go together: a service, an image, a route.
struct ComposeBlock {
  struct Item {
    std::string text;  // one line, without its indent
    std::string path;  // in the Compose file
    int line = 0;
  };
  Item head;
  std::vector<Item> items;
};

struct ComposeService {
  struct Port {
    uint16_t number = 0;
    bool http = false;
    std::string Name(const std::vector<Port>& all) const;
  };
  std::string name;
  std::string path;  // "services.my_web"
  int line = 0;
  ComposeBlock block;
  std::string image;  // the key in `images`, as a line: "{ build: … }"; empty: it has none
  std::string reference;
  std::vector<Port> ports;
  std::vector<ComposePort> published;
  std::vector<std::string> wants;     // Compose's names, in order, perhaps twice
  std::vector<std::string> mentions;  // texts in which other services may be named
  std::set<std::string> volumes;      // named ones, Compose's names
  std::set<std::string> secrets;
  std::string replicas;  // as it is written; empty: one

  void AddPort(uint16_t number, bool http);
};

// What services have in common while they are read.
struct ComposeReading {
  const ComposeInput& input;
  ComposeVariables variables;
  std::map<std::string, std::string> names;  // of services and volumes: Compose's → ours
  std::vector<ComposeNote> notes;

  void Note(const std::string& path, const Node& at, std::string why) {
    notes.push_back({path, at.at.line, std::move(why)});
  }
};

// A text as a scalar of YAML, whatever is in it.
std::string YamlText(std::string_view text);
// "[a, b]" of texts.
std::string YamlList(const std::vector<std::string>& texts);

// The entries of a mapping with those of its merge keys (<<), its own first.
std::vector<Entry> MergedEntries(const Node& node);

ComposeService ReadComposeService(ComposeReading& reading, const std::string& name, const Node& node);

}  // namespace ingot::definition

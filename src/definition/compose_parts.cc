// Parts that the reading of a service and of a whole Compose file share.
#include <algorithm>

#include "base/json.h"
#include "definition/compose_service.h"

namespace ingot::definition {

namespace {

void Merge(const Node& node, std::vector<Entry>& out, int depth) {
  if (node.kind != Node::Kind::kMapping || depth > 8) return;
  for (const Entry& entry : node.entries)
    if (entry.key != "<<" &&
        std::none_of(out.begin(), out.end(), [&](const Entry& e) { return e.key == entry.key; }))
      out.push_back(entry);
  for (const Entry& entry : node.entries) {
    if (entry.key != "<<") continue;
    Merge(*entry.value, out, depth + 1);
    for (const Node* item : entry.value->items) Merge(*item, out, depth + 1);
  }
}

}  // namespace

std::string ComposeService::Port::Name(const std::vector<Port>& all) const {
  const auto first = std::find_if(all.begin(), all.end(), [](const Port& port) { return port.http; });
  return http && first != all.end() && first->number == number ? "http" : "p" + std::to_string(number);
}

void ComposeService::AddPort(uint16_t number, bool http) {
  for (Port& port : ports)
    if (port.number == number) {
      port.http |= http;
      return;
    }
  ports.push_back({number, http});
}

std::string YamlText(std::string_view text) {
  return RenderJson(Json(text));
}

std::string YamlList(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + YamlText(text);
  return "[" + out + "]";
}

std::vector<Entry> MergedEntries(const Node& node) {
  std::vector<Entry> out;
  Merge(node, out, 0);
  return out;
}

}  // namespace ingot::definition

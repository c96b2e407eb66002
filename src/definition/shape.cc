#include "definition/shape.h"

namespace ingot::definition {

Json SchemaWriter::Ref(const std::string& name, const std::function<JsonObject()>& make) {
  if (!defs_.contains(name)) {
    defs_[name] = nullptr;  // claimed, should it refer to itself
    JsonObject schema = make();
    defs_[name] = std::move(schema);
  }
  return JsonObject{{"$ref", "#/$defs/" + name}};
}

std::string Enumerate(const std::vector<std::string>& names, std::string_view last) {
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 < names.size() ? ", " : " " + std::string(last) + " ";
    out += names[i];
  }
  return out;
}

}  // namespace ingot::definition

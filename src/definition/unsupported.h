// What the schema has from the beginning and this version cannot do yet: refused at `plan` by name, never
// ignored.
#pragma once

#include <string>
#include <vector>

#include "definition/definition.h"

namespace ingot::definition {

struct Unsupported {
  std::string path;  // "services.api.scale"
  int line = 0;
  int column = 0;
  std::string why;  // "autoscaling"
  bool operator==(const Unsupported&) const = default;
};

// Every block that deploying `environment` would need and this version cannot do, in the order of the file.
// Blocks of other environments are left out.
std::vector<Unsupported> NotYetSupported(const Definition& definition, const std::string& environment);

// "ingot.yaml:12:5: not yet supported: services.api.scale (autoscaling)"
std::string RenderUnsupported(const Definition& definition, const Unsupported& unsupported);

}  // namespace ingot::definition

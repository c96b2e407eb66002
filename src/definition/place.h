// Where in the file a check has found something wrong.
#pragma once

#include <string>

#include "definition/definition.h"
#include "definition/problem.h"

namespace ingot::definition {

// Reports problems at paths of the definition, as one environment sees them: where that environment overrides
// a service's key, the override is the place.
class Place {
 public:
  Place(const Definition& definition, Problems& problems, std::string environment = "")
      : definition_(definition), problems_(problems), environment_(std::move(environment)) {}

  // "services.web.uses[0]: <message>" at that key.
  void Fail(const std::string& path, const std::string& message) const;

 private:
  const Definition& definition_;
  Problems& problems_;
  std::string environment_;
};

}  // namespace ingot::definition

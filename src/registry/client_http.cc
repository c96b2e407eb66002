#include "registry/client_http.h"

namespace ingot::registry {

std::string_view ClientResponse::Header(std::string_view lower_name) const {
  const auto found = headers.find(std::string(lower_name));
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace ingot::registry

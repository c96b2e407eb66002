#include "adapters/compiled_filters.h"

#include "oci/base64.h"

namespace ingot::adapters {

std::string CompiledFilters::For(const std::string& container, const std::vector<std::string>& capabilities) {
  auto state = state_.lock();
  const auto found = state->compiled.find(capabilities);
  if (found != state->compiled.end()) return found->second;
  state->wanted[container] = capabilities;
  return "";
}

void CompiledFilters::Keep(const std::string& container, const fs::path& state) {
  auto filters = state_.lock();
  const auto wanted = filters->wanted.extract(container);
  if (wanted.empty()) return;
  if (auto filter = ReadFile(state / "seccomp.bpf", 1 << 20); filter && !filter->empty())
    filters->compiled.emplace(wanted.mapped(), oci::RenderBase64(*filter));
}

void CompiledFilters::Forget(const std::string& container) {
  state_.lock()->wanted.erase(container);
}

}  // namespace ingot::adapters

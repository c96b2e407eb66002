#include "definition/definition.h"

#include <algorithm>

namespace ingot::definition {

Position Definition::Where(std::string_view path) const {
  while (!path.empty()) {
    const auto found =
        std::find_if(written.begin(), written.end(), [&](const Written& key) { return key.path == path; });
    if (found != written.end()) return found->at;
    const size_t end = path.find_last_of(".[");
    path = path.substr(0, end == std::string_view::npos ? 0 : end);
  }
  return {1, 1};
}

std::string Definition::Locate(std::string_view path) const {
  const Position at = Where(path);
  return file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
}

std::string_view NameOf(Protocol protocol) {
  return protocol == Protocol::kHttp ? "http" : "tcp";
}

std::string_view NameOf(Kind kind) {
  switch (kind) {
    case Kind::kService:
      return "service";
    case Kind::kWorker:
      return "worker";
    case Kind::kStateful:
      return "stateful";
  }
  return "";
}

std::string_view NameOf(Strategy strategy) {
  switch (strategy) {
    case Strategy::kBlueGreen:
      return "blue-green";
    case Strategy::kRolling:
      return "rolling";
    case Strategy::kCanary:
      return "canary";
    case Strategy::kRecreate:
      return "recreate";
  }
  return "";
}

std::string_view NameOf(Concurrency concurrency) {
  switch (concurrency) {
    case Concurrency::kForbid:
      return "forbid";
    case Concurrency::kAllow:
      return "allow";
    case Concurrency::kReplace:
      return "replace";
  }
  return "";
}

Service AsService(const Job& job) {
  Service service;
  service.image = job.image;
  service.kind = Kind::kWorker;
  service.command = job.command;
  service.environment = job.environment;
  service.secrets = job.secrets;
  service.uses = job.uses;
  service.resources = job.resources;
  service.scratch = job.scratch;
  for (const std::string& path : job.artifacts) {
    const bool sized = std::any_of(job.scratch.begin(), job.scratch.end(),
                                   [&](const Scratch& scratch) { return scratch.path == path; });
    if (!sized) service.scratch->push_back({path, {}, {}});
  }
  return service;
}

}  // namespace ingot::definition

// Names of running things. They are deterministic, so that an effect can be repeated after a crash and found
// again.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::platform {

// One environment of one project on this host: "shop/local".
class EnvironmentId {
 public:
  EnvironmentId() = default;
  EnvironmentId(std::string project, std::string environment)
      : project_(std::move(project)), environment_(std::move(environment)) {}
  // "project/environment", both DNS labels (RFC 1123, at most 40 letters).
  static Result<EnvironmentId> Parse(std::string_view text);
  std::string Render() const { return project_ + "/" + environment_; }
  const std::string& project() const { return project_; }
  const std::string& environment() const { return environment_; }
  bool operator==(const EnvironmentId&) const = default;
  auto operator<=>(const EnvironmentId&) const = default;

 private:
  std::string project_;
  std::string environment_;
};

// A fleet: the environment, the service and the first 12 digits of the digest of what an instance can see.
// "shop/local/web@3f2a9c0d1e2b".
class FleetId {
 public:
  FleetId() = default;
  FleetId(EnvironmentId environment, std::string service, std::string digest12)
      : environment_(std::move(environment)), service_(std::move(service)), digest_(std::move(digest12)) {}
  static Result<FleetId> Parse(std::string_view text);
  std::string Render() const { return environment_.Render() + "/" + service_ + "@" + digest_; }
  const EnvironmentId& environment() const { return environment_; }
  const std::string& service() const { return service_; }
  const std::string& digest() const { return digest_; }
  bool operator==(const FleetId&) const = default;
  auto operator<=>(const FleetId&) const = default;

 private:
  EnvironmentId environment_;
  std::string service_;
  std::string digest_;
};

// One instance: its fleet and an ordinal that is never used twice within the environment.
// "shop/local/web@3f2a9c0d1e2b/17"; as a file, cgroup or host name "shop.local.web.3f2a9c0d1e2b.17".
class InstanceId {
 public:
  InstanceId() = default;
  InstanceId(FleetId fleet, uint64_t ordinal) : fleet_(std::move(fleet)), ordinal_(ordinal) {}
  static Result<InstanceId> Parse(std::string_view text);
  static Result<InstanceId> ParseFileName(std::string_view text);
  std::string Render() const { return fleet_.Render() + "/" + std::to_string(ordinal_); }
  std::string FileName() const;
  // "web-17", for people.
  std::string Short() const { return fleet_.service() + "-" + std::to_string(ordinal_); }
  const FleetId& fleet() const { return fleet_; }
  uint64_t ordinal() const { return ordinal_; }
  bool operator==(const InstanceId&) const = default;
  auto operator<=>(const InstanceId&) const = default;

 private:
  FleetId fleet_;
  uint64_t ordinal_ = 0;
};

}  // namespace ingot::platform

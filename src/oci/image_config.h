// An OCI image configuration (image-spec 1.1, config.md), with Docker's additions that runtimes honour:
// Healthcheck, Shell, OnBuild.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/descriptor.h"
#include "oci/digest.h"

namespace ingot::oci {

// Docker's Healthcheck. `test` is {"NONE"}, {"CMD", argv…} or {"CMD-SHELL", line}; times in nanoseconds, 0:
// not said.
struct Healthcheck {
  std::vector<std::string> test;
  int64_t interval_ns = 0;
  int64_t timeout_ns = 0;
  int64_t start_period_ns = 0;
  int64_t retries = 0;
  bool operator==(const Healthcheck&) const = default;
};

struct HistoryEntry {
  std::string created;  // RFC 3339, as written
  std::string author;
  std::string created_by;
  std::string comment;
  bool empty_layer = false;
  bool operator==(const HistoryEntry&) const = default;
};

// "config": what a container of the image runs with.
struct RunConfig {
  std::string user;
  std::set<std::string> exposed_ports;                 // "8080/tcp"
  std::vector<std::string> env;                        // "NAME=value", in order
  std::optional<std::vector<std::string>> entrypoint;  // unset: none; {} is rendered as []
  std::optional<std::vector<std::string>> cmd;
  std::set<std::string> volumes;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;  // "SIGTERM" or a number
  std::optional<Healthcheck> healthcheck;
  std::vector<std::string> shell;
  std::vector<std::string> on_build;
  bool operator==(const RunConfig&) const = default;
};

struct ImageConfig {
  std::string created;  // RFC 3339, as written; empty: not said
  std::string author;
  std::string architecture;  // required
  std::string os;            // required
  std::string os_version;
  std::vector<std::string> os_features;
  std::string variant;
  RunConfig config;
  std::vector<Digest> diff_ids;  // rootfs.diff_ids, lowest layer first
  std::vector<HistoryEntry> history;
  bool operator==(const ImageConfig&) const = default;

  // At most 8 MiB. kInvalid says which member is wrong. Null counts as absent, as Docker writes it.
  static Result<ImageConfig> Parse(std::string_view bytes);
  // Canonical bytes: fixed order of members, no white space.
  std::string Render() const;
};

}  // namespace ingot::oci

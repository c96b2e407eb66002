// The router's outer side as host.yaml has it, with its files read: certificates, again when they change.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "adapters/certificate.h"
#include "adapters/haproxy_edge.h"
#include "app/file_stamp.h"
#include "definition/host.h"
#include "plan/claims.h"

namespace ingot::app {

class HostEdgeFiles {
 public:
  explicit HostEdgeFiles(const definition::Host& host) : host_(host) {}

  // Reads all certificates. What cannot be used is left out, and said (`Problems`): the others serve.
  void Load();
  // Looks whether a file has changed, and reads it then; true when certificates are others than before. One
  // that cannot be used leaves the former one.
  bool Refresh();

  // PEMs in the order of host.yaml.
  std::vector<std::string> Pems() const;
  const definition::Host& host() const { return host_; }
  // For adapters::HaproxyOptions. The page for maintenance is read here; one that cannot be is said.
  adapters::HaproxyEdge Options();
  plan::HostEdge Edge() const;
  // Since the last call: sentences about files that cannot be used.
  std::vector<std::string> TakeProblems();

 private:
  struct Entry {
    FileStamp certificate;
    FileStamp key;
    std::optional<adapters::Certificate> loaded;
  };

  // True when it is another than before.
  bool Read(size_t index);

  const definition::Host host_;
  std::vector<Entry> entries_;
  std::vector<std::string> problems_;
};

}  // namespace ingot::app

// What `status` and `plan` show of the outside: servers elsewhere that routes give a share to, and
// certificates of host.yaml and of an authority that issues them.
#pragma once

#include <string>
#include <vector>

#include "app/acme_service.h"
#include "app/host_certificates.h"
#include "base/json.h"
#include "base/prometheus.h"
#include "base/result.h"
#include "platform/router.h"

namespace ingot::app {

// Adds to the routes of an environment's status whether their server takes connections ("up": true, false, or
// null with "reason": could not look), and to its problems what that means for the service.
void AddOutsideServers(Json& status, const Result<std::vector<platform::OutsideState>>& servers);

// A sentence for each server elsewhere that `routes` gives requests to and that takes no connection from this
// host now, or of which that could not be found out. Asks all of them at once, for a second at most.
std::vector<std::string> SilentServers(const platform::RouteTable& routes);

// Adds to the problems what clients cannot be served with of the certificates that host.yaml names, `seen`.
// `with_files`: whoever reads it may know the host's files.
void AddHostCertificates(Json& status, const std::vector<SeenCertificate>& seen, WallTime now,
                         bool with_files);

// Adds to the routes with TLS what is known of a certificate that an authority issues for them, and to the
// problems which of them wait for one, and why.
void AddCertificates(Json& status, const std::vector<IssuedName>& issued, WallTime now);

// ingot_certificate_…: of GET /metrics.
void DescribeIssued(PrometheusText& text, const std::vector<IssuedName>& issued);

}  // namespace ingot::app
